"""What a manifest must say for its programs to be run: checked once, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterable

from zoo.bundle import Bundle, Manifest
from zoo.errors import BundleError, ZooError
from zoo.paths import path_from
from zoo.programs import Direct, Fused, Integrate, Iterate, Program, graphs_of

_ROW = ("time", "alpha", "sigma")
_STEP = ("state", *_ROW, "clip", "noise_scale", "matrix", "noise", "weights")
_REVEALING = ("state", "alpha", "matrix", "noise", "weights")
_STEP_OPTIONAL = ("rescale", "known", "mask")  # a graph without them serves fewer edits
_DIVERGENCE = ("x", *_ROW, "probe")
_FUSED = ("seed", "first", "n")


def check(bundle: Bundle) -> None:
    """Refuse a manifest whose programs and graphs do not fit together.

    Raises:
        BundleError: with what does not fit.
    """
    manifest = bundle.manifest
    try:
        _check_sample(manifest)
        if manifest.log_prob is not None:
            _check_log_prob(manifest, manifest.log_prob)
        if manifest.fused is not None:
            _check_ports(manifest, manifest.fused, _FUSED, ("x",))
        _check_event_shapes(manifest)
    except BundleError as error:
        raise BundleError(f"{bundle.folder} cannot be run: {error}", hint=error.hint) from error
    except (ZooError, TypeError, ValueError) as error:
        raise BundleError(f"{bundle.folder} cannot be run: its manifest is wrong: {error}") from error


def _check_sample(manifest: Manifest) -> None:
    program = manifest.sample
    if isinstance(program, Direct):
        if program.noise is None:
            raise BundleError("its program sample names no input for the noise")
        _check_ports(manifest, program, (program.noise,), outputs=None)
        port = next(p for p in manifest.graphs[program.graph].inputs if p.name == program.noise)
        if not all(isinstance(size, int) for size in port.shape[1:]):
            raise BundleError(f"input {port.name} of graph {program.graph} has no fixed event shape")
    elif isinstance(program, Iterate):
        learned = ("noise_range",) if program.learned_variance else ()
        required = (*_STEP, *learned) if path_from(program.path).gaussian else _REVEALING
        optional = (*_STEP_OPTIONAL, *(name for name in _STEP if name not in required))
        _check_ports(manifest, program, required, ("next_state", "denoised"), optional=optional)
        _check_numbers(program.shift, program.scale, program.guidance)
        _check_numbers(*(v for v in (program.data_min, program.data_max, program.clip) if v is not None))
        _check_path(program)
        _check_coding(manifest, program.encoder, program.decoder)
        if (
            isinstance(program.steps, bool)
            or not isinstance(program.steps, int)
            or not isinstance(program.sampler, str)
        ):
            raise BundleError("its program sample has no sampler and steps")
    else:
        raise BundleError(f"a program of kind {program.kind} cannot sample")


def _check_log_prob(manifest: Manifest, program: Program) -> None:
    if isinstance(program, Direct):
        data = [p.name for p in manifest.graphs[program.graph].inputs if p.name != "condition"]
        if len(data) != 1:
            raise BundleError(f"graph {program.graph} takes {', '.join(data) or 'nothing'}, expected the data alone")
        _check_ports(manifest, program, data, outputs=None)
    elif isinstance(program, Integrate):
        _check_ports(manifest, program, _DIVERGENCE, ("denoised", "trace"))
        _check_numbers(program.shift, program.scale)
        _check_path(program)
        _check_coding(manifest, program.encoder, None, density=True)
    else:
        raise BundleError(f"a program of kind {program.kind} cannot score")


def _check_coding(manifest: Manifest, encoder: str | None, decoder: str | None, *, density: bool = False) -> None:
    """Refuse graphs between data and latents that take or give other things than those, of each sample alone."""
    for name, takes, gives in ((encoder, "x", "latent"), (decoder, "latent", "x")):
        if name is None:
            continue
        graph = manifest.graphs[name]
        if [port.name for port in graph.inputs] != [takes]:
            raise BundleError(f"graph {name} takes {', '.join(p.name for p in graph.inputs)}, expected {takes}")
        wanted = {gives, "log_det"} if density else {gives}
        if missing := wanted - {port.name for port in graph.outputs}:
            raise BundleError(f"graph {name} does not give {', '.join(sorted(missing))}")
        for port in (*graph.inputs, *graph.outputs):
            if len(port.shape) < 1 or not all(isinstance(size, int) for size in port.shape[1:]):
                raise BundleError(f"{port.name} of graph {name} has no fixed shape but for the batch")
            if port.name == "x" and port.shape[1:] != manifest.event_shape:
                raise BundleError(f"x of graph {name} has shape {port.shape}, samples have {manifest.event_shape}")
            if port.name == "log_det" and len(port.shape) != 1:
                raise BundleError(f"log_det of graph {name} is not one number for each sample")


def _check_ports(
    manifest: Manifest,
    program: Program | Fused,
    inputs: Iterable[str],
    outputs: Iterable[str] | None,
    *,
    optional: Iterable[str] = (),
) -> None:
    graph = manifest.graphs[program.graph]
    wanted = {*inputs, *(() if manifest.condition is None else ("condition",))}
    names = {port.name for port in graph.inputs}
    if names - set(optional) != wanted:
        raise BundleError(
            f"graph {program.graph} takes {', '.join(sorted(names))}, expected {', '.join(sorted(wanted))}"
        )
    if outputs is None:
        if len(graph.outputs) != 1:
            raise BundleError(f"graph {program.graph} has {len(graph.outputs)} outputs, expected one")
    elif missing := set(outputs) - {port.name for port in graph.outputs}:
        raise BundleError(f"graph {program.graph} does not give {', '.join(sorted(missing))}")


def _check_event_shapes(manifest: Manifest) -> None:
    """Refuse graphs whose samples or data have another shape than the manifest's."""
    event = manifest.event_shape
    coded = latent_shape(manifest)

    def check(graph: str, names: Iterable[str], leading: int, event: tuple[int, ...] = event) -> None:
        for port in (*manifest.graphs[graph].inputs, *manifest.graphs[graph].outputs):
            if port.name in names and (len(port.shape) != leading + len(event) or port.shape[leading:] != event):
                raise BundleError(f"{port.name} of graph {graph} has shape {port.shape}, samples have {event}")

    sample, scores = manifest.sample, manifest.log_prob
    if isinstance(sample, Direct):
        check(sample.graph, [manifest.graphs[sample.graph].outputs[0].name], 1)
    else:
        check(sample.graph, ("state", "next_state"), 2, coded)
        check(sample.graph, ("noise", "denoised", "known", "mask"), 1, coded)
    if isinstance(scores, Direct):
        graph = manifest.graphs[scores.graph]
        check(scores.graph, [port.name for port in graph.inputs if port.name != "condition"], 1)
        if len(graph.outputs[0].shape) != 1:
            raise BundleError(f"{graph.outputs[0].name} of graph {scores.graph} is not one number for each sample")
    elif scores is not None:
        check(scores.graph, ("x", "probe", "denoised"), 1, coded)


