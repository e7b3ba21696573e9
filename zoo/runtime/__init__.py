"""Run a bundle without PyTorch: it needs only NumPy, safetensors and ONNX Runtime.

>>> from zoo.runtime import load
>>> model = load("moons-nsf/bundle")                    # doctest: +SKIP
>>> x = model.sample(16, seed=0)                        # doctest: +SKIP
>>> model.log_prob(x)                                   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from zoo.bundle import open_bundle
from zoo.counts import Progress
from zoo.runtime.device import Device
from zoo.runtime.model import BundledModel
from zoo.runtime.opened import fresh_seed
from zoo.runtime.session import Session
from zoo.runtime.streaming import Frame
from zoo.samplers import BUILTIN, Guidance, SamplerFunction
from zoo.samplers.state import SamplerState
from zoo.samplers.stepping import Preview

__all__ = [
    "BundledModel",
    "Device",
    "Frame",
    "Guidance",
    "Preview",
    "Progress",
    "SamplerState",
    "Session",
    "fresh_seed",
    "load",
]


def load(
    folder: str | PathLike[str],
    device: Device | str = "auto",
    threads: int | None = None,
    *,
    samplers: Mapping[str, SamplerFunction] = BUILTIN,
) -> BundledModel:
    """Open a bundle, check all of its files, and return it as a model.

    Args:
        folder: the bundle.
        device: a :class:`Device`, or the name of a provider: ``"cpu"``, ``"cuda"``, or ``"auto"`` for CUDA
            where it works and the CPU elsewhere.
        threads: CPU threads, or None for ONNX Runtime's choice.
        samplers: where samplers are looked up by name, for those of plugins.

    Raises:
        BundleError: not a bundle, damaged, altered, of a newer format, or not consistent.
        MissingDependencyError: ONNX Runtime is not installed.
        UnknownNameError: no such provider.
        ProviderError: CUDA was requested, but ONNX Runtime was built without it.
    """
    return BundledModel(open_bundle(Path(folder)), device, threads, samplers=samplers)
