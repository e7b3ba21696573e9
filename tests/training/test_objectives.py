"""What a training step minimises, what a model without a density can do, and that a trained model is never lost."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo import weights  # noqa: E402 - after the check for torch
from zoo.data import Dataset, Split  # noqa: E402
from zoo.errors import ConfigError, ExportError, PluginError, UsageError  # noqa: E402
from zoo.models.interface import DirectModel, Objective  # noqa: E402
from zoo.registry import installed  # noqa: E402
from zoo.registry.cards import ModelCard  # noqa: E402
from zoo.training import run  # noqa: E402
from zoo.training.loop import train  # noqa: E402
from zoo.training.recipe import Recipe  # noqa: E402


class Shift(DirectModel):
    """x = shift + z, without a density, and a second number that learns the opposite of what the first does."""

    family = "adversarial"
    density = "none"

    def __init__(self, event_shape=(2,)):
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.shift = torch.nn.Parameter(torch.zeros(2))
        self.weight = torch.nn.Parameter(torch.ones(2))

    def inverse(self, z, condition=None):
        return self.shift + z

    def objectives(self):
        return (Objective("critic", self.critic_loss, (self.weight,)), Objective("generator", self.loss, (self.shift,)))

    def loss(self, x, *, condition=None):
        return (self.weight * (x.mean(0) - self.shift) ** 2).sum()

    def critic_loss(self, x, *, condition=None):
        return -self.loss(x)


def toy():
    x = np.random.default_rng(0).normal([1.0, -2.0], 1.0, (300, 2)).astype(np.float32)
    split = Split(x)
    return Dataset("toy", split, split, split)


def recipe(**training):
    fields = {"steps": 5, "batch_size": 50, "learning_rate": 0.1, "weight_decay": 0.0, "warmup": 0, **training}
    model = {"architecture": "shift"}
    return Recipe.from_dict({"name": "t", "model": model, "data": {"name": "toy"}, "training": fields})


def test_each_objective_moves_its_own_parameters_alone(tmp_path):
    model = Shift()
    train(model, toy(), recipe(steps=1, ema=0.0), tmp_path / "c.safetensors")
    # Adam's first step is the learning rate, against the sign of the gradient
    rate = 0.1
    np.testing.assert_allclose(model.weight.detach(), [1 + rate, 1 + rate], rtol=1e-4)
    np.testing.assert_allclose(model.shift.detach(), [rate, -rate], rtol=1e-4)


def test_adversaries_resume_as_if_they_had_never_stopped(tmp_path):
    whole, stopped = Shift(), Shift()
    train(whole, toy(), recipe(), tmp_path / "whole.safetensors")
    steps = iter([False, False, True])
    assert train(stopped, toy(), recipe(), tmp_path / "c.safetensors", stop=lambda: next(steps)) is None
    again = Shift()
    train(again, toy(), recipe(), tmp_path / "c.safetensors")
    for name, array in weights.state_arrays(whole).items():
        np.testing.assert_array_equal(weights.state_arrays(again)[name], array)


def test_a_diverging_objective_is_named(tmp_path):
    class Diverging(Shift):
        def critic_loss(self, x, *, condition=None):
            return super().critic_loss(x) * float("nan")

    with pytest.raises(ConfigError, match="the critic is nan at step 1"):
        train(Diverging(), toy(), recipe(), tmp_path / "c.safetensors")


def test_a_model_without_a_density_says_so():
    model = Shift()
    assert [graph.name for graph in model.programs().graphs] == ["inverse"]
    assert model.programs().log_prob is None
    with pytest.raises(UsageError, match="Shift only samples"):
        model.log_prob(torch.zeros(3, 2))
    model.loss = DirectModel.loss.__get__(model)
    with pytest.raises(UsageError, match="cannot be trained by its negative log-likelihood"):
        model.loss(torch.zeros(3, 2))


@pytest.mark.parametrize("said", ["exact", "bound", "estimate"])
def test_a_density_that_its_programs_have_not_is_refused(said, tmp_path):
    pytest.importorskip("onnxscript")
    from zoo.exporting import export

    model = Shift().eval()
    programs = model.programs()
    model.programs = lambda: programs
    model.density = said
    with pytest.raises(ExportError, match=f"says density = '{said}', and its programs that it is 'none'"):
        export(model, tmp_path / "b")
    assert not list(tmp_path.iterdir())


class TestMeasuring:
    """The weights are written before anything is measured."""

    @pytest.fixture
    def gaussian(self):
        model = {
            "architecture": "nsf-coupling",
            "config": {"event_shape": [2], "transforms": 1, "hidden": 4, "bins": 4},
        }
        values = {"name": "small", "model": model, "data": {"name": "moons"}}
        return replace(Recipe.from_dict(values), training=recipe(steps=2).training)

    def test_a_model_that_cannot_be_measured_is_there_all_the_same(self, tmp_path, gaussian, monkeypatch):
        def fails(*_, **__):
            raise RuntimeError("no such measure")

        measure = run.measure
        monkeypatch.setattr(run, "measure", fails)
        with pytest.raises(
            PluginError, match=r"small cannot be measured on the test split: .*no such measure"
        ) as caught:
            run.train_recipe(gaussian, tmp_path / "m", installed())
        assert "to measure it again" in caught.value.hint
        card = ModelCard.from_folder(tmp_path / "m")
        assert card.metrics == {}
        assert card.density == "exact"
        before = (tmp_path / "m" / "weights.safetensors").read_bytes()
        # the same again measures what was trained
        monkeypatch.setattr(run, "measure", measure)
        card = run.train_recipe(gaussian, tmp_path / "m", installed())
        assert "test_nll" in card.metrics
        assert (tmp_path / "m" / "weights.safetensors").read_bytes() == before
        assert not (tmp_path / "m" / "checkpoint.safetensors").exists()
        assert json.loads(Path(tmp_path / "m" / "card.json").read_text())["metrics"] == card.metrics
