"""The plan of an export, complete before anything is traced: the model to write, and how to write it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo import weights
from zoo.arrays import Array
from zoo.errors import ExportError, UnknownNameError, UsageError
from zoo.models.blaming import class_line
from zoo.models.interface import DirectModel, GenerativeModel
from zoo.models.wrapped import check_traceable, uncopied
from zoo.programs import Programs
from zoo.registry import installed
from zoo.registry.cards import ModelCard
from zoo_onnx.draft import Draft
from zoo_onnx.fused import Choice, fused_program
from zoo_onnx.precision import Precision
from zoo_onnx.precision.lower import calibrated
from zoo_onnx.precision.number_formats import Integers

#: opset 18 is the most portable, and the fastest on CPUs
OPSET = 18
_OPSETS = range(18, 24)
_LARGEST_BATCH = 1 << 16


@dataclass(frozen=True)
class Plan:
    """An export.

    Attributes:
        original: the model in float32, on the CPU and in evaluation mode.
        draft: what the bundle is made from; its model is ``original``, with rounded weights if there is a precision.
        opset: of the graphs.
        ways: the writer of each graph by name; None for traced graphs.
        precision: formats of weights and arithmetic; None for float32.
        batch: the one size of batch that the graphs take, or None.
        quality: whether to measure the card's metrics again with fewer bits.
        without: programs and graphs that are left out.
    """

    original: GenerativeModel
    draft: Draft
    opset: int
    ways: Mapping[str, str | None]
    precision: Precision | None
    batch: int | None
    quality: bool
    without: Sequence[str] = ()

    @property
    def programs(self) -> Programs:
        """The programs of the model to write."""
        return self.draft.programs

    @property
    def lowers(self) -> bool:
        """Whether arithmetic is lowered too."""
        return self.precision is not None and self.precision.arithmetic != "float32"

    @property
    def stages(self) -> int:
        """The number of stages reported to ``progress``."""
        programs = self.programs
        proofs = 2 + (programs.sample is not None) + (programs.log_prob is not None)
        later = (self.draft.fused is not None) + (self.precision is not None) + (self.lowers or self.batch is not None)
        return 2 * len(programs.graphs) + proofs + later


def planned(
    model: GenerativeModel,
    card: ModelCard,
    *,
    opset: int | None,
    inverse: str | None,
    fused: Mapping[str, Any] | None,
    precision: Precision | None,
    batch: int | None,
    quality: bool,
    without: Sequence[str] = (),
) -> Plan:
    """Plan an export; the arguments are those of :func:`zoo_onnx.export.export`.

    Raises:
        UsageError, UnknownNameError: options that are wrong, or that do not apply to the model.
        ExportError: the model cannot be copied, or the names of its graphs are not valid.
    """
    chosen_opset = _opset(opset, precision)
    _check_batch(batch, fused is not None)
    original = _frozen(model)
    rounded, state = _rounded(original, precision)
    programs = rounded.programs()
    _check_names(programs)
    _check_density(rounded, programs)
    programs = reduced(programs, without)
    ways = _ways(programs, inverse)
    run, table = (
        (None, None)
        if fused is None
        else fused_program(programs, Choice(**fused), installed().samplers(), rounded.condition)
    )
    possible = _possible(precision, programs, written=any(ways.values()))
    _check_noise(rounded, programs, possible)
    draft = Draft(rounded, card, programs, run, table, state)
    return Plan(original, draft, chosen_opset, ways, possible, batch, quality, without)


def reduced(programs: Programs, without: Sequence[str]) -> Programs:
    """Programs less what a user does without: a likelihood, and the graphs that nothing else calls.

    Args:
        programs: of the model.
        without: names of programs or graphs to leave out. A program goes with any of its graphs.

    Raises:
        UnknownNameError: the model has no such program or graph.
        UsageError: it belongs to what the model is there for: sampling, or scoring if it only scores.
    """
    known = {name: each for name in ("sample", "log_prob") if (each := getattr(programs, name)) is not None}
    needed = next(iter(known))
    for name in without:
        if name not in known and name not in {graph.name for graph in programs.graphs}:
            names = {*known, *(graph.name for graph in programs.graphs)}
            raise UnknownNameError("program or graph of the model", name, names)
        if name == needed or name in known[needed].graphs:
            raise UsageError(
                f"a bundle of this model cannot be without {name}, which is part of its program {needed}",
                hint=f"It can be without {' or '.join(list(known)[1:])}." if len(known) > 1 else None,
            )
    if not without or len(known) == 1:
        return programs
    kept = [graph for graph in programs.graphs if graph.name in known[needed].graphs]
    return dataclasses.replace(programs, graphs=tuple(kept), log_prob=None)


def _check_density(model: GenerativeModel, programs: Programs) -> None:
    """Refuse a model whose programs contradict what it, and so its card, states about its density."""
    if model.samples != (programs.sample is not None) or programs.sample is programs.log_prob is None:
        told = "samples" if model.samples else "only scores"
        raise ExportError(
            f"{type(model).__name__} says that it {told}, and its programs have "
            f"{'a' if programs.sample is not None else 'no'} program sample"
        )
    scored = "none" if programs.log_prob is None else programs.log_prob.density_kind
    if scored != model.density:
        raise ExportError(
            f"{type(model).__name__} says density = {model.density!r}, and its programs that it is {scored!r}",
            hint='A model that only samples says density = "none", and has no program log_prob.',
        )


def _opset(asked: int | None, chosen: Precision | None) -> int:
    least = OPSET if chosen is None else max(OPSET, chosen.opset)
    opset = least if asked is None else asked
    if opset not in _OPSETS:
        raise UsageError(f"opset {opset} cannot be written", hint=f"There are {_OPSETS[0]} to {_OPSETS[-1]}.")
    if chosen is not None and opset < chosen.opset:
        raise UsageError(f"{chosen.name} needs opset {chosen.opset}, not {opset}")
    return opset


def _check_batch(batch: int | None, fused: bool) -> None:
    if batch is None:
        return
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= _LARGEST_BATCH:
        raise UsageError(f"the batch must be a whole number from 1 to {_LARGEST_BATCH}, not {batch!r}")
    if fused:
        raise UsageError("a fused graph takes the number of samples as an input: it has no fixed batch")


def _frozen(model: GenerativeModel) -> GenerativeModel:
    named = getattr(model, "named", type(model).__name__)
    check_traceable(named, model)
    for module_name, module in model.named_modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            kind = "complex" if tensor.is_complex() else str(tensor.layout).removeprefix("torch.")
            if kind != "strided" or tensor.is_quantized:
                where = class_line(type(module))
                raise ExportError(
                    f"{name} of {module_name or type(module).__name__} is a tensor that weights files do not hold: "
                    f"{'quantized' if kind == 'strided' else kind}{f' ({where})' if where else ''}",
                    hint="Keep it as a dense tensor of real numbers: to_dense(), torch.view_as_real, dequantize().",
                )
    try:
        return copy.deepcopy(model).to("cpu").float().eval().requires_grad_(False)
    except (RuntimeError, TypeError) as error:
        raise uncopied(named, error) from error


def _rounded(original: GenerativeModel, chosen: Precision | None) -> tuple[GenerativeModel, dict[str, Array]]:
    """The model with its weights rounded, and their entries in the weights file; the original for float32."""
    if chosen is None:
        return original, weights.state_arrays(original)
    model = copy.deepcopy(original)
    names = chosen.format.round(model)
    if not names:
        raise UsageError(f"the model has no weights to store in {chosen.format.name}")
    state = weights.state_arrays(model)
    if isinstance(chosen.format, Integers):
        return model, {name: array for name, array in state.items() if name not in names}
    dtype = chosen.format.dtype
    return model, {name: array.astype(dtype) if name in names else array for name, array in state.items()}


def _possible(chosen: Precision | None, programs: Programs, *, written: bool) -> Precision | None:
    """The choice, with arithmetic in float32 where a flow's two directions would otherwise not be inverse to each
    other."""
    if chosen is None:
        return None
    if written and chosen.arithmetic == "int8-dynamic":
        raise UsageError(
            "the small steps of this model's inverse stay in float32: int8-dynamic would change its density alone",
            hint="int8-weights stores its weights in 8 bits.",
        )
    weights_only = written if chosen.arithmetic == "float16" else not calibrated(programs)
    if chosen.arithmetic in ("float16", "int8") and weights_only:
        return dataclasses.replace(chosen, arithmetic="float32")
    return chosen


def _check_noise(model: GenerativeModel, programs: Programs, chosen: Precision | None) -> None:
    """Refuse fewer bits where their loss cannot be measured: of symbols, and of other noise than normals."""
    if chosen is None or programs.steps:
        return
    if (program := programs.sample) is None:
        raise UsageError(f"{chosen.name} applies only to models that sample: its loss is measured on samples")
    if isinstance(model, DirectModel) and model.draws_symbols:
        raise UsageError(f"{chosen.name} would change which symbols {type(model).__name__} draws: it needs float32")
    if chosen.arithmetic != "float32" and program.noise_port is None:
        raise UsageError(f"{chosen.name} applies only to models that draw samples from normal noise alone")


def _check_names(programs: Programs) -> None:
    names = [g.name for g in programs.graphs]
    if len(set(names)) != len(names):
        raise ExportError(f"two graphs have the same name: {', '.join(sorted(names))}")
    for name in names:
        if not name.replace("-", "_").isidentifier() or not name.isascii():
            raise ExportError(f"a graph is named {name!r}, which is not a valid file name on every system")
    for graph in programs.graphs:
        ports = [port.name for port in (*graph.inputs, *graph.outputs)]
        if twice := [name for name in ports if ports.count(name) > 1]:
            raise ExportError(
                f"graph {graph.name} has two inputs or outputs named {twice[0]!r}",
                hint="Noises, parts of a condition and what they are encoded as have different names.",
            )
    for program in (programs.sample, programs.log_prob):
        for name in () if program is None else program.graphs:
            if name not in names:
                raise ExportError(f"a program uses a graph {name!r} that the model does not have")


def _ways(programs: Programs, inverse: str | None) -> dict[str, str | None]:
    """The writer of each graph; None for traced graphs."""
    known = {graph.name: list(graph.written) for graph in programs.graphs}
    if inverse is not None and inverse not in (names := sorted({way for ways in known.values() for way in ways})):
        if not names:
            raise UsageError(
                "this model has no graphs that are written rather than traced",
                hint="Leave --inverse out.",
            )
        raise UnknownNameError("way to write an inverse", inverse, names)
    return {name: (inverse or ways[0]) if ways else None for name, ways in known.items()}
