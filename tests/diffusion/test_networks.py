"""Every diffusion architecture, small: it trains, samples, scores, and does the same in ONNX Runtime.

A new architecture joins by being registered and having configs here.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import zoo_diffusion  # noqa: E402 - after the check for torch
from zoo import weights  # noqa: E402
from zoo.errors import ConfigError  # noqa: E402
from zoo.models.building import build  # noqa: E402
from zoo.registry import Registry  # noqa: E402
from zoo.registry.discovery import Plugin, PluginRecord  # noqa: E402

IMAGE = {"event_shape": [1, 8, 8], "sampling": {"steps": 4}}
CLASSES = {"condition": {"kind": "classes", "size": 3, "labels": [], "required": False}}
VECTOR = {"condition": {"kind": "vector", "size": 2}}
UNET = {**IMAGE, "base": 8, "multipliers": [1, 2], "attention": [], "head_channels": 8}
UNET2D = {
    **IMAGE,
    "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
    "norm_num_groups": 4,
    "attention_head_dim": 8,
}
ATTENTION = {"down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "up_block_types": ["AttnUpBlock2D", "UpBlock2D"]}
RESNET = {
    "block_out_channels": [8, 8, 16],
    "down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"],
}
DIT = {**IMAGE, "hidden_size": 16, "depth": 2, "num_heads": 2}
SIGNAL = {"event_shape": [1, 32], "sampling": {"steps": 4}}
UNET1D = {**SIGNAL, "patch": 4, "base": 8, "multipliers": [1, 2], "head_channels": 8}
DIFFWAVE = {**SIGNAL, "residual_channels": 16, "layers": 4, "cycle": 3, "embedding": 16}
UVIT = {**IMAGE, "embed_dim": 16, "depth": 2, "num_heads": 2}
ADM = {**IMAGE, "model_channels": 8, "channel_mult": [1, 2], "attention_resolutions": [2], "num_head_channels": 8}
MLP = {"event_shape": [3], "hidden": 16, "blocks": 2, "sampling": {"steps": 4}}
#: name -> (architecture, config)
CASES = {
    "unet": ("unet", UNET | CLASSES),
    "unet2d": ("unet2d", UNET2D | CLASSES | {"path": "ddpm-linear", "prediction": "epsilon"}),
    "unet2d-as-ddpm": (
        "unet2d",
        UNET2D
        | ATTENTION
        | {"downsample_padding": 0, "attention_head_dim": None, "freq_shift": 1, "flip_sin_to_cos": False},
    ),
    "unet2d-scale-shift": (
        "unet2d",
        UNET2D
        | RESNET
        | {"resnet_time_scale_shift": "scale_shift", "downsample_type": "resnet", "upsample_type": "resnet"},
    ),
    "unet2d-fourier": (
        "unet2d",
        UNET2D
        | {"time_embedding_type": "fourier", "prediction": "epsilon", "act_fn": "mish"}
        | {"path": {"name": "ve", "sigma_min": 0.1, "sigma_max": 5.0}},
    ),
    "unet2d-number": ("unet2d", UNET2D | {"class_embed_type": "timestep", "condition": {"kind": "vector", "size": 1}}),
    "dit": ("dit", DIT | CLASSES),
    "dit-velocity": (
        "dit",
        DIT | VECTOR | {"event_shape": [1, 4, 8], "path": "rectified-flow", "prediction": "velocity"},
    ),
    "unet1d": ("unet1d", UNET1D | CLASSES),
    "unet1d-samples": ("unet1d", UNET1D | VECTOR | {"event_shape": [2, 16], "patch": 1, "attention": [0]}),
    "unet1d-groups": ("unet1d", UNET1D | CLASSES | {"groups": 2, "attention": [1]}),
    "diffwave": ("diffwave", DIFFWAVE | CLASSES | {"path": "ddpm-linear", "prediction": "epsilon"}),
    "diffwave-patches": ("diffwave", DIFFWAVE | VECTOR | {"event_shape": [2, 16], "patch": 2, "residual_channels": 48}),
    "uvit": ("uvit", UVIT | CLASSES),
    "uvit-velocity": (
        "uvit",
        UVIT
        | VECTOR
        | {"event_shape": [1, 4, 8], "path": "rectified-flow", "prediction": "velocity"}
        | {"mlp_time_embed": True, "qkv_bias": True, "conv": False},
    ),
    "adm": ("adm", ADM | CLASSES | {"path": "ddpm-linear", "prediction": "epsilon"}),
    "adm-plain": (
        "adm",
        ADM
        | VECTOR
        | {"use_scale_shift_norm": False, "resblock_updown": False, "use_new_attention_order": True}
        | {"num_head_channels": None, "num_heads": 2, "event_shape": [1, 8, 4]},
    ),
    "mlp": ("mlp", MLP | {"path": "rectified-flow", "prediction": "velocity"}),
    "mlp-classes": ("mlp", MLP | CLASSES | {"shift": 1.0, "scale": 2.0}),
    "mlp-table": ("mlp", MLP | {"marginals": {"knots": 4, "categories": [0, 2, 0]}}),
    "mlp-vector": ("mlp", MLP | VECTOR | {"event_shape": [2, 2], "prediction": "edm", "path": "edm"}),
}
LEARNED = {
    "unet2d-learned-variance": ("unet2d", UNET2D | {"variance": "learned-range"}),
    "uvit-learned-variance": ("uvit", UVIT | CLASSES | {"variance": "learned-range"}),
    "adm-learned-variance": ("adm", ADM | CLASSES | {"variance": "learned-range"}),
    "dit-learned-variance": ("dit", DIT | CLASSES | {"variance": "learned-range"}),
    "unet-learned-variance": ("unet", UNET | CLASSES | {"variance": "learned-range"}),
    "unet1d-learned-variance": ("unet1d", UNET1D | {"variance": "learned-range"}),
    "diffwave-learned-variance": ("diffwave", DIFFWAVE | VECTOR | {"variance": "learned-range"}),
}
#: of networks that are trained in the quick tier in another form
VARIANTS = {
    *("unet2d-as-ddpm", "unet2d-scale-shift", "unet2d-fourier", "unet2d-number"),
    *("unet1d-samples", "unet1d-groups", "diffwave-patches", "uvit-velocity", "adm-plain"),
}
REGISTRY = Registry(
    [
        Plugin(
            PluginRecord(name="diffusion", distribution="genzoo", version="", module="zoo_diffusion"),
            {"architecture": tuple(zoo_diffusion.zoo_architectures())},
        )
    ]
)


def scrambled(name):
    """A model with weights that are not those of a fresh one, whose output is zero."""
    architecture, config = (CASES | LEARNED)[name]
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = build(REGISTRY, architecture, config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape))
        if model.standardized_context is not None:
            model.contexts.shift.fill_(0.3)
            model.contexts.scale.fill_(0.6)
    return model.eval()


@pytest.fixture(scope="module", params=CASES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def made(name):
    return scrambled(name)


def condition_for(model, n):
    c = model.condition
    if c is None:
        return None
    return c.array(np.linspace(-1, 1, n * c.size).reshape(n, c.size) if c.kind == "vector" else None, n)


def test_no_architecture_is_left_out():
    here = {architecture for architecture, _ in CASES.values()}
    # tested in test_masked.py, which has no noise levels, and in test_latent.py, which has no likelihood
    apart = {"masked", "kl-autoencoder", "latent"}
    assert {a.name for a in zoo_diffusion.zoo_architectures()} == here | apart


def test_a_fresh_network_predicts_zero(name):
    model = build(REGISTRY, *CASES[name])
    condition = model.condition_tensor(condition_for(model, 2), 2)
    x = torch.randn(2, *model.event_shape)
    assert model.network(x, torch.tensor([1.0, 500.0]), condition).abs().max() == 0


@pytest.mark.sample(*(name for name in CASES if name not in VARIANTS))
def test_it_learns(name):
    """A batch that is always the same is fitted better and better."""
    torch.manual_seed(0)
    model = build(REGISTRY, *CASES[name]).train()
    x = torch.randn(1, *model.event_shape).expand(32, *model.event_shape)
    condition = model.condition_tensor(condition_for(model, 1), 1)
    condition = None if condition is None else condition.expand(32, *condition.shape[1:])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model.loss(x, condition=condition)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_time_and_condition_change_what_it_predicts(made):
    x = torch.randn(1, *made.event_shape).expand(3, *made.event_shape)
    time = torch.tensor([5.0, 5.0, 40.0])
    condition = None
    if made.condition is not None:
        condition = made.condition_tensor(condition_for(made, 2)[[0, 1, 0]], 3)
    with torch.no_grad():
        first, other, later = made.network(x, time, condition)
    assert (first - later).abs().max() > 1e-4
    assert (first - other).abs().max() > 1e-4 or made.condition is None


def test_a_sample_does_not_depend_on_its_batch(made):
    x, time = torch.randn(3, *made.event_shape), torch.tensor([1.0, 20.0, 50.0])
    condition = made.condition_tensor(condition_for(made, 3), 3)
    with torch.no_grad():
        together = made.network(x, time, condition)[1:2]
        alone = made.network(x[1:2], time[1:2], None if condition is None else condition[1:2])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_the_forward_derivative_is_the_jacobian_times_the_tangent(name):
    network = scrambled(name).double()
    condition = network.condition_tensor(condition_for(network, 1), 1)
    x, tangent = torch.randn(2, 1, *network.event_shape, dtype=torch.float64)
    time = torch.tensor([30.0], dtype=torch.float64)

    def f(y):
        return network.network(y, time, condition)

    with torch.no_grad():
        _, forward = torch.func.jvp(f, (x,), (tangent,))
        step = 1e-5
        difference = (f(x + step * tangent) - f(x - step * tangent)) / (2 * step)
    torch.testing.assert_close(forward, difference, atol=1e-7, rtol=1e-5)


VECTORS = [name for name, (_, config) in CASES.items() if (config.get("condition") or {}).get("kind") == "vector"]


@pytest.mark.sample("mlp-vector", "dit-velocity", "diffwave-patches")
@pytest.mark.parametrize("name", VECTORS)
def test_samples_and_densities_have_the_gradient_of_a_context(name):
    model = scrambled(name).double()
    n, steps = 2, {"steps": 2}
    context = torch.from_numpy(condition_for(model, n)).double()
    x = torch.randn(n, *model.event_shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    direction = torch.full_like(context, 0.7)

    def scored(given):
        return model.log_prob(x, condition=given, **steps).sum()

    def drawn(given):
        return (model.sample(n, condition=given, seed=1, sampler="ddpm", **steps) * x).sum()

    for value in (scored, drawn):
        wanted = context.clone().requires_grad_()
        made = value(wanted)
        # without a gradient, densities are of states that are rounded to float32
        torch.testing.assert_close(made.detach(), value(context).detach(), rtol=1e-6, atol=1e-5)
        (gradient,) = torch.autograd.grad(made, wanted)
        ends = (value((context + step * direction).requires_grad_()).item() for step in (1e-4, -1e-4))
        difference = torch.tensor((next(ends) - next(ends)) / 2e-4, dtype=torch.float64)
        assert gradient.abs().min() > 0
        torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-4, atol=1e-5)


def test_weights_come_back(name, made, tmp_path):
    path = tmp_path / "weights.safetensors"
    weights.write(path, weights.state_arrays(made))
    fresh = build(REGISTRY, *CASES[name])
    weights.load_into(fresh, weights.read(path), source=path)
    torch.testing.assert_close(fresh.eval().sample(2, seed=0, **given(made)), made.sample(2, seed=0, **given(made)))


def given(model, n=2):
    return {"condition": condition_for(model, n)}


def exported(model, folder):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from zoo.exporting import export
    from zoo.runtime import load

    return load(export(model, folder), "cpu")


@pytest.mark.slow  # an export traces two graphs, one with a derivative
@pytest.mark.sample("mlp")
def test_onnx_runtime_samples_and_scores_what_torch_does(made, tmp_path):
    bundle = exported(made, tmp_path / "bundle")
    for sampler in ("ddim", "ddpm"):
        options = {"seed": 3, "steps": 4, "sampler": sampler, **given(made, 5)}
        x = bundle.sample(5, **options)
        np.testing.assert_allclose(x, made.sample(5, **options).numpy(), rtol=1e-4, atol=1e-4)
    condition = condition_for(made, 5)
    scores = bundle.log_prob(x, condition=condition, steps=4)
    np.testing.assert_allclose(
        scores, made.log_prob(torch.from_numpy(x), condition=condition, steps=4).numpy(), rtol=1e-4, atol=1e-3
    )
    options = {"condition": condition, "steps": 50, "terms": 3, "seed": 2}
    bounds = made.elbo(torch.from_numpy(x), **options).numpy()
    np.testing.assert_allclose(bundle.elbo(x, **options), bounds, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("case", LEARNED)
def test_a_learned_variance_scales_the_noise(case, tmp_path):
    model = scrambled(case)
    bundle = exported(model, tmp_path / "bundle")
    options = {"seed": 3, "steps": 4, "sampler": "ddpm", **given(model, 3)}
    learned = bundle.sample(3, variance="learned", **options)
    np.testing.assert_allclose(learned, model.sample(3, variance="learned", **options).numpy(), rtol=1e-4, atol=1e-4)
    assert np.abs(learned - bundle.sample(3, variance="small", **options)).max() > 1e-3


@pytest.mark.parametrize("architecture", ["unet", "unet1d", "diffwave", "uvit"])
def test_a_wrong_shape_is_told_by_the_axes(architecture):
    axes = "channels, length" if architecture in ("unet1d", "diffwave") else "channels, height, width"
    for shape in ([8], [1, 0, 8], [1, 2, 8, 8]):
        with pytest.raises(ConfigError, match=rf"have the shape \({axes}\), not \({shape[0]},"):
            build(REGISTRY, architecture, {"event_shape": shape})


@pytest.mark.parametrize(
    "architecture", ["unet", "unet1d", "diffwave", "uvit", "dit", "adm", "unet2d", "mlp", "masked"]
)
@pytest.mark.parametrize("key", ["in_channels", "classes", "kernel", "network"])
def test_what_the_data_settle_is_no_key_of_a_config(architecture, key):
    with pytest.raises(ConfigError, match=f"takes no {key}"):
        build(REGISTRY, architecture, {"event_shape": [1, 8, 8], key: 2})


def test_a_network_of_vectors_learns_no_variance():
    with pytest.raises(ConfigError, match="leave variance at 'fixed'"):
        build(REGISTRY, "mlp", MLP | {"variance": "learned-range"})


@pytest.mark.full
def test_a_fresh_network_exports(tmp_path):
    """Its output is zero, and so is the deviation that guidance's contrast is divided by."""
    model = build(REGISTRY, "mlp", MLP)
    bundle = exported(model, tmp_path / "bundle")
    np.testing.assert_allclose(bundle.sample(3, seed=0), model.sample(3, seed=0).numpy(), atol=1e-5)
