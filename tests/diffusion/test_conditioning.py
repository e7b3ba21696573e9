"""Named parts in the built-in networks: by an embedding, beside the data, or attended to, as a config says."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402 - after the check

from zoo.conditions import Condition, Part  # noqa: E402
from zoo.errors import ConfigError, UnknownNameError  # noqa: E402
from zoo.models.encoders import Resize  # noqa: E402
from zoo.models.encoding import CROSS_ATTENTION, EMBEDDING, Plan  # noqa: E402
from zoo_diffusion.adm import ADMDiffusion  # noqa: E402
from zoo_diffusion.diffwave import DiffWaveDiffusion  # noqa: E402
from zoo_diffusion.dit import DiTDiffusion  # noqa: E402
from zoo_diffusion.masked import MaskedDiffusion  # noqa: E402
from zoo_diffusion.mlp import MLPDiffusion  # noqa: E402
from zoo_diffusion.networks.policy import PolicyUNet1d  # noqa: E402
from zoo_diffusion.spatial import ATTENDING  # noqa: E402
from zoo_diffusion.unet import UNetDiffusion  # noqa: E402
from zoo_diffusion.unet1d import UNet1dDiffusion  # noqa: E402
from zoo_diffusion.unet2d import UNet2DDiffusion  # noqa: E402
from zoo_diffusion.uvit import UViTDiffusion  # noqa: E402

IMAGE = {"name": "image", "modality": "image", "shape": [2, 6, 5], "minimum": 0.0, "maximum": 1.0, "null": 0.0}
SOUND = {"name": "sound", "modality": "audio", "shape": [12], "minimum": -1.0, "maximum": 1.0, "null": 0.0}
ARM = {"name": "arm", "modality": "numbers", "shape": [5], "null": 0.0}
KIND = {"name": "kind", "modality": "classes", "size": 3, "null": 3}
PROMPT = {"name": "prompt", "modality": "tokens", "shape": ["length"], "size": 4, "padding": 0, "null": 0}
TRACK = {"name": "track", "modality": "sequence", "shape": ["frames", 3], "null": 0.0}
SMALL = {"width": 8, "layers": 1}

UNET2D = {
    "block_out_channels": [8, 8],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "norm_num_groups": 4,
    "attention_head_dim": 8,
}
UNET = {"base": 8, "multipliers": [1, 2], "attention": [1], "head_channels": 8}
POLICY = {"layout": "diffusion-policy", "down_dims": [8, 16], "step_embedding": 8}
ADM = {"model_channels": 8, "channel_mult": [1, 2], "attention_resolutions": [2], "num_head_channels": 8}
DIFFWAVE = {"patch": 2, "residual_channels": 8, "layers": 2, "cycle": 2, "embedding": 8}
TRANSFORMER = {"depth": 2, "num_heads": 2}


def parts(*given):
    return {"parts": list(given)}


#: architecture, config, and how many cross-attentions its network has
NETWORKS = {
    "unet2d": (UNet2DDiffusion, {**UNET2D, "event_shape": [1, 8, 8]}, 4),
    "unet": (UNetDiffusion, {**UNET, "event_shape": [1, 8, 8]}, 4),
    "dit": (DiTDiffusion, {**TRANSFORMER, "hidden_size": 8, "event_shape": [1, 8, 8]}, 2),
    "uvit": (UViTDiffusion, {**TRANSFORMER, "embed_dim": 8, "event_shape": [1, 8, 8]}, 0),
    "unet1d": (UNet1dDiffusion, {**UNET, "patch": 2, "event_shape": [1, 16]}, 4),
    "policy": (UNet1dDiffusion, {**POLICY, "event_shape": [16, 2], "channels_last": True}, 1),
    "mlp": (MLPDiffusion, {"event_shape": [3], "hidden": 8, "blocks": 1}, 0),
    "adm": (ADMDiffusion, {**ADM, "event_shape": [1, 8, 8]}, 0),
    "diffwave": (DiffWaveDiffusion, {**DIFFWAVE, "event_shape": [1, 16]}, 0),
}
#: what each network takes of what, by name
TAKEN = {
    "unet2d": (parts(IMAGE, ARM, KIND, PROMPT), {"prompt": SMALL, "image": {}}),
    "unet": (parts(IMAGE, PROMPT, TRACK), {"prompt": SMALL, "track": SMALL}),
    "dit": (parts(IMAGE, PROMPT, KIND), {"prompt": SMALL, "image": {"by": "embedding", "width": 8, "channels": [4]}}),
    "uvit": (parts(IMAGE, PROMPT), {"prompt": {**SMALL, "by": "embedding"}}),
    "unet1d": (parts(SOUND, TRACK, ARM), {"track": SMALL, "arm": {"width": 4}}),
    "policy": (parts({**IMAGE, "null": 0.5}, ARM, PROMPT), {"prompt": SMALL, "image": {"channels": [4], "width": 8}}),
    "mlp": (parts(ARM, KIND, PROMPT), {"arm": {"by": "concatenation"}, "prompt": SMALL}),
    "adm": (parts(IMAGE, KIND, PROMPT), {"prompt": SMALL}),
    "diffwave": (parts(SOUND, ARM, PROMPT), {"prompt": SMALL, "arm": {"width": 4}}),
}


def built(name, *, seed=0):
    kind, config, _ = NETWORKS[name]
    condition, conditioning = TAKEN[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(condition=condition, conditioning=conditioning, **config)
        # what starts at zero hides what comes before it
        for parameter in model.parameters():
            if not parameter.detach().any() or (name == "uvit" and parameter.ndim > 1):
                torch.nn.init.normal_(parameter, std=0.1)
    return model


def drawn(model, n, length=3):
    generator = torch.Generator().manual_seed(0)
    values = {}
    for part in model.condition.parts:
        shape = [length if isinstance(size, str) else size for size in part.shape]
        if part.dtype == "int32":
            low = 1 if part.modality == "tokens" else 0
            values[part.name] = torch.randint(low, part.size, (n, *shape), generator=generator)
        else:
            values[part.name] = torch.rand(n, *shape, generator=generator)
    return values


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_learns_of_every_part(name):
    model = built(name)
    attentions = sum(type(module).__name__ == "CrossAttention" for module in model.network.modules())
    assert attentions == NETWORKS[name][2]
    condition = {key: value.requires_grad_(value.is_floating_point()) for key, value in drawn(model, 3).items()}
    model.class_dropout = 0.0
    model.loss(torch.randn(3, *model.event_shape), condition=condition).backward()
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert parameter.grad.abs().max() > 0, key
    assert all(value.grad.abs().max() > 0 for value in condition.values() if value.requires_grad)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "unet1d"])
def test_what_fills_tokens_up_changes_nothing(name):
    model = built(name).eval()
    given = drawn(model, 2)
    longer = {key: F.pad(value, (0, 4)) if key == "prompt" else value for key, value in given.items()}
    options = {"seed": 0, "steps": 2, "guidance": 1.0}
    x = model.sample(2, condition=given, **options)
    torch.testing.assert_close(model.sample(2, condition=longer, **options), x, atol=1e-5, rtol=1e-5)
    other = {**given, "prompt": 1 + given["prompt"] % 3}
    assert (model.sample(2, condition=other, **options) - x).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("name", "condition", "conditioning", "says"),
    [
        ("mlp", parts(IMAGE), {"image": {"by": "concatenation"}}, "image go into this model by embedding, not 'concat"),
        ("uvit", parts(PROMPT), {"prompt": {"by": "cross-attention"}}, "tokens go into this model by embedding, not"),
        (
            "unet2d",
            parts(TRACK),
            {"track": {"by": "concatenation"}},
            "sequence go into .* embedding or cross-attention",
        ),
        (
            "unet1d",
            parts(TRACK),
            {"track": {"by": "concatenation"}},
            "sequence go into .* embedding or cross-attention",
        ),
        (
            "unet2d",
            parts(ARM),
            {"arm": {"by": "film"}},
            "conditioning.arm: numbers go into this model by embedding, not",
        ),
        ("unet2d", parts(ARM), {"arm": {"heads": 2}}, "numbers by embedding have no heads"),
        ("unet2d", parts(IMAGE), {"image": {"width": 8}}, "image by concatenation have no width"),
        ("unet2d", parts(ARM), {"leg": {}}, "conditioning is for the parts arm, and there is no part 'leg'"),
        ("unet2d", parts(ARM), {"arm": {"wide": 2}}, "conditioning.arm: .*wide"),
        ("unet2d", parts(ARM), {"arm": "embedding"}, "conditioning.arm must be a table"),
        ("unet2d", parts(PROMPT), {"prompt": {"width": 6}}, "width .6. must be divisible by .* heads"),
        ("unet2d", parts({**ARM, "null": None}), {"arm": {"dropout": 0.1}}, "dropout above 0 needs a null"),
        ("unet2d", parts(ARM), {"arm": {"dropout": 1.0}}, "dropout must be in"),
        ("unet2d", parts(PROMPT, TRACK), {"track": {"width": 8}}, "the same width and heads"),
        ("unet2d", {"kind": "classes", "size": 2}, {"condition": {}}, "conditioning describes how named parts"),
        ("unet2d", parts(ARM, {**KIND, "name": "embedding"}), {}, "gives embedding, which is the name of a part"),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_sentence(name, condition, conditioning, says):
    kind, config, _ = NETWORKS[name]
    condition = {**condition}
    if "parts" in condition:
        condition["parts"] = [{k: v for k, v in part.items() if v is not None} for part in condition["parts"]]
    with pytest.raises(ConfigError, match=says):
        kind(condition=condition, conditioning=conditioning, **config).programs()


def test_other_refusals():
    with pytest.raises(ConfigError, match="takes one class or one vector, not the parts arm"):
        MaskedDiffusion(event_shape=[4], levels=3, condition=parts(ARM))
    with pytest.raises(ConfigError, match=r"optimal-transport coupling .* named parts"):
        MLPDiffusion(event_shape=[2], condition=parts(ARM), objective={"coupling": "optimal-transport"})
    with pytest.raises(UnknownNameError, match="layout"):
        UNet1dDiffusion(event_shape=[1, 16], layout="policy")
    with pytest.raises(
        ConfigError, match="of 3 levels over patches of 4 needs a length divisible by 16, not 40"
    ) as told:
        UNet1dDiffusion(event_shape=[1, 40], patch=4, multipliers=[1, 1, 1])
    assert told.value.hint.startswith("The nearest: 32 and 48")
    with pytest.raises(ConfigError, match="the layout adm takes no down_dims"):
        UNet1dDiffusion(event_shape=[1, 16], down_dims=[8])
    with pytest.raises(ConfigError, match="the layout diffusion-policy takes no patch"):
        UNet1dDiffusion(event_shape=[16, 2], patch=2, **POLICY)
    with pytest.raises(ConfigError, match="needs a length divisible by 2, not 15"):
        UNet1dDiffusion(event_shape=[15, 2], channels_last=True, **POLICY)
    with pytest.raises(ConfigError, match="channels_last applies only to signals with a fixed variance"):
        UNet1dDiffusion(event_shape=[16, 2], channels_last=True, variance="learned-range", **POLICY)


def test_defaults_are_what_fits_the_modality():
    described = Condition.from_description(parts(IMAGE, SOUND, ARM, KIND, PROMPT, TRACK))
    ways = {name: each.by for name, each in Plan.of(described, None, ATTENDING, size=(8, 8)).encodings.items()}
    assert ways == {
        "image": "concatenation",
        "sound": "embedding",
        "arm": "embedding",
        "kind": "embedding",
        "prompt": "cross-attention",
        "track": "cross-attention",
    }
    flows = Plan.of(described, None, (EMBEDDING,))
    assert {each.by for each in flows.encodings.values()} == {"embedding"}
    assert flows.embedding == 64 + 64 + 5 + 32 + 64 + 64
    assert Plan.of(described, None, (EMBEDDING, CROSS_ATTENTION), size=(16,)).encodings["sound"].by == "embedding"
    assert Plan.of(described, None, ATTENDING, size=(16,)).encodings["sound"].by == "concatenation"


def test_parts_are_dropped_together_or_one_by_one():
    condition = parts(IMAGE, ARM, {**KIND, "size": 3}, PROMPT)
    conditioning = {"arm": {"dropout": 0.5}, "kind": {"dropout": 0.25}, "prompt": SMALL}
    model = UNet2DDiffusion(event_shape=[1, 8, 8], condition=condition, conditioning=conditioning, **UNET2D)
    assert model.part_dropout == {"arm": 0.5, "kind": 0.25}
    n = 4000
    given = model.condition_tensors({**drawn(model, n), "arm": torch.ones(n, 5)}, n)
    torch.manual_seed(0)
    hidden = model.hidden(given, 0.1)
    gone = {
        "image": ~hidden["image"].flatten(1).any(1),
        "arm": ~hidden["arm"].any(1),
        "kind": hidden["kind"] == 3,
        "prompt": ~hidden["prompt"].any(1),
    }
    share = {name: float(each.float().mean()) for name, each in gone.items()}
    # six standard deviations of 4000 draws are below 0.05
    assert share == pytest.approx({"image": 0.1, "prompt": 0.1, "arm": 1 - 0.9 * 0.5, "kind": 1 - 0.9 * 0.75}, abs=0.05)
    # image and prompt go only together, and then all do
    assert torch.equal(gone["image"], gone["prompt"])
    assert bool((gone["arm"] & gone["kind"])[gone["image"]].all())
    # arm and kind are independent where not all are gone
    left = ~gone["image"]
    assert float((gone["arm"] & gone["kind"])[left].float().mean()) == pytest.approx(0.125, abs=0.05)
    assert hidden["prompt_mask"][gone["prompt"]].tolist() == [[1, 0, 0]] * int(gone["prompt"].sum())


def test_a_part_without_a_null_is_never_dropped_and_others_are():
    part = {k: v for k, v in ARM.items() if k != "null"}
    model = MLPDiffusion(
        event_shape=[2], condition=parts(part, KIND), conditioning={"kind": {"dropout": 0.5}}, hidden=8, blocks=1
    )
    given = model.condition_tensors(drawn(model, 400), 400)
    hidden = model.hidden(given, 0.9)
    assert torch.equal(hidden["arm"], given["arm"])
    assert float((hidden["kind"] == 3).float().mean()) == pytest.approx(0.5, abs=0.15)


def test_a_picture_beside_the_data_is_resized_and_in_its_range():
    model = UNet2DDiffusion(event_shape=[1, 8, 8], condition=parts(IMAGE), **UNET2D)
    image = torch.rand(2, 2, 6, 5)
    beside = model.encode_condition({"image": image})["beside"]
    expected = F.interpolate(2 * image - 1, (8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(beside, expected, atol=1e-6, rtol=0)
    assert model.network.conv_in.in_channels == 3


@pytest.mark.parametrize(("sides", "to"), [((6, 5), (8, 8)), ((9, 16), (4, 3)), ((4, 4), (4, 4)), ((8, 2), (2, 8))])
def test_resizing_is_pillows(sides, to):
    x = torch.rand(2, 3, *sides)
    expected = F.interpolate(x, to, mode="bilinear", align_corners=False, antialias=True)
    torch.testing.assert_close(Resize(sides, to)(x), expected, atol=1e-5, rtol=0)


def test_channels_last_is_the_same_network_with_its_axes_swapped():
    condition, conditioning = parts(ARM, {**TRACK, "shape": [8, 3]}), {"track": {"by": "concatenation"}}
    config = {**POLICY, "condition": condition, "conditioning": conditioning}
    last = UNet1dDiffusion(event_shape=[16, 2], channels_last=True, **config)
    first = UNet1dDiffusion(event_shape=[2, 16], **config)
    first.network.load_state_dict(last.network.network.state_dict())
    first.condition_encoder.load_state_dict(last.condition_encoder.state_dict())
    for model in (first, last):
        torch.nn.init.ones_(first.network.final_conv[1].weight)
        torch.nn.init.ones_(last.network.network.final_conv[1].weight)
        model.eval()
    given, noise = drawn(last, 2), torch.randn(2, 16, 2)
    x = last.sample(2, condition=given, noise=noise, seed=0, steps=2)
    y = first.sample(2, condition=given, noise=noise.transpose(1, 2), seed=0, steps=2)
    assert x.shape == (2, 16, 2)
    torch.testing.assert_close(y.transpose(1, 2), x, atol=1e-5, rtol=1e-5)


class Published(torch.nn.Module):
    """Diffusion Policy's block, written from its published code: FiLM with a scale that is not 1 + scale."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x, condition):
        first, second = (each.block for each in self.block.blocks)
        h = F.mish(F.group_norm(first[0](x), first[1].num_groups, first[1].weight, first[1].bias))
        weight, bias = self.block.cond_encoder[1].weight, self.block.cond_encoder[1].bias
        embed = F.linear(F.mish(condition), weight, bias).reshape(len(x), 2, -1, 1)
        h = embed[:, 0] * h + embed[:, 1]
        h = F.mish(F.group_norm(second[0](h), second[1].num_groups, second[1].weight, second[1].bias))
        return h + self.block.residual_conv(x)


