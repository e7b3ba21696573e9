"""Loops that are traced once: what a Loop computes equals what Python computes turn by turn."""

import onnx_ir as ir
import pytest
import torch

from zoo.errors import ExportError
from zoo.models import derivatives
from zoo.models.loops import loop
from zoo.programs import Graph
from zoo.programs.ports import Port
from zoo.runtime import Session
from zoo_onnx.trace import trace


def newton(x):
    """Square roots of 1 + x², and the number of turns as part of the state."""
    root, count = loop(6, (1 + x.abs(), x[:, 0] * 0), lambda r, n: (0.5 * (r + (1 + x * x) / r), n + 1))
    return root + count.unsqueeze(1)


def nested(x):
    """A loop within a loop, which reads the state of the outer one and what is outside of both."""

    def outer(y):
        (inner,) = loop(3, (y,), lambda z: (torch.tanh(z + x) + y,))
        return (inner * 0.5,)

    return loop(4, (torch.zeros_like(x),), outer)[0]


def unread(x):
    """A state that no turn reads, as the log-determinant of the last pass."""
    y, volume = loop(2, (x, x[:, 0]), lambda y, _: (y * 0.5, y.sum(1)))
    return y + volume.unsqueeze(1)


def swapped(x):
    """States that change places, one of which comes from outside."""
    a, b = loop(3, (x, x + 1), lambda a, b: (b, a))
    return a - 2 * b


def sloped(x):
    """A derivative within every turn."""
    (y,) = loop(3, (x,), lambda y: (derivatives.jvp(torch.sin, y, torch.ones_like(y))[1] + x,))
    return y


FUNCTIONS = [newton, nested, unread, swapped, sloped]


def test_loops_compute_what_python_does_and_are_written_once(tmp_path):
    """One graph of all, as each trace costs."""
    outputs = tuple(Port(each.__name__, "float32", ("batch", 3)) for each in FUNCTIONS)
    graph = Graph("g", lambda x: tuple(f(x) for f in FUNCTIONS), (Port("x", "float32", ("batch", 3)),), outputs)
    model = trace(graph, 18)
    # those of the second one, one within the other, count once each
    assert [node.op_type for node in model.graph].count("Loop") == len(FUNCTIONS)
    assert sum(node.op_type == "Loop" for each in model.graphs() for node in each) == len(FUNCTIONS) + 1
    assert not any(node.domain for each in model.graphs() for node in each)
    ir.save(model, tmp_path / "g.onnx")
    session = Session(tmp_path / "g.onnx")
    for n in (1, 2, 5):
        x = torch.randn(n, 3, generator=torch.Generator().manual_seed(n))
        found = session.run({"x": x.numpy()})
        for f in FUNCTIONS:
            torch.testing.assert_close(torch.from_numpy(found[f.__name__]), f(x), msg=f.__name__)


def test_a_loop_whose_state_changes_its_rank_is_refused():
    graph = Graph(
        "g",
        lambda x: loop(2, (x,), lambda y: (y.sum(1),))[0],
        (Port("x", "float32", ("batch", 3)),),
        (Port("y", "float32", ("batch", 3)),),
    )
    with pytest.raises(ExportError, match="a loop changes the number, rank or type of what it carries"):
        trace(graph, 18)
