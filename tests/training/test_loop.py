"""Training: it learns, it resumes exactly, and it refuses what cannot be trained."""

import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo import weights  # noqa: E402 - after the check for torch
from zoo.conditions import Condition  # noqa: E402
from zoo.data import Dataset, Split  # noqa: E402
from zoo.errors import ConfigError, DataError, MissingDependencyError, WeightsError  # noqa: E402
from zoo.metrics.density import held_out_density  # noqa: E402
from zoo.models.interface import DirectModel  # noqa: E402
from zoo.training.feeding import indices_of  # noqa: E402
from zoo.training.loop import (  # noqa: E402
    batch,
    evaluate,
    step_seed,
    train,
    update_average,
)
from zoo.training.optimizers import learning_rate_factor, optimizer_of  # noqa: E402
from zoo.training.recipe import OPTIMIZERS, Recipe, TrainingRecipe  # noqa: E402

LOG_TWO_PI = float(np.log(2 * np.pi))


class Gaussian(DirectModel):
    """A diagonal Gaussian; small enough to know everything about it."""

    family = "flow"

    def __init__(self, dim=2, condition=None):
        super().__init__()
        self.event_shape = (dim,)
        self.condition = condition
        self.mean = torch.nn.Parameter(torch.zeros(dim))
        self.log_std = torch.nn.Parameter(torch.zeros(dim))

    def inverse(self, z, condition=None):
        return self.mean + self.log_std.exp() * z

    def log_density(self, x, condition=None):
        z = (x - self.mean) * (-self.log_std).exp()
        return (-0.5 * z**2 - self.log_std - 0.5 * LOG_TWO_PI).sum(1)


def data(seed=0, n=600, levels=None):
    x = np.random.default_rng(seed).normal([1.0, -2.0], [0.5, 2.0], (n, 2)).astype(np.float32)
    if levels:
        x = np.clip(np.floor(x + levels / 2), 0, levels - 1).astype(np.uint8)
    third = n // 3
    return Dataset("toy", Split(x[:third]), Split(x[third : 2 * third]), Split(x[2 * third :]), levels=levels)


def recipe(**training):
    settings = TrainingRecipe(**{"steps": 30, "batch_size": 50, "learning_rate": 0.1, **training})
    bare = Recipe.from_dict({"name": "t", "model": {"architecture": "a"}, "data": {"name": "toy"}})
    return replace(bare, training=settings)


def arrays_equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_it_learns_the_gaussian(tmp_path):
    model = Gaussian()
    result = train(model, data(), recipe(steps=300), tmp_path / "c.safetensors")
    assert result is not None
    np.testing.assert_allclose(result.arrays["mean"], [1.0, -2.0], atol=0.3)
    np.testing.assert_allclose(np.exp(result.arrays["log_std"]), [0.5, 2.0], rtol=0.15)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ema": 0.9},
        {"evaluate_every": 7, "keep": "best", "ema": 0.5},
        {"accumulate": 3},
        {"evaluate_every": 4, "patience": 4, "learning_rate": 0.5, "steps": 200, "schedule": "constant"},
        {"ema_snapshots": 6, "ema_length": 0.08},
        *({"optimizer": name, "schedule": "constant"} for name in OPTIMIZERS),
    ],
)
def test_an_interrupted_run_ends_with_the_same_weights(tmp_path, settings):
    needs_library(settings.get("optimizer"))
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    whole = train(Gaussian(), data(), recipe(**settings), tmp_path / "whole" / "c.safetensors")
    path, calls = tmp_path / "parts" / "c.safetensors", 0

    def interrupt():
        nonlocal calls
        calls += 1
        return calls in (4, 15)

    assert train(Gaussian(), data(), recipe(**settings), path, stop=interrupt) is None
    assert train(Gaussian(), data(), recipe(**settings), path, stop=interrupt) is None
    resumed = train(Gaussian(), data(), recipe(**settings), path, stop=interrupt)
    assert whole is not None
    assert resumed is not None
    assert arrays_equal(whole.arrays, resumed.arrays)
    assert resumed.training_state.history == whole.training_state.history
    assert resumed.training_state.step == whole.training_state.step
    # checkpoints too, but for the time that they took
    first, second = (checkpoint_of(each) for each in (tmp_path / "whole" / "c.safetensors", path))
    assert arrays_equal(first, second)
    # and what was stored as it went
    files = [sorted((tmp_path / each / "averages").glob("*")) for each in ("whole", "parts")]
    assert [each.name for each in files[0]] == [each.name for each in files[1]]
    assert len(files[0]) == (5 if "ema_snapshots" in settings else 0)
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes()


def needs_library(optimizer):
    if optimizer is not None and not OPTIMIZERS[optimizer].startswith("torch."):
        pytest.importorskip("pytorch_optimizer")


