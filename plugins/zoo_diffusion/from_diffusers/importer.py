"""The importer ``diffusers``: what a folder says as a card, and the card as a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.conditions import Condition
from zoo.errors import ConfigError, UsageError, WeightsError, ZooError
from zoo.overriding import override
from zoo.registry.cards import ModelCard
from zoo.registry.discovery import last_line
from zoo.weights import load_into
from zoo_diffusion.from_diffusers import weights
from zoo_diffusion.from_diffusers.folder import Folder, open_folder
from zoo_diffusion.from_diffusers.network import Network, network
from zoo_diffusion.from_diffusers.scheduler import Schedule, schedule

if TYPE_CHECKING:
    from zoo_diffusion.diffusion import Diffusion

#: shades 0 … 255: a state in [-1, 1] is 127.5·(x + 1) rounded, whose floor a picture of 256 levels shows
PICTURE = {"shift": 128.0, "scale": 127.5, "data_min": 0.5, "data_max": 255.5}
_PAPERS = {
    "unet2d": "Ho, Jain & Abbeel 2020, Denoising diffusion probabilistic models, arXiv:2006.11239",
    "dit": "Peebles & Xie 2023, Scalable diffusion models with transformers, arXiv:2212.09748",
}


def describe(
    path: Path,
    sampler: str | None = None,
    steps: int = 50,
    units: str | None = None,
    null_class: bool = False,
    time_embedding: str = "dit",
    variant: str | None = None,
) -> ModelCard | None:
    """The card of a folder that diffusers wrote, or None for anything else.

    Args:
        path: the folder, or the config in it.
        sampler: to be used instead of the scheduler's; the noise schedule is the scheduler's all the same.
        steps: of the sampler, which a scheduler's config does not state.
        units: ``"picture"``, shades 0 … 255, or ``"state"``, what the network works on; None takes pictures for one or
            three channels without an autoencoder.
        null_class: whether the last class of a U-Net stands for no class, so that it can be guided.
        time_embedding: of a DiT: ``"dit"`` as it was first published and trained, ``"diffusers"`` as that library
            computes it.
        variant: of several sets of weights the one with this name, such as ``"fp16"`` or ``"non_ema"``; None for the
            one without a name.

    Raises:
        WeightsError: a variant that does not exist.
        ConfigError: a network or scheduler that cannot be imported, with the reason.
        UsageError: an option that does not fit it.
    """
    folder = open_folder(path)
    if folder is None:
        return None
    if units not in (None, "picture", "state"):
        raise UsageError(f"units must be picture or state, not {units!r}")
    if not isinstance(null_class, bool):
        raise UsageError(f"null_class must be true or false, not {null_class!r}")
    if variant is not None and not isinstance(variant, str):
        raise UsageError(f"variant must be the name of a set of weights, not {variant!r}")
    net = network(folder.config, folder.network, null_class=null_class, time_embedding=time_embedding)
    folder.check_parts()
    plan = schedule(
        folder.scheduler,
        folder.scheduler_path,
        learned_variance=net.learned_variance,
        sampler=sampler,
        loaded_as=folder.scheduler_class,
    )
    chosen = weights.variant_of(folder.network, variant)
    picture = units == "picture" or (units is None and not folder.latent and net.event_shape[0] in (1, 3))
    condition = _labelled(net.condition, folder)
    return FolderCard(
        name=folder.name,
        summary=_summary(folder, chosen),
        family="diffusion",
        architecture=net.architecture,
        config=_config(net, plan, condition, picture, steps),
        event_shape=net.event_shape,
        condition=condition,
        data={"levels": 256} if picture else {},
        license={"code": "Apache-2.0", "weights": folder.weights_license},
        papers=(_PAPERS[net.architecture],),
        folder=folder.path,
        variant=chosen,
    )


@dataclass(frozen=True)
class FolderCard(ModelCard):
    """The card of a folder of diffusers.

    Attributes:
        variant: which of several sets of weights; None for the one without a name. Not stored.
    """

    variant: str | None = None

    @override
    def describe(self) -> dict[str, object]:
        return {name: value for name, value in super().describe().items() if name != "variant"}


def _summary(folder: Folder, variant: str | None) -> str:
    version = folder.config.get("_diffusers_version")
    summary = f"{folder.config['_class_name']} of diffusers{f' {version}' if version else ''}"
    if variant is not None:
        summary += f", variant {variant}"
    if folder.latent:
        summary += f", whose latents its autoencoder {folder.autoencoder} decodes, which is not imported"
    if folder.decoding:
        summary += f" ({', '.join(f'{name} {value}' for name, value in folder.decoding.items())})"
    return summary


def _config(net: Network, plan: Schedule, condition: Condition | None, picture: bool, steps: int) -> dict[str, Any]:
    config: dict[str, Any] = {"event_shape": list(net.event_shape), **net.config, **(PICTURE if picture else {})}
    if condition is not None:
        config["condition"] = condition.describe()
    if net.learned_variance:
        config["variance"] = "learned-range"
    config["clip_denoised"] = False if plan.clip is None else plan.clip
    sampling = {"sampler": plan.sampler, "steps": steps, "options": plan.options}
    return {**config, "path": plan.path, "prediction": plan.prediction, "sampling": sampling}


def _labelled(condition: Condition | None, folder: Folder) -> Condition | None:
    """The condition with the names of the classes, if the pipeline has them all."""
    named = folder.index.get("id2label")
    if condition is None or condition.kind != "classes" or not isinstance(named, dict):
        return condition
    labels = [named.get(str(i)) for i in range(condition.size)]
    if not all(isinstance(label, str) for label in labels) or len(named) != condition.size:
        return condition
    return Condition.classes(condition.size, [str(label) for label in labels], required=condition.required)


def load(card: ModelCard) -> Diffusion:
    """The model that :func:`describe` described, with its weights.

    Raises:
        ConfigError: a config that cannot be built.
        WeightsError: weights that are missing, pickles, damaged, or of another network.
    """
    from zoo_diffusion.dit import DiTDiffusion
    from zoo_diffusion.unet2d import UNet2DDiffusion

    folder = None if card.folder is None else open_folder(card.folder)
    if folder is None:
        raise WeightsError(f"{card.folder} is no longer a folder of diffusers")
    arrays, source = weights.read_weights(folder.network, getattr(card, "variant", None))
    config: dict[str, Any] = dict(card.config)
    model: Diffusion
    try:
        model = UNet2DDiffusion(**config) if card.architecture == "unet2d" else DiTDiffusion(**config)
    except ZooError:
        raise
    except Exception as error:  # whatever torch raises for unexpected values
        raise ConfigError(f"{folder.network} has a config that cannot be built: {last_line(error)}") from error
    if card.architecture == "unet2d":
        translated = weights.unet2d(arrays)
    else:
        translated = weights.dit(arrays, config["depth"], source)
        translated["pos_embed"] = model.network.state_dict()["pos_embed"].numpy()
    load_into(model.network, translated, source=source)
    return model
