"""torch.compile takes a loss as one graph: what breaks it costs more than compiling gains."""

import pytest

torch = pytest.importorskip("torch")

from zoo.models.building import build  # noqa: E402 - after the check for torch
from zoo.registry import installed  # noqa: E402

CONFIGS = {
    "nsf-ar": {"bins": 4, "transforms": 2, "hidden": [8, 8]},
    "nsf-coupling": {"bins": 4, "transforms": 2, "hidden": 8, "blocks": 1},
    "mlp": {"hidden": 8},
}


@pytest.mark.parametrize(
    ("architecture", "precision"), [("nsf-ar", "float32"), ("nsf-coupling", "bfloat16"), ("mlp", "float32")]
)
def test_a_loss_is_one_graph(architecture, precision):
    torch.manual_seed(0)
    model = build(installed(), architecture, {"event_shape": [4], **CONFIGS[architecture]})
    x = torch.randn(16, 4)
    model.prepare(x)
    torch._dynamo.reset()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        told = torch._dynamo.explain(model.loss)(x)
    assert [reason.reason for reason in told.break_reasons] == []
    assert told.graph_count == 1
