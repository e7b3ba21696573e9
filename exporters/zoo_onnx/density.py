"""Whether ``log_prob`` is the density of what ``sample`` draws, checked in float64 and in PyTorch alone.

A model that samples by x = T(z) from z ~ N(0, I) has the density log p(T(z)) = log N(z) - log |det ∂T/∂z| wherever T
is a bijection (Papamakarios et al. 2021, eq. 1). So the determinant is computed independently, from T alone:

- for up to :data:`EXACT_SIZE` numbers, from the full Jacobian by central differences, whose determinant has one sign
  everywhere if T is a bijection. A sampler that searches for its result makes stairs of T: where ``to_noise`` leads
  back to the noise, as near as the search came, the Jacobian is that of ``to_noise``, and elsewhere one by differences
  over steps that suit the point;
- for more, the full Jacobian would cost more than the rest of the proof. If the model has ``to_noise`` and
  ``to_data``, each must invert the other, with opposite log-determinants, which cannot detect an error that both
  share.

Where noise and data have different sizes, or where ``log_prob`` is declared to be a bound, there is no such Jacobian.
Then the mass ∫ exp(log_prob) is estimated by importance sampling around samples: it must be 1 for a density,
and at most 1 for a bound. That of a model that only scores is estimated from its examples on (:mod:`zoo_onnx.mass`).
In more than :data:`~zoo_onnx.mass.FEW_ENOUGH` dimensions it is only required not to exceed 1, and the finding says so.

Symbols have probabilities instead, and events are counted. Those drawn once among N draws are a share N₁/N, which
estimates the probability of all that were not drawn (Good 1953), so the probabilities of those that were must add up
to 1 - N₁/N. And a Metropolis step by :func:`log_prob`, which changes one symbol of a sample, must leave its mean
log-probability alone, as every function of samples (Barker 1965).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo import noise
from zoo.arrays import Array
from zoo.errors import ProofError
from zoo.models.interface import DirectModel, GenerativeModel
from zoo.noise import Noise
from zoo.programs import Graph, Programs
from zoo_onnx.mass import FEW_ENOUGH, draws_around, estimated, whole_mass
from zoo_onnx.volumes import ROWS, TOLERANCE, Call, Conditions, log_normal, received, searched, some_of, stepped

#: the largest size whose full Jacobian is computed
EXACT_SIZE = 128
_SEED = 77
_MOST_POINTS = 64
#: for the estimate of a mass: draws, and the allowed error besides
_DRAWS, _SLACK = 1024, 0.1
_MOST = 64  # dimensions beyond which draws around samples are useless
_LARGEST_LOG = 300.0
_KERNELS = (0.25, 1.0)  # deviations, relative to those of the samples
_CENTRES = 128
_COUNTED = 4096  # draws of events of symbols

#: samples, from their number and their conditions
Draw = Callable[[int, Conditions], Tensor]


@dataclass(frozen=True)
class Finding:
    """How a density was checked.

    Attributes:
        method: ``jacobian``, ``undone``, ``mass``; of symbols ``counted``, and beside other numbers ``moved``.
        points: how many points or draws.
        difference: the largest, in nats; for a mass, the distance of its logarithm from 0.
        error: standard error of the reference, in nats; 0 for a full Jacobian.
        least: of a mass, whether too little of it is ruled out, as too much is; None for other methods.
    """

    method: str
    points: int
    difference: float
    error: float
    least: bool | None = None

    def describe(self) -> dict[str, object]:
        """As JSON values."""
        return {
            **({} if self.least is None else {"mass": "1" if self.least else "at most 1"}),
            "method": self.method,
            "points": self.points,
            "difference": float(f"{self.difference:.1e}"),
            "error": float(f"{self.error:.1e}"),
        }


def check_density(
    model: GenerativeModel, programs: Programs, graphs: Mapping[str, Graph], condition: Mapping[str, Array]
) -> Finding | None:
    """Compare ``log_prob`` with the density that sampling implies.

    Args:
        model: in float64.
        programs: of the model.
        graphs: of the model in float64, by name.
        condition: of as many samples as needed, by port.

    Returns:
        the result; None if there is nothing to compare: no density, none that takes a single call, or only its ratio
        to another.

    Raises:
        ProofError: they differ; the message says what the difference looks like.
    """
    if programs.log_prob is None or not programs.log_prob.scores or model.density == "ratio":
        return None
    if programs.sample is None:
        return _of_examples(model, function(graphs[programs.log_prob.graph], None), condition)
    noises = programs.sample.noises(graphs)
    if not noises:
        return None
    draw = _sampler(graphs[programs.sample.graph], noises)
    score = function(graphs[programs.log_prob.graph], None)
    conditions = _in_float64(condition)
    size, drawn = math.prod(model.event_shape), sum(math.prod(each.shape) for each in noises)
    with torch.no_grad():
        if isinstance(model, DirectModel) and model.draws_symbols:
            return _check_symbols(draw, score, conditions, exact=model.density == "exact")
        if drawn != size or programs.sample.noise_port is None or model.density != "exact":
            exact = model.density == "exact" and (drawn > size or programs.sample.noise_port is None)
            return _mass(draw, score, conditions, exact=exact, support=getattr(model, "support", None))
        one = function(graphs[programs.sample.graph], programs.sample.noise_port)
        if size > EXACT_SIZE:
            z = torch.from_numpy(noise.normal(_SEED, 1, model.event_shape)).double()
            return undone(model, z, some_of(conditions, slice(1)), slack=0.0)
        return _by_jacobian(model, one, score, noises[0].shape, conditions)


def _by_jacobian(
    model: GenerativeModel, draw: Call, score: Call, shape: tuple[int, ...], condition: Conditions
) -> Finding:
    size = math.prod(shape)
    points = max(1, min(_MOST_POINTS, ROWS // (2 * size)))
    z = torch.from_numpy(noise.normal(_SEED, points, shape)).double()
    conditions = _cycled(condition, points)
    x = draw(z, conditions)
    scored = score(x, conditions)
    error = model.density_error(x, received(model, conditions))
    if model.resolution:
        kept, volume = searched(model, draw, z, x, conditions)
        z, scored, error, conditions = z[kept], scored[kept], error[kept], some_of(conditions, kept)
    else:
        volume = stepped(draw, z, conditions, scored)
    if bool((volume.signs > 0).any() and (volume.signs < 0).any()):
        raise ProofError(
            "sampling is not a bijection, which log_prob takes it for: the determinant of its Jacobian has both signs, "
            "so several noises give the same sample",
            hint="Let inverse be increasing in each number of noise, or declare density = 'none'.",
        )
    finding = _compared(scored, log_normal(z), volume.logs, allowed=volume.doubt + error, size=size)
    # a model that integrates an equation comes back as exactly as its steps let it
    undone(model, z, conditions, slack=float(error.max()))
    return finding


def undone(model: GenerativeModel, z: Tensor, condition: Conditions, *, slack: float) -> Finding | None:
    """Whether ``to_noise`` inverts ``to_data``, determinants included, for a model that has both.

    Args:
        model: in float64.
        z: noise.
        condition: of as many samples.
        slack: how much further apart than rounding explains the noise may come back.
    """
    to_noise, to_data = (getattr(model, name, None) for name in ("to_noise", "to_data"))
    if to_noise is None or to_data is None:
        return None
    conditions = received(model, condition)
    x, forward = to_data(z, conditions)
    restored, backward = to_noise(x, conditions)
    apart, volume = float((restored - z).abs().max()), float((forward + backward).abs().max())
    allowed = TOLERANCE * (z[0].numel() + float(forward.abs().max())) + float(model.density_error(x, conditions).max())
    if not apart <= TOLERANCE * (1 + float(z.abs().max())) + slack:
        raise ProofError(
            f"to_noise does not invert to_data: noise comes back with a difference of {apart:.2g}, so "
            "log_prob scores a different distribution than the one sampled"
        )
    worst = int((forward + backward).abs().argmax())
    if not volume <= allowed:
        raise ProofError(
            f"to_noise and to_data have log-determinants of {float(backward[worst]):.6g} and "
            f"{float(forward[worst]):.6g} at one point, which do not cancel"
        )
    return Finding("undone", len(z), volume, 0.0)


def _compared(scored: Tensor, base: Tensor, volumes: Tensor, *, allowed: Tensor, size: int) -> Finding:
    expected = base - volumes
    difference = scored - expected
    limit = TOLERANCE * (size + expected.abs()) + allowed.to(expected)
    # no limit that is infinite itself: where sampling presses noise flat, no density is the expected one
    if bool(((difference.abs() <= limit) & expected.isfinite() | (scored == expected)).all()):
        return Finding("jacobian", len(scored), float(difference.abs().max()), 0.0)
    worst = int((difference.abs() - limit).nan_to_num(math.inf).argmax())
    raise ProofError(
        f"log_prob is not the density of what sample draws: at a sample it is {float(scored[worst]):.6g} nats, where "
        f"the density of the noise and the Jacobian of sampling give {float(expected[worst]):.6g}; "
        f"{_likeness(difference, volumes, size, limit)}",
        hint="Compare log_density(x) with log N(z) - log |det ∂x/∂z| at x = inverse(z).",
    )


def _likeness(difference: Tensor, volumes: Tensor, size: int, limit: Tensor) -> str:
    """What a difference looks like, in words."""
    constant = 0.5 * size * math.log(2 * math.pi)
    shapes = {
        "the log-determinant has the wrong sign": 2 * volumes,
        "the log-determinant is missing": volumes,
        f"the constant {size}/2·log 2π of the normal distribution is missing": torch.full_like(difference, constant),
    }
    for said, shape in shapes.items():
        if bool(((difference - shape).abs() <= limit).all()):
            return said
    if len(difference) > 1 and float(difference.max() - difference.min()) <= 2 * float(limit.max()):
        return f"it is off by a constant, {float(difference.mean()):.6g} nats"
    return "it scores a different distribution than the one sampled: inverse does not invert what log_prob does"


def _of_examples(model: GenerativeModel, score: Call, condition: Mapping[str, Array]) -> Finding | None:
    """That the mass of a model that only scores is at most 1, and in few dimensions that it is 1.

    How far its data reach, only the model knows, so this begins with its examples.
    """
    conditions = _in_float64(condition)
    with torch.no_grad():
        examples = model.examples(_CENTRES).double()
        finding = _mass(lambda n, _: examples[:n], score, conditions, exact=False)
        size = examples[0].numel()
        if finding is None or model.density != "exact" or size > FEW_ENOUGH:
            return finding

        def score_flat(x: Tensor) -> Tensor:
            return score(x.reshape(len(x), *examples.shape[1:]), _repeated(conditions, len(x)))

        mass_estimate = whole_mass(score_flat, examples.flatten(1))
    if not mass_estimate.trusted:
        return finding
    said = f"∫ exp(log_prob) is about {mass_estimate.value:.3g} ± {mass_estimate.error:.1g}, where a density has 1"
    if mass_estimate.value - 5 * mass_estimate.error > 1 + _SLACK:
        raise ProofError(
            f"log_prob has too much mass: {said}: it is not normalised",
            hint="Look for a missing constant, or a determinant of the wrong sign.",
        )
    if mass_estimate.value + 5 * mass_estimate.error < 1 - _SLACK:
        raise ProofError(
            f"log_prob has too little mass where its examples lead: {said}: it is not normalised, or there is more of "
            "it where no example is near",
            hint="Look for a superfluous constant, or let examples give data of every kind.",
        )
    return Finding("mass", mass_estimate.draws, abs(math.log(mass_estimate.value)), mass_estimate.error, least=True)


def _in_float64(condition: Mapping[str, Array]) -> Conditions:
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in condition.items()}
    return {name: each.double() if each.is_floating_point() else each for name, each in tensors.items()}


def _mass(
    draw: Draw, score: Call, condition: Conditions, *, exact: bool, support: tuple[float, float] | None = None
) -> Finding | None:
    """∫ exp(log_prob), over the support, by draws around samples, some of them wide so that no weight is large by
    accident."""
    centres = draw(_CENTRES, _repeated(condition, _CENTRES))
    if centres[0].numel() > _MOST:
        return None
    drawn, proposed = _proposals(centres.flatten(1))
    every = _repeated(condition, _DRAWS)
    scored = score(drawn.reshape(_DRAWS, *centres.shape[1:]), every)
    if support is not None:
        outside = ((drawn < support[0]) | (drawn > support[1])).any(1)
        scored = scored.masked_fill(outside, -math.inf)
    logs = (scored - proposed).nan_to_num(math.inf, posinf=math.inf, neginf=-math.inf)
    if not float(logs.max()) < _LARGEST_LOG:
        raise ProofError(
            f"log_prob is {float(scored[logs.argmax()]):.3g} near a sample, which is impossible for a density of mass 1"
        )
    mass_estimate = estimated(logs)
    mass, error = mass_estimate.value, mass_estimate.error
    # an unbiased estimate of at most 1 is above 1000 in one of 1000 models at most (Markov)
    if mass - 5 * error > 1 + _SLACK and (mass_estimate.trusted or mass > 1000):
        what = "a density has 1" if exact else "a density has 1, and a bound at most 1"
        raise ProofError(
            f"log_prob has too much mass: ∫ exp(log_prob) is about {mass:.3g} ± {error:.1g}, where {what}: it is not "
            "normalised",
            hint="Look for a missing constant, or a determinant of the wrong sign.",
        )
    if exact and centres[0].numel() <= FEW_ENOUGH and mass + 5 * error < 1 - _SLACK:
        raise ProofError(
            f"log_prob has too little mass where samples are: ∫ exp(log_prob) is about {mass:.3g} ± {error:.1g}, where "
            "a density has 1: it is not normalised, or it scores a different distribution than the one sampled",
            hint="Look for a superfluous constant, or a determinant of the wrong sign.",
        )
    least = exact and centres[0].numel() <= FEW_ENOUGH
    return Finding("mass", _DRAWS, abs(math.log(mass)) if mass > 0 else _LARGEST_LOG, error, least=least)


def _check_symbols(draw: Draw, score: Call, condition: Conditions, *, exact: bool) -> Finding | None:
    """Whether events of symbols are as probable as they are often drawn.

    Raises:
        ProofError: their probabilities do not add up, or favour other events.
    """
    every = _repeated(condition, _COUNTED)
    x = draw(_COUNTED, every)
    logs = score(x, every)
    if not bool((x == x.floor()).all()):  # numbers besides symbols, which are never the same twice
        finding = _check_moves(x, logs, _shifted(x), score, every) if exact else None
    else:
        finding = _counted(x, logs, exact=exact)
        if exact:
            _check_moves(x, logs, _exchanged(x), score, every)
    return finding


def _counted(x: Tensor, logs: Tensor, *, exact: bool) -> Finding:
    """The probability of the events that were drawn, by ``logs`` and by how often they were drawn."""
    _, firsts, counts = np.unique(x.flatten(1).numpy(), axis=0, return_index=True, return_counts=True)
    seen = float(logs[torch.from_numpy(firsts)].exp().sum())
    ones, twos = (int((counts == k).sum()) for k in (1, 2))
    expected = 1 - ones / len(x)
    error = math.sqrt(ones * (1 - ones / len(x)) + 2 * twos + 1) / len(x)
    slack = 5 * error + 0.01
    said = f"the {len(counts)} different events among {len(x)} samples have a probability of {seen:.3g} by it, and of "
    said += f"about {expected:.3g} ± {error:.1g} by how often they were drawn"
    if seen > expected + slack:
        raise ProofError(
            f"log_prob has too much mass: {said}",
            hint="Look for a missing factor, such as that of the symbol that ends an event.",
        )
    if exact and not seen >= expected - slack:
        raise ProofError(
            f"log_prob has too little mass where samples are: {said}; it scores a different distribution than the one "
            "sampled"
        )
    return Finding("counted", len(x), abs(seen - expected) if exact else max(seen - expected, 0.0), error)


def _exchanged(x: Tensor) -> Tensor:
    """Events of symbols with one symbol exchanged, but for the least, which may end an event."""
    flat = x.flatten(1)
    u = torch.from_numpy(noise.uniform(_SEED + 2, len(x), (2,))).double()
    rows, places = torch.arange(len(x)), (u[:, 0] * flat.shape[1]).long()
    symbols, moved = torch.from_numpy(np.unique(flat.numpy()))[1:], flat.clone()
    if len(symbols):
        others, here = symbols[(u[:, 1] * len(symbols)).long()], flat[rows, places]
        moved[rows, places] = torch.where(here == flat.min(), here, others)
    return moved.reshape(x.shape)


def _shifted(x: Tensor) -> Tensor:
    """Events with numbers that are not whole moved a little, and everything else, such as masks, left alone."""
    z = torch.from_numpy(noise.normal(_SEED + 2, len(x), tuple(x.shape[1:]))).double()
    return torch.where(x == x.floor(), x, x + 0.5 * x.std() * z)


def _check_moves(x: Tensor, logs: Tensor, moved: Tensor, score: Call, every: Conditions) -> Finding:
    """Whether symmetric moves, accepted by Barker's rule, leave the mean log-density of samples alone."""
    apart = score(moved, every) - logs
    accepted = torch.sigmoid(apart)
    change = torch.where(accepted > 0, accepted * apart.nan_to_num(0.0), 0.0)  # impossible moves are never accepted
    mean, error = float(change.mean()), float(change.std()) / math.sqrt(len(x))
    if not abs(mean) <= 5 * error + 1e-3:
        raise ProofError(
            f"log_prob scores a different distribution than the one sampled: Metropolis steps by it, which would keep "
            f"its own distribution, move its mean at samples by {mean:.2g} ± {error:.1g} nats, and not by 0"
        )
    return Finding("moved", len(x), abs(mean), error)


