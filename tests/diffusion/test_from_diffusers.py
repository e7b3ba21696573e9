"""Folders of diffusers, written by hand: what is read from them, and what is refused and why."""

import json
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner  # noqa: E402 - after the check for torch

import zoo_diffusion  # noqa: E402
from zoo import weights  # noqa: E402
from zoo.cli import cli  # noqa: E402
from zoo.errors import ConfigError, UsageError, WeightsError  # noqa: E402
from zoo.models import building  # noqa: E402
from zoo.models.sources import resolve  # noqa: E402
from zoo.registry import Registry  # noqa: E402
from zoo.registry.discovery import Plugin, PluginRecord  # noqa: E402
from zoo_diffusion.networks.dit import DiT  # noqa: E402
from zoo_diffusion.networks.unet2d import UNet2D  # noqa: E402

WEIGHTS = "diffusion_pytorch_model.safetensors"
UNET = {
    "_class_name": "UNet2DModel",
    "_diffusers_version": "0.1.1",
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": [4, 8],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "attention_head_dim": 4,
}
TRANSFORMER = {
    "_class_name": "DiTTransformer2DModel",
    "num_attention_heads": 2,
    "attention_head_dim": 4,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 2,
    "sample_size": 4,
    "num_embeds_ada_norm": 3,
    "norm_type": "ada_norm_zero",
}
#: as written in 2022: no spacing, no prediction type
DDPM = {"_class_name": "DDPMScheduler", "clip_sample": True, "variance_type": "fixed_large", "trained_betas": None}


@pytest.fixture(scope="module")
def registry():
    record = PluginRecord(name="diffusion", distribution="genzoo", version="", module="zoo_diffusion")
    described = {
        "architecture": tuple(zoo_diffusion.zoo_architectures()),
        "importer": tuple(zoo_diffusion.zoo_importers()),
    }
    return Registry([Plugin(record, described)])


def unet(**changes):
    """Tensors of a small U-Net, under the names that diffusers and our network both have."""
    config = {name: value for name, value in (UNET | changes).items() if not name.startswith("_")}
    config.pop("sample_size")
    return tensors(UNet2D(size=(8, 8), classes=config.pop("num_class_embeds", None), **config))


def tensors(network):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return weights.state_arrays(network)


def dit():
    """Tensors of a small DiT under our names, and under those of diffusers."""
    network = DiT(size=(4, 4), in_channels=4, out_channels=8, hidden_size=8, depth=2, num_heads=2, classes=4)
    ours = tensors(network)
    theirs = {}
    for name, array in ours.items():
        place, _, part = name.rpartition(".")
        if name == "pos_embed":
            continue
        if place.startswith(("t_embedder", "y_embedder")):
            layer = {
                "t_embedder.mlp.0": "timestep_embedder.linear_1",
                "t_embedder.mlp.2": "timestep_embedder.linear_2",
                "y_embedder.embedding_table": "class_embedder.embedding_table",
            }[place]
            theirs |= {f"transformer_blocks.{i}.norm1.emb.{layer}.{part}": array for i in range(2)}
        elif place.endswith("attn.qkv"):
            block = place.split(".")[1]
            for letter, third in zip("qkv", np.split(array, 3), strict=True):
                theirs[f"transformer_blocks.{block}.attn1.to_{letter}.{part}"] = third
        elif place.startswith("blocks"):
            _, block, layer = place.split(".", 2)
            layer = {
                "attn.proj": "attn1.to_out.0",
                "mlp.fc1": "ff.net.0.proj",
                "mlp.fc2": "ff.net.2",
                "adaLN_modulation.1": "norm1.linear",
            }[layer]
            theirs[f"transformer_blocks.{block}.{layer}.{part}"] = array
        else:
            layer = {
                "x_embedder.proj": "pos_embed.proj",
                "final_layer.linear": "proj_out_2",
                "final_layer.adaLN_modulation.1": "proj_out_1",
            }[place]
            theirs[f"{layer}.{part}"] = array
    return ours, theirs


def write_json(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def write(folder, *, config=UNET, scheduler=DDPM, arrays=None, name="unet", index=None):
    write_json(folder / name / "config.json", config)
    if scheduler is not None:
        write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    if index is not None:
        write_json(folder / "model_index.json", index)
    weights.write(folder / name / WEIGHTS, unet() if arrays is None else arrays, metadata={"format": "pt"})
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "tiny-ddpm")


