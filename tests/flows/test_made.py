"""The masked network: nothing looks ahead, and its inversion computes every unit once."""

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402 - after the check for torch
from hypothesis import strategies as st  # noqa: E402

from zoo_flows.transforms import AffineMap, Autoregressive, SplineMap, unfolding, unfolding_plan  # noqa: E402  # noqa: E402
from zoo_flows.transforms.made import MADE  # noqa: E402
from zoo_flows.transforms.unfolding import Tensors, unfold  # noqa: E402

NETWORKS = {
    "plain": {"hidden": (16, 9)},
    "narrow": {"hidden": (3,)},  # fewer units than components
    "residual": {"hidden": (12, 12, 12), "residual": True},
    "context": {"hidden": (16, 16), "context": 2},
}


@pytest.fixture(params=NETWORKS)
def made(request, scramble):
    torch.manual_seed(0)
    return scramble(MADE(7, 2, **NETWORKS[request.param]), scale=0.5).double()


def context_of(made, n=1):
    return None if made.context is None else torch.rand(n, 2, dtype=torch.float64)


def test_parameters_depend_on_the_components_before_alone(made):
    context = context_of(made)
    x = torch.randn(7, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: made(v[None], context)[0], x)  # [7, 2, 7]
    for i in range(7):
        assert torch.equal(jacobian[i, :, i:], torch.zeros(2, 7 - i, dtype=torch.float64))
    # with weights and inputs above 0 no unit is asleep, and what can be read is
    for parameter in made.parameters():
        parameter.data.abs_()
    jacobian = torch.autograd.functional.jacobian(lambda v: made(v[None], context)[0], x.abs())
    # a network with too few units has none for the last components
    below, width = made.linear(0).outputs_below, made.linear(0).out_features
    known = min(7, 1 + max(degree for degree in range(8) if below[degree] < width))
    assert torch.equal((jacobian != 0).all(1)[:known, :known], torch.ones(known, known, dtype=torch.bool).tril(-1))


def test_every_parameter_reads_the_context():
    made = MADE(3, 2, context=2, hidden=(8, 8))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.rand_like(parameter))
    jacobian = torch.autograd.functional.jacobian(lambda c: made(torch.ones(1, 3), c[None])[0], torch.ones(2))
    assert (jacobian != 0).all()


@torch.no_grad()
def test_frozen_masks_are_multiplied_in(made):
    frozen = made.frozen()
    x, context = torch.randn(5, 7, dtype=torch.float64), context_of(made, 5)
    assert torch.equal(frozen(x, context), made(x, context))
    assert all(frozen.linear(i).mask is None for i in range(len(frozen.layers)))
    assert all(made.linear(i).mask is not None for i in range(len(made.layers)))
    assert not any("mask" in name for name in made.state_dict())


def test_masked_weights_stay_zero_in_training():
    """So what is saved is what a frozen network, and a graph, compute with."""
    torch.manual_seed(0)
    made = MADE(5, 2, hidden=(16, 16))
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.1, weight_decay=0.1)
    x = torch.randn(64, 5)
    for _ in range(5):
        optimizer.zero_grad()
        (made(x)[..., 0] - x.cumsum(1)).square().mean().backward()
        optimizer.step()
    for index in range(3):
        layer = made.linear(index)
        assert layer.weight.abs().max() > 0
        assert torch.equal(layer.masked(), layer.weight)


class Counting(Tensors):
    """Counts multiplications, and the units that each layer has computed."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.multiplications, self.units = 0, [0] * len(self.weights)

    def product(self, index, rows, columns, x, start):
        self.multiplications += (rows.stop - rows.start) * (columns.stop - columns.start)
        assert x.shape[0] == columns.stop - columns.start
        return super().product(index, rows, columns, x, start)

    def activation(self, x):
        self.units[0] += x.shape[0]
        return super().activation(x)


@torch.no_grad()
@pytest.mark.parametrize("size", [1, 2, 16, 50])
def test_unfolding_computes_each_unit_once(scramble, size):
    made = scramble(MADE(size, 2, hidden=(64, 40)), scale=0.1).double()
    z = torch.randn(3, size, dtype=torch.float64)
    counting = Counting(made, AffineMap(), 3, None)
    x, parameters = unfold(made, counting, z.T)
    expected = made(x.T)
    torch.testing.assert_close(parameters.T, expected.flatten(1), rtol=1e-10, atol=1e-10)
    again, _ = AffineMap().forward(x.T[None], expected.movedim(2, 0))
    torch.testing.assert_close(again[0], z, rtol=1e-10, atol=1e-10)
    assert counting.units[0] == 64 + 40
    nonzero = sum(int(made.linear(i).mask.sum()) for i in range(3))
    # whatever is masked within a block of degrees is multiplied, no more
    assert nonzero <= counting.multiplications <= sum(made.linear(i).weight.numel() for i in range(3))


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(1, 12),
    hidden=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    context=st.integers(0, 3),
    n=st.integers(1, 4),
    spline=st.booleans(),
    double=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_shape_is_inverted(scramble, size, hidden, context, n, spline, double, seed):
    torch.manual_seed(seed)
    dtype = torch.float64 if double else torch.float32
    map = SplineMap(4, 3.0) if spline else AffineMap()
    transform = scramble(Autoregressive(size, map, context=context, hidden=hidden), seed=seed, scale=0.2).to(dtype)
    x, c = torch.randn(n, size, dtype=dtype), torch.randn(n, context, dtype=dtype) if context else None
    z, log_det = transform(x, c)
    back, inverse_log_det = transform.inverse(z, c)
    tolerance = 1e-10 if double else 1e-4
    torch.testing.assert_close(back, x, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(inverse_log_det, -log_det, rtol=tolerance, atol=10 * tolerance)
    assert back.dtype == dtype


def test_gradients_pass_through_the_inverse(scramble):
    transform = scramble(Autoregressive(5, AffineMap(), hidden=(8,)), scale=0.3).double()
    z = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    parameters = [p for p in transform.parameters() if p.dim() == 2]
    assert torch.autograd.gradcheck(lambda z: transform.inverse(z), (z,))
    gradients = torch.autograd.grad(transform.inverse(z)[0].sum(), parameters)
    assert all(g.abs().max() > 0 for g in gradients)


@pytest.mark.parametrize("hidden", [(7,), (12, 5), (9, 9, 4)])
def test_a_plan_does_what_it_was_recorded_from(hidden):
    """In place and without gradients, for one network after another, and wherever its weights are by then."""
    torch.manual_seed(0)
    made = MADE(5, 2, context=3, hidden=hidden).double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    z, context = torch.randn(4, 5, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)

    def both(tolerance=1e-12):
        x, parameters = unfolding_plan.data(made, AffineMap(), z, context)
        expected, others = unfolding.data(made, AffineMap(), z, context)
        torch.testing.assert_close(x, expected.detach(), rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(parameters, others.detach(), rtol=tolerance, atol=tolerance)
        return x

    first = both()
    with torch.no_grad():
        made.linear(0).weight.mul_(1.5)
    assert (both() - first).abs().max() > 1e-3
    made.float()
    z, context = z.float(), context.float()
    single = both(1e-4)
    assert single.dtype == torch.float32
    assert (single == both(1e-4)).all()
