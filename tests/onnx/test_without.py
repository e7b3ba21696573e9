"""Bundles without what a user does not need, and what they say of themselves."""

import numpy as np
import pytest

from zoo.bundle import MODEL_CARD, open_bundle
from zoo.cli import cli
from zoo.errors import UnknownNameError, UsageError
from zoo.exporting import export
from zoo.runtime import load
from zoo.runtime.check import check
from zoo_flows.realnvp import RealNVP
from zoo_onnx.inputs import BATCHES, FEWER, Inputs
from zoo_onnx.plan import reduced


@pytest.fixture(scope="module", params=("gaussian", "diffusion"))
def without(request, tmp_path_factory):
    """A model, and its bundle without a density; the second counts as a costly one, whose runs have 4 steps else."""
    model = request.getfixturevalue(request.param)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "diffusion":
            patch.setattr("zoo_onnx.budget.ALLOWED", 1)
        return model, export(model, tmp_path_factory.mktemp("without") / "bundle", without=["log_prob"])


def test_manifest_and_card_say_that_there_is_no_density(without):
    _, folder = without
    manifest = open_bundle(folder).manifest
    assert manifest.density == "none"
    assert manifest.log_prob is None
    assert set(manifest.graphs) == set(manifest.sample.graphs)
    assert {path.stem for path in folder.glob("*.onnx")} == set(manifest.graphs)
    assert "log_prob" not in (folder / MODEL_CARD).read_text()
    assert not any("log_prob" in what for what in manifest.proof["largest_differences"])


def test_it_samples_as_before_and_does_not_score(without):
    model, folder = without
    bundle = load(folder, "cpu")
    scale = getattr(model, "scale", 1.0)
    np.testing.assert_allclose(bundle.sample(3, seed=5), model.sample(3, seed=5).detach().numpy(), atol=1e-4 * scale)
    assert check(open_bundle(folder), "cpu").ok
    with pytest.raises(UsageError, match="cannot score data"):
        bundle.log_prob(bundle.sample(3, seed=5))


def test_the_loss_of_fewer_bits_is_that_of_samples(tmp_path):
    model = RealNVP(event_shape=[2], transforms=1, hidden=32, blocks=1)
    folder = export(model, tmp_path / "bundle", without="log_prob", dtype="float16")
    manifest = open_bundle(folder).manifest
    assert manifest.density == "none"
    assert "log_prob" not in manifest.precision["loss"]


def test_a_graph_stands_for_its_program(diffusion):
    programs = reduced(diffusion.programs(), ["divergence"])
    assert programs.log_prob is None
    assert [graph.name for graph in programs.graphs] == ["step"]


@pytest.mark.parametrize("name", ["sample", "inverse"])
def test_sampling_stays(gaussian, name, tmp_path):
    with pytest.raises(UsageError, match=f"cannot be without {name}, which is part of its program sample") as caught:
        export(gaussian, tmp_path / "bundle", without=[name])
    assert "log_prob" in caught.value.hint
    assert not (tmp_path / "bundle").exists()


def test_unknown_names_are_refused(diffusion, tmp_path):
    with pytest.raises(UnknownNameError, match="no program or graph of the model named 'divergance'") as caught:
        export(diffusion, tmp_path / "bundle", without=["divergance"])
    assert "divergence" in caught.value.hint


def test_the_command_takes_names(tmp_path):
    from click.testing import CliRunner

    given = ["export", "moons-nsf", "-o", str(tmp_path / "bundle"), "--without", "logprob"]
    result = CliRunner().invoke(cli, given)
    assert result.exit_code == 2
    assert "log_prob" in result.stderr
    assert not (tmp_path / "bundle").exists()


def test_whole_runs_of_a_costly_model_are_short_and_the_manifest_says_so(without):
    model, folder = without
    proof, card = open_bundle(folder).manifest.proof, (folder / MODEL_CARD).read_text()
    costly = model.family == "diffusion"
    assert proof.get("most_steps") == ({"sample": 2} if costly else None)
    assert proof.get("most_samples") == (FEWER if costly else None)
    assert ("in batches of 5 samples at most" in card) == costly
    assert proof["batches"] == list(BATCHES)
    assert ("few steps: `sample` of 2 at most" in card) == costly


def test_within_the_budget_a_model_keeps_the_runs_that_it_is_made_for(diffusion, monkeypatch):
    monkeypatch.setattr("zoo_onnx.budget.ALLOWED", 1e15)
    inputs = Inputs(diffusion, diffusion.programs())
    assert inputs.budget == {}
    assert "steps" not in inputs.sampling(2)[0]
    assert [inputs.scoring(n)[1]["steps"] for n in BATCHES] == [8, 8, 2, 2]
    assert inputs.runs == inputs.batches == BATCHES
    assert inputs.golden_steps(diffusion.programs().log_prob) == {"steps": 4}


def test_a_costly_model_scores_in_few_steps(diffusion, monkeypatch):
    monkeypatch.setattr("zoo_onnx.budget.ALLOWED", 1)
    inputs = Inputs(diffusion, diffusion.programs())
    assert inputs.budget == {"sample": 2, "log_prob": 2}
    assert inputs.runs == (1, 2, 3, FEWER)
    assert inputs.batches == BATCHES
    assert len(inputs.data[0]) == FEWER
    assert {case["steps"] for n in inputs.runs for case in inputs.sampling(n)} == {2}
    assert [inputs.scoring(n)[1]["steps"] for n in inputs.runs] == [2, 2, 1, 1]
    assert inputs.golden_steps(diffusion.programs().log_prob) == {"steps": 1}


def test_graphs_of_a_very_costly_model_are_in_smaller_batches_too(diffusion, monkeypatch):
    monkeypatch.setattr("zoo_onnx.budget.EVALUATION", 1)
    inputs = Inputs(diffusion, diffusion.programs())
    assert inputs.runs == inputs.batches == (1, 2, 3, FEWER)