def same(model, arrays):
    state = weights.state_arrays(model.network)
    assert state.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(state[name], array)


# -- what is read -----------------------------------------------------------------------------------------------------


def test_a_unet_is_loaded_with_its_scheduler(registry, folder):
    model = building.load(registry, folder)
    same(model, unet())
    assert model.path.describe() == {
        "name": "ddpm-linear",
        "num_timesteps": 1000,
        "zero_terminal_snr": False,
        "beta_start": 1e-4,
        "beta_end": 0.02,
    }
    assert (model.prediction, model.state_clip, model.sampling.sampler) == ("epsilon", 1.0, "ddpm")
    assert model.sampling.options == {"variance": "large", "spacing": "leading", "initial_scale": 1.0}
    table = model.table(steps=4)
    assert table.time.tolist() == [750, 500, 250, 0]
    assert table.initial_scale == 1.0
    x = model.sample(2, seed=0, steps=4)
    assert x.shape == (2, 1, 8, 8)
    assert x.min() >= 0.5
    assert x.max() <= 255.5


def test_its_card_says_what_it_is(registry, folder):
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    card = resolve(registry, folder).card
    assert (card.name, card.architecture, card.event_shape) == ("tiny-ddpm", "unet2d", (1, 8, 8))
    assert card.summary == "UNet2DModel of diffusers 0.1.1"
    assert card.license == {"code": "Apache-2.0", "weights": "apache-2.0"}
    assert card.data == {"levels": 256}
    assert registry.unavailable(resolve(registry, folder).importer) is None


def test_it_is_described_without_torch(folder):
    code = (
        "import sys; from pathlib import Path; from zoo_diffusion.from_diffusers.importer import describe; "
        f"print(describe(Path({str(folder)!r})).architecture, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["unet2d", "False"]


def test_everything_may_be_in_one_folder(registry, tmp_path):
    write_json(tmp_path / "config.json", UNET)
    write_json(tmp_path / "scheduler_config.json", DDPM)
    weights.write(tmp_path / WEIGHTS, unet())
    same(building.load(registry, tmp_path), unet())
    same(building.load(registry, tmp_path / "config.json"), unet())


def test_attention_may_have_its_old_names(registry, tmp_path):
    new = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for name, array in unet().items():
        for ours, theirs in new.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
        old[name] = array
    assert any("proj_attn" in name for name in old)
    same(building.load(registry, write(tmp_path / "a", arrays=old)), unet())


def test_weights_may_be_halved_or_in_parts(registry, tmp_path):
    arrays = unet()
    halved = write(tmp_path / "halved")
    (halved / "unet" / WEIGHTS).unlink()
    halves = {name: array.astype(np.float16) for name, array in arrays.items()}
    weights.write(halved / "unet" / "diffusion_pytorch_model.fp16.safetensors", halves)
    same(building.load(registry, halved), {name: array.astype(np.float32) for name, array in halves.items()})

    parted = write(tmp_path / "parted")
    (parted / "unet" / WEIGHTS).unlink()
    names = sorted(arrays)
    places = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(names)}
    for file in set(places.values()):
        weights.write(parted / "unet" / file, {name: arrays[name] for name in names if places[name] == file})
    listed = parted / "unet" / f"{WEIGHTS}.index.json"
    write_json(listed, {"metadata": {}, "weight_map": places})
    same(building.load(registry, parted), arrays)
    write_json(listed, {"weight_map": {"a": "../../other.safetensors"}})
    with pytest.raises(WeightsError, match="not in its folder"):
        building.load(registry, parted)
    write_json(listed, {"weight_map": []})
    with pytest.raises(WeightsError, match="does not say which tensor"):
        building.load(registry, parted)


def test_classes_are_required_unless_the_last_stands_for_none(registry, tmp_path):
    folder = write(tmp_path / "a", config=UNET | {"num_class_embeds": 4}, arrays=unet(num_class_embeds=4))
    model = building.load(registry, folder)
    assert (model.condition.size, model.null_class) == (4, None)
    model = building.load(registry, folder, null_class=True)
    assert (model.condition.size, model.null_class) == (3, 3)
    assert model.sample(3, seed=0, steps=2, guidance=2.0).shape == (3, 1, 8, 8)


