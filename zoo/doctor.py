"""The checks of ``zoo doctor`` that every installation needs; plugins add theirs with the hook ``zoo_checks``."""

from __future__ import annotations

import contextlib
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from zoo.errors import ZooError
from zoo.registry import Registry
from zoo.registry.api import PLUGIN_API
from zoo.registry.cards import Check, Finding
from zoo.registry.discovery import GET_MODELS, MODELS, OWN, last_line, normalised

#: distributions that write to the same folder ``onnxruntime``; the one installed last wins
RUNTIMES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-rocm",
    "onnxruntime-qnn",
)
_LEVELS = ("ok", "warning", "error")


def examine(registry: Registry) -> Iterator[tuple[str, Finding]]:
    """Run every check, yielding its name and one finding at a time. A check that fails is a finding, too."""
    for name, findings in (
        ("python", [Finding(level="ok", message=f"Python {platform.python_version()} on {platform.platform()}")]),
        ("packages", packages()),
        ("onnxruntime", runtimes()),
        ("installed-twice", duplicates({*OWN, *(p.distribution for p in registry.plugins)})),
        ("plugins", plugins(registry)),
    ):
        for finding in findings:
            yield name, finding
    for item in registry.items("check"):
        assert isinstance(item.description, Check)
        for finding in _ask(registry, item.description):
            yield item.description.name, finding


def _ask(registry: Registry, check: Check) -> list[Finding]:
    try:
        findings = list(registry.load_entry(check)())
        for finding in findings:
            if not isinstance(finding, Finding) or finding.level not in _LEVELS:
                raise TypeError(f"it gave {finding!r}, not a Finding of level {', '.join(_LEVELS)}")
    except KeyboardInterrupt:
        raise
    except ZooError as error:
        return [Finding(level="error", message=f"the check could not run: {error}", repair=error.hint or "")]
    except BaseException as error:
        return [Finding(level="error", message=f"the check itself failed: {last_line(error)}")]
    return findings


def packages() -> Iterator[Finding]:
    """Versions of the packages that genzoo uses, and what the missing ones are needed for."""
    for name in ("genzoo", "numpy", "safetensors"):
        yield Finding(level="ok", message=f"{name} {version(name) or 'is not installed as a package'}")
    for name, purpose, extra in (
        ("torch", "train, and load models into PyTorch", "torch"),
        ("onnx", "export", "onnx"),
    ):
        if installed := version(name):
            yield Finding(level="ok", message=f"{name} {installed}")
        else:
            message = f"{name} is not installed; it is needed only to {purpose}"
            yield Finding(level="ok", message=message, repair=f"pip install 'genzoo[{extra}]'")
    if installed := version(MODELS):
        yield Finding(level="ok", message=f"{MODELS} {installed}")
    else:
        message = f"{MODELS} is not installed: there are no pretrained models"
        yield Finding(level="ok", message=message, repair=GET_MODELS)


def runtimes() -> Iterator[Finding]:
    """ONNX Runtime: missing, installed twice, partly removed, or built for CUDA without using it."""
    installed = [name for name in RUNTIMES if version(name)]
    if len(installed) > 1:
        yield Finding(
            level="error",
            message=f"{' and '.join(installed)} are both installed, and overwrite each other's files",
            repair=_reinstall(installed),
        )
    from zoo.errors import MissingDependencyError
    from zoo.runtime.ort import onnxruntime

    try:
        ort = onnxruntime()
    except MissingDependencyError as error:
        yield Finding(
            level="warning", message="ONNX Runtime is not installed: bundles cannot run here", repair=str(error.hint)
        )
        return
    except ZooError as error:
        yield Finding(level="error", message=str(error), repair=_reinstall(installed))
        return
    names = ", ".join(f"{name} {version(name)}" for name in installed) or f"onnxruntime {ort.__version__}"
    yield Finding(level="ok", message=f"{names}, built with {', '.join(ort.get_available_providers())}")
    if "CUDAExecutionProvider" in ort.get_available_providers():
        yield _cuda()


