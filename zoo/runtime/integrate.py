"""Programs that integrate the probability-flow ODE: a diffusion's ``log_prob``. See :mod:`zoo.likelihood`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.bundle.manifest import Manifest
from zoo.counts import checked_count
from zoo.errors import RuntimeFailure
from zoo.likelihood import EXACT, evaluations, log_density, log_density_with_errors
from zoo.likelihood.bound import variational_bound
from zoo.overriding import override
from zoo.paths import needed, require_gaussian
from zoo.programs import Integrate, Program
from zoo.runtime.conditioning import Conditions, feeds_of
from zoo.runtime.graph_checks import check_codec, check_event, check_numbers, check_path, check_ports, latent_shape
from zoo.runtime.opened import OpenBundle
from zoo.runtime.running import Runner, ScoreRequest, Scores
from zoo.runtime.session import Session
from zoo.samplers.runs import Tick


class IntegrateRunner(Runner):
    """Scores by the probability-flow ODE, whose vector field is a graph."""

    @override
    def check_log_prob(self, manifest: Manifest, program: Program) -> None:
        program = program.integrating("the model")
        check_ports(manifest, program, ("x", "time", "alpha", "sigma", "probe"), ("denoised", "trace"))
        check_numbers(program.shift, program.scale)
        check_path(program)
        check_codec(manifest, program.encoder, None, density=True)
        check_event(manifest, program.graph, ("x", "probe", "denoised"), 1, latent_shape(manifest))

    def scoring(self, model: OpenBundle, program: Program, request: ScoreRequest) -> Scores:
        """The probability-flow ODE, of latents where there is an encoder."""
        ode = program.integrating(model.name)
        steps = checked_count("steps", ode.steps if request.steps is None else request.steps)
        probes = checked_count("probes", ode.probes if request.probes is None else request.probes, least=EXACT)
        latents, volume = model.codec.to_latent_with_volume(ode, request.x)
        session = model.session(ode.graph)

        def score(part: slice, tick: Tick) -> NDArray[np.float64]:
            density = log_prob(
                session,
                ode,
                model.filled(latents[part]),
                model.filled(None if request.condition is None else request.condition[part]),
                seed=request.seed,
                steps=steps,
                probes=probes,
                first=request.first + part.start,
                tick=tick,
                errors=request.errors,
            )[..., : part.stop - part.start]
            if request.errors:
                return np.stack([density[0] + volume[part], *density[1:]])
            return density + volume[part]

        return Scores(score, calls(model.state_shape, steps, probes, request.errors))


def log_prob(
    session: Session,
    program: Integrate,
    x: NDArray[np.float32],
    condition: Conditions,
    *,
    seed: int,
    steps: int,
    probes: int,
    first: int,
    tick: Callable[[], None],
    errors: bool = False,
) -> NDArray[np.float64]:
    """Log-density of data ``first`` to ``first + n`` of a run.

    Args:
        session: the graph ``divergence``.
        program: path, scale and shift.
        x: data ``[n, *event]``.
        condition: ``[n]`` or ``[n, d]``, or None.
        seed: key of the probes.
        steps: Runge-Kutta steps.
        probes: probes averaged for each sample, or 0 for the exact trace.
        first: index of the first sample.
        tick: called after each evaluation.
        errors: whether to take twice the steps as well, see :class:`~zoo.likelihood.LogDensity`.

    Returns:
        float64 ``[n]``, nats in data units; with errors ``[4, n]``, the fields of a ``LogDensity`` in order.

    Raises:
        RuntimeFailure: an evaluation is not finite, or ONNX Runtime failed.
    """
    with session.holding(feeds_of(condition)) as held:
        return _integrated(
            session, program, x, held, seed=seed, steps=steps, probes=probes, first=first, tick=tick, errors=errors
        )


def _integrated(
    session: Session,
    program: Integrate,
    x: NDArray[np.float32],
    held: Mapping[str, Any],
    *,
    seed: int,
    steps: int,
    probes: int,
    first: int,
    tick: Callable[[], None],
    errors: bool,
) -> NDArray[np.float64]:
    """The same, with the condition on the session's device."""
    done = 0

    def evaluate(
        state: NDArray[np.float32], time: float, alpha: float, sigma: float, probe: NDArray[np.float32]
    ) -> tuple[Any, Any]:
        nonlocal done
        outputs = session.run(_feeds(state, time, alpha, sigma, probe), ["denoised", "trace"], held)
        done += 1
        if not all(np.isfinite(output).all() for output in outputs.values()):
            raise RuntimeFailure(
                f"scoring broke down at evaluation {done} of {calls(x.shape[1:], steps, probes, errors)}: "
                f"graph {session.graph.name} gives values that are not finite"
            )
        tick()
        return outputs["denoised"], outputs["trace"]

    states = (x.astype(np.float64) - program.shift) / program.scale
    arguments: dict[str, Any] = {"seed": seed, "steps": steps, "probes": probes, "first": first}
    path = require_gaussian(needed(program.path, "score data"))
    # data = shift + scale · state, so each dimension divides the density by `scale`
    volume = math.prod(x.shape[1:]) * math.log(program.scale)
    if not errors:
        return log_density(evaluate, states, path, **arguments) - volume
    density = log_density_with_errors(evaluate, states, path, **arguments)
    return np.stack(density._replace(value=density.value - volume))


def calls(event_shape: tuple[int, ...], steps: int, probes: int, errors: bool) -> int:
    """The number of calls of the graph for a batch."""
    return evaluations(steps, probes, math.prod(event_shape)) * (3 if errors else 1)


def bound(
    session: Session,
    program: Integrate,
    x: NDArray[np.float32],
    condition: Conditions,
    *,
    seed: int,
    steps: int,
    terms: int,
    first: int,
    tick: Callable[[], None],
) -> NDArray[np.float64]:
    """The variational bound of data ``first`` to ``first + n`` of a run, see :mod:`zoo.likelihood.bound`.

    The graph's trace is not used, and its probe is zero. For the rest see :func:`log_prob`.
    """
    probe = np.zeros_like(x)

    def denoise(state: NDArray[np.float32], time: float, alpha: float, sigma: float) -> Any:
        d = session.run(_feeds(state, time, alpha, sigma, probe), ["denoised"], held)["denoised"]
        if not np.isfinite(d).all():
            raise RuntimeFailure(f"scoring broke down: graph {session.graph.name} gives values that are not finite")
        tick()
        return d

    states = (x.astype(np.float64) - program.shift) / program.scale
    path = require_gaussian(needed(program.path, "score data"))
    with session.holding(feeds_of(condition)) as held:
        bound = variational_bound(denoise, states, path, steps=steps, terms=terms, seed=seed, first=first)
    return bound - math.prod(x.shape[1:]) * math.log(program.scale)


def _feeds(
    state: NDArray[np.float32],
    time: float,
    alpha: float,
    sigma: float,
    probe: NDArray[np.float32],
) -> dict[str, Array]:
    numbers = {"time": time, "alpha": alpha, "sigma": sigma}
    return {"x": state, **{name: np.array(value, np.float32) for name, value in numbers.items()}, "probe": probe}
