"""The two graphs of a diffusion as modules: one row of a step table, and one evaluation of the likelihood's ODE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo.models.contexts import ReceivedCondition
from zoo.models.derivatives import jvp
from zoo.printable import shortened
from zoo.programs import WIDE_COLUMNS, Graph
from zoo.programs.ports import Port
from zoo.samplers.table import FREE

_ROW = ("time", "alpha", "sigma")
#: so that the ratio of two constant outputs is 1
_LEAST_VARIANCE = 1e-12


class Conditional(Protocol):
    """The properties that determine the inputs of graphs."""

    state_shape: tuple[int, ...]
    condition: Condition | None

    @property
    def takes_parts(self) -> bool:
        """Whether it is conditioned on named parts."""
        ...

    def condition_inputs(self, *leading: str) -> tuple[Port, ...]:
        """The inputs that carry parts, or their encodings."""
        ...

    def received_by_graph(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor | Mapping[str, Tensor], ...]:
        """What it gets of these inputs."""
        ...

    @property
    def null_class(self) -> int | None:
        """The null class."""
        ...


class Denoises(Protocol):
    """The interface of a diffusion model (a torch module) for its likelihood."""

    def denoise(self, x: Tensor, time: Tensor, alpha: Tensor, sigma: Tensor, condition: ReceivedCondition) -> Tensor:
        """D(x, t)."""
        ...

    def received_by_graph(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor | Mapping[str, Tensor], ...]:
        """What it gets of the inputs that carry its condition."""
        ...


class Denoiser(Denoises, Conditional, Protocol):
    """The additional interface for sampling."""

    learned_variance: bool

    def predict(
        self, x: Tensor, time: Tensor, alpha: Tensor, sigma: Tensor, condition: ReceivedCondition
    ) -> tuple[Tensor, Tensor | None]:
        """The network's output, see :meth:`zoo_diffusion.diffusion.Diffusion.predict`."""
        ...

    def denoised(self, output: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """D from it."""
        ...


class StepModule(nn.Module):
    """One row of a step table: state and row to the next state and the denoised sample.

    Attributes:
        names: of the inputs after the state, in order.
    """

    names: tuple[str, ...]


class GaussianStep(StepModule):
    """One row of a step table, for every sampler: see :mod:`zoo.samplers.table` for the equations."""

    def __init__(self, model: Denoiser) -> None:
        super().__init__()
        self.model = model
        self._optional = (
            *(port.name for port in condition_port(model, ("evaluations", "batch"))),
            *(("noise_range",) if model.learned_variance else ()),
        )
        self.names = (*_ROW, "clip", "noise_scale", "rescale", "matrix", "noise", "weights", "known", "mask")
        self.names += self._optional

    def forward(
        self,
        state: Tensor,
        time: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        clip: Tensor,
        noise_scale: Tensor,
        rescale: Tensor,
        matrix: Tensor,
        noise: Tensor,
        weights: Tensor,
        known: Tensor,
        mask: Tensor,
        *rest: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """State ``[slots, n, *event]`` to the next state and D; the evaluations of guidance run as one batch.

        The columns of ``matrix`` are the slots, D, and where there is one more, D before it was clipped.
        """
        event = self.model.state_shape
        optional = dict(zip(self._optional, rest, strict=True))
        x = state[0]
        repeated = x[None].expand(weights.shape[0], *x.shape).reshape(-1, *event)
        parts = tuple(each.flatten(0, 1) for name, each in optional.items() if name != "noise_range")
        condition = next(iter(self.model.received_by_graph(parts)), None)
        output, where = self.model.predict(repeated, time, alpha, sigma, condition)
        # the number of evaluations is stated: -1 would be a quotient of sizes, which a scan cannot know to be safe
        outputs = output.reshape(weights.shape[0], *x.shape)
        # D is linear in the network's output, so guiding one guides the other
        guided = (outputs * weights.reshape(-1, *[1] * x.ndim)).sum(0)
        # Lin et al. 2024, eqs. 15-16; the first evaluation is that of the class
        contrast = _deviation(outputs[0]) / _deviation(guided)
        guided = guided * (rescale * contrast + (1 - rescale))
        bounds = _bounds(clip, matrix.shape[1] - state.shape[0]).reshape(-1, *[1] * x.ndim)
        d = self.model.denoised(guided, x, alpha, sigma)[None]
        d = torch.minimum(torch.maximum(d, -bounds), bounds)
        d = mask * d + (1 - mask) * known
        columns = torch.cat([state, d]).flatten(1)
        scale = noise_scale
        if where is not None:
            scale = noise_scale * torch.exp(optional["noise_range"] * where.reshape(weights.shape[0], *x.shape)[0])
        # the first slot is x: only it takes the fresh noise
        moved = (matrix @ columns).reshape(matrix.shape[0], *x.shape)
        return torch.cat([moved[:1] + scale * noise, moved[1:]]), d[0]


def _bounds(clip: Tensor, count: int) -> Tensor:
    """The bounds ``[count]`` on D in the last columns of a matrix: ``clip``, and none in a second one.

    There are as many as columns, so that a table without the second one costs no more than the graph without it.
    """
    both = torch.stack([clip, torch.full_like(clip, FREE)])
    return both.index_select(0, torch.arange(count, device=clip.device))


def _deviation(output: Tensor) -> Tensor:
    """Standard deviation of each sample ``[n, *event]``, with the shape of one number a sample; never 0."""
    axes = tuple(range(1, output.ndim))
    centred = output - output.mean(axes, keepdim=True)
    # not a sum with the smallest value, which would change ordinary variances, and which optimisers may drop
    return (centred * centred).mean(axes, keepdim=True).clamp(min=_LEAST_VARIANCE).sqrt()


class DivergenceModule(nn.Module):
    """The denoised sample and probe·J·probe of its Jacobian, by one forward-mode derivative."""

    def __init__(self, model: Denoises) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        x: Tensor,
        time: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        probe: Tensor,
        *inputs: Any,
    ) -> tuple[Tensor, Tensor]:
        """``[n, *event]`` to D ``[n, *event]`` and the estimate ``[n]`` of the trace of ∂D/∂x."""
        # outside of graphs, parts are already in the form that the model gets
        whole = not inputs or isinstance(inputs[0], Mapping)
        condition = next(iter(inputs if whole else self.model.received_by_graph(inputs)), None)

        def denoise(y: Tensor) -> Tensor:
            return self.model.denoise(y, time, alpha, sigma, condition)

        try:
            d, tangent = jvp(denoise, x, probe)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or not (_is_of_derivative(error) or _runs(denoise, x)):
                raise
            told = shortened(str(error).splitlines()[0], 160)
            raise ConfigError(
                f"the network has no forward-mode derivative, which the likelihood needs: {told}",
                hint="Use operations that have one, or build the diffusion with likelihood = False.",
            ) from error
        return d, (tangent * probe).flatten(1).sum(1)


def _is_of_derivative(error: RuntimeError) -> bool:
    """Whether it is that of an operation without a forward-mode formula, which says so in words alone."""
    return any(word in str(error) for word in ("forward AD", "jvp"))


def _runs(denoise: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether the network works without its derivative."""
    try:
        denoise(x)
    except RuntimeError:
        return False
    return True


def step_graph(model: Conditional, module: StepModule, *, unclipped_column: bool = False) -> Graph:
    """The graph ``step``, for every sampler, guidance and edit.

    Args:
        model: the model.
        module: its step.
        unclipped_column: whether the step takes matrices with a further column, see
            :class:`~zoo.programs.Iterate`.
    """
    event = model.state_shape
    ports = {
        "time": Port("time", "float32", (), "the network's time"),
        "alpha": Port("alpha", "float32", (), "α at that time"),
        "sigma": Port("sigma", "float32", (), "σ at that time"),
        "clip": Port("clip", "float32", (), "bound on the denoised sample"),
        "noise_scale": Port("noise_scale", "float32", (), "scale of the fresh noise"),
        "noise_range": Port("noise_range", "float32", (), "ln(largest/smallest scale), of which the network picks one"),
        "rescale": Port("rescale", "float32", (), "share of guidance's contrast that is undone, 0 to 1"),
        "matrix": _matrix_port(unclipped_column),
        "noise": Port("noise", "float32", ("batch", *event), "standard normal noise"),
        "weights": Port("weights", "float32", ("evaluations",), "weight of each evaluation; they sum to 1"),
        "known": Port("known", "float32", ("batch", *event), "the denoised sample where mask is 0"),
        "mask": Port("mask", "float32", ("batch", *event), "1 where to sample, 0 where known is kept"),
        **{port.name: port for port in condition_port(model, ("evaluations", "batch"))},
    }
    return Graph(
        "step",
        module,
        inputs=(
            Port("state", "float32", ("slots", "batch", *event), "x and its history"),
            *(ports[name] for name in module.names),
        ),
        outputs=(
            Port("next_state", "float32", ("slots", "batch", *event), "x and its history after the step"),
            Port("denoised", "float32", ("batch", *event), "the denoised sample D"),
        ),
    )


def _matrix_port(unclipped_column: bool) -> Port:
    if not unclipped_column:
        meaning = "state and denoised sample to next state; columns = slots + 1"
        return Port("matrix", "float32", ("slots", "columns"), meaning)
    meaning = (
        "state, denoised sample and, if there is a column for it, denoised sample before the bound, to next state; "
        "wide_columns = slots + 1 or slots + 2"
    )
    return Port("matrix", "float32", ("slots", WIDE_COLUMNS), meaning)


def divergence_graph(model: Denoiser) -> Graph:
    """The graph ``divergence``, for the likelihood."""
    event = model.state_shape
    return Graph(
        "divergence",
        DivergenceModule(model),
        inputs=(
            Port("x", "float32", ("batch", *event), "state"),
            Port("time", "float32", (), "the network's time"),
            Port("alpha", "float32", (), "α at that time"),
            Port("sigma", "float32", (), "σ at that time"),
            Port("probe", "float32", ("batch", *event), "probe vector of the trace estimate"),
            *condition_port(model, ("batch",)),
        ),
        outputs=(
            Port("denoised", "float32", ("batch", *event), "the denoised sample D"),
            Port("trace", "float32", ("batch",), "probe · ∂D/∂x · probe"),
        ),
    )


def condition_port(model: Conditional, leading: tuple[str, ...]) -> tuple[Port, ...]:
    """The inputs that carry the condition: none, one, or one for each part or output of its encoder."""
    c = model.condition
    if c is None:
        return ()
    if model.takes_parts:
        return model.condition_inputs(*leading)
    if c.kind == "classes":
        null = "" if model.null_class is None else f"; {model.null_class} is the null class"
        return (Port("condition", "int32", leading, f"class, 0 to {c.size - 1}{null}"),)
    return (Port("condition", "float32", (*leading, c.size), "condition vector"),)