def test_a_dit_is_loaded_as_it_was_trained(registry, tmp_path):
    ours, theirs = dit()
    index = {"_class_name": "DiTPipeline", "transformer": ["diffusers", "DiTTransformer2DModel"], "vae": ["diffusers"]}
    index["id2label"] = {"0": "cat", "1": "dog", "2": "owl"}
    scheduler = {"_class_name": "DDIMScheduler", "clip_sample": False}
    folder = write(
        tmp_path / "d", config=TRANSFORMER, scheduler=scheduler, arrays=theirs, name="transformer", index=index
    )
    model = building.load(registry, folder)
    state = weights.state_arrays(model.network)
    assert state.keys() == ours.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(state[name], array)
    assert model.learned_variance
    assert model.condition.labels == ("cat", "dog", "owl")
    assert model.null_class == 3
    assert (model.shift, model.scale, model.state_clip) == (0.0, 1.0, None)
    assert "autoencoder" in resolve(registry, folder).card.summary
    assert model.network.t_embedder.sinusoids.frequencies[-1] > 1.0001e-4
    other = building.load(registry, folder, time_embedding="diffusers")
    assert abs(other.network.t_embedder.sinusoids.frequencies[-1] - 1e-4) < 1e-9
    assert other.network.blocks[0].norm2.eps == 1e-5
    # as it was called before it had a class of its own
    old = write(tmp_path / "old", config=TRANSFORMER | {"_class_name": "Transformer2DModel"}, arrays=theirs)
    assert resolve(registry, old).card.config["depth"] == 2


def test_another_sampler_can_be_asked_for(registry, tmp_path):
    folder = write(tmp_path / "a", scheduler=DDPM | {"thresholding": True, "beta_schedule": "squaredcos_cap_v2"})
    with pytest.raises(ConfigError, match="thresholding True") as caught:
        resolve(registry, folder)
    assert "-I sampler=ddim" in caught.value.hint
    model = building.load(registry, folder, sampler="dpm-solver-pp", steps=7)
    assert (model.path.name, model.sampling.sampler, len(model.table())) == ("ddpm-cosine", "dpm-solver-pp", 7)


