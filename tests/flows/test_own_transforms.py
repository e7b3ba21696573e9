"""``zoo.Flow`` of transforms of one's own, as docs/flows.md shows it."""

import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import zoo  # noqa: E402
from zoo.errors import ConfigError  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs" / "flows.md"


def example(which):
    """The names that an example of the page defines."""
    text = DOCS.read_text("utf-8").partition("## Your own transforms")[2].partition("\n## ")[0]
    examples = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(examples) == 2
    names = {"__name__": __name__}
    exec(compile(examples[which], str(DOCS), "exec"), names)
    return names


@pytest.fixture(scope="module")
def flow():
    names = example(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = names["SinhFlow"](size=2)
        data = torch.distributions.StudentT(2.0).sample((4000, 2)) + torch.tensor([3.0, 0.0])
        flow.prepare(data)
        optimizer = torch.optim.Adam(flow.parameters(), 0.05)
        before = float(flow.loss(data).detach())
        for _ in range(60):
            optimizer.zero_grad()
            loss = flow.loss(data)
            loss.backward()
            optimizer.step()
    return flow.eval(), data, before


def test_the_public_name_is_the_class_that_the_built_in_plugin_describes():
    from zoo_flows.flow import Flow

    assert zoo.Flow is Flow
    assert zoo.installed().load_entry(zoo.installed().family("flow")) is Flow


def test_the_example_of_the_docs_is_a_bijection_with_its_density_and_learns(flow):
    flow, data, before = flow
    x = data[:50]
    z, log_det = flow.to_noise(x)
    back, inverse = flow.to_data(z)
    torch.testing.assert_close(back, x, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(log_det, -inverse, rtol=1e-4, atol=1e-4)
    assert float(flow.loss(data).detach()) < before - 0.3


@pytest.mark.slow
def test_the_example_of_the_docs_exports_and_runs(flow, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from zoo.exporting import export
    from zoo.runtime import load

    flow, data, _ = flow
    bundle = load(export(flow, tmp_path / "bundle"))
    assert bundle.manifest.density == "exact"
    with torch.no_grad():
        np.testing.assert_allclose(bundle.sample(16, seed=1), flow.sample(16, seed=1).numpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(bundle.log_prob(data[:16].numpy()), flow.log_prob(data[:16]).numpy(), atol=1e-4)


def conditional():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = example(1)["PictureFlow"](size=2)
        for parameter in flow.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return flow


def test_modules_of_a_subclass_encode_the_parts_of_a_flow_and_learn():
    flow, picture = conditional(), torch.rand(32, 1, 4, 4)
    flow.prepare(torch.randn(32, 2), flow.condition_tensors({"picture": picture}, 32))
    flow.train()
    frozen = flow.frozen()
    assert frozen.see is flow.see
    # the copy evaluates, and what it shares goes on training
    assert flow.see.training
    assert not any(module.training for module in (frozen, *frozen.transforms, frozen.base))
    flow.loss(torch.randn(32, 2), condition={"picture": picture}).backward()
    assert flow.see.weight.grad.abs().sum() > 0
    with pytest.raises(ConfigError, match="needs an encoder that gives them as one embedding") as caught:
        zoo.Flow((2,), [], [], condition=flow.condition)
    assert "override encode_condition and encoded_ports" in caught.value.hint


@pytest.mark.slow
def test_a_flow_whose_subclass_encodes_its_parts_exports_and_runs(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from zoo.exporting import export
    from zoo.runtime import load

    flow = conditional().eval()
    bundle, given = load(export(flow, tmp_path / "bundle", fused={})), {"picture": np.eye(4)[None]}
    assert set(bundle.manifest.graphs) == {"condition", "inverse", "log_prob", "fused"}
    with torch.no_grad():
        x = flow.sample(5, condition=given, seed=1)
        np.testing.assert_allclose(bundle.sample(5, condition=given, seed=1), x, atol=1e-4)
        np.testing.assert_allclose(bundle.sample(5, condition=given, seed=1, fused=True), x, atol=1e-4)
        expected = flow.log_prob(x, condition=given)
        np.testing.assert_allclose(bundle.log_prob(x.numpy(), condition=given), expected, atol=1e-4)
