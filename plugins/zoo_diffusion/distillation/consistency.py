"""Consistency distillation (Song et al. 2023, arXiv:2303.01469, algorithm 2, with the changes of Song & Dhariwal 2024).

A consistency function f(x, t) is constant along every trajectory of the teacher's probability-flow ODE, and at its end,
t_min, it is x/α itself: so from any point, one evaluation gives the end of the trajectory. The student's denoiser D
becomes f, on N + 1 times t_0 = 1 > … > t_N = t_min, by the loss::

    d(D(x_i, t_i), stop-gradient(f(x_{i+1}, t_{i+1})))        x_{i+1}: the teacher's step from x_i = α·x₀ + σ·ε
    f(x, t_N) = x/α(t_N), and f = D at all the other times

d is the pseudo-Huber distance (Song & Dhariwal 2024, arXiv:2310.14189, eq. 13) per dimension, √(mean|a - b|² + c²) - c,
of whole samples as there, or of their numbers, mean(√(|a - b|² + c²) - c): the least of the first is at a mean of the
targets, that of the second at a median of each number.

Most numbers of a picture lie at an end of its range, where errors of targets go to one side, since they are clipped: a
student that is to hit the end misses it by a few levels, every interval adds its own, and the background becomes haze.
So targets within ``snap`` of an end can be taken for it, and a student that is at the end or beyond it for right: what
it draws is clipped to the range, too.

Every interval is drawn equally often; the target network is the student itself (section 3.2 of Song & Dhariwal), not an
average; and N may double during the run (section 3.4 there). Errors near data propagate to all earlier targets, so they
have the weight (α + σ)/σ: about as 1/(σ_i - σ_{i+1}), the papers' weight on their times, but finite at pure noise.

The papers write f = c_skip·x + c_out·F so that f(x, t_min) = x for any network. Here the targets enforce the
boundary condition, the only place where it is needed: no network is evaluated at t_min, neither in training
nor by sampler ``consistency``. So any prediction works. All but x0 have the skip connection as well: D = x/α - c·F with
c → 0 as σ → 0, ``edm`` and ``v`` with the weights of the papers' parametrisation before they shift σ by its least
value.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import ConfigError, ZooError
from zoo.models.interface import GenerativeModel
from zoo.models.sharing import of_batch
from zoo.paths import GaussianPath
from zoo.samplers.spacing import Spacing, spaced_times
from zoo.training.distillation import Distillation
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.distillation.teacher import Levels, Teacher, bounded, check_teacher
from zoo_diffusion.objectives import drop_condition

#: order of the teacher's step
SOLVERS = {"ddim": 1, "heun": 2}
#: what the pseudo-Huber distance is of
DISTANCES = ("samples", "numbers")
#: c of the pseudo-Huber distance per dimension (Song & Dhariwal 2024, section 3.3)
HUBER = 0.00054


class Consistency(Distillation):
    """Distils a diffusion into a consistency model.

    Args:
        student: a model whose default sampler is ``consistency`` or ``lcm``.
        teacher: a diffusion on the same path, in the same units.
        steps: N, or [first, last] to double it in the course of the run.
        solver: ``"ddim"`` or ``"heun"``, the teacher's step.
        guidance: of the teacher, distilled into the student.
        spacing: of the times t_0 … t_{N-1}, see :mod:`zoo.samplers.spacing`.
        huber: c; 0 makes the distance Euclidean, or of numbers absolute.
        distance: of ``"samples"`` as a whole, or of their ``"numbers"``.
        snap: how far from an end of its range a target is taken for it, in units of the data; 0 for not at all.

    Raises:
        ConfigError: options out of range, or a student or teacher that does not fit.
    """

    measures = "the consistency loss: how far apart two neighbours on a trajectory of the teacher are mapped"

    def __init__(
        self,
        student: Diffusion,
        teacher: Diffusion,
        *,
        steps: int | list[int] = 18,
        solver: str = "heun",
        guidance: float = 1.0,
        spacing: Spacing = "trailing",
        huber: float = HUBER,
        distance: str = "samples",
        snap: float = 0.0,
    ) -> None:
        check_teacher(student, teacher, guidance=guidance)
        if not student.consistency:
            raise ConfigError(
                "the student of consistency distillation must be a consistency model",
                hint='Set sampling = { sampler = "consistency", steps = 2 } in its config.',
            )
        mine, theirs = ((m.path.describe(), m.shift, m.scale) for m in (student, teacher))
        if mine != theirs:
            raise ConfigError(
                "a consistency model must have the path, shift and scale of its teacher: "
                f"{theirs[0]}, {theirs[1]} and {theirs[2]}"
            )
        if solver not in SOLVERS:
            raise ConfigError(f"distillation.options: solver must be one of {', '.join(SOLVERS)}, not {solver!r}")
        if not huber >= 0:
            raise ConfigError(f"distillation.options: huber must be 0 or above, not {huber}")
        if distance not in DISTANCES:
            raise ConfigError(f"distillation.options: distance must be one of {', '.join(DISTANCES)}, not {distance!r}")
        if not snap >= 0:
            raise ConfigError(f"distillation.options: snap must be 0 or above, not {snap}")
        if snap and student.data_min is None:
            raise ConfigError("distillation.options: snap needs the data_min and data_max of the student's config")
        self.teacher = teacher
        self.guided = Teacher(teacher, guidance)
        self.order = SOLVERS[solver]
        self.huber, self.whole, self.snap = huber, distance == "samples", snap
        self.doublings = [trajectory(teacher.path, n, spacing) for n in doubled(steps)]

    def start(self, student: GenerativeModel) -> None:
        """The teacher's weights, which mean the same in the student if it predicts the same."""
        if getattr(student, "prediction", None) != self.guided.model.prediction:
            raise ConfigError(
                "a student that starts with the teacher's weights must predict "
                f"{self.guided.model.prediction}, as the teacher does"
            )
        super().start(student)

    def loss(self, student: Any, x: Tensor, condition: Tensor | None, *, done: float) -> Tensor:
        """Algorithm 2, lines 4-7; arguments as for :meth:`zoo.training.distillation.Distillation.loss`."""
        n = len(student.check_data(x))
        times = self.doublings[min(int(done * len(self.doublings)), len(self.doublings) - 1)]
        state = (student.encoded(x)[0] - student.shift) / student.scale
        if student.takes_parts:
            seen: Any = student.hidden(student.condition_tensors(condition, n), student.class_dropout)
            own = student.encoded_parts(seen)
        else:
            seen = own = drop_condition(
                student.condition_tensor(condition, n), student.null_class, student.class_dropout
            )
        # every interval equally often, in every batch
        index = (of_batch(n, _spread) * (len(times) - 1)).long().numpy()
        here, there = (Levels.at(student.path, times[i], state) for i in (index, index + 1))
        noisy = here.alpha * state + here.sigma * torch.randn_like(state)
        # the student first: autocast would reuse weights that were cast without a gradient
        d = student.denoise(noisy, *here, own)
        with torch.no_grad():
            moved = self.guided.step(noisy, here, there, self.guided.conditions(seen), order=self.order)
            target = student.denoise(moved, *there, own)
            last = torch.from_numpy(index == len(times) - 2).to(x.device).reshape(there.alpha.shape)
            target = bounded(student, torch.where(last, moved / there.alpha, target))
        squared = (d - self.snapped(student, target, d.detach())).square().flatten(1)
        squared = squared.mean(1, keepdim=True) if self.whole else squared
        # no root of 0, whose slope is infinite
        distance: Tensor = ((squared + max(self.huber, 1e-8) ** 2).sqrt() - self.huber).mean(1)
        return (distance / here.place.flatten()).mean()

    def snapped(self, student: Diffusion, target: Tensor, d: Tensor) -> Tensor:
        """Targets, of which those within ``snap`` of an end become that end, or D where it is beyond it."""
        if not self.snap or student.data_min is None or student.data_max is None:
            return target
        low, high = ((end - student.shift) / student.scale for end in (student.data_min, student.data_max))
        near = self.snap / student.scale
        target = torch.where(target <= low + near, d.clamp(max=low), target)
        return torch.where(target >= high - near, d.clamp(min=high), target)


