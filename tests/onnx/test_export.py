"""``zoo.exporting.export`` with the target ``onnx``: a proven bundle or nothing."""

import copy
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from zoo.bundle import GOLDEN, MANIFEST, MODEL_CARD, TABLES, WEIGHTS, open_bundle
from zoo.errors import OutputError, ProofError, UnknownNameError, UsageError
from zoo.exporting import card_of, export
from zoo.registry.cards import ModelCard
from zoo.runtime import load
from zoo_onnx import export as exporter

#: for a process of its own, which gets the models of these tests
PREAMBLE = f"""
import importlib.util
from zoo.exporting import export
spec = importlib.util.spec_from_file_location("conftest", {str(Path(__file__).with_name("conftest.py"))!r})
conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conftest)
"""


def left(folder):
    return sorted(p.name for p in folder.iterdir())


# -- what a bundle is -------------------------------------------------------------------------------------------------


def test_files_of_a_flow(gaussian_bundle):
    assert left(gaussian_bundle) == sorted(
        [MANIFEST, MODEL_CARD, GOLDEN, WEIGHTS, "inverse.onnx", "log_prob.onnx"],
    )
    open_bundle(gaussian_bundle)


def test_files_of_a_diffusion(diffusion_bundle):
    assert left(diffusion_bundle) == sorted(
        [MANIFEST, MODEL_CARD, GOLDEN, TABLES, WEIGHTS, "divergence.onnx", "step.onnx"]
    )
    open_bundle(diffusion_bundle)