def test_of_some_schedulers_the_noise_schedule_can_be_had(registry, tmp_path):
    scheduler = {"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear", "prediction_type": "v_prediction"}
    folder = write(tmp_path / "a", scheduler=scheduler)
    with pytest.raises(ConfigError) as caught:
        resolve(registry, folder)
    assert "-I sampler=plms" in caught.value.hint
    model = building.load(registry, folder, sampler="plms")
    assert (model.path.name, model.prediction, model.sampling.sampler) == ("ddpm-scaled-linear", "v", "plms")
    flow = write(tmp_path / "b", scheduler={"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True})
    with pytest.raises(ConfigError, match="use_flow_sigmas True"):
        resolve(registry, flow, sampler="unipc")


def test_data_can_be_states_instead_of_shades(registry, folder):
    shades, states = (building.load(registry, folder, units=units) for units in ("picture", "state"))
    given = {"seed": 0, "steps": 3}
    torch.testing.assert_close(shades.sample(2, **given), 127.5 * states.sample(2, **given) + 128, atol=1e-3, rtol=0)
    assert resolve(registry, folder, units="state").card.data == {}


@pytest.mark.parametrize(
    ("scheduler", "sampler", "options", "clip"),
    [
        ({"_class_name": "DDIMScheduler"}, "ddim", {"spacing": "leading", "epsilon": "unclipped"}, 1.0),
        ({"_class_name": "DDIMParallelScheduler", "clip_sample": False}, "ddim", {"spacing": "leading"}, None),
        ({"_class_name": "DDPMScheduler", "clip_sample_range": 3.0}, "ddpm", {"variance": "small"}, 3.0),
        ({"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"}, "euler", {}, None),
        (
            {"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "leading"},
            "euler-ancestral",
            {},
            None,
        ),
        (
            {
                "_class_name": "DPMSolverMultistepScheduler",
                "timestep_spacing": "trailing",
                "algorithm_type": "sde-dpmsolver++",
            },
            "dpm-solver-pp-sde",
            {"solver": "midpoint"},
            None,
        ),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}, "flow-euler", {"spacing": "linspace"}, None),
    ],
)
def test_schedulers_become_samplers(scheduler, sampler, options, clip, registry, tmp_path):
    model = building.load(registry, write(tmp_path / "a", scheduler=scheduler), units="state")
    assert model.sampling.sampler == sampler
    assert options.items() <= model.sampling.options.items()
    assert model.state_clip == clip
    assert torch.isfinite(model.sample(1, seed=0, steps=3)).all()


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_one_variant_in_another_precision_is_taken_and_named(name, registry, folder):
    (folder / "unet" / WEIGHTS).rename(folder / "unet" / f"diffusion_pytorch_model.{name}.safetensors")
    assert resolve(registry, folder).card.summary == f"UNet2DModel of diffusers 0.1.1, variant {name}"
    same(building.load(registry, folder), unet())
    assert "variant" not in resolve(registry, folder).card.describe()


def test_a_snapshot_in_the_cache_of_the_hub_is_a_folder_of_links(registry, tmp_path):
    whole = write(tmp_path / "whole", index={"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]})
    repository = tmp_path / "models--someone--tiny-ddpm"
    snapshot = repository / "snapshots" / "0123abcd"
    (repository / "blobs").mkdir(parents=True)
    for number, file in enumerate(sorted(path for path in whole.rglob("*") if path.is_file())):
        blob = repository / "blobs" / f"{number:040x}"
        file.rename(blob)
        link = snapshot / file.relative_to(whole)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    same(building.load(registry, snapshot), unet())
    assert resolve(registry, snapshot).card.name == "tiny-ddpm"
    with pytest.raises(ConfigError, match="is a repository in the hub's cache") as caught:
        resolve(registry, repository)
    assert str(snapshot) in caught.value.hint
    (snapshot / "unet" / WEIGHTS).resolve().unlink()
    with pytest.raises(WeightsError, match="is a link to a file that is not there"):
        building.load(registry, snapshot)


PIPELINE = {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]}


@pytest.mark.parametrize(
    ("index", "folders", "decoded"),
    [
        ({"vae": ["diffusers", "AutoencoderKL"]}, {}, "vae"),
        ({"vqvae": ["diffusers", "VQModel"]}, {}, "vqvae"),
        ({"first_stage": ["diffusers", "AutoencoderTiny"]}, {}, "first_stage"),
        ({"vae": [None, None]}, {}, None),
        ({"vae": None, "mel": ["diffusers", "Mel"]}, {}, None),
        ({}, {"vqvae": None}, "vqvae"),
        ({}, {"decoder": {"_class_name": "AutoencoderDC"}}, "decoder"),
        ({}, {"samples": {"kind": "pictures"}}, None),
    ],
)
def test_an_autoencoder_is_found_by_name_or_class(index, folders, decoded, registry, tmp_path):
    folder = write(tmp_path / "a", index=PIPELINE | index)
    for name, config in folders.items():
        (folder / name).mkdir()
        if config is not None:
            write_json(folder / name / "config.json", config)
    card = resolve(registry, folder).card
    assert card.data == ({} if decoded else {"levels": 256})
    assert ("autoencoder" in card.summary) == (decoded is not None)
    assert decoded is None or f"its autoencoder {decoded} decodes" in card.summary


# -- what is refused --------------------------------------------------------------------------------------------------


def test_pickles_are_refused_with_the_reason(registry, folder):
    (folder / "unet" / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match=r"has no diffusion_pytorch_model\.safetensors"):
        building.load(registry, folder)
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(
        WeightsError, match=r"only as a pickle \(diffusion_pytorch_model\.bin\).*runs whatever code"
    ) as e:
        building.load(registry, folder)
    assert "save_pretrained" in e.value.hint


def test_a_pointer_in_place_of_weights_is_recognised(registry, folder):
    (folder / "unet" / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(WeightsError, match="Git LFS pointer"):
        building.load(registry, folder)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["diffusion_pytorch_model.non_ema.safetensors"], "but the variant non_ema, which may be other weights"),
        (["diffusion_pytorch_model.ema.safetensors"], "but the variant ema, which may be other weights"),
        ([f"diffusion_pytorch_model.{v}.safetensors" for v in ("bf16", "fp16")], "but the variants bf16, fp16"),
        (["diffusion_pytorch_model-00001-of-00002.safetensors"], "has shards such as .*, but no"),
        (["diffusion_pytorch_model.fp16-00001-of-00002.safetensors"], "has shards such as .*, but no"),
        (["diffusion_pytorch_model.safetensors.index.json"], "does not say which tensor is in which file"),
        (["diffusion_flax_model.msgpack"], r"has no diffusion_pytorch_model\.safetensors"),
    ],
)
def test_other_weights_are_not_taken_without_a_word(names, says, registry, folder):
    for name in names:
        (folder / "unet" / name).write_bytes(b"{}")
    (folder / "unet" / WEIGHTS).unlink()
    with pytest.raises(WeightsError, match=says):
        building.load(registry, folder)


