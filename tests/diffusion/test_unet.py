"""The U-Net: shapes, conditions, and operations that differentiate forward."""

import math

import pytest
import torch

from zoo.errors import ConfigError
from zoo_diffusion.networks.unet import (
    GROUPS,
    SelfAttention,
    UNet,
    Upsample,
    channels_as_squares,
    sinusoidal_embedding,
    squares_as_channels,
)


def build(**changes):
    torch.manual_seed(0)
    sizes = {"in_channels": 2, "out_channels": 2, "size": (8, 12), "head_channels": 8}
    network = UNet(**{**sizes, "base": 8, "multipliers": (1, 2), **changes})
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("attention", [(), (0, 1)])
def test_the_output_has_the_shape_of_the_input(blocks, attention):
    network = build(blocks=blocks, attention=attention)
    assert network(torch.randn(3, 2, 8, 12), torch.rand(3)).shape == (3, 2, 8, 12)


def test_a_fresh_network_predicts_zero():
    network = UNet(in_channels=1, out_channels=1, size=(4, 4), base=8, multipliers=(1, 2), head_channels=8)
    assert network(torch.randn(2, 1, 4, 4), torch.rand(2)).abs().max() == 0


def test_squares_of_pixels_are_the_channels_of_a_position():
    x = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    squares = squares_as_channels(x, 2)
    # the four channels of a channel are the corners of each square, row by row
    torch.testing.assert_close(squares[1, 4:8, 1, 2], x[1, 1, 2:4, 4:6].flatten())
    torch.testing.assert_close(squares, torch.nn.functional.pixel_unshuffle(x, 2))
    torch.testing.assert_close(channels_as_squares(squares, 2), x)
    assert squares_as_channels(x, 1) is x
    assert channels_as_squares(x, 1) is x


def test_a_network_of_squares_computes_at_fewer_positions():
    network, seen = build(patch=2, attention=(1,)), []
    network.conv_in.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].shape, output.shape)))
    assert network(torch.randn(3, 2, 8, 12), torch.rand(3)).shape == (3, 2, 8, 12)
    assert seen == [((3, 8, 4, 6), (3, 8, 4, 6))]
    with pytest.raises(ConfigError, match="needs sides divisible by 4"):
        build(patch=2, size=(8, 14))


def test_a_global_skip_adds_the_channels_of_the_input_by_gains_of_the_time():
    x, time = torch.randn(3, 4, 8, 12), torch.tensor([0.1, 0.5, 0.9])
    plain, skipping = (build(in_channels=4, patch=2, global_skip=skip) for skip in (False, True))
    skipping.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        skipping.gains.weight.zero_()
        skipping.gains.bias.copy_(torch.tensor([1.0, 0, 0, 0, 0, 0, 0.5, 0]))
    expected = plain(x, time) + torch.stack([x[:, 0], 0.5 * x[:, 2]], 1)
    torch.testing.assert_close(skipping(x, time), expected)
    with torch.no_grad():
        skipping.gains.weight.normal_()
    added = (skipping(x, time) - plain(x, time)).flatten(1)
    repeated = (skipping(x, time[[2, 0, 1]]) - plain(x, time[[2, 0, 1]])).flatten(1)
    assert (added - repeated).abs().amax(1).min() > 1e-3
    assert UNet(in_channels=1, out_channels=1, size=(4, 4), base=8, multipliers=(1,), head_channels=8).gains is None


def test_a_fresh_network_with_a_global_skip_predicts_zero():
    network = UNet(
        in_channels=2, out_channels=1, size=(4, 4), base=8, multipliers=(1,), head_channels=8, global_skip=True
    )
    assert network(torch.randn(2, 2, 4, 4), torch.rand(2)).abs().max() == 0


@pytest.mark.parametrize("patch", [0, -2, 1.5, True])
def test_a_patch_is_a_whole_number_of_pixels(patch):
    with pytest.raises(ConfigError, match="patch must be a whole number above 0"):
        build(patch=patch)


def norms(network):
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, torch.nn.GroupNorm)}


@pytest.mark.parametrize("groups", [1, 4, 6])
def test_every_norm_has_the_groups_of_the_config(groups):
    sizes = {"base": 16, "blocks": 2, "attention": (0, 1)}
    own, default = norms(build(groups=groups, **sizes)), norms(build(**sizes))
    # ten blocks of two norms, each before an attention; in the middle two blocks and an attention; and the last norm
    kinds = [name.rpartition(".")[2] for name in own]
    assert {kind: kinds.count(kind) for kind in kinds} == {"norm1": 12, "norm2": 12, "norm": 11, "norm_out": 1}
    for name, norm in own.items():
        assert norm.num_groups == math.gcd(groups, norm.num_channels), name
        assert default[name].num_groups == math.gcd(32, norm.num_channels), name
        assert norm.num_groups < default[name].num_groups, name


