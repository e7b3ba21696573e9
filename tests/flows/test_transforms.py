"""What every transform owes: a bijection, its exact log-determinant, and an equal frozen form. One suite for all."""

import copy
import math

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError, DataError  # noqa: E402 - after the check for torch
from zoo_flows.transforms import (  # noqa: E402
    ActNorm,
    BatchNorm,
    Coupling,
    FrozenLinear,
    Householder,
    Logit,
    LULinear,
    Permutation,
    Planar,
    SplineMap,
    Standardize,
    Sylvester,
)
from zoo_flows.transforms.root import LEAST_SLOPE, invertible, root  # noqa: E402

EXTREMES = (0.0, 1.0, 3.0, math.nextafter(3.0, 0), math.nextafter(3.0, 4), 17.0, math.nextafter(17.0, 18), 30.0, 1e4)


def extremes(case):
    """Ends of the splines' and the logit's domain, one ulp to either side, tails, and far out, in both signs."""
    values = torch.tensor([sign * v for v in EXTREMES for sign in (1, -1)], dtype=case.x.dtype)
    n, size = len(values), case.x.shape[1]
    turn = (torch.arange(n)[:, None] + torch.arange(size)) % n
    return values[turn], case.context[:1].expand(n, -1)


@torch.no_grad()
@pytest.mark.parametrize("size", [2, 3, 7])
def test_round_trip_in_float64(name, make_case, size, closeness):
    case = make_case(name, size)
    z, log_det = case.transform(case.x, case.context)
    x, inverse_log_det = case.transform.inverse(z, case.context)
    torch.testing.assert_close(x, case.x, rtol=closeness, atol=closeness)
    torch.testing.assert_close(inverse_log_det, -log_det, rtol=1e-8, atol=1e-8)
    assert log_det.shape == (len(case.x),)


