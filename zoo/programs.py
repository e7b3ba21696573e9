"""What an exporter writes for a model: named graphs, and the programs that turn them into ``sample`` and ``log_prob``.

Programs are plain data that a manifest stores and a runtime in any language follows:

- :class:`Direct`, one call of one graph. A flow samples by ``inverse`` and scores by ``log_prob``.
- :class:`Iterate`, a :class:`~zoo.samplers.StepTable` run over the graph ``step``. A diffusion samples so.
- :class:`Integrate`, the probability-flow ODE over the graph ``divergence``. A diffusion scores so.
- :class:`Fused`, a whole run of ``sample`` in one call, for runtimes where even a short loop is too much. An exporter
  writes it beside the others if it is asked to.

No torch here; :class:`Graph` holds whatever callable the exporter traces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from zoo.errors import BundleError
from zoo.ports import Port
from zoo.writing import Writer


@dataclass(frozen=True)
class Graph:
    """One ONNX file to be.

    Attributes:
        name: stem of the file name.
        module: callable (a torch module) from the inputs, in order, to one output or a tuple of outputs.
        inputs: what it takes.
        outputs: what it gives.
        extremes: inputs at which the proof must hold too (a list of ``{port name: array}`` makers taking the batch
            size), beyond ordinary random ones.
        written: ways to write the graph instead of tracing the module, by name, the usual one first; see
            :mod:`zoo.writing`. The module is then what it is compared with.
    """

    name: str
    module: Callable[..., Any]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    extremes: tuple[Callable[[int], Mapping[str, Any]], ...] = ()
    written: Mapping[str, Writer] = field(default_factory=dict)


@dataclass(frozen=True)
class Direct:
    """One call.

    Attributes:
        graph: name of the graph.
        noise: the input that takes standard normals (sampling), or None (scoring).
        work: how many times the numbers of a sample it works on at once; a runtime's batches are smaller by it.
    """

    graph: str
    noise: str | None = None
    work: int = 1
    kind: ClassVar[str] = "direct"


@dataclass(frozen=True)
class Iterate:
    """A step table over ``graph``; see :mod:`zoo.samplers.table` for the loop.

    Attributes:
        graph: name of the step graph.
        path: the Gaussian path, as ``Path.describe()`` gives it.
        shift: data = shift + scale · state, componentwise the same for all.
        scale: see ``shift``.
        data_min: samples are clipped to [data_min, data_max] at the very end; None for unbounded data.
        data_max: see ``data_min``.
        clip: bound on the denoised sample in state units; None for no bound.
        null_class: the class that stands for "no class", or None when the model has none.
        sampler: the sampler used unless another is asked for.
        steps: its number of steps.
        guidance: its guidance weight.
        options: options of that sampler.
        learned_variance: whether the network predicts the variance of a sampler's noise.
        encoder: name of the graph that turns data ``x`` into what shift and scale then make a state of, ``latent``, for
            a diffusion of something else than the data itself; None where there is none.
        decoder: name of the graph that turns such a ``latent`` into data ``x``, or None.
    """

    graph: str
    path: Mapping[str, Any]
    shift: float = 0.0
    scale: float = 1.0
    data_min: float | None = None
    data_max: float | None = None
    clip: float | None = None
    null_class: int | None = None
    sampler: str = "ddim"
    steps: int = 50
    guidance: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
    learned_variance: bool = False
    encoder: str | None = None
    decoder: str | None = None
    kind: ClassVar[str] = "iterate"


@dataclass(frozen=True)
class Integrate:
    """The probability-flow ODE in the log noise level, over ``graph``; see :mod:`zoo.likelihood`.

    Attributes:
        graph: name of the graph that gives the denoised sample and an estimate of the trace of its Jacobian.
        path: the Gaussian path.
        shift: data = shift + scale · state.
        scale: see ``shift``.
        null_class: the class that stands for "no class", or None.
        steps: Runge-Kutta steps unless another number is asked for.
        probes: Rademacher probes averaged for the trace unless another number is asked for; 0 for the exact trace.
        encoder: name of the graph that turns data ``x`` into ``latent``, as in :class:`Iterate`, and gives
            ``log_det``, the logarithm of the determinant of its Jacobian; None where the data is diffused itself.
    """

    graph: str
    path: Mapping[str, Any]
    shift: float = 0.0
    scale: float = 1.0
    null_class: int | None = None
    steps: int = 32
    probes: int = 1
    encoder: str | None = None
    kind: ClassVar[str] = "integrate"


@dataclass(frozen=True)
class Fused:
    """A whole sampling run in one call, noise and all: seed, first and n in, samples in data units out.

    Attributes:
        graph: name of the graph.
        sampler: the sampler in it; None for a model that samples in one call, like what follows.
        steps: its number of steps.
        guidance: its guidance weight.
        options: its options.
    """

    graph: str
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "fused"


Program = Direct | Iterate | Integrate


def graphs_of(program: Program | Fused) -> tuple[str, ...]:
    """The names of the graphs that a program calls."""
    others = (getattr(program, name, None) for name in ("encoder", "decoder"))
    return (program.graph, *(name for name in others if name is not None))


_KINDS: dict[str, type[Direct | Iterate | Integrate]] = {c.kind: c for c in (Direct, Iterate, Integrate)}


@dataclass(frozen=True)
class Programs:
    """All that an exporter needs of a model."""

    graphs: tuple[Graph, ...]
    sample: Program
    log_prob: Program | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def describe(program: Program | Fused) -> dict[str, Any]:
    """A program as JSON values."""
    return {"kind": program.kind, **asdict(program)}


def program_from(fields: Mapping[str, Any]) -> Program:
    """The inverse of :func:`describe`.

    Raises:
        BundleError: unknown kind or fields.
    """
    values = dict(fields)
    kind = values.pop("kind", None)
    try:
        return _KINDS[str(kind)](**values)
    except (KeyError, TypeError):
        raise BundleError(f"the manifest describes a program of kind {kind!r} that this version cannot run") from None


def fused_from(fields: Mapping[str, Any]) -> Fused:
    """The inverse of :func:`describe` for a fused run.

    Raises:
        BundleError: other fields than it has.
    """
    try:
        return Fused(**{name: value for name, value in fields.items() if name != "kind"})
    except TypeError:
        raise BundleError("the manifest describes a fused run that this version cannot run") from None