def test_a_config_that_states_no_groups_has_32_of_them():
    x, time = torch.randn(2, 2, 8, 12), torch.tensor([0.2, 0.8])
    sizes = {"base": 64, "attention": (1,)}
    plain, stated, fewer = build(**sizes), build(groups=32, **sizes), build(groups=4, **sizes)
    assert GROUPS == 32 == plain.norm_out.num_groups
    torch.testing.assert_close(plain(x, time), stated(x, time), atol=0, rtol=0)
    # the parameters are the same, so that weights of one are weights of the other
    fewer.load_state_dict(plain.state_dict())
    assert (fewer(x, time) - plain(x, time)).abs().max() > 1e-2


def test_norms_of_single_channels_lose_what_repeats_with_the_patch():
    """With convolutions that see one position each, what is added to every patch is a constant of every channel."""
    sizes = {"kernel": (1, 1), "patch": 2, "attention": (0, 1)}
    # a multiple of the channels of every norm
    single, broad = build(groups=192, **sizes).double(), build(groups=2, **sizes).double()
    assert {norm.num_channels // norm.num_groups for norm in norms(single).values()} == {1}
    time = torch.tensor([0.2, 0.8], dtype=torch.float64)
    x, tile = torch.randn(2, 2, 8, 12, dtype=torch.float64), torch.randn(2, 2, 2, 2, dtype=torch.float64)
    repeating, other = tile.repeat(1, 1, 4, 6), tile.repeat(1, 1, 4, 6)
    other[:, :, :4] *= -1
    # not exactly, since the variance has an epsilon that does not change with it
    torch.testing.assert_close(single(x + repeating, time), single(x, time), atol=1e-9, rtol=1e-9)
    assert (single(x + other, time) - single(x, time)).abs().max() > 1e-2
    assert (broad(x + repeating, time) - broad(x, time)).abs().max() > 1e-2


@pytest.mark.parametrize("groups", [0, -4, 4.0, True, "4"])
def test_groups_are_a_whole_number(groups):
    with pytest.raises(ConfigError, match=r"^groups must be a whole number above 0, not "):
        build(groups=groups)


def test_time_and_condition_change_the_output():
    x, time = torch.randn(2, 2, 8, 12), torch.tensor([10.0, 10.0])
    network = build(classes=3)
    a, b = torch.tensor([0, 1]), torch.tensor([0, 2])
    same, changed = (network(x, time, a) - network(x, time, b)).abs().amax((1, 2, 3))
    assert same == 0
    assert changed > 1e-4
    assert (network(x, time, a) - network(x, time * 5, a)).abs().amin() >= 0
    assert (network(x, time, a) - network(x, time * 5, a)).abs().amax() > 1e-4
    vectors = build(vector=4)
    assert (vectors(x, time, torch.zeros(2, 4)) - vectors(x, time, torch.ones(2, 4))).abs().amax() > 1e-4


def test_a_sample_does_not_depend_on_its_batch():
    network, x, time = build(), torch.randn(3, 2, 8, 12), torch.rand(3)
    torch.testing.assert_close(network(x, time)[1:2], network(x[1:2], time[1:2]), atol=1e-6, rtol=1e-5)


def test_the_forward_derivative_is_the_jacobian_times_the_tangent():
    network, x = build().double(), torch.randn(1, 2, 8, 12, dtype=torch.float64)
    time, tangent = torch.rand(1, dtype=torch.float64), torch.randn_like(x)
    _, forward = torch.func.jvp(lambda y: network(y, time), (x,), (tangent,))
    step = 1e-6
    difference = (network(x + step * tangent, time) - network(x - step * tangent, time)) / (2 * step)
    torch.testing.assert_close(forward, difference, atol=1e-7, rtol=1e-5)


def test_attention_equals_the_library_s():
    attention = SelfAttention(16, 8)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x = torch.randn(2, 16, 3, 5)
    q, k, v = attention.qkv(attention.norm(x)).reshape(2, 3, 2, 8, 15).transpose(-1, -2).unbind(1)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(2, 16, 3, 5)
    torch.testing.assert_close(attention(x), x + attention.out(expected))


def test_upsampling_repeats_pixels():
    layer, x = Upsample(2), torch.randn(2, 2, 3, 4)
    expected = layer.conv(torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest"))
    torch.testing.assert_close(layer(x), expected)


def test_the_embedding_has_cosines_first():
    embedding = sinusoidal_embedding(torch.tensor([0.0, 2.0]), 6)
    torch.testing.assert_close(embedding[0], torch.tensor([1.0, 1, 1, 0, 0, 0]))
    torch.testing.assert_close(embedding[1, 3], torch.sin(torch.tensor(2.0)))


@pytest.mark.parametrize(
    ("change", "says"),
    [({"size": (7, 8)}, "divisible by 2"), ({"head_channels": 5}, "must divide")],
)
def test_impossible_networks_are_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        build(**change)
