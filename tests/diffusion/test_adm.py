"""ADM: the layout of the published networks."""

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError  # noqa: E402 - after the check for torch
from zoo_diffusion.networks.adm import ADM, AttentionBlock  # noqa: E402

#: the class-conditional network for ImageNet at 64×64
IMAGENET_64 = {
    "size": (64, 64),
    "in_channels": 3,
    "out_channels": 6,
    "model_channels": 192,
    "channel_mult": (1, 2, 3, 4),
    "num_res_blocks": 3,
    "attention_resolutions": (2, 4, 8),
    "num_head_channels": 64,
    "use_new_attention_order": True,
    "classes": 1000,
}
TINY = {"size": (8, 8), "in_channels": 1, "out_channels": 1, "model_channels": 8, "channel_mult": (1, 2)}


@pytest.fixture(scope="module")
def shapes():
    with torch.device("meta"):
        network = ADM(**IMAGENET_64)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_the_published_network_has_its_parameters(shapes):
    """296 million: Dhariwal & Nichol 2021, table 4."""
    count = sum(torch.Size(shape).numel() for shape in shapes.values())
    assert round(count / 1e6) == 296


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("time_embed.0.weight", (768, 192)),
        ("time_embed.2.bias", (768,)),
        ("label_emb.weight", (1000, 768)),
        ("input_blocks.0.0.weight", (192, 3, 3, 3)),
        ("input_blocks.1.0.in_layers.0.weight", (192,)),
        ("input_blocks.1.0.in_layers.2.weight", (192, 192, 3, 3)),
        ("input_blocks.1.0.emb_layers.1.weight", (384, 768)),
        ("input_blocks.1.0.out_layers.0.bias", (192,)),
        ("input_blocks.1.0.out_layers.3.weight", (192, 192, 3, 3)),
        ("input_blocks.4.0.in_layers.2.weight", (192, 192, 3, 3)),
        ("input_blocks.5.0.skip_connection.weight", (384, 192, 1, 1)),
        ("input_blocks.5.1.norm.weight", (384,)),
        ("input_blocks.5.1.qkv.weight", (1152, 384, 1)),
        ("input_blocks.5.1.proj_out.weight", (384, 384, 1)),
        ("input_blocks.15.1.qkv.weight", (2304, 768, 1)),
        ("middle_block.0.in_layers.2.weight", (768, 768, 3, 3)),
        ("middle_block.1.qkv.bias", (2304,)),
        ("middle_block.2.out_layers.3.bias", (768,)),
        ("output_blocks.0.0.in_layers.2.weight", (768, 1536, 3, 3)),
        ("output_blocks.3.2.in_layers.2.weight", (768, 768, 3, 3)),
        ("output_blocks.15.0.in_layers.0.weight", (384,)),
        ("out.0.weight", (192,)),
        ("out.2.weight", (6, 192, 3, 3)),
    ],
)
def test_parameters_have_the_published_names_and_shapes(shapes, name, shape):
    assert shapes[name] == shape


def test_nothing_else_is_in_the_file(shapes):
    """Sixteen stages down and sixteen up; attention at three of four resolutions and in the middle."""
    stages = {name.split(".")[0] + name.split(".")[1] for name in shapes if "_blocks." in name}
    assert len(stages) == 32
    assert len([name for name in shapes if name.endswith("qkv.weight")]) == 3 * 3 + 3 * 4 + 1
    roots = {name.split(".")[0] for name in shapes}
    assert roots == {"time_embed", "label_emb", "input_blocks", "middle_block", "output_blocks", "out"}


def test_convolutions_that_change_the_size_have_the_published_names():
    names = ADM(**TINY, resblock_updown=False, num_head_channels=8).state_dict()
    assert names["input_blocks.2.0.op.weight"].shape == (8, 8, 3, 3)
    assert names["output_blocks.1.1.conv.weight"].shape == (16, 16, 3, 3)


@pytest.mark.parametrize("new_order", [True, False])
def test_attention_equals_the_library_s_in_either_order(new_order):
    attention = AttentionBlock(16, 2, new_order=new_order)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x = torch.randn(2, 16, 3, 5)
    parts = attention.qkv(attention.norm(x).flatten(2))
    rows = parts.reshape(2, 3, 2, 8, 15) if new_order else parts.reshape(2, 2, 3, 8, 15).transpose(1, 2)
    q, k, v = rows.transpose(-1, -2).unbind(1)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(2, 16, 15)
    torch.testing.assert_close(attention(x), x + attention.proj_out(expected).reshape(x.shape))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": (7, 8)}, "divisible by 2"),
        ({"num_head_channels": 5}, r"num_head_channels \(5\) must divide"),
        ({"num_head_channels": None, "num_heads": 3}, r"num_heads \(3\) must divide"),
    ],
)
def test_impossible_networks_are_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        ADM(**TINY | change)
