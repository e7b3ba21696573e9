"""The files of a folder that diffusers wrote.

A pipeline's folder has ``model_index.json`` and a subfolder for each part; the oldest have everything in one folder::

    model_index.json                      config.json
    scheduler/scheduler_config.json       scheduler_config.json
    unet/config.json                      diffusion_pytorch_model.safetensors
    unet/diffusion_pytorch_model.safetensors
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo import jsonfile
from zoo.errors import ConfigError

INDEX, CONFIG, SCHEDULER = "model_index.json", "config.json", "scheduler_config.json"
#: the parts of a pipeline that may be the network
NETWORKS = ("unet", "transformer")
_MAX_SIZE = 1 << 24


@dataclass(frozen=True)
class Folder:
    """A folder of diffusers, its JSON read.

    Attributes:
        path: the folder.
        network: where the network's config and weights are.
        config: the network's.
        scheduler: the scheduler's config.
        scheduler_path: the file with it.
        index: content of ``model_index.json``; empty where there is none.
    """

    path: Path
    network: Path
    config: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    scheduler_path: Path
    index: Mapping[str, Any] = field(default_factory=dict)

    @property
    def latent(self) -> bool:
        """Whether what the network makes is decoded by an autoencoder."""
        return (self.path / "vae").is_dir() or self.index.get("vae") is not None

    @property
    def weights_license(self) -> str:
        """What the head of ``README.md`` says of the licence, or nothing."""
        try:
            lines = (self.path / "README.md").read_text("utf-8").splitlines()[:100]
        except (OSError, UnicodeDecodeError):
            return ""
        if not lines or lines[0].strip() != "---":
            return ""
        said = [line.partition(":")[2].strip().strip("\"'") for line in lines if line.startswith("license:")]
        return said[0] if said and said[0].isprintable() else ""


def open_folder(path: Path) -> Folder | None:
    """Read what a folder, or the config in it, says; None if it is nothing of diffusers.

    Raises:
        ConfigError: a file that is missing or cannot be read.
    """
    if path.name in (INDEX, CONFIG) and path.is_file():
        path = path.parent
    index = read_json(path / INDEX) if (path / INDEX).is_file() else {}
    network = _network(path, index)
    if network is None:
        return None
    scheduler = path / "scheduler" / SCHEDULER
    if not scheduler.is_file():
        scheduler = path / SCHEDULER
    if not scheduler.is_file():
        raise ConfigError(
            f"{path} has no scheduler/{SCHEDULER}, so that nobody knows how much noise there is at which time",
            hint="Give the folder of the whole pipeline, or put the scheduler's config there.",
        )
    return Folder(path, network, read_json(network / CONFIG), read_json(scheduler), scheduler, index)


def _network(path: Path, index: Mapping[str, Any]) -> Path | None:
    """The folder with the network's config, or None if nothing here is of diffusers."""
    for name in NETWORKS:
        if (path / name / CONFIG).is_file():
            return path / name
    if (path / CONFIG).is_file() and (index or "_diffusers_version" in read_json(path / CONFIG)):
        return path
    if not index:
        return None
    parts = ", ".join(name for name in index if not name.startswith("_")) or "nothing"
    places = " nor ".join(f"{name}/{CONFIG}" for name in NETWORKS)
    raise ConfigError(f"{path / INDEX} names {parts}, but there is neither {places} nor {CONFIG}")


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object.

    Raises:
        ConfigError: it cannot be read, or is none.
    """
    try:
        if path.stat().st_size > _MAX_SIZE:
            raise ConfigError(f"{path} is too large for a config")
        values = jsonfile.strict(path.read_text("utf-8"), infinite=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON that can be read: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no JSON object")
    return values
