"""Runs that diverge: no checkpoint holds what is not finite, and the last one is good."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo import weights  # noqa: E402 - after the check for torch
from zoo.data import Dataset, Split  # noqa: E402
from zoo.errors import ConfigError, WeightsError  # noqa: E402
from zoo.models.interface import DirectModel  # noqa: E402
from zoo.training.loop import train  # noqa: E402
from zoo.training.recipe import Recipe, TrainingChange, TrainingRecipe  # noqa: E402


class Diverging(DirectModel):
    """A normal distribution whose loss does what a test asks for, from one step on."""

    family = "flow"

    def __init__(self, what=None, at=6):
        super().__init__()
        self.event_shape = (2,)
        self.mean = torch.nn.Parameter(torch.zeros(2))
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("kept", torch.zeros(()))
        self.what, self.at = what, at

    def inverse(self, z, condition=None):
        return z + self.mean

    def log_density(self, x, condition=None):
        return -0.5 * (x - self.mean).square().sum(1)

    def loss(self, x, *, condition=None):
        loss = super().loss(x)
        self.steps += 1
        if self.steps == self.at:
            if self.what == "loss":
                loss = loss * float("nan")
            elif self.what == "gradient":  # a finite loss with the slope of a root at 0
                loss = loss + (0 * self.mean).abs().sum().sqrt()
            elif self.what == "moment":  # the square of 1e25 is beyond float32
                loss = loss + 1e25 * self.mean[0]
            elif self.what == "buffer":
                self.kept.fill_(float("inf"))
        return loss


def data():
    x = np.random.default_rng(0).normal(size=(90, 2)).astype(np.float32)
    return Dataset("toy", Split(x[:30]), Split(x[30:60]), Split(x[60:]))


def recipe(**training):
    bare = Recipe.from_dict({"name": "t", "model": {"architecture": "a"}, "data": {"name": "toy"}})
    settings = {"steps": 12, "batch_size": 10, "learning_rate": 0.1, "checkpoint_every": 4, **training}
    return replace(bare, training=TrainingRecipe(**settings))


SAID = {
    "loss": "the loss is nan at step 6",
    "gradient": "the norm of the gradient is (nan|inf) at step 6",
    "moment": "(the norm of the gradient is inf at step 6|of the checkpoint at step 8 would not be finite)",
    "buffer": "kept.* of the checkpoint at step 8 would not be finite",
}


@pytest.mark.parametrize("settings", [{}, {"gradient_clip": 1.0}, {"ema": 0.9}, {"precision": "bfloat16"}])
@pytest.mark.parametrize("what", SAID)
def test_the_last_checkpoint_is_good_whatever_overflows(what, settings, tmp_path):
    path = tmp_path / "c.safetensors"
    with pytest.raises(ConfigError, match=SAID[what]) as caught:
        train(Diverging(what), data(), recipe(**settings), path)
    assert str(caught.value).startswith("the training diverges: ")
    assert "Lower training.learning_rate, or set training.gradient_clip, and start over" in caught.value.hint
    assert f"continue from step 4, saved in {path}" in caught.value.hint
    # and it is what a run has at step 4 that does not diverge
    assert train(Diverging(), data(), recipe(**settings), tmp_path / "d.safetensors", stop=stopping_at(4)) is None
    arrays, others = weights.read(path), weights.read(tmp_path / "d.safetensors")
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)


def stopping_at(step):
    calls = iter(range(1, 100))
    return lambda: next(calls) == step


def test_the_last_checkpoint_is_gone_on_from(tmp_path):
    path = tmp_path / "c.safetensors"
    with pytest.raises(ConfigError):
        train(Diverging("loss"), data(), recipe(), path)
    resumed = train(Diverging("nothing"), data(), recipe(), path)
    whole = train(Diverging("nothing"), data(), recipe(), tmp_path / "whole.safetensors")
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], array, err_msg=name)


def test_another_learning_rate_is_another_run_and_the_error_says_what_to_do(tmp_path):
    path = tmp_path / "c.safetensors"
    with pytest.raises(ConfigError):
        train(Diverging("loss"), data(), recipe(), path)
    with pytest.raises(
        WeightsError, match=r"(?m)another recipe: training\.learning_rate was 0\.1 and is 0\.01$"
    ) as caught:
        train(Diverging(), data(), recipe(learning_rate=0.01), path)
    assert "--restart" in caught.value.hint
    assert "changes = [{ step = 4, learning_rate = 0.01 }] in [training]" in caught.value.hint
    with pytest.raises(WeightsError, match="batch_size") as caught:
        train(Diverging(), data(), recipe(batch_size=7), path)
    assert "changes" not in caught.value.hint
    changed = recipe(changes=(TrainingChange(4, learning_rate=0.01),))
    assert train(Diverging(), data(), changed, path) is not None
    path.unlink()
    assert train(Diverging(), data(), recipe(learning_rate=0.01), path) is not None


@pytest.mark.parametrize("settings", [{}, {"ema": 0.9}, {"schedule": "constant", "warmup": 6}])
@pytest.mark.parametrize("change", [{"learning_rate": 0.01}, {"gradient_clip": 0.1}])
def test_a_run_goes_on_from_its_checkpoint_with_a_change_and_the_recipe_gives_the_same_from_the_start(
    change, settings, tmp_path
):
    path = tmp_path / "c.safetensors"
    with pytest.raises(ConfigError, match="at step 6"):
        train(Diverging("loss"), data(), recipe(**settings), path)
    changed = recipe(**settings, changes=(TrainingChange(4, **change),))
    steps = []
    resumed = train(Diverging("nothing"), data(), changed, path, report=lambda progress, *rest: steps.append(progress))
    assert len(steps) == 8
    whole = train(Diverging("nothing"), data(), changed, tmp_path / "whole.safetensors")
    unchanged = train(Diverging("nothing"), data(), recipe(**settings), tmp_path / "unchanged.safetensors")
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[name], array, err_msg=name)
    assert np.abs(whole.arrays["mean"] - unchanged.arrays["mean"]).max() > 1e-4


def test_a_change_before_the_checkpoint_is_another_run(tmp_path):
    path = tmp_path / "c.safetensors"
    with pytest.raises(ConfigError):
        train(Diverging("loss"), data(), recipe(), path)
    early = recipe(changes=(TrainingChange(3, learning_rate=0.01),))
    with pytest.raises(WeightsError, match=r"training\.changes was absent and is"):
        train(Diverging(), data(), early, path)


def test_what_is_proposed_is_lower_than_the_learning_rate_that_diverged(tmp_path):
    changed = recipe(changes=(TrainingChange(2, learning_rate=0.003), TrainingChange(11, learning_rate=1.0)))
    for what in ("loss", "buffer"):
        with pytest.raises(ConfigError) as caught:
            train(Diverging(what), data(), changed, tmp_path / f"{what}.safetensors")
        assert "changes = [{ step = 4, learning_rate = 0.0003 }]" in caught.value.hint


def test_a_run_that_diverges_at_once_leaves_no_checkpoint(tmp_path):
    with pytest.raises(ConfigError, match="at step 1") as caught:
        train(Diverging("loss", at=1), data(), recipe(), tmp_path / "c.safetensors")
    assert caught.value.hint == "Lower training.learning_rate, or set training.gradient_clip."
    assert list(tmp_path.iterdir()) == []
