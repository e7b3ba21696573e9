"""Named parts as the context of flows: each has an embedding network, which learns with it and is encoded once."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import zoo  # noqa: E402 - after the check for torch
from zoo.conditions import Condition, Part  # noqa: E402
from zoo.errors import ConfigError  # noqa: E402
from zoo.models.building import build, keywords  # noqa: E402
from zoo.registry import Registry  # noqa: E402
from zoo_flows.cnf import CNF  # noqa: E402
from zoo_flows.realnvp import RealNVP  # noqa: E402
from zoo_flows.transforms import Standardize  # noqa: E402

CONDITION = {
    "parts": [
        {"name": "image", "modality": "image", "shape": [1, 8, 8], "minimum": 0.0, "maximum": 1.0},
        {"name": "arm", "modality": "numbers", "shape": [2], "null": 0.0},
        {"name": "kind", "modality": "classes", "size": 2},
        {"name": "prompt", "modality": "tokens", "shape": ["length"], "size": 4, "padding": 0},
    ]
}
CONDITIONING = {
    "image": {"channels": [4], "width": 8, "grid": 2},
    "kind": {"width": 4},
    "prompt": {"width": 8},
}
#: what makes any of the flows small
SMALL = {"hidden": 8, "transforms": 2, "layers": 1, "steps": 2, "width": 8, "blocks": 1}
FLOWS = sorted(
    item.description.name
    for item in Registry.discover().items("architecture")
    if item.description.entry.startswith("zoo_flows.")
)


def built(name, conditioning=CONDITIONING):
    registry = Registry.discover()
    taken = keywords(registry.load_entry(registry.architecture(name)))
    config = {key: value for key, value in SMALL.items() if key in taken}
    if isinstance(taken.get("hidden"), tuple):
        config["hidden"] = [8, 8]
    config |= {"event_shape": [1, 4, 4]} if name in ("glow", "pixelcnn") else {"event_shape": [2]}
    config |= {"scales": 1} if name == "glow" else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(registry, name, {**config, "condition": CONDITION, "conditioning": conditioning})
        model.prepare(torch.randn(32, *model.event_shape), given(32))
        # what starts at zero hides what comes before it
        for parameter in model.parameters():
            if not parameter.detach().any():
                torch.nn.init.normal_(parameter, std=0.1)
    return model


def given(n):
    random = torch.Generator().manual_seed(1)
    return {
        "image": torch.rand(n, 1, 8, 8, generator=random),
        "arm": 50 + 5 * torch.randn(n, 2, generator=random),
        "kind": torch.randint(2, (n,), generator=random),
        "prompt": torch.randint(1, 4, (n, 3), generator=random),
    }


@pytest.mark.parametrize("name", FLOWS)
def test_every_flow_learns_of_every_part_and_scores_given_them(name):
    model = built(name)
    x, condition = torch.randn(4, *model.event_shape), given(4)
    condition["image"].requires_grad_(True)
    model.loss(x, condition=condition).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key
    assert condition["image"].grad.abs().max() > 0
    model.eval()
    arrays = {key: value.detach().numpy() for key, value in condition.items()}
    density = model.log_prob(x, condition=arrays).detach()
    others = {
        "image": 1 - arrays["image"],
        "arm": arrays["arm"] + 5,
        "kind": 1 - arrays["kind"],
        "prompt": 1 + arrays["prompt"] % 3,
    }
    for part, other in others.items():
        assert (model.log_prob(x, condition={**arrays, part: other}).detach() - density).abs().max() > 1e-6, part
    # of a text that is filled up further the density is the same
    longer = {**arrays, "prompt": np.pad(arrays["prompt"], [(0, 0), (0, 4)])}
    torch.testing.assert_close(model.log_prob(x, condition=longer).detach(), density, atol=1e-5, rtol=1e-5)


def test_numbers_are_standardised_and_stay_with_the_weights():
    model, other = built("maf"), built("maf")
    assert model.context_of(model.condition.parts[1]).shift.tolist() == pytest.approx([50, 50], abs=3)
    other.context_of(other.condition.parts[1]).shift.zero_()
    other.load_state_dict(model.state_dict())
    assert other.context_of(other.condition.parts[1]).shift.tolist() == pytest.approx([50, 50], abs=3)


@pytest.mark.parametrize("name", ["realnvp", "cnf"])
def test_a_part_is_dropped_in_training_alone(name):
    model = built(name, {**CONDITIONING, "arm": {"dropout": 0.99}}).train()
    seen = []
    encode = model.condition_encoder.forward
    model.condition_encoder.forward = lambda parts: seen.append(parts["arm"]) or encode(parts)
    x, condition = torch.randn(64, 2), given(64)
    model.loss(x, condition=condition)
    null = model.context_of(model.condition.parts[1])(torch.zeros(2))
    gone = (seen[-1] - null).abs().max(1).values < 1e-5
    assert 55 <= int(gone.sum()) <= 64
    model.eval().loss(x, condition=condition)
    assert float((seen[-1] - null).abs().max(1).values.min()) > 1.0


def test_a_context_is_embedded_and_nothing_else():
    with pytest.raises(ConfigError, match="image go into this model by embedding, not 'concatenation'"):
        RealNVP(event_shape=[2], condition=CONDITION, conditioning={"image": {"by": "concatenation"}})
    with pytest.raises(ConfigError, match="tokens go into this model by embedding, not 'cross-attention'"):
        RealNVP(event_shape=[2], condition=CONDITION, conditioning={"prompt": {"by": "cross-attention"}})
    with pytest.raises(ConfigError, match="conditioning describes how named parts are embedded"):
        RealNVP(event_shape=[2], condition={"kind": "vector", "size": 2}, conditioning={"condition": {}})
    with pytest.raises(ConfigError, match="without regard to a condition of named parts"):
        CNF(event_shape=[2], condition=CONDITION, coupling="optimal-transport")
    parts = Condition((Part("arm", "numbers", (2,)),))
    with pytest.raises(ConfigError, match="the parts arm needs an encoder that gives them as one embedding"):
        zoo.Flow([2], [Standardize(2)], [], condition=parts)


def test_the_old_conditions_are_what_they_were():
    vector = RealNVP(event_shape=[2], hidden=8, blocks=1, condition={"kind": "vector", "size": 2})
    assert vector.context_size == 2
    assert vector.encoder_module is None
    assert not vector.takes_parts
    assert RealNVP(event_shape=[2], hidden=8, blocks=1).context_size == 0
