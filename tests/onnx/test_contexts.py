"""Graphs take contexts as they come: their standardisation is inside, in every form of a bundle."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from zoo.exporting import export  # noqa: E402 - after the checks
from zoo.runtime import load  # noqa: E402
from zoo_diffusion.masked import MaskedDiffusion  # noqa: E402
from zoo_diffusion.mlp import MLPDiffusion  # noqa: E402
from zoo_flows.maf import MAF  # noqa: E402
from zoo_flows.realnvp import RealNVP  # noqa: E402
from zoo_targets.compare import golden_context  # noqa: E402

VECTOR = {"kind": "vector", "size": 2}
MEAN, DEVIATION = np.array([3e5, -2e-7]), np.array([1e5, 1e-8])
MODELS = {
    "traced": lambda: RealNVP(event_shape=[2], condition=VECTOR, transforms=2, hidden=16, blocks=1),
    "written": lambda: MAF(event_shape=[2], condition=VECTOR, transforms=1, hidden=[8]),
    "stepped": lambda: MLPDiffusion(event_shape=[2], condition=VECTOR, hidden=16, blocks=1, sampling={"steps": 3}),
    "masked": lambda: MaskedDiffusion(event_shape=[3], levels=3, width=8, layers=1, heads=2, condition=VECTOR),
}
FORMS = {
    "traced": ("traced", {}),
    "written": ("written", {}),
    "fused": ("stepped", {"fused": {}}),
    "masked": ("masked", {}),
    "float16": ("stepped", {"dtype": "float16"}),
    "int8": ("stepped", {"quantize": "int8"}),
    "int8-dynamic": ("traced", {"quantize": "int8-dynamic"}),
}


def fitted(name):
    """A model with weights of its own, prepared on contexts far from unit scale."""
    torch.manual_seed(0)
    model = MODELS[name]()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    model.standardized_context.prepare(torch.from_numpy(contexts(500).astype(np.float32)))
    return model.eval()


def contexts(n):
    return MEAN + DEVIATION * np.random.default_rng(0).normal(size=(n, 2))


@pytest.mark.slow  # an export each
@pytest.mark.sample("traced", "written", "fused", "int8-dynamic")
@pytest.mark.parametrize(("name", "form"), FORMS.values(), ids=FORMS)
def test_runtimes_pass_contexts_as_they_come(name, form, tmp_path):
    model, given = fitted(name), contexts(5).astype(np.float32)
    bundle = load(export(model, tmp_path / "bundle", **form), "cpu")
    x, expected = bundle.sample(5, condition=given, seed=1), model.sample(5, condition=given, seed=1).detach().numpy()
    exact = not {"dtype", "quantize"} & form.keys()
    np.testing.assert_allclose(x, expected, atol=1e-3 if exact else 0.05 * expected.std() * 5)
    # each its own context, whatever it is: the samples of another context differ
    other = bundle.sample(5, condition=given[::-1].copy(), seed=1)
    assert np.abs(x - other).max() > 1e-3
    if exact:
        scores = model.log_prob(torch.from_numpy(x), condition=given).detach().numpy()
        np.testing.assert_allclose(bundle.log_prob(x, condition=given), scores, rtol=1e-3, atol=1e-3)
    # what targets are checked with is a context of the usual size
    assert (np.abs(golden_context(bundle.bundle) - MEAN) < 6 * DEVIATION).all()