def published(network, x, time, condition):
    """The published forward pass, with the parameters of ours."""
    half = network.diffusion_step_encoder[1].in_features // 2
    angles = time[:, None] * torch.exp(torch.arange(half) * -(np.log(10000) / (half - 1)))[None]
    step = torch.cat([angles.sin(), angles.cos()], 1)
    step = network.diffusion_step_encoder[3](F.mish(network.diffusion_step_encoder[1](step)))
    told, h, skips = torch.cat([step, condition], 1), x, []
    for one, two, down in network.down_modules:
        h = Published(two)(Published(one)(h, told), told)
        skips.append(h)
        h = down(h)
    for block in network.mid_modules:
        h = Published(block)(h, told)
    for one, two, up in network.up_modules:
        h = up(Published(two)(Published(one)(torch.cat([h, skips.pop()], 1), told), told))
    return network.final_conv(h)


def test_the_policys_network_is_the_published_one():
    with torch.device("meta"):
        pusht = PolicyUNet1d(
            size=(16,), in_channels=2, out_channels=2, down_dims=(512, 1024, 2048), step_embedding=128, vector=132
        )
    names = pusht.state_dict().keys()
    assert len(names) == 148
    assert sum(parameter.numel() for parameter in pusht.parameters()) == 251_511_938
    assert {
        "diffusion_step_encoder.1.weight",
        "down_modules.0.0.cond_encoder.1.bias",
        "up_modules.1.2.conv.weight",
    } <= {
        *names,
        "mid_modules.1.blocks.0.block.1.weight",
        "final_conv.0.block.0.weight",
    }
    network = PolicyUNet1d(size=(8,), in_channels=2, out_channels=2, down_dims=(8, 16, 24), step_embedding=8, vector=5)
    torch.nn.init.normal_(network.final_conv[1].weight)
    x, time, condition = torch.randn(3, 2, 8), torch.tensor([0.0, 7.0, 99.0]), torch.randn(3, 5)
    torch.testing.assert_close(
        network(x, time, condition), published(network, x, time, condition), atol=1e-5, rtol=1e-5
    )