@torch.no_grad()
def test_round_trip_in_float32(case):
    case = case.at(torch.float32)
    z, _ = case.transform(case.x, case.context)
    x, _ = case.transform.inverse(z, case.context)
    again, _ = case.transform(x, case.context)
    torch.testing.assert_close(x, case.x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(again, z, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_log_det_is_that_of_the_jacobian(name, make_case, size):
    case = make_case(name, size, n=12)
    for method in (case.transform.forward, case.transform.inverse):
        x = case.x.clone().requires_grad_()
        y, log_det = method(x, case.context)
        # no sample sees another, so the gradients of a sum over them are rows of all their Jacobians
        rows = [torch.autograd.grad(y[:, j].sum(), x, retain_graph=True)[0] for j in range(y.shape[1])]
        expected = torch.linalg.slogdet(torch.stack(rows, 1))[1]
        torch.testing.assert_close(log_det, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extremes_give_finite_values_and_gradients_and_come_back(case, dtype, closeness):
    if case.name == "image-pixelwise-histogram":
        pytest.skip("there is no density outside its interval, whose ends test_pixelcnn tries")
    case = case.at(dtype)
    x, context = extremes(case)
    x.requires_grad_()
    z, log_det = case.transform(x, context)
    back, inverse_log_det = case.transform.inverse(z, context)
    assert z.isfinite().all()
    assert log_det.isfinite().all()
    (z.sum() + log_det.sum() + back.sum() + inverse_log_det.sum()).backward()
    assert x.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in case.transform.parameters())
    again, _ = case.transform(back, context)
    tolerance = max(1e-8, closeness) if dtype == torch.float64 else 1e-3
    torch.testing.assert_close(again, z, rtol=tolerance, atol=tolerance)


def test_zero_parameters_are_the_identity_up_to_order(name, make_case):
    case = make_case(name, 5)
    if name in ("logit", "standardize", "angles", "marginals", "interval"):
        pytest.skip("preprocessing has no parameters")
    if "batchnorm" in name:
        pytest.skip("batch normalisation is what its batches were")
    if name in ("image-pixelwise-histogram", "image-pixelwise-levels"):
        pytest.skip("a histogram of equal shares is a logit")
    with torch.no_grad():
        for parameter in case.transform.parameters():
            parameter.zero_()
        z, log_det = case.transform(case.x, case.context)
    if name.startswith("image"):  # up to order and, in 1×1 convolutions, sign
        torch.testing.assert_close(z.abs().sort(1)[0], case.x.abs().sort(1)[0], rtol=0, atol=1e-14)
        torch.testing.assert_close(log_det, torch.zeros_like(log_det), rtol=0, atol=1e-14)
        return
    order = getattr(case.transform, "order", torch.arange(5))
    torch.testing.assert_close(z, case.x[:, order], rtol=0, atol=1e-14)
    torch.testing.assert_close(log_det, torch.zeros_like(log_det), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes_are_kept(case, dtype):
    case = case.at(dtype)
    for transform in (case.transform, case.transform.frozen()):
        for method in (transform.forward, transform.inverse):
            assert [t.dtype for t in method(case.x, case.context)] == [dtype, dtype]


@torch.no_grad()
def test_frozen_is_equal_and_leaves_the_original_alone(case):
    before = copy.deepcopy(case.transform.state_dict())
    case.transform.train()
    frozen = case.transform.frozen()
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not frozen.training
    for method in ("forward", "inverse"):
        expected = getattr(case.transform, method)(case.x, case.context)
        for a, b in zip(getattr(frozen, method)(case.x, case.context), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
    for parameter in frozen.parameters():
        parameter.add_(1.0)
    for buffer in frozen.buffers():
        buffer.add_(1)
    assert case.transform.training
    assert all(torch.equal(value, before[key]) for key, value in case.transform.state_dict().items())


def test_a_batch_of_none_and_of_one(case):
    for n in (0, 1):
        z, log_det = case.transform(case.x[:n], case.context[:n])
        assert z.shape == (n, case.x.shape[1])
        assert log_det.shape == (n,)


def test_coupling_keeps_the_first_part_and_reads_nothing_of_the_second(make_case):
    case = make_case("coupling", 5)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: case.transform(x[None], case.context[:1])[0][0], 0.5 * case.x[0]
    )
    torch.testing.assert_close(jacobian[:2], torch.eye(5, dtype=torch.float64)[:2])
    second = jacobian[2:, 2:]
    assert torch.equal(second, torch.diag(second.diagonal()))
    assert (second.diagonal() > 0).all()


@torch.no_grad()
def test_coupling_follows_its_context(make_case):
    case = make_case("coupling", 5)
    z, log_det = case.transform(case.x, case.context)
    other, other_log_det = case.transform(case.x, case.context + 1.0)
    assert not torch.allclose(z, other)
    assert not torch.allclose(log_det, other_log_det)


def test_coupling_needs_two_components():
    with pytest.raises(ConfigError, match="2 components or more, not 1"):
        Coupling(1, SplineMap(), torch.nn.Linear)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_root_is_found_whatever_the_equation(dtype):
    up = torch.logspace(-8, 4, 241, dtype=dtype)
    a = torch.cat([-up, torch.zeros(1, dtype=dtype), up])
    c = torch.cat([-1 + torch.logspace(math.log10(LEAST_SLOPE), 0, 81, dtype=dtype), up])[:, None]
    s = root(c, a)
    residual = (s + c * torch.tanh(s) - a).abs() / (1 + a.abs() + c.abs())
    assert residual.max() < 4 * torch.finfo(dtype).eps


def test_what_is_made_invertible_is_so_and_0_stays_0():
    a = torch.tensor([-1e4, -5.0, -1.0, 0.0, 20.0, 1e4], dtype=torch.float64)
    c = invertible(a)
    assert (c >= -1 + LEAST_SLOPE).all()
    assert (c.diff() >= 0).all()
    assert abs(c[3].item()) < 1e-15
    torch.testing.assert_close(c[4:], a[4:], rtol=0, atol=1.0)


@torch.no_grad()
def test_additive_coupling_keeps_volumes(make_case):
    case = make_case("coupling-additive", 5)
    assert torch.equal(case.transform(case.x, case.context)[1], torch.zeros(64, dtype=torch.float64))


@torch.no_grad()
def test_householder_is_orthogonal_and_one_vector_mirrors():
    made = Householder(5).double()
    matrix, _ = made(torch.eye(5, dtype=torch.float64))
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-14)
    one = Householder(3, 1).double()
    torch.testing.assert_close(one(one.vectors)[0], -one.vectors)


@torch.no_grad()
def test_sylvester_of_one_direction_is_planar(make_case):
    """Q the unit vector along w, R̃ = ‖w‖, and R·Q the part of û along w; û has no other part here."""
    planar, sylvester = Planar(4).double(), Sylvester(4, rank=1, reflections=1).double()
    planar.u.copy_(0.7 * planar.w)
    planar.bias.fill_(0.3)
    unit = planar.w / planar.w.norm()
    sylvester.vectors.copy_((torch.eye(4, dtype=torch.float64)[0] - unit)[None])  # mirrors the first axis to it
    sylvester.inner.copy_(planar.w.norm().log())
    sylvester.outer.copy_(planar.w @ planar.u)
    sylvester.bias.fill_(0.3)
    x = torch.randn(20, 4, dtype=torch.float64)
    for one, other in zip(planar(x), sylvester(x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("shape", [(4,), (4, 2, 3)])
def test_activation_normalisation_makes_mean_0_and_deviation_1(shape):
    x = 3.0 + 5.0 * torch.rand(50, *shape, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 7.0
    layer = ActNorm(shape)
    layer.prepare(x)
    z = layer(x)[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(z.mean(1), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.std(1), torch.tensor([1.0, 0.0, 1.0, 1.0]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(4,), (4, 2, 3)])
def test_batch_normalisation_takes_its_batch_in_training_and_the_average_of_batches_in_use(shape):
    layer = BatchNorm(shape, momentum=0.5).double()
    x = torch.randn(50, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    identity, log_det = layer.eval()(x)
    assert torch.equal(identity, x)
    assert not log_det.any()
    layer.train()
    batches = 3.0 + 5.0 * x, 1.0 + x
    for batch in batches:
        z, log_det = layer(batch)
        values = z.transpose(0, 1).flatten(1)
        torch.testing.assert_close(values.mean(1), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-12)
        torch.testing.assert_close(values.var(1, correction=0), torch.ones(4, dtype=torch.float64))
    means, variances = (
        [getattr(batch.transpose(0, 1).flatten(1), method)(1, **kw) for batch in batches]
        for method, kw in (("mean", {}), ("var", {"correction": 0}))
    )
    mean, variance = ((start / 4 + a / 4 + b / 2) for start, (a, b) in ((0.0, means), (1.0, variances)))
    torch.testing.assert_close(layer.mean.flatten(), mean)
    torch.testing.assert_close(layer.variance.flatten(), variance)
    each = (slice(None), *(None for _ in shape[1:]))
    for used in (layer.eval(), layer.frozen()):
        z, log_det = used(batches[0])
        torch.testing.assert_close(z, (batches[0] - mean[each]) / variance[each].sqrt())
        torch.testing.assert_close(log_det, (-0.5 * variance.log().sum() * math.prod(shape[1:])).expand(50))


def test_batch_normalisation_has_the_gradients_of_torch():
    layer, reference = BatchNorm((3,)).double(), torch.nn.BatchNorm1d(3, eps=1e-30).double()
    x = torch.randn(20, 3, dtype=torch.float64)
    weighting = torch.randn(20, 3, dtype=torch.float64)
    gradients = []
    for each in (lambda y: layer(y)[0], reference):
        given = x.clone().requires_grad_()
        gradients.append(torch.autograd.grad((weighting * each(given)).sum(), given)[0])
    torch.testing.assert_close(*gradients)


def test_batch_normalisation_of_a_constant_batch_is_finite_and_prepared_it_starts_at_the_data():
    layer = BatchNorm((2,))
    x = torch.tensor([[7.0, 1.0], [7.0, 3.0]], requires_grad=True)
    z, log_det = layer(x)
    (z.sum() + log_det.sum()).backward()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    layer.prepare(x.detach())
    assert layer.mean.tolist() == [7.0, 2.0]
    assert layer.variance.tolist() == [0.0, 1.0]
    z, _ = layer.eval()(x)
    torch.testing.assert_close(z, torch.tensor([[0.0, -1.0], [0.0, 1.0]]))


@torch.no_grad()
def test_a_frozen_linear_layer_is_one_matrix(make_case):
    case = make_case("lu", 5)
    frozen = case.transform.frozen()
    assert isinstance(frozen, FrozenLinear)
    assert sorted(dict(frozen.named_buffers())) == ["bias", "inverse_weight", "log_det", "weight"]
    torch.testing.assert_close(
        frozen.weight @ frozen.inverse_weight, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-12
    )


def test_two_components_are_always_swapped():
    for seed in range(8):
        torch.manual_seed(seed)
        assert Permutation(2).order.tolist() == [1, 0]
        assert LULinear(2).order.tolist() == [1, 0]
        assert Permutation(4).order.tolist() != [0, 1, 2, 3]


def test_standardize_takes_mean_and_deviation_of_the_data():
    layer = Standardize(2)
    x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 30.0]) + 1e3
    layer.prepare(x)
    z, log_det = layer(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(2), rtol=0, atol=2e-3)
    torch.testing.assert_close(z.std(0), torch.ones(2), rtol=1e-3, atol=0)
    torch.testing.assert_close(log_det, torch.full((4000,), -math.log(3.0)), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("value", [2.0, math.nan, math.inf])
def test_standardize_refuses_a_component_without_a_density(value):
    x = torch.randn(10, 3)
    x[:, 1] = value
    with pytest.raises(DataError, match="component 1 of the data is constant or not finite"):
        Standardize(3).prepare(x)


def test_logit_is_that_of_the_literature_inside_its_range():
    x = torch.tensor([[0.0, 4.25, 16.999]], dtype=torch.float64)
    u = 0.01 + 0.98 * x / 17
    z, log_det = Logit(17, 0.01)(x)
    torch.testing.assert_close(z, torch.logit(u))
    torch.testing.assert_close(log_det, (math.log(0.98 / 17) - u.log() - (1 - u).log()).sum(1))


def test_logit_goes_on_as_a_line():
    logit = Logit(17, 0.01)
    z, _ = logit(torch.tensor([[17.0], [18.0], [117.0], [-100.0], [0.0]], dtype=torch.float64))
    slope = z[1] - z[0]
    torch.testing.assert_close(z[2] - z[0], 100 * slope)
    torch.testing.assert_close(z[4] - z[3], 100 * slope)
    torch.testing.assert_close(slope.item(), logit.edge_slope / 17)


@pytest.mark.parametrize(("levels", "alpha"), [(1, 0.01), (17, 0.0), (17, 0.5), (17, math.nan)])
def test_logit_refuses_what_is_no_logit(levels, alpha):
    with pytest.raises(ConfigError):
        Logit(levels, alpha)