def test_other_weights_are_taken_where_they_are_asked_for(registry, folder):
    (folder / "unet" / WEIGHTS).rename(folder / "unet" / "diffusion_pytorch_model.non_ema.safetensors")
    with pytest.raises(WeightsError) as caught:
        building.load(registry, folder)
    assert "-I variant=non_ema" in caught.value.hint
    same(building.load(registry, folder, variant="non_ema"), unet())
    with pytest.raises(WeightsError, match="has no variant ema of its weights; available: non_ema"):
        resolve(registry, folder, variant="ema")
    with pytest.raises(UsageError, match="variant must be the name of a set of weights, not 16"):
        resolve(registry, folder, variant=16)


def test_a_tensor_in_two_shards_is_refused(registry, folder):
    names = {}
    for part in ("a.safetensors", "b.safetensors"):
        weights.write(folder / "unet" / part, unet())
        names |= dict.fromkeys(unet(), part)
    names |= {next(iter(names)): "a.safetensors"}
    write_json(folder / "unet" / f"{WEIGHTS}.index.json", {"weight_map": names})
    with pytest.raises(WeightsError, match=r"which another file of .* has, too"):
        building.load(registry, folder)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ({"unet": ["diffusers", "UNet2DConditionModel"]}, "loads unet as a UNet2DConditionModel, but .* UNet2DModel"),
        ({"unet": ["my_networks", "UNet2DModel"]}, "takes unet from my_networks, which is not diffusers"),
        ({"text_encoder": ["transformers", "CLIPTextModel"]}, "has the part text_encoder, a CLIPTextModel"),
        ({"upsampling": 4}, "has upsampling 4, which genzoo does not know"),
        ({"scheduler": ["diffusers", "PNDMScheduler"]}, "scheduler PNDMScheduler, whose steps"),
        ({"_class_name": "PNDMPipeline"}, "scheduler PNDMScheduler, whose steps"),
    ],
)
def test_a_pipeline_that_is_not_understood_is_refused(index, says, registry, tmp_path):
    with pytest.raises(ConfigError, match=says):
        resolve(registry, write(tmp_path / "a", index=PIPELINE | index))


def test_of_two_networks_the_one_that_the_index_names_is_taken(registry, tmp_path):
    folder = write(tmp_path / "a")
    write_json(folder / "transformer" / "config.json", TRANSFORMER)
    with pytest.raises(ConfigError, match="has both unet and transformer"):
        resolve(registry, folder)
    write_json(folder / "model_index.json", {"transformer": ["diffusers", "DiTTransformer2DModel"]})
    assert resolve(registry, folder).card.architecture == "dit"


def test_missing_and_unexpected_tensors_are_told_at_once(registry, tmp_path):
    arrays = unet()
    arrays["conv_put.bias"] = arrays.pop("conv_out.bias")
    arrays["conv_in.bias"] = arrays["conv_in.bias"][:2]
    with pytest.raises(WeightsError) as caught:
        building.load(registry, write(tmp_path / "a", arrays=arrays))
    told = str(caught.value)
    assert "missing conv_out.bias; unexpected conv_put.bias; conv_in.bias is float32[2], expected float32[4]" in told
    _, theirs = dit()
    theirs["proj_out_3.bias"] = theirs.pop("proj_out_2.bias")
    with pytest.raises(WeightsError, match=r"missing proj_out_2\.bias; unexpected proj_out_3\.bias"):
        building.load(registry, write(tmp_path / "d", config=TRANSFORMER, arrays=theirs, name="transformer"))


