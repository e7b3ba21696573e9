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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from zoo.errors import BundleError

if TYPE_CHECKING:
    from zoo.writing import Writer

Dim = int | str
#: a tensor in a graph that is being written; what it is, only the exporter knows
Value = Any


@dataclass(frozen=True)
class Port:
    """One input or output of a graph.

    Attributes:
        name: as in the ONNX file.
        dtype: ``"float32"`` or ``"int32"``.
        shape: sizes, or names of symbolic dimensions such as ``"batch"``.
        meaning: one line for whoever writes a runtime.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]
    meaning: str = ""


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


class HasPorts(Protocol):
    """What is known of a graph before and after it is written: its ports. :class:`Graph`, or a manifest's."""

    @property
    def inputs(self) -> Sequence[Port]:
        """What it takes."""
        ...

    @property
    def outputs(self) -> Sequence[Port]:
        """What it gives."""
        ...


def event_of(graphs: Mapping[str, HasPorts], graph: str, port: str | None, leading: int) -> tuple[int, ...]:
    """Shape of an input of a graph without its first ``leading`` dimensions, such as the batch.

    Raises:
        BundleError: there is no such graph or input, or its shape is open.
    """
    found = [p for p in graphs[graph].inputs if p.name == port] if graph in graphs else []
    if not found or not all(isinstance(size, int) for size in found[0].shape[leading:]):
        raise BundleError(f"input {port} of graph {graph} has no fixed event shape")
    return tuple(int(size) for size in found[0].shape[leading:])


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

    @property
    def coders(self) -> tuple[str, ...]:
        """The graphs between data and what the program's own graph works on."""
        return ()

    def noise_shape(self, graphs: Mapping[str, HasPorts]) -> tuple[int, ...]:
        """Shape of the noise that one sample is made from: that of the port ``noise``, which flows need not map 1:1."""
        return event_of(graphs, self.graph, self.noise, 1)


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

    @property
    def coders(self) -> tuple[str, ...]:
        """The graphs between data and what the program's own graph works on."""
        return tuple(name for name in (self.encoder, self.decoder) if name is not None)

    def noise_shape(self, graphs: Mapping[str, HasPorts]) -> tuple[int, ...]:
        """Shape of one state, which sampling starts from as noise: not that of a sample where there is a decoder."""
        return event_of(graphs, self.graph, "state", 2)


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

    @property
    def coders(self) -> tuple[str, ...]:
        """The graphs between data and what the program's own graph works on."""
        return () if self.encoder is None else (self.encoder,)

    def noise_shape(self, graphs: Mapping[str, HasPorts]) -> tuple[int, ...]:
        """Shape of the noise that data is taken to: that of the graph's state."""
        return event_of(graphs, self.graph, "x", 1)


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
    coders: ClassVar[tuple[str, ...]] = ()


Program = Direct | Iterate | Integrate


def graphs_of(program: Program | Fused) -> tuple[str, ...]:
    """The names of the graphs that a program calls."""
    return (program.graph, *program.coders)


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
