"""Whatever the size, batch, weights and context: transforms go there and back, and stay finite."""

import pytest

torch = pytest.importorskip("torch")
hypothesis = pytest.importorskip("hypothesis")

from hypothesis import given, settings  # noqa: E402 - after the checks
from hypothesis import strategies as st  # noqa: E402

#: whose weights may be anything: what they make of them is limited, not exponential
LIMITED = [
    *("coupling", "coupling-affine", "coupling-additive", "coupling-circular", "elementwise", "planar", "radial"),
    *("autoregressive", "autoregressive-spline", "autoregressive-sigmoidal", "autoregressive-integral"),
    *("image-coupling", "image-checkered", "residual", "patchwise"),
]


@pytest.fixture
def make(make_case, scramble):
    def made(name, size, n, seed, scale, spread):
        case = make_case(name, size, n=n)
        torch.manual_seed(seed)
        return scramble(case.transform, seed=seed, scale=scale), spread * torch.randn_like(case.x), case.context

    return made


same = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@same
@given(
    size=st.integers(2, 6),
    n=st.integers(0, 5),
    seed=st.integers(0, 999),
    scale=st.floats(0.0, 0.5),
    spread=st.floats(0.1, 100.0),
)
def test_there_and_back(name, make, closeness, size, n, seed, scale, spread):
    """Measured in what comes out: x is as badly determined by z as a transform is flat."""
    transform, z, context = make(name, size, n, seed, scale, spread)
    if name == "image-pixelwise-histogram":  # logits whose uniform variable has digits left
        z = 8.0 * torch.tanh(z / 8.0)
    if name == "image-pixelwise-levels":  # the other way round: numbers that lie in the interval
        z = 0.999 * torch.tanh(z)
    with torch.no_grad():
        x, log_det = transform.inverse(z, context)
        again, forward_log_det = transform(x, context)
    if name in ("coupling-circular", "angles"):  # the same angle
        again, z = (torch.stack([torch.cos(value), torch.sin(value)]) for value in (again, z))
    assert ((again - z).abs() <= max(1e-8, closeness) * (1 + z.abs())).all()
    torch.testing.assert_close(forward_log_det, -log_det, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("limited", LIMITED)
@same
@given(size=st.integers(2, 6), seed=st.integers(0, 999), scale=st.floats(1.0, 6.0), spread=st.floats(0.1, 100.0))
def test_wild_weights_give_finite_values_and_gradients(limited, make, size, seed, scale, spread):
    transform, x, context = make(limited, size, 4, seed, scale, spread)
    transform = transform.float()
    x = x.float().requires_grad_()
    for method in (transform.forward, transform.inverse):
        value, log_det = method(x, context.float())
        assert value.isfinite().all()
        assert log_det.isfinite().all()
        (gradient,) = torch.autograd.grad(value.sum() + log_det.sum(), x)
        assert gradient.isfinite().all()
