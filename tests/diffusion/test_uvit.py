"""U-ViT: the layout of the published networks."""

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError  # noqa: E402 - after the check for torch
from zoo_diffusion.networks.uvit import UViT  # noqa: E402

#: U-ViT-L/2, class-conditional, for the latents of ImageNet at 256×256
LARGE = {
    "size": (32, 32),
    "in_channels": 4,
    "out_channels": 4,
    "patch_size": 2,
    "embed_dim": 1024,
    "depth": 20,
    "num_heads": 16,
    "classes": 1001,
}
TINY = {"size": (4, 8), "in_channels": 1, "out_channels": 1, "embed_dim": 8, "depth": 2, "num_heads": 2}


@pytest.fixture(scope="module")
def shapes():
    with torch.device("meta"):
        network = UViT(**LARGE)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_the_published_network_has_its_parameters(shapes):
    """287 million: Bao et al. 2023, table 1."""
    assert round(sum(torch.Size(shape).numel() for shape in shapes.values()) / 1e6) == 287


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("pos_embed", (1, 258, 1024)),
        ("patch_embed.proj.weight", (1024, 4, 2, 2)),
        ("label_emb.weight", (1001, 1024)),
        ("in_blocks.9.norm1.weight", (1024,)),
        ("in_blocks.0.attn.qkv.weight", (3072, 1024)),
        ("mid_block.attn.proj.bias", (1024,)),
        ("mid_block.mlp.fc1.weight", (4096, 1024)),
        ("out_blocks.0.skip_linear.weight", (1024, 2048)),
        ("out_blocks.9.mlp.fc2.bias", (1024,)),
        ("norm.bias", (1024,)),
        ("decoder_pred.weight", (16, 1024)),
        ("final_layer.weight", (4, 4, 3, 3)),
    ],
)
def test_parameters_have_the_published_names_and_shapes(shapes, name, shape):
    assert shapes[name] == shape


def test_nothing_else_is_in_the_file(shapes):
    roots = {name.split(".")[0] for name in shapes}
    assert len([name for name in shapes if "blocks" in name or "mid" in name]) == 21 * 11 + 10 * 2
    assert roots == {"pos_embed", "patch_embed", "label_emb", "in_blocks", "mid_block", "out_blocks", "norm"} | {
        "decoder_pred",
        "final_layer",
    }


def test_the_time_embedding_and_biases_have_the_published_names():
    names = UViT(**TINY, mlp_time_embed=True, qkv_bias=True).state_dict()
    assert names["time_embed.0.weight"].shape == (32, 8)
    assert names["time_embed.2.weight"].shape == (8, 32)
    assert names["in_blocks.0.attn.qkv.bias"].shape == (24,)


def test_long_skips_reach_the_block_opposite():
    """What the first block says is shown to the last, whatever lies between."""
    network = UViT(**TINY).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x, time = torch.randn(1, 1, 4, 8), torch.tensor([3.0])
    seen = {}
    network.in_blocks[0].register_forward_hook(lambda _m, _i, out: seen.update(first=out))
    network.out_blocks[-1].register_forward_hook(lambda _m, inputs, _o: seen.update(last=inputs))
    network(x, time)
    assert seen["last"][1] is seen["first"]
    h = torch.cat(seen["last"], dim=-1)
    assert h.shape == (1, 9, 16)  # time and 8 patches, twice as long


def test_patches_come_back_where_they_were():
    """With every block silent and the patch's pixels copied into its token and out again, the image is what it was."""
    network = UViT(**TINY | {"depth": 0, "embed_dim": 4})
    with torch.no_grad():
        for parameter in network.mid_block.parameters():
            parameter.zero_()
        network.norm = torch.nn.Identity()
        network.pos_embed.zero_()
        network.patch_embed.proj.weight.copy_(torch.eye(4).reshape(4, 1, 2, 2))
        network.patch_embed.proj.bias.zero_()
        network.decoder_pred.weight.copy_(torch.eye(4))
    x = torch.randn(2, 1, 4, 8)
    torch.testing.assert_close(network(x, torch.zeros(2)), x)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"patch_size": 3}, "patch_size"),
        ({"num_heads": 3}, "num_heads"),
        ({"depth": 3}, "depth must be even"),
    ],
)
def test_impossible_networks_are_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        UViT(**TINY | change)
