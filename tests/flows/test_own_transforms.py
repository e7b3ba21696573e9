"""``zoo.Flow`` of transforms of one's own, as docs/flows.md shows it."""

import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import zoo  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs" / "flows.md"


@pytest.fixture(scope="module")
def flow():
    text = DOCS.read_text("utf-8").partition("## Your own transforms")[2].partition("\n## ")[0]
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    names = {"__name__": __name__}
    exec(compile(example, str(DOCS), "exec"), names)
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
