"""Other libraries' flows, exported by zoo.wrap and zoo.export, against the libraries' own functions."""

import importlib

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx_ir")

from adapter_cases import CASES, CONTEXT, REFUSED  # noqa: E402 - after the checks, and from scripts
from adapters import DRAWN, deviations  # noqa: E402 - likewise

import zoo  # noqa: E402
from zoo import runtime  # noqa: E402
from zoo.bundle.differences import relative_difference  # noqa: E402

#: samples amplify rounding where inputs are ten deviations from the mean
TOLERANCE = 1e-3


@pytest.mark.parametrize("name", CASES)
@pytest.mark.sample("nflows MAF, embedded | c")
@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_a_bundle_computes_what_the_library_does(name, tmp_path):
    case, context = CASES[name]
    pytest.importorskip(case.library)
    model, inputs = case.model(context), case.inputs(context)
    folder = zoo.export(zoo.wrap(model, context=CONTEXT if context else None), tmp_path / "out")
    bundle = runtime.load(folder)
    given = {"condition": inputs["c"].numpy()} if context else {}
    if context and "condition" in bundle.manifest.graphs:
        given = bundle.session("condition").run(given)
    if case.draw is not None:
        c = inputs["c"][0] if context else None
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(3)
            drawn = case.draw(model, DRAWN, c).numpy()
        ours = bundle.sample(DRAWN, seed=0, condition=None if c is None else c.numpy())
        assert deviations(ours, drawn) < 5
    feeds = {name: value.numpy() for name, value in inputs.items()}
    if case.precise:
        model, inputs = model.double(), {name: value.double() for name, value in inputs.items()}
    with torch.no_grad():
        if case.sample is not None:
            (x,) = bundle.session("inverse").run({"z": feeds["z"], **given}).values()
            assert relative_difference(x, case.sample(model, inputs["z"], inputs.get("c")).numpy(), 1.0) < TOLERANCE
        if case.score is not None:
            x, expected = inputs["x"], case.score(model, inputs["x"], inputs.get("c"))
            if case.one_way:
                x, expected = expected
            (p,) = bundle.session("log_prob").run({"x": x.float().numpy(), **given}).values()
            assert relative_difference(p, expected.numpy(), 4.0) < TOLERANCE
    assert bundle.manifest.model["origin"]["library"] == case.library


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.sample("zuko GF", "nflows MAF | c")
@pytest.mark.filterwarnings("ignore")  # of the libraries
def test_what_float32_or_the_library_cannot_invert_is_refused_by_its_line(name, tmp_path):
    case, context = CASES[name]
    pytest.importorskip(case.library)
    with pytest.raises(zoo.ProofError, match=REFUSED[name]) as caught:
        zoo.export(zoo.wrap(case.moved(context), context=CONTEXT if context else None), tmp_path / "out")
    assert caught.value.hint.startswith("Train")


@pytest.mark.parametrize(
    ("library", "build", "message"),
    [
        (
            "nflows",
            lambda m: _flow(importlib.import_module("nflows.transforms").ActNorm(4)),
            r"ActNorm \(_transform\) of Flow was never initialised.*\(ActNorm, normalization\.py:\d+ of nflows\)",
        ),
        (
            "normflows",
            lambda m: m.NormalizingFlow(m.distributions.DiagGaussian(4), [m.flows.ActNorm((4,))]),
            r"ActNorm \(flows\.0\) of NormalizingFlow was never initialised.*\(ActNorm, normalization\.py:\d+ of norm",
        ),
        (
            "normflows",
            lambda m: m.NormalizingFlow(m.distributions.GaussianPCA(4, latent_dim=2), []),
            r"the base GaussianPCA of NormalizingFlow is none of DiagGaussian.*\(GaussianPCA, base\.py:\d+ of norm",
        ),
    ],
)
def test_what_an_adapter_cannot_take_is_refused_by_name(library, build, message):
    module = pytest.importorskip(library)
    with pytest.raises(zoo.ExportError, match=message) as caught:
        zoo.wrap(build(module), event_shape=(4,))
    assert caught.value.hint


