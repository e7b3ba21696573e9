"""zoo.wrap: which adapter takes a model, what is refused before anything is traced, and what a bundle remembers."""

import copy
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402 - after the check

import zoo  # noqa: E402
from zoo.registry import Registry  # noqa: E402
from zoo.registry.discovery import Plugin, PluginRecord  # noqa: E402

acme_flows = pytest.importorskip("acme_flows")


def registry(*adapters, plugin="acme"):
    record = PluginRecord(name=plugin, distribution=f"zoo-{plugin}", version="1", module="zoo_acme")
    return Plugin(record, {"adapter": tuple(adapters)})


ACME = zoo.Adapter(name="acme", classes=("acme_flows.TriangularFlow",), entry="zoo_acme:wrapped")


def wrap(flow, *plugins, **options):
    return zoo.wrap(flow, registry=Registry(plugins or (registry(ACME),)), **options)


class Finer(acme_flows.TriangularFlow):
    pass


def test_an_adapter_takes_a_class_and_what_derives_from_it():
    assert type(wrap(Finer(3))).__name__ == "AcmeFlow"


def test_the_adapter_of_the_most_special_class_is_taken():
    finer = zoo.Adapter(name="finer", classes=(f"{__name__}.Finer",), entry="zoo_acme:wrapped")
    plugins = registry(ACME), registry(finer, plugin="finer")
    from zoo.models.wrapping import _adapter

    assert _adapter(Registry(plugins), Finer(3)).description is finer
    assert _adapter(Registry(plugins), acme_flows.TriangularFlow(3)).description is ACME


def test_two_adapters_of_one_class_are_a_conflict_that_names_both():
    other = zoo.Adapter(name="other", classes=ACME.classes, entry="zoo_acme:wrapped")
    with pytest.raises(zoo.NameConflictError, match=r"acme of zoo-acme 1 and other of zoo-other 1"):
        wrap(Finer(3), registry(ACME), registry(other, plugin="other"))


def test_an_unknown_class_is_refused_with_the_adapters_there_are():
    with pytest.raises(zoo.UsageError, match=r"no adapter knows torch\.nn\.modules\.linear\.Linear") as caught:
        wrap(nn.Linear(3, 3))
    assert "acme" in caught.value.hint


def test_importing_the_adapters_imports_neither_torch_nor_a_library():
    code = (
        "import sys, zoo; zoo.installed().items('adapter');"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'zuko', 'nflows'"
        ", 'normflows', 'FrEIA'}))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"event_shape": (4,)}, r"has events of shape \(3,\), not \(4,\)"),
        ({"event_shape": ()}, r"has events of shape \(3,\), not \(\)"),
        ({"context": 2}, r"TriangularFlow cannot be called: RuntimeError: .* \(.*acme_flows\.py:\d+ of acme_flows\)"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_traced(options, message):
    with pytest.raises(zoo.ZooError, match=message):
        wrap(acme_flows.TriangularFlow(3), **options)


def test_an_option_that_an_adapter_does_not_have_is_a_usage_error():
    with pytest.raises(zoo.UsageError, match="the adapter acme does not take these options"):
        wrap(acme_flows.TriangularFlow(3), embedding=3)


def test_a_wrapped_flow_follows_the_weights_of_the_librarys_model():
    flow = acme_flows.TriangularFlow(3)
    wrapped = wrap(flow)
    before = wrapped.sample(2, seed=0)
    with torch.no_grad():
        flow.shift.bias += 1
    torch.testing.assert_close(wrapped.sample(2, seed=0), before + 1)


def test_a_model_without_parameters_has_a_device_and_a_type():
    class Still(acme_flows.TriangularFlow):
        def __init__(self):
            nn.Module.__init__(self)
            self.size, self.lower, self.shift = 2, torch.zeros(2, 2), nn.Identity()

        def _shift(self, x, c):
            return 0.0

    wrapped = wrap(Still())
    assert list(wrapped.parameters()) == []
    assert (wrapped.device.type, wrapped.dtype) == ("cpu", torch.float32)
    assert copy.deepcopy(wrapped).double().dtype == torch.float64
    assert wrapped.sample(2, seed=0).shape == (2, 2)


def test_a_bundle_runs_without_torch_and_says_how_to_get_the_model_back(tmp_path, trained):
    """The flow of the page docs/adapters.md: a base that is not normal, len(x), and a context."""
    from zoo import runtime, weights

    flow = trained(acme_flows.TriangularFlow(3, 2))
    wrapped = wrap(flow, context=2)
    folder = zoo.export(wrapped, tmp_path / "out")
    bundle = runtime.load(folder)
    c = np.array([[0.5, -1.0]] * 4, np.float32)
    x = bundle.sample(4, condition=c, seed=3)
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(x), wrapped.sample(4, condition=c, seed=3))
        scored = flow.log_likelihood(torch.from_numpy(x), torch.from_numpy(c))
    np.testing.assert_allclose(bundle.log_prob(x, condition=c), scored, atol=1e-5)
    assert bundle.manifest.model["origin"] == {
        "library": "acme_flows",
        "version": "",
        "class": "acme_flows.TriangularFlow",
    }
    with pytest.raises(zoo.BundleError, match=r"holds a model of acme_flows, acme_flows\.TriangularFlow") as caught:
        zoo.load(folder)
    assert "zoo.wrap(TriangularFlow(...), event_shape=(3,), context=2)" in caught.value.hint
    again = wrap(acme_flows.TriangularFlow(3, 2), context=2)
    weights.load_into(again, weights.read(folder / "weights.safetensors"), source=folder)
    torch.testing.assert_close(again.sample(2, condition=c[0], seed=0), wrapped.sample(2, condition=c[0], seed=0))