def _cuda() -> Finding:
    """The list of providers shows what ONNX Runtime was built with; only a session shows whether CUDA works."""
    from zoo.runtime.session import Session

    folder = Path(tempfile.mkdtemp(prefix="zoo-doctor-"))
    try:
        (folder / "identity.onnx").write_bytes(identity_graph())
        session = Session(folder / "identity.onnx", "auto")
    except ZooError as error:
        return Finding(level="error", message=str(error), repair=error.hint or "")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if session.provider == "cuda":
        return Finding(level="ok", message="CUDA is in use")
    driver = "`nvidia-smi` must list a GPU" if shutil.which("nvidia-smi") else "no NVIDIA driver is installed here"
    return Finding(
        level="warning",
        message=f"ONNX Runtime was built with CUDA and uses the CPU: {session.fallback}",
        repair=f"{driver}; pip install --force-reinstall 'onnxruntime-gpu[cuda,cudnn]' installs the CUDA libraries",
    )


def identity_graph() -> bytes:
    """The smallest ONNX model, y = x for one float, written by hand so that onnx is not needed (IR 8, opset 17)."""

    def field(number: int, content: bytes | int) -> bytes:
        """One field of a protocol buffer: a number, or bytes with their length, both below 128."""
        if isinstance(content, int):
            return bytes([number << 3, content])
        return bytes([number << 3 | 2, len(content)]) + content

    tensor = field(1, 1) + field(2, field(1, field(1, 1)))  # elem_type float, shape [1]
    x, y = (field(1, name) + field(2, field(1, tensor)) for name in (b"x", b"y"))
    node = field(1, b"x") + field(2, b"y") + field(4, b"Identity")
    graph = field(1, node) + field(2, b"identity") + field(11, x) + field(12, y)
    return field(1, 8) + field(7, graph) + field(8, field(1, b"") + field(2, 17))


def duplicates(names: Iterable[str]) -> Iterator[Finding]:
    """Distributions whose metadata exists twice, such as a stale egg-info beside a new install."""
    wanted = {normalised(name) for name in names}
    places: dict[str, dict[str, str]] = {}
    for distribution in metadata.distributions():
        with contextlib.suppress(Exception):  # other distributions may have damaged metadata
            name = normalised(distribution.metadata["Name"])
            if name in wanted:
                folder = str(getattr(distribution, "_path", distribution.locate_file("")))
                places.setdefault(name, {})[folder] = distribution.version
    for name, versions in sorted(places.items()):
        if len(versions) > 1:
            listed = " and ".join(f"{v} in {folder}" for folder, v in versions.items())
            yield Finding(
                level="warning",
                message=f"{name} is found {len(versions)} times, and the first is used: {listed}",
                repair=f"remove the stale one, or `pip uninstall {name}` until nothing is left, and install it again",
            )


def plugins(registry: Registry) -> Iterator[Finding]:
    """Plugins that failed, and conflicting names."""
    fine = sum(p.status == "ok" for p in registry.plugins)
    yield Finding(
        level="ok",
        message=f"{fine} of {len(registry.plugins)} plugins are loaded; version {PLUGIN_API} of the plugin API",
    )
    for plugin in registry.plugins:
        uninstall = "" if plugin.builtin else f", or pip uninstall {plugin.distribution}"
        if plugin.status == "failed":
            where = f" ({plugin.where})" if plugin.where else ""
            yield Finding(
                level="error",
                message=f"plugin {plugin.name} of {plugin.origin} failed: {plugin.error}{where}",
                repair=f"zoo --no-plugins={plugin.name} ...{uninstall}",
            )
        for conflict in plugin.conflicts:
            message = f"plugin {plugin.name} of {plugin.origin}: {conflict}"
            yield Finding(level="warning", message=message, repair=f"zoo --no-plugins={plugin.name} ...{uninstall}")


def version(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(distribution)
    return None


def _reinstall(installed: list[str]) -> str:
    keep = "onnxruntime-gpu[cuda,cudnn]" if "onnxruntime-gpu" in installed else "onnxruntime"
    return f"pip uninstall -y {' '.join(installed or ['onnxruntime'])}\npip install '{keep}'"