def test_a_dit_with_several_embeddings_is_refused(registry, tmp_path):
    _, theirs = dit()
    name = "transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.bias"
    theirs[name] = theirs[name] + 1
    with pytest.raises(WeightsError, match=f"{name} differs from transformer_blocks.0"):
        building.load(registry, write(tmp_path / "d", config=TRANSFORMER, arrays=theirs, name="transformer"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"_class_name": "PNDMScheduler"}, "scheduler PNDMScheduler, whose steps are not those of any sampler"),
        ({"_class_name": "KarrasVeScheduler"}, "scheduler KarrasVeScheduler, which genzoo does not know"),
        ({"_class_name": None}, "scheduler None, which genzoo does not know"),
        ({"trained_betas": [0.1, 0.2]}, "has trained_betas; only named"),
        ({"beta_schedule": "sigmoid"}, "beta_schedule 'sigmoid'; linear, scaled_linear, squaredcos_cap_v2 can be"),
        ({"prediction_type": "score"}, "prediction_type 'score'; epsilon, sample, v_prediction can be"),
        ({"beta_start": "small"}, "beta_start 'small', which is not a number"),
        ({"beta_end": 2.0}, "every β must lie between 0 and 1"),
        ({"num_train_timesteps": 0.5}, "num_train_timesteps 0.5, not a whole number of 2 or more"),
        ({"variance_type": "learned"}, "variance_type 'learned'; fixed_small"),
        ({"variance_type": "learned_range"}, "but the network predicts no variance"),
        ({"timestep_spacing": "karras"}, "timestep_spacing 'karras'; leading, trailing, linspace can be"),
        ({"steps_offset": 1}, "steps_offset 1"),
        ({"_class_name": "DDIMScheduler", "set_alpha_to_one": False}, "set_alpha_to_one False"),
        ({"_class_name": "EulerDiscreteScheduler"}, "timestep_spacing 'linspace'; leading, trailing can be"),
        ({"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True}, "use_karras_sigmas True"),
        ({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3, "variance_type": None}, "solver_order 3"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True}, "use_dynamic_shifting True"),
    ],
)
def test_a_scheduler_that_ours_cannot_do_is_refused(changes, says, registry, tmp_path):
    with pytest.raises(ConfigError, match=says):
        resolve(registry, write(tmp_path / "a", scheduler=DDPM | changes))


