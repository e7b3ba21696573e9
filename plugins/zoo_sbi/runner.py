"""Runs :class:`~zoo_sbi.program.Within`, without torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.bundle.manifest import Manifest
from zoo.errors import BundleError, RuntimeFailure, UsageError
from zoo.noise import normal
from zoo.overriding import override
from zoo.programs import Program
from zoo.runtime.direct import call
from zoo.runtime.graph_checks import check_event, check_ports
from zoo.runtime.opened import OpenBundle
from zoo.runtime.running import Drawing, Runner, SampleRequest
from zoo.samplers.runs import Tick
from zoo_sbi.program import NOISE, Within


class WithinRunner(Runner):
    """Every turn draws a whole batch, and keeps what the bounds accept of samples that have nothing yet."""

    @override
    def check_sample(self, manifest: Manifest, program: Program) -> None:
        assert isinstance(program, Within)
        check_ports(manifest, program, (NOISE,), outputs=())
        check_event(manifest, program.graph, [manifest.graphs[program.graph].outputs[0].name], 1, manifest.event_shape)
        if program.bounds[0].shape != tuple(manifest.event_shape):
            raise BundleError(f"there are {len(program.bounds[0])} bounds for samples of shape {manifest.event_shape}")

    @override
    def sampling(self, model: OpenBundle, program: Program, request: SampleRequest) -> Drawing:
        assert isinstance(program, Within)
        self.table(model, program, request.options)
        if request.preview is not None:
            raise UsageError(f"{model.name} samples in one call and has no previews")
        if request.options.noise is not None:
            raise UsageError(f"{model.name} takes as many noises as its bounds need: state a seed instead")
        session, shape = model.session(program.graph), program.noise_shape(model.manifest.graphs)

        def draw(part: slice, tick: Tick) -> NDArray[np.float32]:
            n = part.stop - part.start
            chosen = None if request.condition is None else model.filled(request.condition[part])
            x, kept = np.zeros((n, *shape), np.float32), np.zeros(n, bool)
            for turn in range(program.rounds):
                z = normal(request.seed, n, shape, first=part.start, step=turn)
                proposal = call(session, {NOISE: model.filled(z)}, chosen)[:n]
                new = program.accepts(proposal) & ~kept
                x[new], kept = proposal[new], kept | new
                if kept.all():
                    tick()
                    return x
            raise none_within(int((~kept).sum()), program.rounds)

        return Drawing(draw)


def none_within(samples: int, rounds: int) -> RuntimeFailure:
    """The failure of samples that found no place."""
    return RuntimeFailure(
        f"{samples} samples have none of {rounds} draws within the bounds of the prior: the posterior of this "
        "observation lies outside",
        hint="Look whether the observation is one that the model was trained for.",
    )
