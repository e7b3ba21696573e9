"""Models that only score: they export, score in every runtime, and say in one sentence that they cannot sample."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from small_generators import kernels  # noqa: E402 - after the check for torch

from zoo.bundle import open_bundle  # noqa: E402
from zoo.errors import ExportError, ProofError, UsageError  # noqa: E402
from zoo.exporting import export, pack  # noqa: E402
from zoo.metrics.evaluation import Evaluation  # noqa: E402
from zoo.runtime import load  # noqa: E402
from zoo.runtime.check import check  # noqa: E402

SAID = "kernels only scores data: it cannot sample"


def test_it_scores_as_the_model_does(bundles):
    bundle, model = load(bundles("kernels"), "cpu"), kernels()
    described = json.loads((bundles("kernels") / "manifest.json").read_text("utf-8"))
    assert described["programs"]["sample"] is None
    assert list(described["graphs"]) == ["log_prob"]
    # too little of it is ruled out, as too much is
    assert described["proof"]["density"]["method"] == "mass"
    assert described["proof"]["density"]["mass"] == "1"
    assert "not ruled out" not in (bundles("kernels") / "MODEL_CARD.md").read_text("utf-8")
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    # written out here: the mean of normal densities around the centres
    apart = ((x[:, None] - model.centres.numpy()) ** 2).sum(2)
    expected = np.log(np.exp(-0.5 * apart).mean(1) / (2 * np.pi))
    np.testing.assert_allclose(bundle.log_prob(x), expected, atol=1e-5)
    bundle.warm_up()
    assert all(row.ok for row in check(open_bundle(bundles("kernels"))).rows)


def test_it_is_said_that_it_cannot_sample(bundles):
    bundle = load(bundles("kernels"), "cpu")
    x = np.zeros((1, 2), np.float32)
    for ask in (
        lambda: bundle.sample(2, seed=0),
        lambda: bundle.begin(2),
        lambda: bundle.table(),
        lambda: bundle.encode(x),
        lambda: bundle.stream(2),
        lambda: bundle.noise_shape,
    ):
        with pytest.raises(UsageError, match=SAID):
            ask()
    with pytest.raises(UsageError, match="Kernels only scores data: it cannot sample"):
        kernels().sample(2)


@pytest.mark.parametrize(
    "arguments",
    [[], ["-n", "3", "-o", "x.npy"], ["--steps", "3"], ["--encode", "x.npy"], ["--init", "x.npy"], ["--fused"]],
)
def test_the_command_line_says_it_too(bundles, tmp_path, arguments):
    np.save(tmp_path / "x.npy", np.zeros((1, 2), np.float32))
    command = [sys.executable, "-m", "zoo", "run", str(bundles("kernels")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "only scores data: it cannot sample" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("Error")]) == 1


def test_metrics_that_need_samples_are_left_out(bundles):
    from zoo.data import Dataset, Split
    from zoo.metrics.likelihood import likelihood

    split = Split(np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32))
    evaluation = Evaluation(model=load(bundles("kernels"), "cpu"), data=Dataset("some", split, split, split))
    assert evaluation.drawn is None
    assert list(likelihood(evaluation)) == ["test_nll"]


def test_what_a_model_says_of_itself_is_what_its_programs_do(tmp_path):
    model = kernels()
    model.samples = True
    model.programs = lambda: kernels().programs()
    with pytest.raises(ExportError, match="says that it samples, and its programs have no program sample"):
        export(model, tmp_path / "bundle")


def test_a_density_of_too_much_mass_is_refused(tmp_path):
    class Heavy(type(kernels())):
        def log_density(self, x, condition=None):
            return super().log_density(x) + 1

    model = Heavy(event_shape=[2], centres=9)
    model.centres.copy_(kernels().centres)
    with pytest.raises(ProofError, match="too much mass"):
        export(model.eval(), tmp_path / "bundle")


def test_packed_it_scores_and_does_not_sample(bundles, tmp_path):
    from zoo_targets.python import verify

    bundle = open_bundle(bundles("kernels"))
    folder = pack(bundle, tmp_path / "python", target="python")
    assert "2 log-densities" in verify(folder)
    assert "--score data.npy" in (folder / "README.md").read_text("utf-8")
    done = subprocess.run([sys.executable, "-I", folder / "sample.py"], capture_output=True, text=True)
    assert done.stderr == f"Error: {SAID}\n"
    for target in ("web", "node"):
        with pytest.raises(UsageError, match=f"the target {target} draws samples, and kernels only scores data"):
            pack(bundle, tmp_path / target, target=target)


@pytest.mark.skipif(not os.environ.get("GENZOO_ONNXRUNTIME_INCLUDE"), reason="no header of ONNX Runtime is named")
@pytest.mark.slow
def test_in_cpp_it_scores_and_does_not_sample(bundles, tmp_path):
    from zoo_targets.cpp import build, verify

    folder = pack(open_bundle(bundles("kernels")), tmp_path / "cpp", target="cpp")
    assert "2 log-densities" in verify(folder)
    done = subprocess.run([build(folder), "--bundle", folder / "bundle"], capture_output=True, text=True)
    assert done.stderr == f"Error: {SAID}\n"
