"""Flows: frozen copies and the graphs for export."""

import copy
import math

import pytest

torch = pytest.importorskip("torch")

from zoo_flows.bases import Logistic  # noqa: E402 - after the check for torch
from zoo_flows.transforms import FrozenLinear  # noqa: E402


@torch.no_grad()
def test_frozen_is_equal_and_leaves_the_model_alone(model, inputs):
    model = copy.deepcopy(model).double().train()
    before = copy.deepcopy(model.state_dict())
    frozen = model.frozen()
    assert model.training
    assert not frozen.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(p.requires_grad for p in frozen.parameters())
    assert all(p.requires_grad for p in model.parameters())
    model.eval()
    x, condition = inputs(model, 20, dtype=torch.float64)
    torch.testing.assert_close(frozen.log_density(x, condition), model.log_density(x, condition))
    noise = torch.randn(20, *model.noise_shape, dtype=torch.float64)
    torch.testing.assert_close(frozen.inverse(noise, condition), model.inverse(noise, condition))
    if any(isinstance(t, FrozenLinear) for t in frozen.transforms):
        assert not any("packed" in key for key in frozen.state_dict())


@torch.no_grad()
def test_extremes_are_complete_and_score_as_they_should(model):
    for graph in model.programs().graphs:
        assert graph.extremes
        for maker in graph.extremes:
            for n in (1, 17):
                values = maker(n)
                assert list(values) == [port.name for port in graph.inputs]
                for port in graph.inputs:
                    assert values[port.name].shape == (n, *port.shape[1:])
                    assert str(values[port.name].dtype) == port.dtype
                out = graph.module(*(torch.from_numpy(values[port.name]) for port in graph.inputs))
                if maker == graph.module.model.not_finite:
                    assert (out[0::3] == -math.inf).all()
                    assert (out[1::3] == -math.inf).all()
                    assert out[2::3].isnan().all()
                elif isinstance(model.base, Logistic) and graph.name == "log_prob":
                    x = torch.from_numpy(values["x"]).flatten(1)
                    no_level = ((x < 0.0) | (x > 17.0)).any(1)
                    assert torch.equal(out.isfinite(), ~no_level)
                    assert (out[no_level] == -math.inf).all()
                else:
                    assert out.isfinite().all()


class Positional(torch.nn.Module):
    """A graph's module whose inputs are one tuple, whatever the names of its arguments."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *inputs):
        return self.module(*inputs)


@torch.no_grad()
@pytest.mark.parametrize("config", ["plane", "image"])
def test_graphs_trace_with_any_batch_size(make, config):
    for graph in make(config).programs().graphs:
        traced_at, run_at = (
            tuple(torch.from_numpy(graph.extremes[0](n)[port.name]) for port in graph.inputs) for n in (3, 11)
        )
        batch = torch.export.Dim("batch")
        module = Positional(graph.module)
        program = torch.export.export(module, traced_at, dynamic_shapes=(tuple({0: batch} for _ in traced_at),))
        torch.testing.assert_close(program.module()(*run_at), graph.module(*run_at))
        names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
        for unwanted in ("solve", "searchsorted", "gather", "index_put", "nonzero", "log1p", "expm1", "log_sigmoid"):
            assert not [name for name in names if unwanted in name], unwanted
