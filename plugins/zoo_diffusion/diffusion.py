"""The diffusion model: a network seen through its denoiser, over a Gaussian path."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.conditions import Condition
from zoo.errors import ConditionError, ConfigError, UsageError
from zoo.likelihood import hutchinson_log_prob
from zoo.model import GenerativeModel, check_count, check_seed
from zoo.noise import Stream
from zoo.paths import Path, path_from
from zoo.programs import Graph, Integrate, Iterate, Port, Programs
from zoo.samplers import StepTable, evaluations, table_for
from zoo_diffusion.graphs import DivergenceModule, StepModule
from zoo_diffusion.prediction import DATA_STD, Prediction, check_prediction, denoised, network_input, target

Progress = Callable[[int, int], None]


class Diffusion(GenerativeModel):
    """A diffusion model around any network ``(x [n, *event], time [n], condition) -> [n, *event]``.

    The network works on states (x - shift) / scale, which should lie about in [-1, 1]; everything that users see is
    in data units.

    Args:
        network: the network.
        event_shape: shape of one sample.
        condition: classes or a vector, or None. Classes that are not required get a null class, numbered last, that
            replaces the class of a tenth of the training samples: what classifier-free guidance needs
            (Ho & Salimans 2022).
        path: the Gaussian path, by name or description.
        prediction: what the network predicts.
        shift: data units of state 0.
        scale: data units of one unit of state.
        data_min: samples are clipped to [data_min, data_max], and so is the denoised sample at every step; or None.
        data_max: see ``data_min``.
        class_dropout: probability that training hides the class.
        data_std: standard deviation of the data in state units, which prediction ``edm`` assumes.
        sampling: defaults of ``sampler``, ``steps`` and ``guidance``.
    """

    family: ClassVar[str] = "diffusion"

    def __init__(
        self,
        network: nn.Module,
        event_shape: tuple[int, ...],
        *,
        condition: Condition | None = None,
        path: str | Mapping[str, Any] = "cosine-log-snr",
        prediction: str = "v",
        shift: float = 0.0,
        scale: float = 1.0,
        data_min: float | None = None,
        data_max: float | None = None,
        class_dropout: float = 0.1,
        data_std: float = DATA_STD,
        sampling: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not scale > 0:
            raise ConfigError(f"scale must be above 0, not {scale}")
        if not data_std > 0:
            raise ConfigError(f"data_std must be above 0, not {data_std}")
        if (data_min is None) != (data_max is None):
            raise ConfigError("data_min and data_max come together")
        self.network = network
        self.event_shape = event_shape
        self.condition = condition
        self.path: Path = path_from(path)
        self.prediction: Prediction = check_prediction(prediction, self.path)
        self.shift, self.scale = shift, scale
        self.data_min, self.data_max = data_min, data_max
        self.class_dropout = class_dropout
        self.data_std = data_std
        self.sampling = Iterate(
            "step",
            path=self.path.describe(),
            shift=shift,
            scale=scale,
            data_min=data_min,
            data_max=data_max,
            clip=self.state_clip,
            null_class=self.null_class,
            **_sampling_defaults(sampling or {}),
        )
        if self.sampling.guidance != 1.0 and self.null_class is None:
            raise ConfigError("guidance needs classes that are not required, so that there is a null class")

    @property
    def null_class(self) -> int | None:
        """The number of the class that stands for none, or None when there is no such class."""
        c = self.condition
        return c.size if c is not None and c.kind == "classes" and not c.required else None

    @property
    def state_clip(self) -> float | None:
        """Bound on the denoised state, or None for unbounded data."""
        if self.data_min is None or self.data_max is None:
            return None
        return max(abs(self.data_min - self.shift), abs(self.data_max - self.shift)) / self.scale

    def denoise(self, x: Tensor, time: Tensor, alpha: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        """D(x, t), the expected clean state.

        Args:
            x: state ``[n, *event]``.
            time: the network's time, scalar.
            alpha: α, scalar.
            sigma: σ, scalar.
            condition: ``[n]`` or ``[n, d]``, or None.
        """
        shown = network_input(self.prediction, x, alpha, sigma, self.data_std)
        output = self.network(shown, time.expand(x.shape[0]), condition)
        return denoised(self.prediction, output, x, alpha, sigma, self.data_std)

    # -- training ---------------------------------------------------------------------------------------------------

    def loss(self, x: Tensor, *, condition: Tensor | None = None) -> Tensor:
        """Mean squared error of the prediction at times spread evenly over the batch.

        The times are one uniform offset plus multiples of 1/n (Kingma et al. 2021, appendix I.1), which covers [0, 1]
        in every batch and lowers the variance of the gradient. Noise comes from torch's global generator.

        Args:
            x: data ``[n, *event]``.
            condition: int ``[n]`` or float ``[n, d]``, or None.
        """
        n = len(self.check_data(x))
        state = (x - self.shift) / self.scale
        offset = torch.rand((), dtype=torch.float64)
        t = ((offset + torch.arange(n, dtype=torch.float64) / n) % 1.0).numpy()
        shape = (n, *[1] * len(self.event_shape))
        alpha, sigma = (torch.from_numpy(a).to(x).reshape(shape) for a in self.path.alpha_sigma(t))
        time = torch.from_numpy(self.path.network_time(t)).to(x)
        eps = torch.randn_like(state)
        condition = self.condition_tensor(condition, n)
        if self.null_class is not None and condition is not None:
            hidden = torch.rand(n, device=x.device) < self.class_dropout
            condition = torch.where(hidden, torch.full_like(condition, self.null_class), condition)
        shown = network_input(self.prediction, alpha * state + sigma * eps, alpha, sigma, self.data_std)
        output = self.network(shown, time, condition)
        return F.mse_loss(output.to(state.dtype), target(self.prediction, state, eps, alpha, sigma, self.data_std))

    # -- sampling ---------------------------------------------------------------------------------------------------

    def table(
        self,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        **options: Any,
    ) -> StepTable:
        """The table of a sampler, with the model's defaults for what is None; see :func:`zoo.samplers.table_for`."""
        return table_for(self.sampling, sampler, steps, guidance, **options)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        condition: Any = None,
        seed: int | None = None,
        sampler: str | StepTable | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Tensor:
        """Draw ``n`` samples by a step table.

        Args:
            n: how many.
            condition: classes or vectors; None gives every class in turn.
            seed: key of the specified noise.
            sampler: name of a sampler or a finished table.
            steps: number of steps.
            guidance: weight w of classifier-free guidance; 1 is none, 0 ignores the class.
            progress: called with (steps done, steps in all).
            options: the sampler's own.

        Returns:
            ``[n, *event_shape]`` in data units.
        """
        seed, n = check_seed(seed), check_count(n)
        table = self.table(sampler, steps, guidance, **options)
        conditions = self.condition_array(condition, n)
        step = StepModule(self)
        state = torch.zeros(table.slots, n, *self.event_shape, device=self.device, dtype=self.dtype)
        state[0] = table.initial_scale * self.noise(seed, n, self.event_shape)
        for row in table:
            evaluated, weights = evaluations(conditions, row.guidance, self.null_class)
            fresh = (
                self.noise(seed, n, self.event_shape, step=row.index, stream=Stream.STEP)
                if row.noise_scale
                else torch.zeros_like(state[0])
            )
            scalars = [torch.tensor(v).to(state) for v in (row.time, row.alpha, row.sigma, row.clip, row.noise_scale)]
            matrix = torch.from_numpy(row.matrix).to(state)
            inputs = [matrix, fresh, torch.from_numpy(weights).to(state)]
            if evaluated is not None:
                inputs.append(self.as_condition(evaluated))
            state, _ = step(state, *scalars, *inputs)
            if progress is not None:
                progress(row.index + 1, len(table))
        return self.to_data(state[0])

    def to_data(self, state: Tensor) -> Tensor:
        """States to data units, clipped to the range of the data when it has one."""
        x = self.shift + self.scale * state
        return x if self.data_min is None else x.clamp(self.data_min, self.data_max)

    # -- likelihood -------------------------------------------------------------------------------------------------

    def log_prob(
        self,
        x: Tensor,
        *,
        condition: Any = None,
        steps: int = 32,
        probes: int = 1,
        seed: int = 0,
        **options: Any,
    ) -> Tensor:
        """Log-density by the probability-flow ODE with Hutchinson's trace estimate; see :mod:`zoo.likelihood`.

        Args:
            x: data ``[n, *event]``.
            condition: classes or vectors; None scores under the null class, if there is one.
            steps: Runge-Kutta steps of four evaluations each.
            probes: Rademacher probes averaged for each sample.
            seed: key of the probes.
            options: none.

        Returns:
            ``[n]``, nats, in data units: an estimate that is unbiased over probes up to the error of the steps.
        """
        if options:
            raise UsageError(f"this model has no option {', '.join(sorted(options))}")
        n = len(self.check_data(x))
        conditions = self.scoring_condition(condition, n)
        divergence = DivergenceModule(self)

        def evaluate(state: Any, time: float, alpha: float, sigma: float, probe: Any) -> tuple[Any, Any]:
            tensors = [torch.from_numpy(np.ascontiguousarray(state)).to(self.device, self.dtype)]
            tensors += [torch.tensor(v, device=self.device, dtype=self.dtype) for v in (time, alpha, sigma)]
            tensors.append(torch.from_numpy(probe).to(self.device, self.dtype))
            with torch.no_grad():
                d, trace = divergence(*tensors, *([] if conditions is None else [conditions]))
            return d.cpu().numpy(), trace.cpu().numpy()

        return torch.from_numpy(
            hutchinson_log_prob(
                evaluate,
                (x.detach().cpu().double().numpy() - self.shift) / self.scale,
                self.path,
                seed=seed,
                steps=steps,
                probes=probes,
            )
            - math.prod(self.event_shape) * math.log(self.scale)
        ).to(self.device, self.dtype)

    def scoring_condition(self, condition: Any, n: int) -> Tensor | None:
        """The condition to score under: what is given, or the null class."""
        if self.condition is not None and condition is None:
            if self.null_class is None:
                raise ConditionError(f"scoring needs the {self.condition.kind} that the data is conditioned on")
            return torch.full((n,), self.null_class, dtype=torch.int32, device=self.device)
        return self.condition_tensor(condition, n)

    # -- export -----------------------------------------------------------------------------------------------------

    def programs(self) -> Programs:
        """Graphs ``step``, for every sampler, and ``divergence``, for the likelihood."""
        event = self.event_shape
        row = (
            Port("time", "float32", (), "the network's time"),
            Port("alpha", "float32", (), "α at that time"),
            Port("sigma", "float32", (), "σ at that time"),
        )
        return Programs(
            graphs=(
                Graph(
                    "step",
                    StepModule(self),
                    inputs=(
                        Port("state", "float32", ("slots", "batch", *event), "x and its history"),
                        *row,
                        Port("clip", "float32", (), "bound on the denoised sample"),
                        Port("noise_scale", "float32", (), "scale of the fresh noise"),
                        Port(
                            "matrix",
                            "float32",
                            ("slots", "columns"),
                            "state and denoised sample to next state; columns = slots + 1",
                        ),
                        Port("noise", "float32", ("batch", *event), "standard normal noise"),
                        Port("weights", "float32", ("evaluations",), "weight of each evaluation; they sum to 1"),
                        *self._condition_port(("evaluations", "batch")),
                    ),
                    outputs=(
                        Port(
                            "next_state",
                            "float32",
                            ("slots", "batch", *event),
                            "x and its history after the step",
                        ),
                        Port("denoised", "float32", ("batch", *event), "the denoised sample D"),
                    ),
                ),
                Graph(
                    "divergence",
                    DivergenceModule(self),
                    inputs=(
                        Port("x", "float32", ("batch", *event), "state"),
                        *row,
                        Port("probe", "float32", ("batch", *event), "probe vector of the trace estimate"),
                        *self._condition_port(("batch",)),
                    ),
                    outputs=(
                        Port("denoised", "float32", ("batch", *event), "the denoised sample D"),
                        Port("trace", "float32", ("batch",), "probe · ∂D/∂x · probe"),
                    ),
                ),
            ),
            sample=self.sampling,
            log_prob=Integrate(
                "divergence",
                path=self.path.describe(),
                shift=self.shift,
                scale=self.scale,
                null_class=self.null_class,
            ),
        )

    def _condition_port(self, leading: tuple[str, ...]) -> tuple[Port, ...]:
        c = self.condition
        if c is None:
            return ()
        if c.kind == "classes":
            null = "" if self.null_class is None else f"; {self.null_class} is the null class"
            return (Port("condition", "int32", leading, f"class, 0 to {c.size - 1}{null}"),)
        return (Port("condition", "float32", (*leading, c.size), "condition vector"),)


def _sampling_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Checked defaults of ``sampler``, ``steps`` and ``guidance``."""
    if unknown := given.keys() - {"sampler", "steps", "guidance"}:
        raise ConfigError(f"sampling takes sampler, steps and guidance, not {', '.join(sorted(unknown))}")
    defaults = {"sampler": "ddim", "steps": 50, "guidance": 1.0, **given}
    return {**defaults, "guidance": float(defaults["guidance"])}