def checkpoint_of(path):
    return {name: array for name, array in weights.read(path).items() if np.isfinite(array).all()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_learns_and_is_the_one_of_its_name(tmp_path, name):
    needs_library(name)
    settings = {"optimizer": name, "learning_rate": 0.01 if name == "sgd" else 0.1, "schedule": "constant"}
    result = train(Gaussian(), data(), recipe(steps=150, **settings), tmp_path / "c.safetensors")
    np.testing.assert_allclose(result.arrays["mean"], [1.0, -2.0], atol=0.7)
    optimizer = optimizer_of(Gaussian(), recipe(**settings, weight_decay=0.3, betas=(0.5, 0.75)).training)
    assert type(optimizer).__name__.lower() == {"schedule-free": "schedulefreeadamw"}.get(name, name)
    for group in optimizer.param_groups:
        assert group["weight_decay"] == 0.3
        assert group.get("betas", (0.5, 0.75)) == (0.5, 0.75)
        assert group.get("momentum", 0.5) == 0.5


def test_muon_takes_matrices_and_leaves_the_rest_to_adamw(tmp_path):
    pytest.importorskip("pytorch_optimizer")

    class Linear(Gaussian):
        def __init__(self):
            super().__init__()
            self.matrix = torch.nn.Parameter(torch.eye(2))
            self.table = torch.nn.Embedding(3, 2, _weight=torch.ones(3, 2))

        def log_density(self, x, condition=None):
            return super().log_density(x @ self.matrix.T) + self.matrix.det().abs().log() + self.table.weight.sum() ** 2

    optimizer = optimizer_of(Linear(), recipe(optimizer="muon").training)
    muon, adamw = optimizer.param_groups
    assert (muon["use_muon"], adamw["use_muon"]) == (True, False)
    assert [tuple(each.shape) for each in muon["params"]] == [(2, 2)]
    assert sorted(tuple(each.shape) for each in adamw["params"]) == [(2,), (2,), (3, 2)]
    settings = recipe(optimizer="muon", learning_rate=1e-3)
    whole = train(Linear(), data(), settings, tmp_path / "whole.safetensors")
    steps = iter([False] * 9 + [True])
    assert train(Linear(), data(), settings, tmp_path / "c.safetensors", stop=lambda: next(steps)) is None
    assert arrays_equal(train(Linear(), data(), settings, tmp_path / "c.safetensors").arrays, whole.arrays)


def test_a_schedule_free_run_keeps_the_average_of_the_weights(tmp_path):
    library = pytest.importorskip("pytorch_optimizer")
    settings = recipe(optimizer="schedule-free", schedule="constant", learning_rate=0.05)
    seen = []
    result = train(Gaussian(), data(), settings, tmp_path / "c.safetensors", look=lambda _, m: seen.append(m.mean[0]))
    # the library's own switch to the weights that count
    model = Gaussian()
    optimizer = library.ScheduleFreeAdamW(model.parameters(), lr=0.05)
    for step in range(30):
        with step_seed(0, step):
            x, _ = batch(data(), data().train, indices_of(200, settings.training, step), model)
        optimizer.zero_grad()
        model.loss(x).backward()
        optimizer.step()
    assert abs(result.arrays["mean"] - model.mean.detach().numpy()).max() > 1e-3
    optimizer.eval()
    np.testing.assert_allclose(result.arrays["mean"], model.mean.detach().numpy(), atol=1e-6)
    assert len(seen) == 30
    for other in ({"schedule": "cosine"}, {"schedule": "constant", "ema": 0.9}):
        with pytest.raises(ConfigError, match="averages the weights instead of a schedule"):
            recipe(optimizer="schedule-free", **other)


def test_an_optimizer_of_a_library_that_is_missing_is_told_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(MissingDependencyError, match="pytorch-optimizer is needed") as caught:
        optimizer_of(Gaussian(), recipe(optimizer="lion").training)
    assert caught.value.hint == "pip install 'genzoo[optimizers]'"


@pytest.mark.full
def test_a_compiled_run_computes_the_same_and_resumes_exactly(tmp_path):
    plain = train(Gaussian(), data(levels=16), recipe(), tmp_path / "plain.safetensors")
    whole = train(Gaussian(), data(levels=16), recipe(compile=True), tmp_path / "whole.safetensors")
    for name, array in plain.arrays.items():
        np.testing.assert_allclose(whole.arrays[name], array, rtol=1e-4, atol=1e-5)
    steps = iter([False] * 9 + [True])
    path = tmp_path / "c.safetensors"
    assert train(Gaussian(), data(levels=16), recipe(compile=True), path, stop=lambda: next(steps)) is None
    assert arrays_equal(train(Gaussian(), data(levels=16), recipe(compile=True), path).arrays, whole.arrays)


def test_gradients_of_parts_of_a_batch_add_up_to_that_of_the_batch(tmp_path):
    seen = []

    class Watched(Gaussian):
        def loss(self, x, *, condition=None):
            seen.append(len(x))
            return super().loss(x, condition=condition)

    whole = train(Gaussian(), data(), recipe(batch_size=50), tmp_path / "whole.safetensors")
    parts = train(Watched(), data(), recipe(batch_size=50, accumulate=3), tmp_path / "parts.safetensors")
    assert seen == [17, 17, 16] * 30  # parts of different sizes count as much as they hold
    for name in whole.arrays:
        np.testing.assert_allclose(parts.arrays[name], whole.arrays[name], atol=1e-5)


def test_a_run_ends_early_where_the_validation_loss_has_not_fallen_for_long_enough(tmp_path):
    settings = recipe(steps=500, learning_rate=0.9, schedule="constant", evaluate_every=5, patience=3, keep="best")
    path = tmp_path / "c.safetensors"
    result = train(Gaussian(), data(), settings, path)
    state = result.training_state
    assert state.step == state.best_step + 15 < 500
    after = [each["validation"] for each in state.history if each["step"] > state.best_step]
    assert len(after) == 3
    assert min(after) >= state.best
    # a run that was ended so is at its end, whatever came between
    assert train(Gaussian(), data(), settings, path).training_state.step == state.step
    with pytest.raises(ConfigError, match="patience needs training"):
        recipe(patience=3)


def test_a_seed_repeats_and_another_does_not(tmp_path):
    runs = [train(Gaussian(), data(), recipe(seed=s), tmp_path / f"{i}.safetensors") for i, s in enumerate((0, 0, 1))]
    assert arrays_equal(runs[0].arrays, runs[1].arrays)
    assert not arrays_equal(runs[0].arrays, runs[2].arrays)


def test_a_damaged_checkpoint_and_one_of_another_recipe_are_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    train(Gaussian(), data(), recipe(), path, stop=lambda: True)
    with pytest.raises(WeightsError, match="another recipe"):
        train(Gaussian(), data(), recipe(learning_rate=0.2), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="not a safetensors file"):
        train(Gaussian(), data(), recipe(), path)
    weights.write(path, {"x": np.zeros(1, np.float32)})
    with pytest.raises(WeightsError, match="not a checkpoint"):
        train(Gaussian(), data(), recipe(), path)


def test_a_loss_that_is_not_finite_is_an_error_that_says_where(tmp_path):
    class Broken(Gaussian):
        def log_density(self, x, condition=None):
            return super().log_density(x) * float("nan")

    with pytest.raises(ConfigError, match="loss is nan at step 1"):
        train(Broken(), data(), recipe(), tmp_path / "c.safetensors")


def test_data_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"events of shape \(2,\), the model of \(3,\)"):
        train(Gaussian(3), data(), recipe(), tmp_path / "c.safetensors")
    with pytest.raises(DataError, match="conditioned on the classes"):
        train(Gaussian(condition=Condition.classes(2)), data(), recipe(), tmp_path / "c.safetensors")


