"""Models that diffusers saves, loaded here: the same predictions, the same samples, and in ONNX Runtime too."""

import copy
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers", reason="diffusers, whose models are compared, is not installed")

import zoo_diffusion  # noqa: E402 - after the checks
from zoo.errors import WeightsError  # noqa: E402
from zoo.models import building  # noqa: E402
from zoo.models.sources import resolve  # noqa: E402
from zoo.registry import Registry  # noqa: E402
from zoo.registry.discovery import Plugin, PluginRecord  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TOLERANCE = 1e-5
#: of ten steps in float32: each rounds states of up to 4, which ε divides by α, 1/60 at the first of them
ROUNDING = 10 * 2**-24 * 4 * 60
SMALL = {
    "sample_size": 16,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
#: google/ddpm-cifar10-32
CIFAR = {
    "sample_size": 32,
    "in_channels": 3,
    "out_channels": 3,
    "act_fn": "silu",
    "attention_head_dim": None,
    "block_out_channels": (128, 256, 256, 256),
    "center_input_sample": False,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-6,
    "norm_num_groups": 32,
    "time_embedding_type": "positional",
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
}
AS_CIFAR = SMALL | {
    name: CIFAR[name]
    for name in ("attention_head_dim", "downsample_padding", "flip_sin_to_cos", "freq_shift", "norm_eps")
}
UNETS = {
    "small": SMALL,
    "as-cifar": AS_CIFAR,
    "scale-shift": SMALL
    | {
        "resnet_time_scale_shift": "scale_shift",
        "down_block_types": ("AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D"),
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "mid_block_scale_factor": 1.414,
    },
    "resnet-blocks": SMALL
    | {
        "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        "act_fn": "mish",
        "attn_norm_num_groups": 8,
    },
    "no-middle": SMALL | {"mid_block_type": None, "center_input_sample": True, "attention_head_dim": 5},
    "classes": SMALL | {"num_class_embeds": 5, "add_attention": False, "act_fn": "gelu"},
    "number": SMALL | {"class_embed_type": "timestep", "time_embedding_dim": 24},
    "identity": SMALL | {"class_embed_type": "identity", "sample_size": (8, 16)},
    "learned-variance": SMALL | {"out_channels": 2},
}
DIT = {
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 2,
    "sample_size": 8,
    "num_embeds_ada_norm": 10,
}


@pytest.fixture(scope="module")
def registry():
    record = PluginRecord(name="diffusion", distribution="genzoo", version="", module="zoo_diffusion")
    described = {
        "architecture": tuple(zoo_diffusion.zoo_architectures()),
        "importer": tuple(zoo_diffusion.zoo_importers()),
    }
    return Registry([Plugin(record, described)])


def unet(**config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return diffusers.UNet2DModel(**config).eval()


def dit(**config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = diffusers.DiTTransformer2DModel(**DIT, **config).eval()
    # the embedding is one that is copied into every block
    for block in made.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(made.transformer_blocks[0].norm1.emb.state_dict())
    return made


def saved(folder, network, scheduler=None, name="unet"):
    network.save_pretrained(folder / name)
    (scheduler or diffusers.DDPMScheduler()).save_pretrained(folder / "scheduler")
    return folder


def conditions(model, n):
    c = model.condition
    if c is None:
        return None, None
    if c.kind == "classes":
        theirs = torch.arange(n) % c.size
        return theirs, theirs.to(torch.int32)
    ours = torch.linspace(-1, 3, n * c.size).reshape(n, c.size)
    return (ours[:, 0] if c.size == 1 else ours), ours


@pytest.mark.parametrize("name", UNETS)
def test_a_unet_predicts_the_same(name, registry, tmp_path):
    theirs = unet(**UNETS[name])
    ours = building.load(registry, saved(tmp_path, theirs))
    assert sorted(ours.network.state_dict()) == sorted(theirs.state_dict())
    x, time = torch.randn(3, *ours.event_shape), torch.tensor([0, 500, 999])
    labels, condition = conditions(ours, 3)
    with torch.no_grad():
        expected = theirs(x, time, class_labels=labels).sample
        torch.testing.assert_close(ours.network(x, time.float(), condition), expected, rtol=0, atol=TOLERANCE)
    assert expected.std() > 0.01


def test_the_network_of_ddpm_cifar10_predicts_the_same(registry, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = diffusers.UNet2DModel(**CIFAR).eval()
    scheduler = diffusers.DDPMScheduler(variance_type="fixed_large")
    ours = building.load(registry, saved(tmp_path, theirs, scheduler))
    assert sum(p.numel() for p in ours.parameters()) == 35_746_307
    assert ours.sampling.options == {"variance": "large", "spacing": "leading", "initial_scale": 1.0}
    x, time = torch.randn(1, 3, 32, 32), torch.tensor([321])
    with torch.no_grad():
        torch.testing.assert_close(ours.network(x, time.float()), theirs(x, time).sample, rtol=0, atol=TOLERANCE)


def test_a_fourier_network_is_given_the_noise_level():
    """No scheduler that can be imported goes with it, so the networks are compared."""
    from zoo_diffusion.networks.unet2d import UNet2D

    config = SMALL | {"time_embedding_type": "fourier"}
    theirs = unet(**config)
    config.pop("sample_size")
    ours = UNet2D(size=(16, 16), **config)
    ours.load_state_dict(theirs.state_dict())
    x, sigma = torch.randn(3, 1, 16, 16), torch.tensor([0.01, 1.0, 50.0])
    with torch.no_grad():
        given, expected = ours(x, sigma), theirs(x, sigma).sample
    scale = sigma.reshape(-1, 1, 1, 1)  # which the output is divided by
    torch.testing.assert_close(scale * given, scale * expected, rtol=0, atol=TOLERANCE)


def test_a_dit_predicts_the_same_when_time_is_embedded_as_there(registry, tmp_path):
    theirs = dit()
    folder = saved(tmp_path, theirs, diffusers.DDIMScheduler(clip_sample=False), "transformer")
    ours = building.load(registry, folder, time_embedding="diffusers")
    x, time, labels = torch.randn(4, 4, 8, 8), torch.tensor([0, 30, 500, 999]), torch.tensor([0, 3, 9, 10])
    with torch.no_grad():
        expected = theirs(x, time, labels).sample
        given = ours.network(x, time.float(), labels.to(torch.int32))
        torch.testing.assert_close(given, expected, rtol=0, atol=TOLERANCE)
        faithful = building.load(registry, folder).network(x, time.float(), labels.to(torch.int32))
    assert (faithful - expected)[1:].abs().max() > 1e-3
    assert ours.condition.size == 10
    assert ours.null_class == 10


def test_a_dit_as_it_was_trained_has_frequencies_without_a_shift(registry, tmp_path):
    """diffusers' own network, its shift and epsilon put right, is what is loaded by default."""
    theirs = dit(norm_eps=1e-6)
    folder = saved(tmp_path, theirs, None, "transformer")
    for block in theirs.transformer_blocks:
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    x, time, labels = torch.randn(3, 4, 8, 8), torch.tensor([0, 500, 999]), torch.tensor([0, 3, 10])
    with torch.no_grad():
        given = building.load(registry, folder).network(x, time.float(), labels.to(torch.int32))
        torch.testing.assert_close(given, theirs(x, time, labels).sample, rtol=0, atol=TOLERANCE)


# -- which of several files --------------------------------------------------------------------------------------------


SHARDED = {"max_shard_size": "4KB"}
NAME = "diffusion_pytorch_model"


def _old_list(folder, a, b):
    """A variant in shards as diffusers wrote it in 2024."""
    a.half().save_pretrained(folder, variant="fp16", **SHARDED)
    a.float()
    listed = folder / f"{NAME}.safetensors.index.fp16.json"
    text = listed.read_text()
    for shard in sorted(folder.glob(f"{NAME}.fp16-*.safetensors")):
        new = shard.name.replace(f"{NAME}.fp16-", f"{NAME}-").replace(".safetensors", ".fp16.safetensors")
        text = text.replace(shard.name, new)
        shard.rename(folder / new)
    listed.unlink()
    (folder / f"{NAME}.safetensors.fp16.index.json").write_text(text)


def _saved(*calls):
    """Save (which of two networks, its precision, options of save_pretrained), one after the other."""

    def save(folder, a, b):
        for which, dtype, options in calls:
            {"a": a, "b": b}[which].to(dtype).save_pretrained(folder, **options)
            {"a": a, "b": b}[which].float()

    return save


FULL, HALF, BRAIN = torch.float32, torch.float16, torch.bfloat16
FP16, EMA, PLAIN, PICKLE = {"variant": "fp16"}, {"variant": "ema"}, {}, {"safe_serialization": False}
#: how weights were saved, the variant that is asked for, and why it is refused if it is
LAYOUTS = {
    "whole": (_saved(("a", FULL, PLAIN)), None, None),
    "in shards": (_saved(("a", FULL, SHARDED)), None, None),
    "whole, then in shards": (_saved(("a", FULL, PLAIN), ("b", FULL, SHARDED)), None, None),
    "in shards, then whole": (_saved(("a", FULL, SHARDED), ("b", FULL, PLAIN)), None, "which does not exist"),
    "in shards, then in others": (_saved(("a", FULL, SHARDED), ("b", FULL, {"max_shard_size": "9KB"})), None, None),
    "bfloat16": (_saved(("a", BRAIN, PLAIN)), None, None),
    "float16": (_saved(("a", HALF, PLAIN)), None, None),
    "bfloat16 in shards": (_saved(("a", BRAIN, SHARDED)), None, None),
    "with a variant beside it": (_saved(("a", FULL, PLAIN), ("b", HALF, FP16)), None, None),
    "a variant beside another": (_saved(("a", FULL, PLAIN), ("b", HALF, FP16)), "fp16", None),
    "a variant in shards": (_saved(("a", HALF, FP16 | SHARDED)), "fp16", None),
    "a variant whole, then in shards": (_saved(("a", HALF, FP16), ("b", HALF, FP16 | SHARDED)), "fp16", None),
    "a variant in shards of 2024": (_old_list, "fp16", None),
    "ema beside it": (_saved(("a", FULL, PLAIN), ("b", FULL, EMA)), None, None),
    "ema asked for": (_saved(("a", FULL, PLAIN), ("b", FULL, EMA)), "ema", None),
    "a variant that is not there": (_saved(("a", FULL, PLAIN)), "bf16", "has no variant bf16"),
    "a pickle beside it": (_saved(("a", FULL, PLAIN), ("b", FULL, PICKLE)), None, None),
}


@pytest.mark.filterwarnings("ignore:This serialization format:FutureWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_file_is_chosen(layout, registry, tmp_path):
    save, variant, refused = LAYOUTS[layout]
    a, b = unet(**SMALL), unet(**SMALL)
    with torch.no_grad():
        for parameter in b.parameters():
            parameter.add_(1.0)
    saved(tmp_path, a)
    (tmp_path / "unet" / f"{NAME}.safetensors").unlink()
    save(tmp_path / "unet", a, b)
    if refused is not None:
        with pytest.raises(OSError, match="file named"):  # diffusers' own
            diffusers.UNet2DModel.from_pretrained(tmp_path / "unet", variant=variant)
        with pytest.raises(WeightsError, match=refused):
            building.load(registry, tmp_path, variant=variant)
        return
    theirs = diffusers.UNet2DModel.from_pretrained(tmp_path / "unet", variant=variant).float().state_dict()
    ours = building.load(registry, tmp_path, variant=variant).network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    if variant is not None:
        assert f"variant {variant}" in resolve(registry, tmp_path, variant=variant).card.summary


@pytest.mark.parametrize(
    ("pipeline", "scheduler", "edited"),
    [
        ("DDPMPipeline", "DDPMScheduler", None),
        ("DDIMPipeline", "DDPMScheduler", None),  # which the pipeline makes a DDIMScheduler
        ("DDPMPipeline", "PNDMScheduler", "DDIMScheduler"),  # as the index says, whoever wrote the config
        ("DDPMPipeline", "DDPMScheduler", "EulerAncestralDiscreteScheduler"),
    ],
)
def test_a_scheduler_is_what_the_pipeline_makes_of_it(pipeline, scheduler, edited, registry, tmp_path):
    alpha = {"set_alpha_to_one": True} if scheduler == "PNDMScheduler" else {}
    made = getattr(diffusers, scheduler)(beta_end=0.01, timestep_spacing="leading", **alpha)
    diffusers.DDPMPipeline(unet(**SMALL), made).save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    index["_class_name"] = pipeline
    index["scheduler"][1] = edited or scheduler
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    loaded = diffusers.DiffusionPipeline.from_pretrained(tmp_path)
    assert type(loaded).__name__ == pipeline
    sampler = {"DDPMScheduler": "ddpm", "DDIMScheduler": "ddim", "EulerAncestralDiscreteScheduler": "euler-ancestral"}
    ours = building.load(registry, tmp_path)
    assert ours.sampling.sampler == sampler[type(loaded.scheduler).__name__]
    alpha, _ = ours.path.alpha_sigma(np.arange(1000) / 999)
    np.testing.assert_allclose(alpha**2, loaded.scheduler.alphas_cumprod.numpy(), rtol=1e-4)
    loaded.scheduler.set_timesteps(7)
    assert ours.table(steps=7).time[-1] == loaded.scheduler.timesteps[-1]


@pytest.mark.parametrize("kind", ["VQModel", "AutoencoderKL"])
def test_what_an_autoencoder_decodes_is_no_picture(kind, registry, tmp_path):
    """LDMPipeline calls it vqvae, whichever it is."""
    config = {"in_channels": 3, "out_channels": 3, "block_out_channels": (8,), "norm_num_groups": 4}
    decoder = getattr(diffusers, kind)(latent_channels=3, scaling_factor=0.25, **config)
    latents = unet(**SMALL | {"in_channels": 3, "out_channels": 3})
    pipeline = diffusers.LDMPipeline(decoder, latents, diffusers.DDIMScheduler(clip_sample=False))
    pipeline.save_pretrained(tmp_path)
    card = resolve(registry, tmp_path).card
    assert "its autoencoder vqvae decodes, which is not imported (scaling_factor 0.25)" in card.summary
    ours = building.load(registry, tmp_path)
    assert (ours.shift, ours.scale, ours.state_clip, card.data) == (0.0, 1.0, None, {})
    noise = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    expected = run(latents, diffusers.DDIMScheduler(clip_sample=False), noise, 4)
    given = ours.sample(2, seed=0, noise=noise.numpy(), steps=4)
    torch.testing.assert_close(given, expected, rtol=ROUNDING, atol=ROUNDING)


# -- samples ----------------------------------------------------------------------------------------------------------


def run(network, scheduler, noise, steps, labels=None, draw=None, **options):
    """The loop of diffusers' pipelines, to states."""
    scheduler.set_timesteps(steps)
    x = noise * getattr(scheduler, "init_noise_sigma", 1.0)
    inputs = {} if labels is None else {"class_labels": labels}
    with torch.no_grad():
        for time in scheduler.timesteps:
            shown = scheduler.scale_model_input(x, time) if hasattr(scheduler, "scale_model_input") else x
            output = network(shown, time.expand(len(x)), **inputs).sample
            x = scheduler.step(output[:, : x.shape[1]] if draw is None else output, time, x, **options).prev_sample
    return x


SCHEDULERS = {
    "ddim": lambda: diffusers.DDIMScheduler(),
    "ddim-unclipped": lambda: diffusers.DDIMScheduler(clip_sample=False, timestep_spacing="trailing"),
    "ddim-v": lambda: diffusers.DDIMScheduler(prediction_type="v_prediction", beta_schedule="scaled_linear"),
    "ddim-x0": lambda: diffusers.DDIMScheduler(prediction_type="sample", clip_sample_range=0.5),
    "ddim-cosine": lambda: diffusers.DDIMScheduler(beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing"),
    "ddim-zero-snr": lambda: diffusers.DDIMScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
    ),
    "euler-leading": lambda: diffusers.EulerDiscreteScheduler(timestep_spacing="leading"),
    "euler-trailing": lambda: diffusers.EulerDiscreteScheduler(timestep_spacing="trailing"),
    "dpm-solver-pp": lambda: diffusers.DPMSolverMultistepScheduler(timestep_spacing="trailing"),
    "dpm-solver-pp-1": lambda: diffusers.DPMSolverMultistepScheduler(timestep_spacing="trailing", solver_order=1),
    "ddim-linspace": lambda: diffusers.DDIMScheduler(timestep_spacing="linspace"),
    "flow": lambda: diffusers.FlowMatchEulerDiscreteScheduler(),
    "flow-100": lambda: diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=100),
    "flow-shift": lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
}


def states(model, x):
    """Data units to state units."""
    return (torch.as_tensor(x) - model.shift) / model.scale


@pytest.mark.parametrize("name", SCHEDULERS)
def test_ten_steps_give_the_same_samples(name, registry, tmp_path):
    """In float64, since random networks make much of rounding; some schedulers go to float32 and back all the same."""
    theirs = unet(**AS_CIFAR)
    ours = building.load(registry, saved(tmp_path, theirs, SCHEDULERS[name]()), units="state").double()
    noise = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = run(theirs.double(), SCHEDULERS[name](), noise, 10)
    given = ours.sample(3, seed=0, noise=noise.numpy(), steps=10)
    assert expected.std() > 0.1
    tolerance = TOLERANCE if name.startswith("ddim") else ROUNDING
    torch.testing.assert_close(given, expected.double(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_small_log", "fixed_large", "learned_range"])
def test_ddpm_adds_the_same_noise(variance, registry, tmp_path, monkeypatch):
    """The noise that is specified here is given to diffusers' scheduler."""
    from diffusers.schedulers import scheduling_ddpm

    from zoo import noise as specified

    theirs = unet(**AS_CIFAR | ({"out_channels": 2} if variance == "learned_range" else {}))
    scheduler = diffusers.DDPMScheduler(variance_type=variance)
    ours = building.load(registry, saved(tmp_path, theirs, scheduler), units="state")
    rows = iter(range(10))

    def drawn(shape, **_):
        drawn = specified.normal(5, shape[0], tuple(shape[1:]), step=next(rows), stream=specified.Stream.STEP)
        return torch.from_numpy(drawn)

    monkeypatch.setattr(scheduling_ddpm, "randn_tensor", drawn)
    start = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = run(theirs, scheduler, start, 10, draw=True)
    given = ours.sample(3, seed=5, noise=start.numpy(), steps=10)
    assert expected.std() > 0.1
    torch.testing.assert_close(given, expected, rtol=TOLERANCE, atol=TOLERANCE)


def exact_shades(pipeline, noise, steps):
    """What a DDIMPipeline computes, in float64."""
    network, scheduler = copy.deepcopy(pipeline.unet).double(), copy.deepcopy(pipeline.scheduler)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    scheduler.final_alpha_cumprod = scheduler.final_alpha_cumprod.double()
    scheduler.set_timesteps(steps)
    x = noise.double()
    with torch.no_grad():
        for time in scheduler.timesteps:
            x = scheduler.step(network(x, time).sample, time, x).prev_sample
    return ((x / 2 + 0.5).clamp(0, 1) * 255).numpy()


def test_pictures_are_those_of_the_pipeline(registry, tmp_path):
    """Shades 0 … 255 from DDIMPipeline, from the folder that it writes, and both those of the same run in float64.

    Rounding alone puts the two up to twice as far apart as either is from that run.
    """
    pipeline = diffusers.DDIMPipeline(unet(**SMALL), diffusers.DDIMScheduler())
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(tmp_path)
    ours = building.load(registry, tmp_path)
    noise = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    pictures = pipeline(
        batch_size=2, generator=torch.Generator().manual_seed(3), num_inference_steps=10, output_type="np"
    ).images
    given = ours.sample(2, seed=0, noise=noise.numpy(), steps=10).numpy()
    shades = np.clip(pictures.transpose(0, 3, 1, 2), 0, 1) * 255
    exact = exact_shades(pipeline, noise, 10)
    np.testing.assert_allclose(given - 0.5, exact, rtol=0, atol=127.5 * ROUNDING)
    np.testing.assert_allclose(shades, exact, rtol=0, atol=127.5 * ROUNDING)
    assert (np.floor(given) == shades.round()).mean() > 0.99


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("kind", ["unet2d", "dit"])
def test_the_bundle_gives_the_samples_of_diffusers(kind, registry, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from click.testing import CliRunner

    from zoo.cli import cli
    from zoo.runtime import load

    scheduler = diffusers.DDIMScheduler()
    theirs = unet(**AS_CIFAR) if kind == "unet2d" else dit()
    # of networks with random weights, long runs are chaotic: not even PyTorch's float32 is near float64
    options = ["-I", "units=state", "-I", "steps=10", *([] if kind == "unet2d" else ["-I", "time_embedding=diffusers"])]
    folder = saved(tmp_path / "folder", theirs, scheduler, "unet" if kind == "unet2d" else "transformer")
    result = CliRunner().invoke(cli, ["export", str(folder), "-o", str(tmp_path / "bundle"), *options])
    assert result.exit_code == 0, result.stderr
    bundle = load(tmp_path / "bundle", "cpu")
    noise = torch.randn(3, *bundle.event_shape)
    labels = None if kind == "unet2d" else torch.arange(3)
    expected = run(theirs, scheduler, noise, 10, labels)
    given = bundle.sample(
        3, seed=0, noise=noise.numpy(), steps=10, condition=None if labels is None else labels.numpy()
    )
    np.testing.assert_allclose(given, expected.numpy(), rtol=0, atol=ROUNDING)
