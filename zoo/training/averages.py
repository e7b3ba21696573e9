"""Averages of the weights whose length is chosen after the training (Karras et al. 2024, arXiv:2312.02696, section 3).

A power-function average of length σ, relative to the run, weighs the weights of step t by about t^γ::

    θ̂(t) = β(t)·θ̂(t-1) + (1 - β(t))·θ(t)        β(t) = (1 - 1/t)^(γ + 1)                         (eq. 127)
    σ²    = (γ + 1) / ((γ + 2)²·(γ + 3))                                                          (eq. 123)

Two of them are followed, and stored every so many steps. One of any length at the end of the run is a combination of
all that was stored: that whose weights of the steps come closest to the wanted ones, by least squares (appendix C).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo import weights
from zoo.errors import ConfigError, OutputError, WeightsError
from zoo.files import reason_of

#: of the two that are followed, as in the paper
LENGTHS = (0.05, 0.10)
FOLDER = "averages"
#: steps whose weights are compared at once
_STEPS = 4096


def exponent(length: float) -> float:
    """γ of a length, from eq. 123: the largest root of (γ + 2)²·(γ + 3) - (γ + 1)/σ²."""
    inverse = length**-2
    return float(np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse]).real.max())


def profile(last: int, length: float, steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much the weights of each of ``steps``, counted from 1, count in the average at step ``last``.

    They are what the recursion gives, (t^(γ + 1) - (t - 1)^(γ + 1)) / last^(γ + 1), and 1 in sum.
    """
    power = exponent(length) + 1.0
    shares = (steps / last) ** power - ((steps - 1) / last) ** power
    return np.where(steps <= last, shares, 0.0)


def combination(stored: list[tuple[int, float]], last: int, length: float) -> NDArray[np.float64]:
    """Factors of stored averages, each of a step and a length, whose sum is closest to the average at step ``last``.

    They solve the normal equations of the profiles' least squares (appendix C, eq. 139), and are then made 1 in sum, as
    the shares of an average are: few snapshots would shrink the weights otherwise.
    """
    count = len(stored)
    products, wanted = np.zeros((count, count)), np.zeros(count)
    for first in range(1, last + 1, _STEPS):
        steps = np.arange(first, min(first + _STEPS, last + 1))
        each = np.stack([profile(step, kind, steps) for step, kind in stored])
        products += each @ each.T
        wanted += each @ profile(last, length, steps)
    factors = np.asarray(np.linalg.lstsq(products, wanted, rcond=1e-13)[0], np.float64)
    return np.asarray(factors / factors.sum(), np.float64)


class PowerAverages:
    """Follows the averages of a model, and stores them.

    Args:
        model: whose parameters are averaged; buffers are not.
        folder: to store them in.
        every: steps between snapshots.
        writes: whether this process stores them.
    """

    def __init__(self, model: nn.Module, folder: Path, every: int, *, writes: bool = True) -> None:
        self.model, self.folder, self.every, self.writes = model, folder, every, writes
        self.values = {length: [p.detach().clone() for p in model.parameters()] for length in LENGTHS}
        self.names = [name for name, _ in model.named_parameters()]

    @torch.no_grad()
    def follow(self, step: int, *, last: bool) -> None:
        """Take the weights after ``step`` steps into the averages, and store these if it is time to.

        Raises:
            OutputError: they cannot be stored.
        """
        parameters = [p.detach() for p in self.model.parameters()]
        for length, values in self.values.items():
            torch._foreach_lerp_(values, parameters, 1.0 - (1.0 - 1.0 / step) ** (exponent(length) + 1.0))
        if self.writes and (last or step % self.every == 0):
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot make {self.folder}: {reason_of(error)}") from error
            arrays = {name: value.cpu().numpy() for name, value in self.tensors().items()}
            weights.write(self.folder / f"step-{step:07d}.safetensors", arrays)

    def tensors(self) -> dict[str, Tensor]:
        """The averages, by length and name of the parameter."""
        return {
            f"{length:g}/{name}": value
            for length, values in self.values.items()
            for name, value in zip(self.names, values, strict=True)
        }

    def load(self, tensors: dict[str, Tensor], source: Path) -> None:
        """Restore :meth:`tensors`.

        Raises:
            WeightsError: they are not those of this model.
        """
        own = self.tensors()
        if own.keys() != tensors.keys() or any(own[name].shape != each.shape for name, each in tensors.items()):
            raise WeightsError(f"{source} does not have the averages of this model")
        for name, value in own.items():
            value.copy_(tensors[name])


def reconstructed(folder: Path, length: float, last: int) -> weights.Arrays:
    """The average of a length at step ``last``, by the snapshots in a folder, computed in float64.

    Args:
        folder: of the snapshots.
        length: relative to the run, above 0 and at most 0.28; that of an average of all steps alike is 0.289.
        last: a step; later snapshots are not used.

    Returns:
        the parameters, by name, in the type of the snapshots.

    Raises:
        ConfigError: a length out of range, or no snapshots.
        WeightsError: a snapshot is damaged.
    """
    if not 0.0 < length <= 0.28:
        raise ConfigError(f"the length of an average is above 0 and at most 0.28, not {length:g}")
    files = {int(path.stem[5:]): path for path in sorted(folder.glob("step-*.safetensors")) if path.stem[5:].isdigit()}
    files = {step: path for step, path in files.items() if step <= last}
    if not files:
        raise ConfigError(
            f"there are no snapshots of averages in {folder}", hint="Train with training.ema_snapshots = 500, say."
        )
    stored = [(step, kind) for step in files for kind in LENGTHS]
    factors = dict(zip(stored, combination(stored, last, length), strict=True))
    sums: dict[str, NDArray[np.float64]] = {}
    types = {}
    for step, path in files.items():
        for name, array in weights.read(path).items():
            kind, _, parameter = name.partition("/")
            if (factor := factors.get((step, float(kind)))) is None:
                raise WeightsError(f"{path} is not a snapshot of averages")
            sums[parameter] = sums.get(parameter, 0.0) + factor * array.astype(np.float64)
            types[parameter] = array.dtype
    return {name: value.astype(types[name]) for name, value in sums.items()}