def test_the_average_follows_its_decay():
    model, average = Gaussian(), Gaussian()
    with torch.no_grad():
        model.mean.fill_(1.0)
    update_average(average, model, decay=0.75)
    torch.testing.assert_close(average.mean.detach(), torch.full((2,), 0.25))


def test_the_learning_rate_warms_up_and_falls():
    settings = TrainingRecipe(steps=110, warmup=10)
    assert learning_rate_factor(settings, 0) == pytest.approx(0.1)
    assert learning_rate_factor(settings, 10) == pytest.approx(1.0)
    assert learning_rate_factor(settings, 60) == pytest.approx(0.5)
    assert learning_rate_factor(replace(settings, schedule="constant"), 109) == 1.0


def test_step_seed_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with step_seed(3, 7):
        inside = torch.rand(2)
    torch.testing.assert_close(torch.rand(2), expected)
    with step_seed(3, 7):
        torch.testing.assert_close(torch.rand(2), inside)
    with step_seed(3, 8):
        assert not torch.allclose(torch.rand(2), inside)


def test_evaluation_repeats_itself():
    model = Gaussian()
    assert evaluate(model, data(), data().test, seed=0) == evaluate(model, data(), data().test, seed=0)


def test_held_out_density_of_continuous_data():
    model = Gaussian()
    toy = replace(data(), entropy=1.0)
    metrics = held_out_density(model, toy)
    exact = -torch.distributions.Normal(0.0, 1.0).log_prob(torch.from_numpy(toy.test.x)).sum(1).mean().item()
    assert metrics["test_nll"]["value"] == pytest.approx(exact, abs=1e-3)
    assert metrics["test_gap"]["value"] == pytest.approx(exact - 1.0, abs=1e-3)


def test_rounded_numbers_get_noise_as_wide_as_their_grain():
    grain = np.array([0.5, 0.01], np.float32)
    rounded = replace(data(), grain=grain)
    with step_seed(0, 0):
        x, _ = batch(rounded, rounded.train, np.arange(len(rounded.train)), Gaussian())
    noise = (x.numpy() - rounded.train.x) / grain
    assert noise.min() >= -1e-3
    assert noise.max() <= 1 + 1e-3
    np.testing.assert_allclose(noise.mean(0), 0.5, atol=0.1)
    np.testing.assert_allclose(noise.std(0), 12**-0.5, atol=0.05)


def test_bits_per_dim_of_a_uniform_density_is_the_log_of_its_levels():
    class Uniform(Gaussian):
        def log_density(self, x, condition=None):
            assert x.min() >= 0
            assert x.max() <= 16
            return torch.full((len(x),), -2 * float(np.log(16)))

    assert held_out_density(Uniform(), data(levels=16))["test_bits_per_dim"]["value"] == pytest.approx(4.0)