def latent_shape(manifest: Manifest) -> tuple[int, ...]:
    """Shape of one state: that of a sample, or of what the decoder makes a sample of.

    Raises:
        BundleError: encoder and decoder do not agree on it.
    """
    programs = [p for p in (manifest.sample, manifest.log_prob) if isinstance(p, (Iterate, Integrate))]
    coders = {name for program in programs for name in graphs_of(program)[1:]}
    ports = [p for name in coders for p in (*manifest.graphs[name].inputs, *manifest.graphs[name].outputs)]
    shapes = {tuple(int(size) for size in port.shape[1:]) for port in ports if port.name == "latent"}
    if len(shapes) > 1:
        raise BundleError("its encoder and decoder know latents of different shapes")
    if shapes and isinstance(manifest.sample, Iterate) and manifest.sample.decoder is None:
        raise BundleError("it has an encoder and no decoder")
    return shapes.pop() if shapes else manifest.event_shape


def _check_path(program: Iterate | Integrate) -> None:
    path_from(program.path)
    if not program.scale > 0:
        raise BundleError(f"scale must be above 0, not {program.scale}")
    null = program.null_class
    if null is not None and (isinstance(null, bool) or not isinstance(null, int) or null < 0):
        raise BundleError(f"the null class is {null!r}")


def _check_numbers(*values: object) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise BundleError(f"{value!r} stands where a number should")