def test_an_operator_that_onnx_lacks_is_told_with_class_and_line(tmp_path):
    """Of a method that is not ``forward``, whose lines torch does not note."""
    base = pytest.importorskip("nflows.transforms").Transform

    class Airy(base):
        def forward(self, inputs, context=None):
            return inputs - torch.special.airy_ai(0 * inputs), torch.zeros_like(inputs[:, 0])

        def inverse(self, inputs, context=None):
            return inputs + torch.special.airy_ai(0 * inputs), torch.zeros_like(inputs[:, 0])

    line = Airy.inverse.__code__.co_firstlineno + 1
    with pytest.raises(zoo.ExportError, match=rf"aten\.special_airy_ai.*\(Airy, test_export\.py:{line} of ") as caught:
        zoo.export(zoo.wrap(_flow(Airy())), tmp_path / "out")
    assert "mended" in caught.value.hint


def test_what_fails_in_a_proof_is_told_with_class_and_line(tmp_path):
    """As a cache of the library that keeps a tensor of the trace."""
    base = pytest.importorskip("nflows.transforms").Transform

    class Keeping(base):
        def forward(self, inputs, context=None):
            if len(inputs) == 17:
                raise RuntimeError("a tensor of the trace was kept")
            return inputs + 0, torch.zeros_like(inputs[:, 0])

        def inverse(self, inputs, context=None):
            return inputs + 0, torch.zeros_like(inputs[:, 0])

    line = Keeping.forward.__code__.co_firstlineno + 2
    with pytest.raises(zoo.ZooError, match=rf"RuntimeError: a tensor .* was kept \(Keeping, test_export\.py:{line}"):
        zoo.export(zoo.wrap(_flow(Keeping())), tmp_path / "out")


class Ratio(zoo.Wrapped):
    """A log-ratio of pairs (x, c), which has not the mass of a density of x."""

    density = "ratio"
    samples = False

    def own_event_shape(self):
        return (3,)

    def log_density(self, x, condition=None):
        return 3 - 0.5 * (x - self.flow(condition)).square().sum(1)


def test_a_log_ratio_is_exported_as_what_it_is(tmp_path):
    """The proof of a density would refuse it, and no metric takes it for a likelihood."""
    model = Ratio(torch.nn.Linear(2, 3), None, 2).eval()
    bundle = runtime.load(zoo.export(model, tmp_path / "out"))
    x, c = torch.randn(5, 3), torch.randn(5, 2)
    with torch.no_grad():
        torch.testing.assert_close(
            torch.from_numpy(bundle.log_prob(x.numpy(), condition=c.numpy())).float(), model.log_density(x, c)
        )
    assert bundle.manifest.density == "ratio"
    assert "the logarithm of the ratio to another density" in (tmp_path / "out" / "MODEL_CARD.md").read_text("utf-8")
    from types import SimpleNamespace

    from zoo.metrics.likelihood import likelihood

    assert likelihood(SimpleNamespace(model=bundle, data=None)) == {}
    with pytest.raises(zoo.UsageError, match="has no density, so it cannot be trained by its negative log-likelihood"):
        model.loss(x, condition=c)
    model.density = "exact"
    with pytest.raises(zoo.ProofError, match=r"mass|impossible for a density"):
        zoo.export(model, tmp_path / "density")


def _flow(transform):
    from nflows import distributions, flows

    return flows.Flow(transform, distributions.StandardNormal([4]))


@pytest.mark.filterwarnings("ignore:torch.triangular_solve:UserWarning")  # by which nflows inverts
def test_nflows_caches_do_not_outlive_the_weights():
    """A cache would keep the matrix of before, and cannot be copied with its gradient."""
    transforms = pytest.importorskip("nflows.transforms")
    import copy

    flow = _flow(transforms.LULinear(4, using_cache=True)).eval()
    z = torch.randn(2, 4)
    flow._transform.inverse(z)  # fills the cache
    wrapped = zoo.wrap(flow)
    with torch.no_grad():
        flow._transform.bias += 1
        flow._transform.lower_entries += 0.5
        fresh = copy.deepcopy(wrapped)
        expected = fresh.flow._transform.inverse_no_cache(z)[0]
        torch.testing.assert_close(wrapped.inverse(z), expected)
