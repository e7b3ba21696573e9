"""The files of a folder that diffusers wrote, and what each part of a pipeline is.

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

from zoo import jsonfile
from zoo.errors import ConfigError

INDEX, CONFIG, SCHEDULER = "model_index.json", "config.json", "scheduler_config.json"
#: the parts of a pipeline that may be the network
NETWORKS = ("unet", "transformer")
#: parts that decode the network's output, by their names and their classes
AUTOENCODERS = ("vae", "vqvae", "movq", "vqgan")
_AUTOENCODER_CLASSES = ("Autoencoder", "VQModel", "VQVAE")
#: other parts, which do not change the image: this one turns a spectrogram, which is an image, into sound
_OTHER_PARTS = ("scheduler", "mel")
#: keys of an index besides parts
_SETTINGS = ("id2label",)
#: pipelines that load any scheduler as their own class
_CONVERTING = {"DDIMPipeline": "DDIMScheduler", "PNDMPipeline": "PNDMScheduler"}
_MAX_SIZE = 1 << 24
_ALONE = "Where only the network and its noise schedule are wanted, copy their two folders into a new one."


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
        autoencoder: name of the part that decodes the network's output, or None.
        decoding: the scale of latents in the autoencoder's config.
    """

    path: Path
    network: Path
    config: Mapping[str, object]
    scheduler: Mapping[str, object]
    scheduler_path: Path
    index: Mapping[str, object] = field(default_factory=dict)
    autoencoder: str | None = None
    decoding: Mapping[str, object] = field(default_factory=dict)

    @property
    def latent(self) -> bool:
        """Whether the network's output is decoded by an autoencoder."""
        return self.autoencoder is not None

    @property
    def scheduler_class(self) -> str | None:
        """The class that the pipeline loads its scheduler as; it need not be the one that wrote it. None if unknown."""
        return _CONVERTING.get(str(self.index.get("_class_name")), _parts(self.index).get("scheduler"))

    def check_parts(self) -> None:
        """Refuse a pipeline with parts or settings that might change the network or its output.

        Raises:
            ConfigError: naming it.
        """
        where = self.path / INDEX
        for name, kind in _parts(self.index).items():
            if name not in (*NETWORKS, *_OTHER_PARTS) and not _is_autoencoder(name, kind):
                raise ConfigError(
                    f"{where} has the part {name}, a {kind}, and genzoo does not know what it does to samples",
                    hint=_ALONE,
                )
        for name, value in self.index.items():
            setting = not name.startswith("_") and not isinstance(value, list) and name not in _SETTINGS
            if setting and value not in (None, False):
                raise ConfigError(f"{where} has {name} {value!r}, which genzoo does not know", hint=_ALONE)

    @property
    def name(self) -> str:
        """The name of the folder; in the hub's cache, that of its repository."""
        path = self.path.resolve()
        if path.parent.name == "snapshots" and path.parent.parent.name.startswith("models--"):
            return path.parent.parent.name.rpartition("--")[2]
        return path.name

    @property
    def weights_license(self) -> str:
        """The licence in the head of ``README.md``, or nothing."""
        try:
            lines = (self.path / "README.md").read_text("utf-8").splitlines()[:100]
        except (OSError, UnicodeDecodeError):
            return ""
        if not lines or lines[0].strip() != "---":
            return ""
        said = [line.partition(":")[2].strip().strip("\"'") for line in lines if line.startswith("license:")]
        return said[0] if said and said[0].isprintable() else ""


def open_folder(path: Path) -> Folder | None:
    """Read a folder, or the config in it; None if it is not of diffusers.

    Raises:
        ConfigError: a file that is missing or cannot be read, or files that contradict each other.
    """
    if path.name in (INDEX, CONFIG) and path.is_file():
        path = path.parent
    _refuse_cache(path)
    index = read_json(path / INDEX) if (path / INDEX).is_file() else {}
    network = _network(path, index)
    if network is None:
        return None
    config = _config(network / CONFIG)
    _check_class(network, config, index, path / INDEX)
    scheduler = path / "scheduler" / SCHEDULER
    if not scheduler.is_file():
        scheduler = path / SCHEDULER
    if not scheduler.is_file():
        raise ConfigError(
            f"{path} has no scheduler/{SCHEDULER}, which says how much noise there is at each time",
            hint="Give the folder of the whole pipeline, or put the scheduler's config there.",
        )
    autoencoder = _autoencoder(path, index)
    decoding = {} if autoencoder is None else _decoding(path / autoencoder / CONFIG)
    return Folder(path, network, config, _config(scheduler), scheduler, index, autoencoder, decoding)


