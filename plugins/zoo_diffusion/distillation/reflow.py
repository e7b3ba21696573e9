"""Reflow (Liu, Gong & Liu 2023, "Flow straight and fast", arXiv:2209.03003, section 2.2).

The teacher's deterministic sampler couples each noise with one sample. A diffusion that is trained on these pairs,
instead of on independent noise and data, has an ODE with straighter trajectories, for which fewer steps suffice.

Every Gaussian path is a rectified flow in z = x/(α + σ) (see :mod:`zoo.samplers.flow`), so the student may have any
path and prediction: those of its teacher, with whose weights it then starts, or ``rectified-flow`` and ``velocity``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path as File
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo import weights
from zoo.data import Dataset
from zoo.errors import ConfigError, WeightsError
from zoo.models.conditioned import PartTensors
from zoo.noise import normal
from zoo.training.distillation import Distillation
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.distillation.teacher import check_teacher

PAIRS_FILE = "pairs.safetensors"
_BATCH = 500
#: one pair in so many is kept for measuring
_HELD_OUT = 20


class Reflow(Distillation):
    """Trains a diffusion on another one's pairs of noise and sample.

    Args:
        student: any diffusion of the same events and conditions.
        teacher: the diffusion that draws the samples.
        pairs: how many.
        sampler: the teacher's, which must be deterministic; None for its default, as for ``steps``.
        steps: of that sampler.
        guidance: of the teacher, distilled into the student.

    Raises:
        ConfigError: options out of range, or a student or teacher that does not fit.
    """

    measures = "the training objective on the teacher's pairs of noise and sample that were held out"

    def __init__(
        self,
        student: Diffusion,
        teacher: Diffusion,
        *,
        pairs: int = 10_000,
        sampler: str | None = None,
        steps: int | None = None,
        guidance: float = 1.0,
    ) -> None:
        check_teacher(student, teacher, guidance=guidance)
        if student.consistency:
            raise ConfigError("the student of reflow must be a diffusion, not a consistency model")
        if student.codec is not None:
            raise ConfigError("reflow does not support latent diffusions: the teacher's samples are data, not latents")
        if student.objective.coupling != "independent":
            raise ConfigError(
                "reflow couples noise and data itself: the student's objective.coupling must be independent"
            )
        if pairs < 2:
            raise ConfigError(f"distillation.options: pairs must be 2 or more, not {pairs}")
        self.teacher = teacher
        self.options = {"sampler": sampler, "steps": steps, "guidance": guidance}
        self.pairs = pairs
        table = teacher.table(**self.options)  # type: ignore[arg-type]
        if table.noise_scale.any():
            raise ConfigError(
                "distillation.options: reflow needs a deterministic sampler, and this one adds noise",
                hint='Choose for example sampler = "heun" or "ddim".',
            )
        self.noise = self.samples = torch.empty(0)
        self.condition: Tensor | Mapping[str, Tensor] | None = None

    def start(self, student: Any) -> None:
        """The teacher's weights, which mean the same in the student if path, prediction and units are the same."""
        teacher: Any = self.teacher
        mine, theirs = ((m.path.describe(), m.prediction, m.shift, m.scale) for m in (student, teacher))
        if mine != theirs:
            raise ConfigError(
                "a student that starts with the teacher's weights must have its path, prediction, shift and scale",
                hint='Set distillation.start = "fresh" for another path.',
            )
        super().start(student)

    def prepare(
        self, data: Dataset, *, seed: int, folder: File, say: Callable[[str], None] = lambda text: None
    ) -> None:
        """Draw the teacher's samples, under conditions of the training data, or read those of an interrupted run."""
        teacher: Any = self.teacher
        noise = normal(seed, self.pairs, teacher.event_shape)
        chosen = np.random.default_rng(seed).integers(len(data.train), size=self.pairs)

        def conditions(part: slice) -> Any:
            return None if teacher.condition is None else data.train.condition_at(chosen[part])

        samples = self._kept(folder / PAIRS_FILE, seed)
        if samples is None:
            say(f"drawing {self.pairs:,} samples of the teacher")
            parts = []
            for start in range(0, self.pairs, _BATCH):
                part = slice(start, start + _BATCH)
                x = teacher.sample(
                    len(noise[part]), condition=conditions(part), noise=noise[part], seed=0, **self.options
                )
                parts.append(x.cpu().numpy())
            samples = np.concatenate(parts)
            weights.write(folder / PAIRS_FILE, {"samples": samples}, metadata=self._written(seed))
        self.noise, self.samples = (torch.from_numpy(a).to(teacher.device, teacher.dtype) for a in (noise, samples))
        condition = conditions(slice(None))
        if teacher.takes_parts:
            self.condition = teacher.condition_tensors(condition, self.pairs)
        else:
            self.condition = None if condition is None else teacher.condition_tensor(condition, self.pairs)

    def finish(self, folder: File) -> None:
        """Remove the pairs."""
        (folder / PAIRS_FILE).unlink(missing_ok=True)

    def _written(self, seed: int) -> dict[str, str]:
        return {"pairs": weights.encode_json({"seed": seed, "pairs": self.pairs, **self.options})}

    def _kept(self, path: File, seed: int) -> Any:
        """The samples that an interrupted run drew, or None if it has none of this seed and these options."""
        if not path.exists():
            return None
        try:
            if weights.metadata(path) == self._written(seed):
                return weights.read(path)["samples"]
        except (WeightsError, KeyError):
            pass
        return None

    def loss(self, student: Any, x: Tensor, condition: Tensor | None, *, done: float) -> Tensor:
        """The student's own loss on as many pairs as there are data; those held out in evaluation mode."""
        held_out = max(self.pairs // _HELD_OUT, 1)
        low, high = (held_out, self.pairs) if student.training else (0, held_out)
        index = torch.randint(low, high, (len(x),)).to(self.samples.device)
        conditions: Any = None
        if isinstance(self.condition, Mapping):
            conditions = PartTensors({name: each[index] for name, each in self.condition.items()})
        elif self.condition is not None:
            conditions = self.condition[index]
        loss: Tensor = student.loss(self.samples[index], condition=conditions, noise=self.noise[index])
        return loss
