"""The config of a network of diffusers as architecture and config of ours.

A key that a config lacks has the default that diffusers gives it; an unknown key is refused, since the
network might not be the one that was trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError, UsageError
from zoo_diffusion.from_diffusers.folder import CONFIG

#: the config of a ``UNet2DModel``, with diffusers' defaults; those that our network has under the same name
_UNET2D: dict[str, Any] = {
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "block_out_channels": [224, 448, 672, 896],
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "dropout": 0.0,
    "act_fn": "silu",
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "attn_norm_num_groups": None,
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "class_embed_type": None,
}
_UNET2D_OTHER = {"sample_size", "in_channels", "out_channels", "num_class_embeds", "num_train_timesteps"}

#: the config of a ``DiTTransformer2DModel``, with diffusers' defaults
_DIT: dict[str, Any] = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": None,
    "num_layers": 28,
    "sample_size": 32,
    "patch_size": 2,
    "num_embeds_ada_norm": 1000,
    "norm_eps": 1e-5,
}
#: what a DiT is; the same keys in a ``Transformer2DModel`` can make it another network
_DIT_ONLY: dict[str, tuple[object, ...]] = {
    "norm_type": ("ada_norm_zero",),
    "activation_fn": ("gelu-approximate",),
    "attention_bias": (True,),
    "norm_elementwise_affine": (False,),
    "upcast_attention": (False,),
    "double_self_attention": (False,),
    "only_cross_attention": (False,),
    "use_linear_projection": (False,),
    "cross_attention_dim": (None,),
    "num_vector_embeds": (None,),
    "caption_channels": (None,),
    "interpolation_scale": (None,),
    "use_additional_conditions": (None, False),
    "dropout": (0.0,),
}
#: without effect in a DiT
_DIT_UNUSED = {"norm_num_groups", "attention_type"}


@dataclass(frozen=True)
class Network:
    """The content of a network's config.

    Attributes:
        architecture: name of ours.
        config: its config, as far as the network's goes.
        event_shape: (channels, height, width).
        condition: what it is conditioned on, or None.
        learned_variance: whether half of the output predicts the variance.
    """

    architecture: str
    config: dict[str, Any]
    event_shape: tuple[int, int, int]
    condition: Condition | None
    learned_variance: bool


def network(config: Mapping[str, Any], folder: Path, *, null_class: bool, time_embedding: str) -> Network:
    """Translate a network's config.

    Args:
        config: content of ``config.json``.
        folder: where it is.
        null_class: whether the last class of a U-Net stands for no class.
        time_embedding: ``"dit"`` or ``"diffusers"``, see :class:`~zoo_diffusion.networks.dit.DiT`.

    Raises:
        ConfigError: an unknown network, or a value that is not supported.
        UsageError: an option that does not fit the network.
    """
    kind, where = config.get("_class_name"), folder / CONFIG
    if time_embedding not in ("dit", "diffusers"):
        raise UsageError(f"time_embedding must be dit or diffusers, not {time_embedding!r}")
    if kind == "UNet2DModel":
        if time_embedding != "dit":
            raise UsageError("time_embedding is an option for DiT, but this is a U-Net")
        return _unet2d(config, where, null_class=null_class)
    # the class that DiT used before it got its own
    if kind == "DiTTransformer2DModel" or (kind == "Transformer2DModel" and config.get("norm_type") == "ada_norm_zero"):
        if null_class:
            raise UsageError("null_class is an option for U-Nets: a DiT always has a null class")
        return _dit(config, where, time_embedding)
    raise ConfigError(
        f"{where} describes a {kind}, which cannot be imported",
        hint="Import UNet2DModel or DiTTransformer2DModel (or Transformer2DModel with norm_type ada_norm_zero).",
    )


def _unet2d(config: Mapping[str, Any], where: Path, *, null_class: bool) -> Network:
    _refuse_unknown(config, {*_UNET2D, *_UNET2D_OTHER}, where)
    shape = _event_shape(config, where, config.get("in_channels", 3))
    ours = {name: config.get(name, default) for name, default in _UNET2D.items()}
    classes, embedded_as = config.get("num_class_embeds"), ours["class_embed_type"]
    condition = None
    if embedded_as == "timestep":
        condition = Condition.vector(1)
    elif embedded_as == "identity":
        condition = Condition.vector(ours["time_embedding_dim"] or 4 * ours["block_out_channels"][0])
    elif classes is not None:
        classes = _whole(classes, "num_class_embeds", where)
        condition = Condition.classes(classes - null_class, required=not null_class)
    if null_class and (condition is None or condition.kind != "classes"):
        raise UsageError(f"{where} describes a network without classes, so it cannot have a null class")
    learned = _learned(shape[0], config.get("out_channels", 3), where)
    return Network("unet2d", ours, shape, condition, learned)


def _dit(config: Mapping[str, Any], where: Path, time_embedding: str) -> Network:
    _refuse_unknown(config, {*_DIT, *_DIT_ONLY, *_DIT_UNUSED}, where)
    for name, known in _DIT_ONLY.items():
        if config.get(name, known[0]) not in known:
            raise ConfigError(f"{where} has {name} {config[name]!r}; only {known[0]!r} can be imported")
    settings = {name: config.get(name, default) for name, default in _DIT.items()}
    heads, head = (_whole(settings[name], name, where) for name in ("num_attention_heads", "attention_head_dim"))
    shape = _event_shape({**config, "sample_size": settings["sample_size"]}, where, settings["in_channels"])
    outputs = settings["out_channels"]
    condition = Condition.classes(_whole(settings["num_embeds_ada_norm"], "num_embeds_ada_norm", where), required=False)
    ours: dict[str, Any] = {
        "patch_size": settings["patch_size"],
        "hidden_size": heads * head,
        "depth": settings["num_layers"],
        "num_heads": heads,
        "time_embedding": time_embedding,
        # DiT was trained with 1e-6, unlike diffusers' default
        "norm_eps": settings["norm_eps"] if time_embedding == "diffusers" else 1e-6,
    }
    return Network("dit", ours, shape, condition, _learned(shape[0], shape[0] if outputs is None else outputs, where))


def _refuse_unknown(config: Mapping[str, object], known: set[str], where: Path) -> None:
    unknown = [name for name in config if not name.startswith("_") and name not in known]
    if unknown:
        raise ConfigError(f"{where} says {', '.join(unknown)}, which genzoo does not know")


def _event_shape(config: Mapping[str, object], where: Path, channels: object) -> tuple[int, int, int]:
    size = config.get("sample_size")
    if size is None:
        raise ConfigError(f"{where} has no sample_size, so the size of an image is unknown")
    height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
    return (
        _whole(channels, "in_channels", where),
        _whole(height, "sample_size", where),
        _whole(width, "sample_size", where),
    )


def _whole(value: object, name: str, where: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{where} has {name} {value!r}, not a whole number of 1 or more")
    return value


def _learned(inputs: int, outputs: object, where: Path) -> bool:
    if outputs not in (inputs, 2 * inputs):
        raise ConfigError(
            f"{where} has {inputs} channels in and {outputs} out, expected as many out as in, or twice as many "
            "for a learned variance"
        )
    return bool(outputs == 2 * inputs)
