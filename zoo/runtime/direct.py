"""Programs of one call: a flow's ``sample`` and ``log_prob``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.bundle.manifest import Manifest
from zoo.errors import BundleError, UsageError
from zoo.noise import Noise, drawn, tempered
from zoo.overriding import override
from zoo.programs import Program
from zoo.programs.one_call import check_temperature
from zoo.runtime.conditioning import Conditions, feeds_of
from zoo.runtime.graph_checks import check_density, check_event, check_ports, check_symbols, data_ports
from zoo.runtime.opened import OpenBundle
from zoo.runtime.running import Drawing, Runner, SampleRequest, ScoreRequest, Scores, refuse
from zoo.runtime.session import Session
from zoo.samplers.runs import Tick
from zoo.samplers.state import spread


class DirectRunner(Runner):
    """Samples and scores by one call of a graph."""

    @override
    def check_sample(self, manifest: Manifest, program: Program) -> None:
        if program.scores:
            raise BundleError("its program sample names no input for the noise")
        check_symbols(manifest, program)
        check_ports(manifest, program, [each.name for each in program.noises(manifest.graphs)], outputs=())
        check_event(manifest, program.graph, [manifest.graphs[program.graph].outputs[0].name], 1, manifest.event_shape)

    @override
    def check_log_prob(self, manifest: Manifest, program: Program) -> None:
        data = data_ports(manifest, program)
        if len(data) != 1:
            raise BundleError(f"graph {program.graph} takes {', '.join(data) or 'nothing'}, expected the data alone")
        check_ports(manifest, program, data, outputs=None)
        check_event(manifest, program.graph, data, 1, manifest.event_shape)
        check_density(manifest, program.graph)

    def sampling(self, model: OpenBundle, program: Program, request: SampleRequest) -> Drawing:
        """Noise through the graph."""
        refuse(model, request.options, "noise", "temperature")
        temperature = _temperature(model, program, request.options.own.get("temperature"), request.options.noise)
        if request.preview is not None:
            raise UsageError(f"{model.name} samples in one call and has no previews")
        session, noises = model.session(program.graph), program.noises(model.manifest.graphs)
        stated = _stated_noise(model, noises, request)
        all_stated = len(stated) == len(noises)

        def draw(part: slice, tick: Tick) -> NDArray[np.float32]:
            n = part.stop - part.start
            z = {} if all_stated else tempered(drawn(noises, request.seed, n, first=part.start), temperature)
            z |= {name: a[part] for name, a in stated.items()}
            chosen = None if request.condition is None else request.condition[part]
            x = call(session, {name: model.filled(array) for name, array in z.items()}, model.filled(chosen))[:n]
            tick()
            return x

        return Drawing(draw)

    def scoring(self, model: OpenBundle, program: Program, request: ScoreRequest) -> Scores:
        """One call of the graph."""
        if request.errors:
            raise UsageError(f"{model.name} scores exactly, in one call, without errors to estimate")
        options = {"steps": request.steps, "probes": request.probes}
        if refused := [name for name, value in options.items() if value is not None]:
            raise UsageError(f"{model.name} scores exactly, in one call, and has no option {', '.join(refused)}")
        session = model.session(program.graph)
        (port,) = data_ports(model.manifest, program)

        def score(part: slice, tick: Tick) -> NDArray[np.float64]:
            condition = None if request.condition is None else request.condition[part]
            density = call(session, {port: model.filled(request.x[part])}, model.filled(condition))
            tick()
            return density[: part.stop - part.start].astype(np.float64)

        return Scores(score)


def _temperature(model: OpenBundle, program: Program, asked: object, noise: object) -> float:
    """What the noise of a seed is multiplied by: the program's temperature unless another is asked for.

    Raises:
        UsageError: no temperature, one of a model whose noise is not normal, or beside a stated noise.
    """
    if asked is None:
        return program.temperature
    if not program.tempers:
        raise UsageError(f"{model.name} draws other noise than normals, so its samples have no temperature")
    if noise is not None:
        raise UsageError("temperature scales the noise of a seed, so there is no noise to start from besides")
    return check_temperature(asked)


def _stated_noise(model: OpenBundle, noises: Sequence[Noise], request: SampleRequest) -> dict[str, NDArray[np.float32]]:
    """The noises that a request states instead of those of its seed, each ``[n, *shape]``.

    Raises:
        UsageError: an array for a model of several noises, or a noise that it does not have.
        DataError: an array of another shape.
    """
    noise = request.options.noise
    if noise is None:
        return {}
    known = {each.name: each.shape for each in noises}
    if not isinstance(noise, Mapping) and len(known) > 1:
        raise UsageError(f"{model.name} draws several noises: state them by name, {', '.join(known)}")
    named = noise if isinstance(noise, Mapping) else dict.fromkeys(known, noise)
    if unknown := [name for name in named if name not in known]:
        raise UsageError(f"{model.name} draws no noise {unknown[0]!r}", hint=f"There are: {', '.join(known)}.")
    return {name: spread(array, known[name], request.n, "the noise to start from") for name, array in named.items()}


def call(session: Session, feeds: dict[str, Array], condition: Conditions) -> Array:
    """The first output of a graph for one batch."""
    feeds |= feeds_of(condition)
    output = session.outputs[0].name
    return session.run(feeds, [output])[output]
