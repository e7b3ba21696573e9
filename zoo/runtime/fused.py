"""Fused runs: a whole batch of samples in one call of one graph, including the noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.bundle.manifest import Manifest
from zoo.errors import UsageError
from zoo.overriding import override
from zoo.programs import Program
from zoo.runtime.conditioning import ConditionRows, Conditions, feeds_of
from zoo.runtime.graph_checks import check_ports
from zoo.runtime.opened import OpenBundle
from zoo.runtime.running import Drawing, Runner, SampleRequest
from zoo.runtime.session import Session
from zoo.samplers.runs import Tick


class FusedRunner(Runner):
    """Samples by one call of a graph that draws its own noise and contains the whole loop."""

    @override
    def check_sample(self, manifest: Manifest, program: Program) -> None:
        check_ports(manifest, program, ("seed", "first", "n"), ("x",))

    def sampling(self, model: OpenBundle, program: Program, request: SampleRequest) -> Drawing:
        """One call for each batch."""
        refused = [*request.options.given, *(["preview"] if request.preview is not None else [])]
        if refused:
            raise UsageError(f"a fused run has its sampler built in, and takes no {', '.join(refused)}")
        session = model.session(program.graph)

        def draw(part: slice, tick: Tick) -> NDArray[np.float32]:
            chosen = None if request.condition is None else request.condition[part]
            n = part.stop - part.start
            x = sample(session, seed=request.seed, first=part.start, n=n, condition=chosen)
            tick()
            return x

        return Drawing(draw)


def sample(session: Session, *, seed: int, first: int, n: int, condition: Conditions) -> NDArray[np.float32]:
    """Samples ``first`` to ``first + n`` of a run, float32 ``[n, *event]`` in data units.

    Args:
        session: the fused graph.
        seed: key of the noise, a whole number in [0, 2⁶⁴).
        first: index of the first sample.
        n: number of samples.
        condition: ``[n]`` or ``[n, d]``, or rows of named parts, or None.
    """
    feeds: dict[str, Array] = {
        # the graph takes the 64 bits of the seed in an int64, which every runtime has
        "seed": np.array(seed, np.uint64).view(np.int64),
        "first": np.array(first, np.int64),
        "n": np.array(n, np.int64),
    }
    conditions = feeds_of(condition)
    if isinstance(condition, ConditionRows):
        # of named parts, one row serves all samples
        conditions = {
            name: array[:1] if len(condition.rows[name]) == 1 else array for name, array in conditions.items()
        }
    return session.run({**feeds, **conditions})["x"]
