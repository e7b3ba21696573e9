"""Checks of the graphs of a manifest for runners; each runner checks the programs of its kind."""

from __future__ import annotations

import math
from collections.abc import Iterable

from zoo.bundle.manifest import Manifest
from zoo.errors import BundleError
from zoo.paths import absent, path_from
from zoo.programs import MARGIN, Integrate, Iterate, Program
from zoo.programs.conditioning import ROWS, check_encoder, condition_names, part_ports


def check_ports(
    manifest: Manifest,
    program: Program,
    inputs: Iterable[str],
    outputs: Iterable[str] | None,
    *,
    optional: Iterable[str] = (),
) -> None:
    """Refuse a graph with other inputs, or without these outputs; None is one output of any name."""
    graph = manifest.graphs[program.graph]
    wanted = {*inputs, *_checked_names(manifest, program)}
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


def data_ports(manifest: Manifest, program: Program) -> list[str]:
    """The inputs of a program's graph besides the condition."""
    condition = condition_names(manifest.condition, manifest.graphs, program.condition_encoder)
    return [port.name for port in manifest.graphs[program.graph].inputs if port.name not in condition]


def _checked_names(manifest: Manifest, program: Program) -> list[str]:
    """The inputs of a program's graph that are its condition, as they must be."""
    if program.condition_encoder is not None:
        check_encoder(manifest.condition, manifest.graphs, program.condition_encoder, manifest.batch)
    names = condition_names(manifest.condition, manifest.graphs, program.condition_encoder)
    if manifest.condition is None or (manifest.condition.plain and program.condition_encoder is None):
        return names
    encoder = program.condition_encoder
    stated = part_ports(manifest.condition, ROWS) if encoder is None else manifest.graphs[encoder].outputs
    ports = {port.name: port for port in manifest.graphs[program.graph].inputs}
    for port in stated:
        event, taken = port.shape[1:], ports.get(port.name)
        # led by the batch, or by evaluations and the batch
        if taken is not None and (taken.dtype, taken.shape[len(taken.shape) - len(event) :]) != (port.dtype, event):
            raise BundleError(
                f"{port.name} of graph {program.graph} is {taken.dtype}{list(taken.shape)}, where the condition gives "
                f"{port.dtype}{list(port.shape)}"
            )
    return names


def check_symbols(manifest: Manifest, program: Program) -> None:
    """Refuse a graph with outputs other than samples and the margins of their symbols."""
    _, *others = manifest.graphs[program.graph].outputs
    for port in others:
        if port.name != MARGIN:
            raise BundleError(f"graph {program.graph} gives {port.name} besides samples")
    check_event(manifest, program.graph, [MARGIN], 1, manifest.event_shape)


def check_event(manifest: Manifest, graph: str, names: Iterable[str], leading: int, event: tuple[int, ...]) -> None:
    """Refuse ports of a graph whose shapes are not ``leading`` dimensions followed by an event."""
    for port in (*manifest.graphs[graph].inputs, *manifest.graphs[graph].outputs):
        if port.name in names and (len(port.shape) != leading + len(event) or port.shape[leading:] != event):
            raise BundleError(f"{port.name} of graph {graph} has shape {port.shape}, samples have {event}")


def check_density(manifest: Manifest, graph: str) -> None:
    """Refuse a graph whose first output is not one number for each sample."""
    output = manifest.graphs[graph].outputs[0]
    if len(output.shape) != 1:
        raise BundleError(f"{output.name} of graph {graph} is not one number for each sample")


def check_codec(manifest: Manifest, encoder: str | None, decoder: str | None, *, density: bool = False) -> None:
    """Refuse graphs between data and latents that take or give anything else, or mix samples."""
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
                raise BundleError(f"{port.name} of graph {name} must have a fixed shape except for the batch")
            if port.name == "x" and port.shape[1:] != manifest.event_shape:
                raise BundleError(f"x of graph {name} has shape {port.shape}, samples have {manifest.event_shape}")
            if port.name == "log_det" and len(port.shape) != 1:
                raise BundleError(f"log_det of graph {name} is not one number for each sample")


def latent_shape(manifest: Manifest) -> tuple[int, ...]:
    """Shape of one state: that of a sample, or of a latent if there is a decoder.

    Raises:
        BundleError: encoder and decoder do not agree on it.
    """
    coders = {name for program in (manifest.sample, manifest.log_prob) if program for name in program.coders}
    ports = [p for name in coders for p in (*manifest.graphs[name].inputs, *manifest.graphs[name].outputs)]
    shapes = {tuple(int(size) for size in port.shape[1:]) for port in ports if port.name == "latent"}
    if len(shapes) > 1:
        raise BundleError("its encoder and decoder have latents of different shapes")
    sample = manifest.sample
    if shapes and sample is not None and sample.stepped and sample.decoder is None:
        raise BundleError("it has an encoder but no decoder")
    return shapes.pop() if shapes else manifest.event_shape


def check_path(program: Iterate | Integrate) -> None:
    """Refuse an invalid path, scale or null class. A path of a plugin that is not installed is refused where needed."""
    if absent(program.path) is None:
        path_from(program.path)
    if not program.scale > 0:
        raise BundleError(f"scale must be above 0, not {program.scale}")
    null = program.null_class
    if null is not None and (isinstance(null, bool) or not isinstance(null, int) or null < 0):
        raise BundleError(f"the null class is {null!r}")


def check_numbers(*values: object) -> None:
    """Refuse values that are not finite numbers."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise BundleError(f"expected a number, not {value!r}")
