"""In-place operators of a traced program: those that nobody can tell from new tensors are rewritten, and no other."""

import numpy as np
import onnx_ir as ir
import pytest
import torch

from zoo.runtime import Session
from zoo_onnx import in_place
from zoo_onnx.torch_exporter import _plain, _registry
from zoo_onnx.trace import trace

X = torch.tensor([[1.0, -2.0, 3.0, -4.0], [0.5, 0.25, -1.0, 2.0]])


def total(x):
    y = torch.zeros(x.shape[0], 4)
    y += x
    y += x.exp()
    return y


def used_before(x):
    y = torch.nn.functional.linear(x, torch.ones(4, 4))
    z = y.sin()
    y *= 2
    return y + z


def chained(x):
    return (x + 1).mul_(2).clamp_(-1, 4).sigmoid_()


def written_into_a_view(x):
    y = torch.zeros(x.shape[0], 4)
    y[:, torch.tensor([2, 0])] = x[:, :2]
    return y


def written_by_index(x):
    y = torch.zeros(4, 4)
    rows, columns = torch.tensor([0, 1, 2, 2]), torch.tensor([1, 2, 3, 0])
    y[rows, columns] = x[0]
    before = y.sum()
    y[torch.arange(4), torch.arange(4)] = 1.0
    return x @ y + before


def viewed_after(x):
    y = x.exp()
    y += 1
    first = y[:, :2]
    return torch.cat([first.sin(), y[:, 2:]], 1)


def viewed_and_written_after(x):
    y = x.exp()
    y += 1
    first = y[:, :2]
    first *= 3
    return y


def viewed_before(x):
    y = x + 1
    view = y[:, :2]
    y += 10
    return torch.cat([view, y[:, 2:]], 1)


def a_view_itself(x):
    y = x + 1
    y[:, 1:].add_(10)
    return y


def by_another_name(x):
    y = x.exp()
    z = y.contiguous()
    z += 1
    return y


def perhaps_by_another_name(x):
    y = x.exp()
    z = torch.nn.functional.dropout(y, 0.5, training=False)
    y += 1
    return y + z


def kept(x):
    y = x.exp()
    (torch.sin(y),)
    y.add_(1)
    return y


def of_two_types(x):
    y = x.float() + 0
    y += torch.arange(4)
    return y


def into_double(x):
    y = x + 0
    y *= torch.full((4,), 1 / 3, dtype=torch.float64)
    return y


def split(x):
    first, second = (x + 0).chunk(2, 1)
    first += 1
    return torch.cat([first, second], 1)


REWRITTEN = [total, used_before, chained, by_another_name, kept, written_by_index, viewed_after, of_two_types]
LEFT = [viewed_before, viewed_and_written_after, a_view_itself, written_into_a_view, into_double, split]


def program_of(function):
    class Module(torch.nn.Module):
        def forward(self, x):
            return function(x)

    return torch.export.export(
        Module(), (torch.rand(5, 4),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False
    )


@pytest.mark.sample("total", "viewed_before")
@pytest.mark.parametrize("function", [*REWRITTEN, *LEFT])
def test_it_computes_the_same(function, graph, tmp_path):
    ir.save(trace(graph(function), 18), tmp_path / "g.onnx")
    given = Session(tmp_path / "g.onnx").run({"x": X.numpy()})["y"]
    np.testing.assert_allclose(given, function(X.clone()).numpy(), rtol=1e-6)


@pytest.mark.parametrize("function", REWRITTEN)
def test_what_nobody_else_sees_is_rewritten(function):
    assert _plain(program_of(function), _registry(18))


# what torch's own exporter makes of dropout is a copy, so that one is not computed
@pytest.mark.parametrize("function", [*LEFT, perhaps_by_another_name])
def test_what_somebody_else_sees_or_what_changes_its_type_is_left(function):
    assert not _plain(program_of(function), _registry(18))


def test_an_input_is_not_new():
    def changed(x):
        x += 1
        return x * 2

    assert in_place.rewritten(program_of(changed).graph_module.graph) == 0


def test_what_is_returned_may_be_an_operator_that_does_nothing(graph, tmp_path):
    ir.save(trace(graph(lambda x: (2 * x).to(x.dtype)), 18), tmp_path / "g.onnx")
    np.testing.assert_array_equal(Session(tmp_path / "g.onnx").run({"x": X.numpy()})["y"], 2 * X.numpy())


def test_torchs_translations_are_found_without_reading_all_of_them():
    assert _registry(18) is not None
