"""Contexts: standardised whatever their scale, refused by row and column, and tensors all the way."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo import weights  # noqa: E402 - after the check for torch
from zoo.conditions import Condition  # noqa: E402
from zoo.data import check_finite  # noqa: E402
from zoo.errors import ConditionError, DataError, WeightsError  # noqa: E402
from zoo.models.contexts import StandardizedContext, checked_condition  # noqa: E402
from zoo_flows.realnvp import RealNVP  # noqa: E402

VECTOR, CLASSES = Condition.vector(2), Condition.classes(3)
NORMAL = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def fitted(contexts):
    part = StandardizedContext(contexts.shape[1])
    part.prepare(contexts)
    return part


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 1e5, 1e10, 1e30])
@pytest.mark.parametrize("mean", [0.0, 3.0, -100.0])
def test_contexts_of_any_scale_come_to_mean_0_and_deviation_1(scale, mean):
    contexts = (scale * (mean + NORMAL)).float()
    standard = fitted(contexts)(contexts)
    torch.testing.assert_close(standard.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(standard.std(0, correction=0), torch.ones(3), atol=1e-4, rtol=0)


def test_each_column_has_its_own_scale():
    contexts = (NORMAL * torch.tensor([1e-8, 1.0, 1e10], dtype=torch.float64)).float()
    torch.testing.assert_close(fitted(contexts)(contexts).std(0), torch.ones(3), atol=1e-3, rtol=0)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-8, -3e10, 1e-40])
def test_a_constant_column_becomes_0_and_keeps_its_scale(value):
    contexts = torch.stack([NORMAL[:, 0].float(), torch.full((2000,), value)], 1)
    part = fitted(contexts)
    assert (part(contexts)[:, 1] == 0).all()
    assert part.scale[1] == 1


def test_one_context_alone_is_a_constant():
    part = fitted(torch.tensor([[5.0, -2.0]]))
    assert part.scale.tolist() == [1, 1]
    assert part.shift.tolist() == [5, -2]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_told_by_row_and_column_and_changes_nothing(value):
    contexts = NORMAL.float().clone()
    contexts[17, 2] = value
    part = StandardizedContext(3)
    with pytest.raises(
        DataError, match=rf"(?m)the contexts have the value {value} in row 17, column 2, counted from 0$"
    ):
        part.prepare(contexts)
    assert part.scale.tolist() == [1, 1, 1]


def test_the_inverse_gives_the_contexts_back():
    contexts = (1e5 * (7 + NORMAL)).float()
    part = fitted(contexts)
    np.testing.assert_allclose(part.raw(part(contexts).double().numpy()), contexts.numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_in_few_bits_takes_contexts_that_they_do_not_hold(dtype):
    model = RealNVP(event_shape=[2], condition={"kind": "vector", "size": 2}, transforms=2, hidden=8, blocks=1)
    contexts = (1e6 * (3 + NORMAL[:, :2])).float()
    model.prepare(torch.randn(2000, 2), contexts)
    before = model.context(contexts)
    model = model.to(dtype)
    seen = model.context(model.condition_tensor(contexts[:5], 5))
    assert seen.dtype == dtype
    torch.testing.assert_close(seen.float(), before[:5], atol=0.02, rtol=0.02)


def test_weights_of_before_load_as_the_identity():
    model = RealNVP(event_shape=[2], condition={"kind": "vector", "size": 2}, transforms=2, hidden=8, blocks=1)
    arrays = weights.state_arrays(copy.deepcopy(model))
    older = {name: array for name, array in arrays.items() if not name.startswith("contexts.")}
    assert len(arrays) - len(older) == 2
    for load in (
        lambda: weights.load_into(model, older, source="an older file"),
        lambda: model.load_state_dict({name: torch.from_numpy(a) for name, a in older.items()}),
    ):
        model.contexts.prepare(100 + NORMAL[:, :2].float())
        load()
        assert model.contexts.shift.tolist() == [0, 0]
        assert model.contexts.scale.tolist() == [1, 1]
    with pytest.raises(WeightsError, match=r"missing contexts\.scale$"):
        weights.load_into(model, {**older, "contexts.shift": arrays["contexts.shift"]}, source="half of it")


def test_a_tensor_stays_one_with_its_gradient_and_its_dtype_is_the_models():
    model = RealNVP(event_shape=[2], condition={"kind": "vector", "size": 2}, transforms=2, hidden=8, blocks=1)
    given = torch.ones(2, dtype=torch.float64, requires_grad=True)
    tensor = model.condition_tensor(given, 3)
    assert tensor.dtype == torch.float32
    tensor.sum().backward()
    assert given.grad.tolist() == [3, 3]
    whole = torch.tensor([[1, 2]])
    assert model.condition_tensor(whole, 1).dtype == torch.float32


def test_classes_that_are_tensors_become_int32():
    for value in (torch.tensor(2), torch.tensor([2, 2], dtype=torch.uint8), torch.tensor([2, 2])):
        found = checked_condition(value, CLASSES, 2, look=True)
        assert found.dtype == torch.int32
        assert found.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("value", "condition", "says"),
    [
        (torch.tensor([3, 0]), CLASSES, "from 0 to 2; got 0 to 3"),
        (torch.tensor([2**32, 0]), CLASSES, "from 0 to 2; got 0 to 4294967296"),
        (torch.tensor([-1, 0]), CLASSES, "got -1 to 0"),
        (torch.tensor([1.0, 0.0]), CLASSES, "whole numbers or labels, not float32"),
        (torch.tensor([True, False]), CLASSES, "not bool"),
        (torch.tensor([1, 0, 1]), CLASSES, r"2 samples need one class or 2 classes, not a tensor of shape \(3,\)"),
        (torch.zeros(3), VECTOR, r"shape \(2,\) or \(2, 2\), not \(3,\)"),
        (torch.zeros(2, 2, dtype=torch.bool), VECTOR, "not bool"),
        (torch.zeros(2, 2, dtype=torch.complex64), VECTOR, "not complex64"),
        (torch.tensor([[0.0, float("nan")], [0.0, 0.0]]), VECTOR, "not finite"),
        (torch.tensor([1e39, 0.0], dtype=torch.float64), VECTOR, "not finite in float32"),
    ],
)
def test_tensors_are_refused_as_arrays_are(value, condition, says):
    with pytest.raises(ConditionError, match=says):
        checked_condition(value, condition, 2, look=True)
    with pytest.raises(ConditionError):
        condition.array(value.numpy(), 2)


def test_values_are_not_looked_at_where_that_would_stop_an_accelerator():
    """On the device "meta" any look at a value is an error."""
    for condition, value in ((CLASSES, torch.zeros(4, dtype=torch.int64)), (VECTOR, torch.zeros(4, 2))):
        found = checked_condition(value.to("meta"), condition, 4, look=False)
        assert found.device.type == "meta"
        with pytest.raises((RuntimeError, NotImplementedError)):
            checked_condition(value.to("meta"), condition, 4, look=True)


def test_numbers_beyond_float32_are_refused_in_data():
    values = np.zeros((4, 1, 2, 2))
    values[3, 0, 1, 0] = 1e39
    values[3, 0, 1, 1] = np.nan
    with pytest.raises(
        DataError, match=r"(?m)^pictures have the value 1e\+39 in row 3, at \[0, 1, 0\], .* and 1 more$"
    ):
        check_finite(values, "pictures")
    check_finite(np.full((2, 2), np.finfo(np.float32).max), "numbers")
    check_finite(np.zeros((2, 2), np.float16), "halves")
    check_finite(np.zeros((2, 2), np.uint8), "levels")