def test_guidance_is_away_from_every_null():
    model = built("dit").eval()
    given = {name: value[0] for name, value in drawn(model, 1).items()}
    whole = {"seed": 0, "steps": 2}
    without = model.sample(1, condition=given, guidance=0.0, **whole)
    nulls = {"image": torch.zeros(2, 6, 5), "kind": 0, "prompt": [1]}
    assert (without - model.sample(1, condition=given, guidance=1.0, **whole)).abs().max() > 1e-4
    with pytest.raises(ConfigError, match="a null for every part"):
        DiTDiffusion(
            event_shape=[1, 8, 8],
            hidden_size=8,
            num_heads=2,
            condition=parts({k: v for k, v in ARM.items() if k != "null"}),
            sampling={"guidance": 2.0},
        )
    torch.testing.assert_close(model.sample(1, condition=nulls, guidance=0.0, **whole), without, atol=1e-5, rtol=1e-5)


def test_a_part_described_in_python_is_the_same():
    described = Condition((Part("arm", "numbers", (5,), null=0.0),))
    assert Condition.from_description(described.describe()) == described == Condition.from_description(parts(ARM))


def test_samples_are_drawn_in_bfloat16_whatever_the_condition():
    """The encoder's outputs become arrays of the state, and NumPy has no bfloat16."""
    model = built("unet")
    given = drawn(model, 2)
    plain = model.sample(2, condition=given, seed=1, steps=2)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.sample(2, condition=given, seed=1, steps=2)
    torch.testing.assert_close(mixed.float(), plain, atol=0.1 * float(plain.abs().max()), rtol=0)
