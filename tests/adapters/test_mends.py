"""What the libraries' code is mended with while it is traced computes what the library's own code does."""

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402 - after the check


def moved(flow, deviation=0.3):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += deviation * torch.randn(parameter.shape, generator=generator)
    return flow.eval()


def inputs(factor=3.0):
    return factor * torch.randn(64, 4, generator=torch.Generator().manual_seed(1))


def both(function, mended):
    """A function's results by the library's own code, and by the mended one."""
    with torch.no_grad():
        own = function()
        with mended():
            return own, function()


# -- splines that index by a mask, autoregressive passes, couplings written in place ----------------------------------


@pytest.mark.parametrize("kind", ["Linear", "Quadratic", "Cubic", "RationalQuadratic"])
def test_a_spline_of_nflows_without_masks(kind):
    transforms = pytest.importorskip("nflows.transforms")
    from zoo_nflows import mends

    tails = {"num_bins": 5, "tails": "linear", "tail_bound": 2.0}
    net = lambda i, o: nn.Sequential(nn.Linear(i, 8), nn.Tanh(), nn.Linear(8, o))  # noqa: E731

    class Net(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.net, self.hidden_features = net(i, o), 8

        def forward(self, x, context=None):
            return self.net(x)

    torch.manual_seed(0)
    coupling = moved(getattr(transforms, f"Piecewise{kind}CouplingTransform")([0, 1, 0, 1], Net, **tails))
    x = inputs()
    for direction in (coupling, coupling.inverse):
        own, mended = both(lambda direction=direction: direction(x), mends.mended)
        for a, b in zip(own, mended, strict=True):
            torch.testing.assert_close(a, b, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("circular", [None, [0, 2], [0, 1, 2, 3]])
def test_a_spline_of_normflows_without_masks(circular):
    nf = pytest.importorskip("normflows")
    from zoo_normflows import mends

    torch.manual_seed(0)
    if circular is None:
        flow = nf.flows.AutoregressiveRationalQuadraticSpline(4, 1, 8)
    else:
        flow = nf.flows.CircularAutoregressiveRationalQuadraticSpline(4, 1, 8, ind_circ=circular)
    moved(flow)
    x = inputs(1.0 if circular else 3.0)
    for direction in (flow, flow.inverse):
        own, mended = both(lambda direction=direction: direction(x), mends.mended)
        for a, b in zip(own, mended, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


# -- bisections, derivatives, quadratures and ODEs of zuko ------------------------------------------------------------


def zuko_flow(name, **options):
    zuko = pytest.importorskip("zuko")
    torch.manual_seed(0)
    return moved(getattr(zuko.flows, name)(4, **options))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("NAF", {"transforms": 1, "hidden_features": (8,), "network": {"hidden_features": (8,)}}),
        ("UNAF", {"transforms": 1, "hidden_features": (8,), "network": {"hidden_features": (8,)}}),
        ("SOSPF", {"transforms": 1, "hidden_features": (8,)}),
        ("BPF", {"transforms": 1, "hidden_features": (8,)}),
        ("GF", {"transforms": 1}),
        ("NICE", {"transforms": 2, "hidden_features": (8,)}),
    ],
)
def test_a_flow_of_zuko_in_loops_with_directional_derivatives(name, options):
    from zoo_zuko import mends

    flow, x = zuko_flow(name, **options), inputs(1.0)
    own, mended = both(lambda: (flow().log_prob(x), flow().transform.inv(x)), mends.mended)
    torch.testing.assert_close(mended[0], own[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mended[1], own[1], atol=1e-4, rtol=1e-4)


def test_the_steps_of_a_continuous_flow_are_within_the_librarys_tolerance():
    from zoo_zuko import mends

    flow, x = zuko_flow("CNF", hidden_features=(8,)), inputs(1.0)
    own, mended = both(lambda: (flow().log_prob(x), flow().transform.inv(x)), mends.settled)
    torch.testing.assert_close(mended[0], own[0], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(mended[1], own[1], atol=1e-3, rtol=1e-4)
    with torch.no_grad(), mends.settled(), mends.mended():
        traced = flow().log_prob(x[:4])
    torch.testing.assert_close(traced, own[0][:4], atol=1e-3, rtol=1e-4)
    import zoo

    wrapped = zoo.wrap(flow)
    with torch.no_grad():  # zuko's own steps depend on the whole batch
        torch.testing.assert_close(wrapped.inverse(x)[:1], wrapped.inverse(x[:1]), atol=1e-5, rtol=1e-5)


def test_gaussianizations_keep_their_digits_far_out():
    """In float64 they are the library's own function; in float32 they stay with it where the library does not."""
    import copy

    from zoo_zuko import mends

    flow, x = zuko_flow("GF", transforms=1), inputs(10.0)
    own, mended = both(lambda: copy.deepcopy(flow).double()().log_prob(x.double()), mends.settled)
    torch.testing.assert_close(mended, own, atol=1e-8, rtol=1e-8)
    with torch.no_grad(), mends.settled():
        torch.testing.assert_close(flow().log_prob(x).double(), own, atol=1e-3, rtol=1e-5)
    with torch.no_grad():
        assert not flow().log_prob(x).isfinite().all()


def test_nodes_of_a_quadrature_are_not_kept_beyond_a_trace():
    """The library's cache would hold a tensor of the trace, by which its own code fails afterwards."""
    utils = pytest.importorskip("zuko.utils")
    from zoo_zuko import mends

    utils.GaussLegendre.nodes.cache_clear()
    with mends.mended():
        utils.GaussLegendre.nodes(5, dtype=torch.float32, device=torch.device("cpu"))
    assert utils.GaussLegendre.nodes.cache_info().currsize == 0


# -- searches that end when no sample of a batch moves ----------------------------------------------------------------


def test_residual_layers_of_normflows_are_inverted_sample_by_sample():
    import zoo

    nf = pytest.importorskip("normflows")
    net = nf.nets.LipschitzMLP([4, 16, 4], lipschitz_const=0.9, max_lipschitz_iter=5)
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(4), [nf.flows.Residual(net, reduce_memory=False)])
    wrapped = zoo.wrap(moved(flow))
    assert wrapped.density == "none"  # the library estimates it by random directions
    assert "turns" in wrapped.origin["how"]
    z = inputs(10.0)
    with torch.no_grad():
        together = wrapped.inverse(z)
        alone = torch.cat([wrapped.inverse(each[None]) for each in z[:4]])
        torch.testing.assert_close(together[:4], alone, atol=1e-5, rtol=1e-5)
        block = flow.flows[0].iresblock
        torch.testing.assert_close(block.forward(together), z, atol=1e-4, rtol=1e-4)


# -- conversions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize("name", ["MAF", "NSF"])
def test_a_converted_flow_of_zuko_is_the_same_flow(name, context):
    import zoo
    from zoo_zuko.converted import converted

    flow = zuko_flow(name, context=context, transforms=3, hidden_features=(16, 12), randperm=True)
    ours = converted(flow, zoo.Condition.vector(context) if context else None)
    # far beyond what our own networks would see of a component
    x, c = inputs(10.0), torch.randn(64, context, generator=torch.Generator().manual_seed(2)) if context else None
    with torch.no_grad():
        own = flow(c).log_prob(x)
        torch.testing.assert_close(ours.log_density(x, c), own, atol=1e-3, rtol=1e-4)
        z = inputs(1.0)
        torch.testing.assert_close(ours.inverse(z, c), flow(c).transform.inv(z), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MAF", {"passes": 2}),
        ("MAF", {"activation": nn.ELU}),
        ("MAF", {"residual": True}),
        ("NSF", {"slope": 1e-2}),
        ("SOSPF", {}),
    ],
)
def test_what_has_no_counterpart_is_not_converted(name, options):
    from zoo_zuko.converted import converted

    assert converted(zuko_flow(name, transforms=1, hidden_features=(8, 8), **options), None) is None


def nflows_flow(kind, context=0, **options):
    transforms = pytest.importorskip("nflows.transforms")
    from nflows import distributions, flows

    torch.manual_seed(0)
    more = {"num_bins": 5, "tails": "linear", "tail_bound": 3.0} if "Rational" in kind else {}
    layers = [
        transforms.LULinear(4),
        getattr(transforms, kind)(4, 11, context_features=context or None, **{**more, **options}),
        transforms.RandomPermutation(4),
        transforms.CompositeTransform([getattr(transforms, kind)(4, 9, context_features=context or None, **more)]),
    ]
    return moved(flows.Flow(transforms.CompositeTransform(layers), distributions.StandardNormal([4])), 0.1)


AFFINE, SPLINE = "MaskedAffineAutoregressiveTransform", "MaskedPiecewiseRationalQuadraticAutoregressiveTransform"


@pytest.mark.filterwarnings("ignore:torch.triangular_solve:UserWarning")  # by which nflows inverts
@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (AFFINE, {}),
        (AFFINE, {"use_residual_blocks": False, "activation": torch.tanh}),
        (AFFINE, {"use_residual_blocks": False, "random_mask": True, "num_blocks": 1}),
        (SPLINE, {"activation": nn.functional.elu}),
    ],
)
def test_a_converted_flow_of_nflows_is_the_same_flow(kind, options, context):
    from zoo_nflows.converted import converted

    flow = nflows_flow(kind, context, **options)
    described = converted(flow, (4,), context)
    x, c = inputs(2.0), torch.randn(64, context, generator=torch.Generator().manual_seed(2)) if context else None
    with torch.no_grad():
        z, total = x, 0.0
        for transform in described.transforms:
            z, log_det = transform(z, c)
            total = total + log_det
        own, volume = flow._transform(x, c)
        torch.testing.assert_close(z, own, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(total, volume, atol=1e-4, rtol=1e-4)
        back = inputs(1.0)
        own = flow._transform.inverse(back, c)[0]
        for transform in reversed(described.transforms):
            back = transform.inverse(back, c)[0]
        torch.testing.assert_close(back, own, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("kind", "options"),
    [(AFFINE, {"use_batch_norm": True}), (AFFINE, {"activation": torch.sin}), (SPLINE, {"tails": None})],
)
def test_what_of_nflows_has_no_counterpart_is_not_converted(kind, options):
    from zoo_nflows.converted import converted

    assert converted(nflows_flow(kind, **options), (4,), 0) is None


# -- the direction that normflows lacks --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tanh", "almost pressed flat", "radial", "pressed around a centre"])
def test_planar_and_radial_flows_of_normflows_are_undone(kind):
    """Forwards by the library, and back: the same point, and the opposite log-determinant."""
    nf = pytest.importorskip("normflows")
    from zoo_normflows import inverses

    torch.manual_seed(0)
    flow = {
        "tanh": lambda: nf.flows.Planar((4,)),
        "almost pressed flat": lambda: nf.flows.Planar((4,), u=torch.full((1, 4), -2.0), w=torch.full((1, 4), 1.5)),
        "radial": lambda: nf.flows.Radial((4,)),
        "pressed around a centre": lambda: nf.flows.Radial((4,), z_0=torch.zeros(1, 4)),
    }[kind]()
    with torch.no_grad():
        if kind == "pressed around a centre":
            flow.beta.fill_(-6.0)
            flow.alpha.fill_(2.0)
        flow = flow.double()
        z = inputs().double()
        x, there = flow(z)
        with inverses.both_ways():
            back, log_det = flow.inverse(x)
    torch.testing.assert_close(back, z, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(log_det, -there, atol=1e-8, rtol=1e-8)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")  # of the library
@pytest.mark.parametrize("kind", ["Planar", "Radial"])
def test_a_bundle_of_planar_and_radial_flows_scores_as_normflows_forward_map_says(kind, tmp_path):
    nf = pytest.importorskip("normflows")
    import zoo
    from zoo import runtime

    torch.manual_seed(0)
    flow = moved(nf.NormalizingFlow(nf.distributions.DiagGaussian(4), [getattr(nf.flows, kind)((4,)) for _ in "ab"]))
    bundle = runtime.load(zoo.export(zoo.wrap(flow), tmp_path / "out"))
    with torch.no_grad():
        z = torch.randn(500, 4)
        x, log_det = flow.forward_and_log_det(z)
        expected = flow.q0.log_prob(z) - log_det
    torch.testing.assert_close(torch.from_numpy(bundle.log_prob(x.numpy())).float(), expected, atol=1e-4, rtol=1e-4)
