"""Run a bundle without PyTorch: it needs only NumPy, safetensors and ONNX Runtime.

>>> from zoo.runtime import load
>>> model = load("moons-nsf/bundle")                    # doctest: +SKIP
>>> x = model.sample(16, seed=0)                        # doctest: +SKIP
>>> model.log_prob(x)                                   # doctest: +SKIP
"""

from __future__ import annotations

from zoo.counts import Progress
from zoo.runtime.device import Device
from zoo.runtime.loading import load
from zoo.runtime.model import BundledModel
from zoo.runtime.opened import fresh_seed
from zoo.runtime.session import Session
from zoo.runtime.streaming import Frame
from zoo.samplers import Guidance
from zoo.samplers.runs import Preview
from zoo.samplers.state import SamplerState

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
