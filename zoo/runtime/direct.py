"""Programs of one call: a flow's ``sample`` and ``log_prob``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.bundle.manifest import Manifest
from zoo.errors import BundleError, UsageError
from zoo.noise import normal
from zoo.overriding import override
from zoo.programs import Program, event_of
from zoo.runtime.conditioning import Conditions, feeds_of
from zoo.runtime.graph_checks import check_density, check_event, check_ports, data_ports
from zoo.runtime.opened import OpenBundle
from zoo.runtime.running import Drawing, Runner, SampleRequest, ScoreRequest, Scores
from zoo.runtime.session import Session
from zoo.samplers.state import spread
from zoo.samplers.stepping import Tick


class DirectRunner(Runner):
    """See :class:`~zoo.programs.Direct`."""

    @override
    def check_sample(self, manifest: Manifest, program: Program) -> None:
        noise = program.noise_port
        if noise is None:
            raise BundleError("its program sample names no input for the noise")
        check_ports(manifest, program, (noise,), outputs=None)
        event_of(manifest.graphs, program.graph, noise, 1)
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
        """Base noise through the graph."""
        self.table(model, program, request.options)  # refuses all options
        if request.preview is not None:
            raise UsageError(f"{model.name} samples in one call and has no previews")
        session, shape, port = model.session(program.graph), model.noise_shape, program.noise_port
        assert port is not None
        given = None
        if request.options.noise is not None:
            given = spread(request.options.noise, shape, request.n, "the noise to start from")

        def draw(part: slice, tick: Tick) -> NDArray[np.float32]:
            n = part.stop - part.start
            z = normal(request.seed, n, shape, first=part.start) if given is None else given[part]
            chosen = None if request.condition is None else request.condition[part]
            x = call(session, {port: model.filled(z)}, model.filled(chosen))[:n]
            tick()
            return x

        return Drawing(draw)

    def scoring(self, model: OpenBundle, program: Program, request: ScoreRequest) -> Scores:
        """One call of the graph."""
        if request.errors:
            raise UsageError(f"{model.name} scores exactly, in one call, without errors to estimate")
        given = {"steps": request.steps, "probes": request.probes}
        if refused := [name for name, value in given.items() if value is not None]:
            raise UsageError(f"{model.name} scores exactly, in one call, and has no option {', '.join(refused)}")
        session = model.session(program.graph)
        (port,) = data_ports(model.manifest, program)

        def score(part: slice, tick: Tick) -> NDArray[np.float64]:
            condition = None if request.condition is None else request.condition[part]
            density = call(session, {port: model.filled(request.x[part])}, model.filled(condition))
            tick()
            return density[: part.stop - part.start].astype(np.float64)

        return Scores(score)


def call(session: Session, feeds: dict[str, NDArray[Any]], condition: Conditions) -> NDArray[Any]:
    """The first output of a graph for one batch."""
    feeds |= feeds_of(condition)
    output = session.outputs[0].name
    return session.run(feeds, [output])[output]