def _proposals(centres: Tensor) -> tuple[Tensor, Tensor]:
    """Draws ``[draws, d]`` from normals around samples ``[n, d]``, and their log-density ``[draws]``."""
    spread = centres.std(0).clamp(min=1e-3 * float(centres.std()) + 1e-12)
    kernels = torch.tensor(_KERNELS, dtype=torch.float64).repeat_interleave(_DRAWS // len(_KERNELS))
    return draws_around(centres, spread, kernels, _SEED)


def _cycled(conditions: Conditions, n: int) -> Conditions:
    """``n`` of them, the first again after the last."""
    return {name: each[torch.arange(n) % len(each)] for name, each in conditions.items()}


def _repeated(conditions: Conditions, n: int) -> Conditions:
    """The first of them ``n`` times."""
    return {name: each[:1].expand(n, *each.shape[1:]) for name, each in conditions.items()}


def _sampler(graph: Graph, noises: Sequence[Noise]) -> Draw:
    """A graph that draws samples, as a function of their number and their conditions."""
    names = [port.name for port in graph.inputs]

    def draw(n: int, condition: Conditions) -> Tensor:
        drawn = {name: torch.from_numpy(array).double() for name, array in noise.drawn(noises, _SEED, n).items()}
        inputs = {**drawn, **condition}
        result = graph.module(*(inputs[name] for name in names))
        samples: Tensor = result[0] if isinstance(result, (tuple, list)) else result
        return samples

    return draw


def function(graph: Graph, noise_port: str | None) -> Call:
    """A graph that takes one array and possibly a condition, as a function."""
    names = [port.name for port in graph.inputs]

    def apply(value: Tensor, condition: Conditions) -> Tensor:
        first = noise_port or next(name for name in names if name not in condition)
        inputs = {first: value, **condition}
        result = graph.module(*(inputs[name] for name in names))
        output: Tensor = result[0] if isinstance(result, (tuple, list)) else result
        return output

    return apply
