"""Training on values of lengths of their own: tokens and sequences of a condition, and events."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo.data import Dataset, Split, fitted, ragged  # noqa: E402 - after the check for torch
from zoo.errors import ConditionError, DataError  # noqa: E402
from zoo.lengths import Length  # noqa: E402
from zoo.metrics.density import held_out_density  # noqa: E402
from zoo.models.building import build  # noqa: E402
from zoo.models.interface import DirectModel  # noqa: E402
from zoo.registry import Registry  # noqa: E402
from zoo.training.loop import batch, check_fit, evaluate, prepare, train  # noqa: E402
from zoo.training.recipe import DataRecipe, ModelRecipe, Recipe, TrainingRecipe  # noqa: E402
from zoo_diffusion.objectives import Objective  # noqa: E402

N = 12
PARTS = [
    {"name": "prompt", "modality": "tokens", "shape": ["length"], "size": 5, "padding": 0, "null": 0},
    {"name": "signal", "modality": "sequence", "shape": ["steps", 2], "null": 0.0},
]
#: a network that attends to both, a flow whose context is made of both, and a sequence beside the data
MODELS = {
    "dit": {
        "event_shape": [1, 4, 4],
        "hidden_size": 8,
        "depth": 1,
        "num_heads": 2,
        "class_dropout": 0.0,
        "condition": {"parts": PARTS},
        "conditioning": {"prompt": {"width": 8}, "signal": {"width": 8}},
    },
    "nsf-coupling": {
        "event_shape": [2],
        "hidden": 8,
        "blocks": 1,
        "transforms": 2,
        "bins": 4,
        "condition": {"parts": PARTS},
        "conditioning": {"prompt": {"width": 8}, "signal": {"width": 8}},
    },
    "unet1d": {
        "event_shape": [1, 8],
        "patch": 2,
        "base": 8,
        "multipliers": [1],
        "head_channels": 8,
        "class_dropout": 0.0,
        "condition": {"parts": [PARTS[0], {**PARTS[1], "shape": [8, 2]}]},
        "conditioning": {"prompt": {"width": 8}, "signal": {"by": "concatenation"}},
    },
}


def built(name, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(Registry.discover(), name, {**MODELS[name], **changes})
        # what starts at zero hides what comes before it
        for parameter in model.parameters():
            if not parameter.detach().any():
                torch.nn.init.normal_(parameter, std=0.1)
    return model


def conditions(n=N, seed=0):
    """Texts of one to six tokens, and signals of one to eight rows, of a large mean."""
    random = np.random.default_rng(seed)
    prompt = [random.integers(1, 5, size=1 + (5 * i) % 6).astype(np.int32) for i in range(n)]
    signal = [(1000 + 50 * random.normal(size=(1 + (3 * i) % 8, 2))).astype(np.float32) for i in range(n)]
    return {"prompt": prompt, "signal": signal}


def data_of(model, n=N, **changes):
    x = np.random.default_rng(1).normal(size=(n, *model.event_shape)).astype(np.float32)
    split = Split(x, {**conditions(n), **changes})
    return Dataset("lengths", split, split, split)


def padded(rows, more=0):
    size = max(map(len, rows)) + more
    return np.stack([np.pad(row, [(0, size - len(row)), *[(0, 0)] * (row.ndim - 1)]) for row in rows])


def loss_and_gradients(model, x, condition):
    model.zero_grad()
    loss = model.loss(x, condition=condition)
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


@pytest.fixture
def same_noise(monkeypatch):
    """Times and noise of a diffusion that do not depend on how many samples there are."""
    monkeypatch.setattr(Objective, "draw_times", lambda self, n, path: np.full(n, 0.4))
    monkeypatch.setattr(torch, "randn_like", lambda x: torch.sin(100 * x))


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_of_different_lengths_has_the_loss_and_gradient_of_each_sample_alone(name, same_noise):
    model = built(name).train()
    data = data_of(model)
    prepare(model, data, seed=0)
    whole = loss_and_gradients(model, *batch(data, data.train, np.arange(N), model))
    each = [loss_and_gradients(model, *batch(data, data.train, np.array([i]), model)) for i in range(N)]
    assert len(whole) > 5
    for together, *alone in zip(whole, *each, strict=True):
        torch.testing.assert_close(together, torch.stack(alone).mean(0), rtol=1e-4, atol=1e-5)
    # what is filled up is no more than the batch needs, and its contents have no say
    _, condition = batch(data, data.train, np.array([0, 3]), model)
    assert condition["prompt"].shape == (2, 4)
    assert condition["prompt_mask"].sum(1).tolist() == [1, 4]
    changed = dict(condition)
    changed["prompt"] = torch.where(condition["prompt_mask"] > 0, condition["prompt"], 3)
    if name != "unet1d":
        changed["signal"] = condition["signal"] + 7 * (1 - condition["signal_mask"])[:, :, None]
    x, _ = batch(data, data.train, np.array([0, 3]), model)
    for one, other in zip(loss_and_gradients(model, x, condition), loss_and_gradients(model, x, changed), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_lists_arrays_of_objects_and_padded_arrays_are_the_same(same_noise):
    model = built("dit")
    given = conditions()
    lengths = [len(row) for row in given["signal"]]
    objects = np.empty(N, object)
    for i, row in enumerate(given["signal"]):
        objects[i] = row
    forms = {
        "lists": {},
        "nested lists": {"signal": [row.tolist() for row in given["signal"]]},
        "objects": {"signal": objects},
        "padded": {"prompt": padded(given["prompt"], 2), "signal": ragged(padded(given["signal"], 2), lengths)},
    }
    losses = {}
    for form, changes in forms.items():
        data = data_of(model, **changes)
        check_fit(model, data)
        fresh = built("dit")
        prepare(fresh, data, seed=0)
        losses[form] = evaluate(fresh, data, data.validation, seed=0)
    assert losses == dict.fromkeys(forms, pytest.approx(losses["lists"], rel=1e-6))
    np.testing.assert_array_equal(
        np.concatenate(ragged(padded(given["signal"]), lengths)), np.concatenate(given["signal"])
    )


def test_sequences_are_standardised_by_their_rows_alone():
    model = built("nsf-coupling")
    data = data_of(model)
    prepare(model, data, seed=0)
    rows = np.concatenate(list(data.train.condition["signal"])).astype(np.float64)
    context = model.context_of(model.condition.parts[1])
    np.testing.assert_allclose(context.shift, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(context.scale, rows.std(0), rtol=1e-5)
    # a range that is stated takes its place, and weights from before sequences were standardised are taken as they are
    ranged = {**PARTS[1], "minimum": 0.0, "maximum": 2000.0}
    assert built("nsf-coupling", condition={"parts": [PARTS[0], ranged]}).part_contexts.keys() == set()
    older = {name: value for name, value in model.state_dict().items() if "part_contexts" not in name}
    assert len(older) == len(model.state_dict()) - 2
    model.load_state_dict(older)
    assert context.shift.tolist() == [0, 0]
    assert context.scale.tolist() == [1, 1]


def recipe(steps):
    settings = TrainingRecipe(steps=steps, batch_size=5, learning_rate=0.01, evaluate_every=2, ema=0.9)
    return Recipe("lengths", ModelRecipe("dit"), DataRecipe("lengths"), settings)


def test_an_interrupted_run_ends_with_the_same_bytes(tmp_path):
    dropping = {name: {"width": 8, "dropout": 0.3} for name in ("prompt", "signal")}
    options = {"class_dropout": 0.3, "conditioning": dropping}
    model = built("dit", **options)
    data = data_of(model)
    whole = train(model, data, recipe(4), tmp_path / "whole")
    stops = iter([False, True])
    model = built("dit", **options)
    assert train(model, data, recipe(4), tmp_path / "parts", stop=lambda: next(stops)) is None
    rest = train(built("dit", **options), data, recipe(4), tmp_path / "parts")
    assert rest.training_state.history == whole.training_state.history
    assert {name: array.tobytes() for name, array in rest.arrays.items()} == {
        name: array.tobytes() for name, array in whole.arrays.items()
    }


def test_densities_of_a_test_split_are_those_of_each_sample_alone():
    model = built("nsf-coupling").eval()
    data = data_of(model)
    prepare(model, data, seed=0)
    alone = [
        model.log_prob(torch.from_numpy(data.test.x[i : i + 1]), condition={k: v[i] for k, v in conditions().items()})
        for i in range(N)
    ]
    measured = held_out_density(model, data)["test_nll"]["value"]
    assert measured == pytest.approx(-torch.cat(alone).mean().item(), abs=1e-4)


def test_what_does_not_fit_is_told_before_the_first_step():
    model = built("unet1d")
    given = conditions()
    long = [*given["signal"][:-1], np.zeros((9, 2), np.float32)]
    strange = [*given["prompt"][:-1], np.array([5])]
    broken = [*given["signal"][:-1], np.array([[0, 0], [0, np.nan]], np.float32)]
    cases = {
        "part signal of the condition has at most 8 entries, not 9": {"signal": long},
        "tokens of part prompt of the condition run from 0 to 4": {"prompt": strange},
        r"conditions signal of the train split .* have the value nan in row 11, at \[1, 1\]": {"signal": broken},
        "part prompt of the condition is empty": {"prompt": [*given["prompt"][:-1], np.zeros(0, np.int32)]},
    }
    for says, changes in cases.items():
        with pytest.raises(DataError, match=says):
            check_fit(model, data_of(model, **changes))
    with pytest.raises(DataError, match=r"part signal of the conditions of a split, row 1, are numbers .* not <U1"):
        data_of(model, signal=[np.zeros((2, 2)), [["a", "b"]], *given["signal"][2:]])
    with pytest.raises(DataError, match="12 samples come with 11 of part signal"):
        data_of(model, signal=given["signal"][1:])
    for wrong in ([3] * 5, [-1, *[1] * 11], [99] * 12, [0.5] * 12):
        with pytest.raises(DataError, match="lengths are whole numbers from 0 to 8, one for each of 12 samples"):
            ragged(padded(given["signal"]), wrong)


def test_a_mask_that_goes_with_a_tensor_fits_it():
    model = built("nsf-coupling").eval()
    given = {"prompt": torch.ones(2, 3, dtype=torch.int32), "signal": torch.randn(2, 4, 2)}
    x, mask = torch.zeros(2, 2), torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 1]])
    masked = model.log_prob(x, condition={**given, "signal_mask": mask})
    short = {name: value[:1] for name, value in {**given, "signal": given["signal"][:, :2]}.items()}
    torch.testing.assert_close(masked[:1], model.log_prob(x[:1], condition=short))
    assert (masked[0] - model.log_prob(x, condition=given)[0]).abs() > 1e-4
    for wrong in (mask[:, :2], mask.numpy()):
        with pytest.raises(ConditionError, match=r"signal_mask of part signal of the condition is a tensor \[2, 4\]"):
            model.log_prob(x, condition={**given, "signal_mask": wrong})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_tensors_of_any_floating_type_are_conditions(dtype):
    model = built("nsf-coupling").eval()
    given = {"prompt": torch.ones(2, 3, dtype=torch.int64), "signal": torch.tensor([[[1.5, -2.0]]]).expand(2, 4, 2)}
    x = torch.zeros(2, 2)
    found = model.log_prob(x, condition={**given, "signal": given["signal"].to(dtype)})
    torch.testing.assert_close(found, model.log_prob(x, condition=given))
    with pytest.raises(ConditionError, match="part signal of the condition has values that are not finite"):
        model.log_prob(x, condition={**given, "signal": torch.full((2, 4, 2), torch.inf, dtype=dtype)})


# -- events ---------------------------------------------------------------------------------------------------

RULES = {
    "end": (Length(end=0), (5,), lambda size: np.arange(1, size + 1, dtype=np.uint8)),
    "mask": (Length(mask=2), (5, 3), lambda size: np.ones((size, 2), np.float32)),
    "mask first, along the last axis": (Length(mask=0, axis=1), (3, 5), lambda size: np.ones((2, size), np.float32)),
}


@pytest.mark.parametrize("rule", RULES)
def test_events_of_lengths_of_their_own_are_filled_up_for_a_model(rule):
    length, event_shape, row = RULES[rule]
    lengths = [3, 5, 1, 0]
    split = Split([row(size) for size in lengths])
    data = fitted(Dataset("events", split, split, Split(split.x[:2])), event_shape, length)
    assert data.event_shape == event_shape
    assert length.lengths(data.train.x).tolist() == lengths
    np.testing.assert_array_equal(data.train.x, length.ended(data.train.x))
    assert data.train.x.dtype == row(1).dtype
    assert (length.content(data.test.x)[1] == row(5)).all()
    even = ragged([row(2), row(2)])
    assert length.lengths(fitted(Dataset("even", *[Split(even)] * 3), event_shape, length).train.x).tolist() == [2, 2]
    wide = length.content(data.train.x) * (np.abs(length.content(data.train.x)) > 0)
    again = Split(ragged(wide, lengths, axis=length.axis))
    np.testing.assert_array_equal(fitted(Dataset("again", *[again] * 3), event_shape, length).train.x, data.train.x)
    assert fitted(data, event_shape, length) is data
    with pytest.raises(DataError, match="row 0 of the train split of data set long has the shape"):
        fitted(Dataset("long", *[Split(ragged([row(6)]))] * 3), event_shape, length)
    with pytest.raises(DataError, match="has events of lengths of their own, and the model's all have the shape"):
        fitted(Dataset("events", split, split, split), event_shape, None)


def test_what_follows_the_symbol_that_ends_an_event_is_told():
    split = Split([np.array([1, 0]), np.array([1, 0, 2])])
    with pytest.raises(DataError, match="row 1 of the train split of data set events goes on after 0"):
        fitted(Dataset("events", split, split, split), (4,), Length(end=0))


class Seeing(DirectModel):
    """The number of actions before the end; remembers what it is trained on."""

    family = "flow"
    length = Length(mask=1)

    def __init__(self):
        super().__init__()
        self.event_shape, self.seen = (4, 2), []
        self.mean = torch.nn.Parameter(torch.zeros(()))

    def prepare(self, x):
        self.seen.append(x)

    def log_density(self, x, condition=None):
        self.seen.append(x)
        return -((x[:, :, 1].sum(1) - self.mean) ** 2)


def test_a_run_takes_events_of_lengths_of_their_own(tmp_path):
    model = Seeing()
    rows = [np.full((1 + i % 3, 1), float(i), np.float32) for i in range(N)]
    split = Split(rows)
    data = Dataset("events", split, split, split)
    settings = dataclasses.replace(recipe(1), training=TrainingRecipe(steps=1, batch_size=N, evaluate_every=1, ema=0.0))
    train(model, data, settings, tmp_path / "c")
    held_out_density(model, data)
    assert [tuple(x.shape) for x in model.seen] == [(N, 4, 2)] * 4
    for x in model.seen:
        assert sorted(model.length.lengths(x.numpy())) == sorted(len(row) for row in rows)