def _parts(index: Mapping[str, object]) -> dict[str, str]:
    """The parts of a pipeline and their classes; without those that the index leaves out."""
    named = {key: value for key, value in index.items() if not key.startswith("_") and isinstance(value, list)}
    return {key: str(value[-1]) for key, value in named.items() if value and value[-1] is not None}


def _is_autoencoder(name: str, kind: str) -> bool:
    return name in AUTOENCODERS or any(word in kind for word in _AUTOENCODER_CLASSES)


def _check_class(network: Path, config: Mapping[str, object], index: Mapping[str, object], where: Path) -> None:
    """Refuse an index that loads the network as another class than the one that wrote it."""
    kind, said = config.get("_class_name"), index.get(network.name)
    loaded = _parts(index).get(network.name, kind)
    # the norms of a Transformer2DModel decide its class
    if loaded != kind and "Transformer2DModel" not in (loaded, kind):
        raise ConfigError(f"{where} loads {network.name} as a {loaded}, but {network / CONFIG} describes a {kind}")
    if isinstance(said, list) and len(said) == 2 and said[0] not in ("diffusers", None):
        raise ConfigError(f"{where} takes {network.name} from {said[0]}, which is not diffusers")


def _autoencoder(path: Path, index: Mapping[str, object]) -> str | None:
    """The part that decodes latents: one that the index names, or else one whose folder exists."""
    for name, kind in _parts(index).items():
        if _is_autoencoder(name, kind):
            return name
    for config in sorted(path.glob(f"*/{CONFIG}")):
        # a folder that an index does not name may be left over, but is more likely in use
        if _is_autoencoder(config.parent.name, str(read_json(config).get("_class_name"))):
            return config.parent.name
    return next((name for name in AUTOENCODERS if (path / name).is_dir()), None)


def _decoding(config: Path) -> dict[str, object]:
    if not config.is_file():
        return {}
    values = read_json(config)
    names = ("scaling_factor", "shift_factor", "latents_mean", "latents_std")
    return {name: values[name] for name in names if values.get(name) is not None}


def _network(path: Path, index: Mapping[str, object]) -> Path | None:
    """The folder with the network's config, or None if it is not a folder of diffusers."""
    parts = _parts(index)
    named = [name for name in NETWORKS if name in parts] or list(NETWORKS)
    folders = [path / name for name in named if (path / name / CONFIG).is_file()]
    if len(folders) > 1:
        raise ConfigError(
            f"{path} has both {folders[0].name} and {folders[1].name}, and nothing says which of them is the network",
            hint=_ALONE,
        )
    if folders:
        return folders[0]
    if (path / CONFIG).is_file() and (index or "_diffusers_version" in read_json(path / CONFIG)):
        return path
    if not index:
        return None
    said = ", ".join(name for name in index if not name.startswith("_")) or "nothing"
    places = " nor ".join(f"{name}/{CONFIG}" for name in NETWORKS)
    raise ConfigError(f"{path / INDEX} names {said}, but there is neither {places} nor {CONFIG}")


def _refuse_cache(path: Path) -> None:
    """Help where a repository of the hub's cache is given instead of one of its snapshots."""
    snapshots = path / "snapshots"
    if not (path.name.startswith("models--") and snapshots.is_dir()):
        return
    versions = sorted(str(each) for each in snapshots.iterdir() if each.is_dir())
    raise ConfigError(
        f"{path} is a repository in the hub's cache, which holds a folder for each of its versions",
        hint=f"Give {versions[0]}."
        if len(versions) == 1
        else f"Give one of {', '.join(versions) or 'them, once it is fetched'}.",
    )


def _config(path: Path) -> Mapping[str, object]:
    """A config without the values that diffusers itself replaces by defaults."""
    values = read_json(path)
    replaced = values.get("_use_default_values")
    return {k: v for k, v in values.items() if not isinstance(replaced, list) or k not in replaced}


def read_json(path: Path) -> Mapping[str, object]:
    """A JSON object.

    Raises:
        ConfigError: it cannot be read, or is not an object.
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
        raise ConfigError(f"{path} does not hold a JSON object")
    return values