@pytest.mark.parametrize("name", ["DDPMScheduler", "DDIMScheduler", "EulerDiscreteScheduler"])
def test_epsilon_that_says_nothing_of_the_data_is_refused(name, registry, tmp_path):
    scheduler = {"_class_name": name, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    with pytest.raises(ConfigError, match="epsilon"):
        building.load(registry, write(tmp_path / "a", scheduler=scheduler))


def test_folders_of_other_pipelines_are_told_by_their_network(registry, tmp_path):
    index = {"text_encoder": ["transformers", "CLIPTextModel"], "unet": ["diffusers", "UNet2DConditionModel"]}
    folder = write(tmp_path / "a", config=UNET | {"_class_name": "UNet2DConditionModel"}, index=index)
    with pytest.raises(ConfigError, match="describes a UNet2DConditionModel, which cannot be imported"):
        resolve(registry, folder)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (UNET | {"_class_name": "UNet2DConditionModel"}, "describes a UNet2DConditionModel, which cannot be imported"),
        (UNET | {"encoder_hid_dim": 7}, "says encoder_hid_dim, which genzoo does not know"),
        (UNET | {"encoder_hid_dim": None}, "says encoder_hid_dim, which genzoo does not know"),
        (UNET | {"sample_size": None}, "has no sample_size"),
        (UNET | {"sample_size": 0}, "sample_size 0, not a whole number"),
        (UNET | {"in_channels": 6}, "6 channels in and 1 out"),
        (TRANSFORMER | {"norm_type": "layer_norm"}, "norm_type 'layer_norm'; only 'ada_norm_zero'"),
    ],
)
def test_a_network_that_is_not_ours_is_refused(config, says, registry, tmp_path):
    with pytest.raises(ConfigError, match=says):
        resolve(registry, write(tmp_path / "a", config=config))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"down_block_types": ["DownBlock2D", "SkipDownBlock2D"]}, "not SkipDownBlock2D"),
        ({"time_embedding_type": "learned"}, "positional or fourier, not 'learned'"),
        ({"resnet_time_scale_shift": "spatial"}, "default or scale_shift, not 'spatial'"),
        ({"act_fn": "tanh"}, "not 'tanh'"),
        ({"norm_num_groups": 3}, "must divide"),
        ({"attention_head_dim": 99}, "more than the 8 channels"),
        ({"block_out_channels": [4]}, "one entry for each level"),
        ({"sample_size": 7}, "divisible by 2"),
        ({"layers_per_block": "two"}, "cannot be built"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(changes, says, registry, tmp_path):
    with pytest.raises(ConfigError, match=says):
        building.load(registry, write(tmp_path / "a", config=UNET | changes))


def test_a_folder_that_is_not_whole_is_refused(registry, tmp_path):
    with pytest.raises(ConfigError, match=r"has no scheduler/scheduler_config\.json"):
        resolve(registry, write(tmp_path / "a", scheduler=None))
    (tmp_path / "b").mkdir()
    write_json(tmp_path / "b" / "model_index.json", {"prior": []})
    with pytest.raises(ConfigError, match=r"names prior, but there is neither unet/config\.json"):
        resolve(registry, tmp_path / "b")
    (write(tmp_path / "c") / "unet" / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        resolve(registry, tmp_path / "c")
    write_json(tmp_path / "d" / "config.json", {"model_type": "bert"})
    with pytest.raises(UsageError, match="is a folder, but not a model") as caught:
        resolve(registry, tmp_path / "d")
    assert "diffusers" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"speed": 3}, "the importer diffusers has no option speed"),
        ({"units": "metres"}, "units must be picture or state, not 'metres'"),
        ({"null_class": 3}, "null_class must be true or false"),
        ({"null_class": True}, "network without classes"),
        ({"time_embedding": "diffusers"}, "option for DiT"),
        ({"time_embedding": "fourier"}, "dit or diffusers, not 'fourier'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, says, registry, folder):
    with pytest.raises(UsageError, match=says):
        resolve(registry, folder, **options)


# -- the command line -------------------------------------------------------------------------------------------------


def zoo(*arguments):
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_it_is_shown(folder):
    code, out, err = zoo("show", folder, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["architecture"], told["unavailable"], told["bundle"]) == ("unet2d", None, None)


def test_errors_are_told_in_one_sentence(folder, tmp_path):
    bundle = tmp_path / "bundle"
    code, _, err = zoo("export", folder, "-o", bundle, "-I", "speed=3")
    assert (code, err.splitlines()[0]) == (2, "Error: the importer diffusers has no option speed")
    code, _, err = zoo("export", folder, "--all", "-I", "units=state")
    assert (code, "no -I" in err) == (2, True)
    code, _, err = zoo("export", folder, "--all")
    assert (code, "--all exports installed models" in err) == (2, True)
    (folder / "unet" / WEIGHTS).rename(folder / "unet" / "model.ckpt")
    code, _, err = zoo("export", folder, "-o", bundle)
    assert code == 1
    assert "only as a pickle (model.ckpt)" in err
    assert not bundle.exists()
    code, _, err = zoo("export", "moons-nsf", "-o", bundle, "-I", "units=state")
    assert (code, "moons-nsf is not imported, so it takes no option units" in err) == (2, True)


@pytest.mark.full  # test_diffusers.py exports a folder in the quick tier
@pytest.mark.slow
def test_it_is_exported_and_runs(registry, folder, tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    code, _, err = zoo("export", folder, "-o", tmp_path / "bundle", "-I", "steps=6")
    assert code == 0, err
    code, _, err = zoo("run", tmp_path / "bundle", "-n", 2, "--seed", 0, "-o", tmp_path / "x.npy")
    assert code == 0, err
    expected = building.load(registry, folder, steps=6).sample(2, seed=0).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, atol=127.5 * 1e-4)
    same(building.load(registry, tmp_path / "bundle"), unet())
