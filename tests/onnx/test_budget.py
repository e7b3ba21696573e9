"""How long the runs of a proof are, and what its graphs are proven with."""

import numpy as np
import pytest
import torch

from zoo.programs import Graph
from zoo.programs.ports import Port
from zoo_onnx import budget
from zoo_onnx.budget import Cost, cost
from zoo_onnx.cases import cases
from zoo_onnx.inputs import BATCHES, FEWER


def test_products_and_operators_are_counted():
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    counted = cost(lambda: (a @ b).relu())
    assert counted == Cost(2 * budget.OPERATOR, 2 * 3 * 5 * 7)


def test_the_derivative_costs_more_than_the_value():
    network = torch.nn.Conv2d(2, 4, 3)
    x = torch.ones(1, 2, 8, 8)
    value = cost(lambda: network(x))
    both = cost(lambda: torch.func.jvp(network, (x,), (x,)))
    assert value.sample == 2 * 4 * 2 * 9 * 36
    assert 2 * value.sample <= both.sample <= 3 * value.sample
    assert both.call > value.call


def test_steps_shrink_smoothly_with_the_cost():
    steps = [Cost(0.0, budget.ALLOWED / (n + 0.5)).steps(1, 1, 1) for n in range(1, 60)]
    assert steps == list(range(1, 60))
    assert Cost(0.0, budget.ALLOWED / 61).steps(5, 2, 1) == 6
    assert Cost(budget.ALLOWED / 13, 0.0).steps(1000, 3, 1) == 4
    assert Cost(0.0, 2 * budget.ALLOWED).steps(1, 1, 2) == 2


class _Inputs:
    """Two inputs of one number a sample; the second has no batch where ``shared``."""

    def __init__(self, kinds, shared=False, runs=BATCHES):
        self.kinds, self.shared = kinds, shared
        self.batches, self.runs = BATCHES, runs

    def ordinary(self, graph, sizes):
        n = sizes["batch"]
        z = np.arange(n, dtype=np.float32)
        return {"z": z, "c": np.float32(0.5) if self.shared else -z}

    def extremes(self, graph, sizes):
        for i in range(self.kinds):
            feeds = self.ordinary(graph, sizes)
            yield f"kind {i}", {**feeds, "z": feeds["z"] + np.float32(1000 * (i + 1))}


def _graph(calls, shared=False):
    def module(z, c):
        calls.append(len(z))
        return 2 * z + c

    inputs = Port("z", "float32", ("batch",)), Port("c", "float32", () if shared else ("batch",))
    return Graph("inverse", module, inputs, (Port("x", "float32", ("batch",)),))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kinds", [0, 1, 7, 20])
def test_every_extreme_is_in_batches_of_every_size(kinds, shared):
    calls, seen = [], {n: set() for n in BATCHES}
    for where, feeds, expected in cases(_graph(calls, shared), _Inputs(kinds, shared), {}, None):
        n = len(feeds["z"])
        assert where.startswith(f"batch {n}")
        np.testing.assert_array_equal(expected["x"], 2 * feeds["z"] + feeds["c"])
        present = {int(z) // 1000 for z in feeds["z"]}
        assert ("with" in where) == (present != {0})
        assert all(f"kind {each - 1}" in where for each in present - {0})
        seen[n] |= present
    assert all(kinds_seen == set(range(kinds + 1)) for kinds_seen in seen.values())
    # PyTorch computes the largest batch alone: once for ordinary inputs, and for many extremes at once where it can
    assert calls == [max(BATCHES)] * (1 + (kinds if shared else -(-kinds // max(BATCHES))))


def test_extremes_of_a_costly_model_are_in_smaller_batches():
    calls, runs = [], (*BATCHES[:-1], FEWER)
    seen = [
        (len(feeds["z"]), "with" in where) for where, feeds, _ in cases(_graph(calls), _Inputs(7, runs=runs), {}, None)
    ]
    assert {n for n, extreme in seen if not extreme} == set(BATCHES)
    assert {n for n, extreme in seen if extreme} == set(runs)
    assert calls == [max(BATCHES), FEWER, FEWER]


def test_smaller_batches_are_compared_with_rows_of_the_largest():
    """A sample that depends on its neighbours at extremes alone shows as a difference from the bundle's."""
    graph = Graph("g", lambda z, c: z - z.max() * (z > 100), *_ports())
    found = [
        expected["x"][0] != feeds["z"][0] - feeds["z"].max() * (feeds["z"][0] > 100)
        for _, feeds, expected in cases(graph, _Inputs(3), {}, None)
        if len(feeds["z"]) < max(BATCHES)
    ]
    assert any(found)


def _ports():
    batch = ("batch",)
    return (Port("z", "float32", batch), Port("c", "float32", batch)), (Port("x", "float32", batch),)


def test_a_fixed_batch_and_further_sizes_have_inputs_of_their_own():
    calls = []
    assert [len(feeds["z"]) for _, feeds, _ in cases(_graph(calls), _Inputs(1), {}, 5)] == [5] * 8
    assert calls == [5] * 8
