import numpy as np

from zoo.errors import BundleError, UsageError
from zoo.noise import Stream, normal, uniform
from zoo.runtime.graph_checks import check_density, check_event, check_ports
from zoo.runtime.running import Drawing, Runner
from zoo.samplers.state import spread


class RejectionRunner(Runner):
    def check_sample(self, manifest, program):
        check_ports(manifest, program, ("z",), outputs=None)
        check_event(manifest, program.graph, [manifest.graphs[program.graph].outputs[0].name], 1, manifest.event_shape)
        check_event(manifest, program.accept, ["x"], 1, manifest.event_shape)
        check_density(manifest, program.accept)
        if isinstance(program.rounds, bool) or not isinstance(program.rounds, int) or not 1 <= program.rounds <= 1000:
            raise BundleError(f"the number of rounds is {program.rounds!r}")

    def sampling(self, model, program, request):
        self.table(model, program, request.options)  # refuses them all but noise
        if request.preview is not None:
            raise UsageError(f"{model.name} has no previews")
        shape, given = model.noise_shape, request.options.noise
        if given is not None:
            given = spread(given, shape, request.n, "the noise to start from")
        propose, accept = model.session(program.graph), model.session(program.accept)

        def draw(part, tick):
            n = part.stop - part.start
            z = normal(request.seed, n, shape, first=part.start) if given is None else given[part]
            u = uniform(request.seed, n, (program.rounds,), first=part.start, stream=Stream.STEP)
            x, kept = None, np.zeros(n, bool)
            for turn in range(program.rounds):
                (proposal,) = propose.run({"z": model.filled(z[:, turn])}).values()
                (chance,) = accept.run({"x": proposal}).values()
                proposal, chance = proposal[:n], chance[:n]
                x = proposal if x is None else np.where(kept[:, None], x, proposal)
                kept |= u[:, turn] < chance
                tick()
            return x

        return Drawing(draw, program.rounds)