def _spread(n: int) -> Tensor:
    """``n`` numbers in [0, 1), 1/n apart."""
    return (torch.rand((), dtype=torch.float64) + torch.arange(n) / n) % 1.0


def trajectory(path: GaussianPath, steps: int, spacing: Spacing) -> NDArray[np.float64]:
    """Times t_0 > … > t_N = t_min of ``steps`` steps; fewer where the spacing itself ends at t_min."""
    try:
        times = spaced_times(path, steps, spacing)
    except ZooError as error:
        raise ConfigError(f"distillation.options: {error}", hint=error.hint) from error
    return np.append(times[times > path.t_min], path.t_min)


def doubled(steps: object) -> list[int]:
    """The numbers of steps used during a run: N alone, or first, 2·first, … last."""
    ends = [steps, steps] if isinstance(steps, int) else list(steps) if isinstance(steps, (list, tuple)) else []
    if len(ends) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) for n in ends):
        raise ConfigError(f"distillation.options: steps must be a whole number or [first, last], not {steps!r}")
    first, last = ends
    if not 2 <= first <= last:
        raise ConfigError(f"distillation.options: steps must be 2 or more, with first at most last, not {steps!r}")
    count = math.ceil(math.log2(last / first))
    return [*(first * 2**i for i in range(count)), last]