@pytest.mark.parametrize("n", [1, 4, 19])
def test_a_flow_gives_the_same_samples_and_densities(gaussian, gaussian_bundle, n):
    model = load(gaussian_bundle, "cpu")
    x = model.sample(n, seed=3)
    np.testing.assert_allclose(x, gaussian.sample(n, seed=3).numpy(), atol=1e-5)
    with torch.no_grad():
        expected = gaussian.log_prob(torch.from_numpy(x))
    np.testing.assert_allclose(model.log_prob(x), expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize("n", [1, 4, 19])
def test_a_diffusion_gives_the_same_samples_and_densities(diffusion, diffusion_bundle, n):
    model = load(diffusion_bundle, "cpu")
    options = {"seed": 3, "guidance": 1.5, "sampler": "ddpm", "steps": 6}
    x = model.sample(n, **options)
    np.testing.assert_allclose(x, diffusion.sample(n, **options).numpy(), atol=1e-5 * 8)
    expected = diffusion.log_prob(torch.from_numpy(x), condition=1, steps=4)
    np.testing.assert_allclose(model.log_prob(x, condition=1, steps=4), expected.numpy(), rtol=1e-5)


def test_the_divergence_graph_equals_torch_at_several_batches(diffusion, diffusion_bundle):
    session = load(diffusion_bundle, "cpu").session("divergence")
    (graph,) = (g for g in diffusion.programs().graphs if g.name == "divergence")
    for batch in (1, 2, 3, 17):
        generator = torch.Generator().manual_seed(batch)
        x, probe = torch.randn(2, batch, 1, 8, 8, generator=generator)
        row = [torch.tensor(v) for v in (400.0, 0.8, 0.6)]
        condition = torch.arange(batch, dtype=torch.int32) % 4
        inputs = (x, *row, probe, condition)
        feeds = {port.name: value.numpy() for port, value in zip(graph.inputs, inputs, strict=True)}
        with torch.no_grad():
            expected = graph.module(*inputs)
        for port, value in zip(graph.outputs, expected, strict=True):
            np.testing.assert_allclose(session.run(feeds)[port.name], value.numpy(), rtol=1e-5, atol=1e-5)


def test_the_proof_is_in_the_manifest(diffusion_bundle):
    proof = open_bundle(diffusion_bundle).manifest.proof
    assert proof["batches"] == [1, 2, 3, 17]
    assert proof["tolerance"] == 1e-4
    compared = " ".join(proof["largest_differences"])
    for what in ("step, output next_state", "divergence, output trace", "sample", "log_prob"):
        assert what in compared
    assert max(proof["largest_differences"].values()) < 1e-5
    # four sizes of batch: two graphs, ordinary and at both ends of the path; two runs of sample, one of log_prob; and
    # the composition of two conditions
    assert proof["cases"] == 4 * (2 * 3 + 2 + 1) + 1
    assert "judged_by_float64" not in proof


def test_the_density_that_a_flow_was_compared_with_is_in_the_manifest(gaussian_bundle):
    density = open_bundle(gaussian_bundle).manifest.proof["density"]
    assert (density["method"], density["points"], density["error"]) == ("jacobian", 8, 0)
    assert density["difference"] < 1e-6
    assert "equals that of the noise less the log-determinant" in (gaussian_bundle / MODEL_CARD).read_text()


def test_graphs_say_nothing_of_the_machine(gaussian_bundle, diffusion_bundle):
    for path in (*gaussian_bundle.glob("*.onnx"), *diffusion_bundle.glob("*.onnx")):
        data = path.read_bytes()
        told = [
            ".py",
            "site-packages",
            "torch",
            sys.prefix,
            os.getcwd(),
            str(Path(__file__).parents[2]),
            str(Path.home()),
        ]
        assert not [text for text in told if text.encode() in data]
        model = onnx.load(path, load_external_data=False)
        assert not model.metadata_props
        assert not model.producer_name
        assert not model.doc_string + model.graph.doc_string
        assert not model.functions
        assert not any(n.metadata_props or n.doc_string for n in model.graph.node)


def test_graphs_use_only_portable_operators(gaussian_bundle, diffusion_bundle):
    for path in (*gaussian_bundle.glob("*.onnx"), *diffusion_bundle.glob("*.onnx")):
        model = onnx.load(path, load_external_data=False)
        assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
        assert model.ir_version == 8
        assert not {n.op_type for n in model.graph.node} & {"RandomNormal", "RandomNormalLike", "RandomUniform"}


def test_tables_are_those_of_the_samplers(diffusion, diffusion_bundle):
    from safetensors.numpy import load_file

    tables = load_file(diffusion_bundle / TABLES)
    for sampler, steps in (("ddim", 4), ("ddim", 50), ("ddpm", 100)):
        expected = diffusion.table(sampler, steps)
        for column in ("time", "alpha", "sigma", "matrix", "noise_scale", "guidance", "clip", "initial_scale"):
            np.testing.assert_array_equal(tables[f"{sampler}-{steps}/{column}"], getattr(expected, column))


@pytest.mark.parametrize("name", ["gaussian_bundle", "diffusion_bundle"])
def test_golden_cases_replay(name, request):
    from safetensors.numpy import load_file

    folder = request.getfixturevalue(name)
    golden = load_file(folder / GOLDEN)
    assert (folder / GOLDEN).stat().st_size < 200_000
    model = load(folder, "cpu")
    replayed = set()
    for subject, case in {tuple(key.split("/")[:2]) for key in golden}:
        given, wanted = (
            {k.split("/")[3]: v for k, v in golden.items() if k.startswith(f"{subject}/{case}/{way}/")}
            for way in ("in", "out")
        )
        if subject == "program:sample":
            got = {"x": model.sample(int(given.pop("n")), **{k: as_argument(v) for k, v in given.items()})}
        elif subject == "program:log_prob":
            got = {"log_prob": model.log_prob(given.pop("x"), **{k: as_argument(v) for k, v in given.items()})}
        else:
            got = model.session(subject).run(given)
        for port, value in wanted.items():
            np.testing.assert_allclose(got[port], value, rtol=1e-4, atol=1e-4)
        replayed.add(subject)
    assert replayed == {*model.manifest.graphs, "program:sample", "program:log_prob"}


def as_argument(value):
    return int(value) if value.ndim == 0 else value


def test_the_model_card_tells_inputs_licences_and_proof(models, tmp_path):
    model = models["gaussian"](conditional=True)
    card = ModelCard(
        name="wind",
        summary="Gusts | <b>measured</b> at sea",
        family="flow",
        architecture="gaussian",
        license={"code": "Apache-2.0", "weights": "CC-BY-4.0"},
        data={"name": "sea", "license": "CC0-1.0", "source": "the institute"},
        metrics={"log_prob": {"value": -1.5, "unit": "nats", "split": "test"}},
        papers=("Beaufort 1805",),
    )
    folder = export(model, tmp_path / "wind", card=card)
    text = (folder / MODEL_CARD).read_text()
    said = [
        "# wind",
        "Apache-2.0",
        "CC-BY-4.0",
        "CC0-1.0",
        "the institute",
        "-1.5 nats",
        "split: test",
        "Beaufort 1805",
    ]
    said += ["`z`", "float32 [batch, 16]", "`condition`", "float32 [batch, 3]", "Proof"]
    assert [words for words in said if words not in text] == []
    assert "<b>" not in text
    c = np.ones((5, 3), np.float32)
    np.testing.assert_allclose(
        load(folder, "cpu").sample(5, seed=1, condition=c), model.sample(5, seed=1, condition=c).numpy(), atol=1e-5
    )


# -- how it is written ------------------------------------------------------------------------------------------------


def test_the_same_model_gives_the_same_bytes(gaussian, gaussian_bundle, tmp_path):
    again = export(gaussian, tmp_path / "bundle")
    for path in gaussian_bundle.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.full
def test_the_same_diffusion_gives_the_same_bytes_in_another_process(diffusion_bundle, tmp_path):
    code = PREAMBLE + f"export(conftest.unet(), {str(tmp_path / 'bundle')!r})\n"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
    for path in diffusion_bundle.iterdir():
        if path.name not in (MANIFEST, MODEL_CARD):  # they hold the differences, which threads can change
            assert (tmp_path / "bundle" / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_model_is_not_changed(models, tmp_path):
    model = models["gaussian"]().train()
    before = copy.deepcopy(model.state_dict())
    export(model, tmp_path / "bundle")
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_progress_covers_tracing_writing_and_proving(gaussian, tmp_path):
    calls = []
    export(gaussian, tmp_path / "bundle", progress=lambda *call: calls.append(call))
    said = [what for what, _, _ in calls]
    assert said == [
        "proving the model in PyTorch",
        "tracing graph inverse",
        "tracing graph log_prob",
        "writing",
        "proving graph inverse",
        "proving graph log_prob",
        "proving sample",
        "proving log_prob",
        "done",
    ]
    assert [done for _, done, _ in calls] == list(range(9))
    assert {total for _, _, total in calls} == {8}


def test_another_opset(gaussian, tmp_path):
    folder = export(gaussian, tmp_path / "bundle", opset=20)
    assert load(folder, "cpu").manifest.graphs["inverse"].opset == 20
    with pytest.raises(UsageError, match="opset 7"):
        export(gaussian, tmp_path / "other", opset=7)
    assert left(tmp_path) == ["bundle"]


# -- a proof or nothing -----------------------------------------------------------------------------------------------


def test_a_baked_batch_leaves_nothing(models, tmp_path):
    with pytest.raises(ProofError, match="batch was baked"):
        export(models["baked"](), tmp_path / "bundle")
    assert left(tmp_path) == []


def test_wrong_numbers_leave_nothing(models, tmp_path, monkeypatch):
    # without our translation torch's own is used, log(sigmoid(x)), which is -∞ far out
    from zoo_onnx import torch_exporter
    from zoo_onnx.translations import TRANSLATIONS

    assert left(export(models["logistic"](), tmp_path / "right"))
    for operator in list(TRANSLATIONS):
        monkeypatch.delitem(TRANSLATIONS, operator)
    monkeypatch.setattr(torch_exporter, "_registry", torch_exporter._registry.__wrapped__)
    with pytest.raises(ProofError, match="graph log_prob, output log_prob") as caught:
        export(models["logistic"](), tmp_path / "wrong")
    assert caught.value.exit_code == 3
    assert "float64" in str(caught.value)
    assert left(tmp_path) == ["right"]


def test_weights_that_went_astray_are_found(gaussian, tmp_path, monkeypatch):
    monkeypatch.setattr(exporter.weights, "write", writes_wrongly(exporter.weights.write))
    with pytest.raises(ProofError, match="differs by"):
        export(gaussian, tmp_path / "bundle")
    assert left(tmp_path) == []


def writes_wrongly(write):
    def wrong(path, arrays, **options):
        return write(path, {n: a * 1.001 if n == "factor" else a for n, a in arrays.items()}, **options)

    return wrong


def test_an_output_that_exists_is_refused_before_any_work(gaussian, tmp_path):
    (tmp_path / "bundle").mkdir()
    began = time.perf_counter()
    with pytest.raises(OutputError, match="exists already"):
        export(gaussian, tmp_path / "bundle", progress=lambda *_: pytest.fail("it began"))
    assert time.perf_counter() - began < 1
    with pytest.raises(OutputError, match="cannot write"):
        export(gaussian, "/proc/no/bundle", progress=lambda *_: pytest.fail("it began"))


def test_force_replaces_only_when_the_proof_holds(gaussian, models, tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "old").write_text("old")
    with pytest.raises(ProofError):
        export(models["baked"](), tmp_path / "bundle", force=True)
    assert left(tmp_path / "bundle") == ["old"]
    export(gaussian, tmp_path / "bundle", force=True)
    assert "old" not in left(tmp_path / "bundle")
    open_bundle(tmp_path / "bundle")
    assert left(tmp_path) == ["bundle"]


def test_an_unknown_target_is_named(gaussian, tmp_path):
    with pytest.raises(UnknownNameError, match="onyx"):
        export(gaussian, tmp_path / "bundle", target="onyx")


def test_a_card_can_be_made_from_the_model(gaussian):
    card = card_of(gaussian, "mine")
    assert (card.name, card.family, card.event_shape) == ("mine", "flow", (16,))
    json.loads(card.to_json())


@pytest.mark.slow
@pytest.mark.sample("writing")
@pytest.mark.parametrize("phase", ["tracing graph log_prob", "writing", "proving sample"])
def test_a_kill_leaves_no_bundle(phase, tmp_path):
    report = "lambda what, done, total: print(what, flush=True)"
    code = PREAMBLE + f"export(conftest.Gaussian(), {str(tmp_path / 'bundle')!r}, progress={report})\n"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            if line.strip() == phase:
                break
        else:
            pytest.fail(f"it never began {phase}")
    finally:
        process.kill()
        process.communicate()
    assert not (tmp_path / "bundle").exists()
    assert all(name.startswith(".bundle.") for name in left(tmp_path))


@pytest.mark.full
def test_an_unconditional_diffusion(models, tmp_path):
    model = models["unet"](condition=None)
    folder = export(model, tmp_path / "bundle")
    np.testing.assert_allclose(
        load(folder, "cpu").sample(3, seed=5), model.sample(3, seed=5).numpy(), atol=1e-5 * model.scale
    )


def test_a_spline_flow(tmp_path):
    nsf = pytest.importorskip("zoo_flows.nsf")
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = nsf.NSFCoupling(event_shape=[2], transforms=1, hidden=16, blocks=1)
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    folder = export(model.eval(), tmp_path / "bundle")
    bundle = load(folder, "cpu")
    x = bundle.sample(50, seed=2)
    np.testing.assert_allclose(x, model.sample(50, seed=2).numpy(), atol=1e-4)
    np.testing.assert_allclose(bundle.log_prob(x), model.log_prob(torch.from_numpy(x)).detach().numpy(), atol=1e-4)
