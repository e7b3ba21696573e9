"""Inputs to prove graphs with: ordinary ones, and extreme ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.likelihood.ode import evaluations
from zoo.models.interface import GenerativeModel
from zoo.noise import Distribution
from zoo.programs import MARGIN, WIDE_COLUMNS, Graph, Program, Programs
from zoo.programs.conditioning import ROWS
from zoo.programs.ports import Port
from zoo_onnx import budget
from zoo_onnx.budget import Cost, cost
from zoo_onnx.parts import Parts, first, one_alone
from zoo_onnx.reference import call
from zoo_onnx.sizes import ONE_ROW

Feeds = dict[str, Array]
Sizes = Mapping[str, int]

_SEED = 20_000  # of the data to score; fixed, so that a proof is repeatable
_SAMPLING_SEED, _LARGE_SEED = 7, (1 << 63) + (1 << 33) + 9  # of both words of a key
#: batch sizes that everything is proven with
BATCHES = (1, 2, 3, 17)
#: in place of the largest, where it would cost too much
FEWER = 5
#: the least and the largest number of a noise: of uniforms, 2⁻²⁴ from the ends
_ENDS = {
    "normal": (-5.77, 5.77),
    "uniform": (2.0**-24, 1 - 2.0**-24),
    "gumbel": (-math.log(math.log(2.0**24)), math.log(2.0**24)),
}
#: the batch size whose whole runs are the longest; those of the others are compared with each other
_LONGEST = 2
#: the least steps of whole runs of costly models: of samples, and of densities at batches of 1 and 2, and of others
_SAMPLING, _SCORING, _SCORING_MANY = 2, 2, 1
#: a bound on D relative to the usual one that many numbers exceed
_BITING = np.float32(0.1)
#: more steps than any run has
_ANY = 1 << 30
#: steps of a run that draws plausible data
_PLAUSIBLE = 5
#: the batch size whose conditions are left to the model
_NO_CONDITION = 3


class Inputs:
    """Draws inputs for the graphs of a model, by their role in its programs.

    Args:
        model: in float32 on the CPU.
        programs: its programs.
    """

    def __init__(self, model: GenerativeModel, programs: Programs) -> None:
        self.model, self.programs = model, programs
        self._random = np.random.default_rng(0)
        self._coders = {name for p in (programs.log_prob, programs.sample) if p is not None for name in p.coders}
        encoder = model.condition_graph()
        self._encoder = None if encoder is None else encoder.name
        self._counted: dict[str, Cost] = {}
        self._roles = {p.graph: p for p in (programs.log_prob, programs.sample) if p is not None}

    @cached_property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes that graphs are proven with, ordinary inputs: :data:`FEWER` at most of a very costly model.

        Models that sample in one call are not evaluated in advance, and are proven at all.
        """
        evaluated = [self._costs(program.graph) for program in self._stepping]
        return _batches(all(each.of(max(BATCHES)) <= budget.EVALUATION for each in evaluated))

    @cached_property
    def runs(self) -> tuple[int, ...]:
        """The batch sizes of whole runs, and of extreme inputs: :data:`FEWER` at most where that of even the least
        steps would cost more than a run may.
        """
        affordable = all(
            budget.allows(self._costs(program.graph), max(BATCHES) * rows, calls)
            for program, rows, calls in self._least_runs()
        )
        return _batches(affordable and self.batches == BATCHES)

    @property
    def _stepping(self) -> list[Program]:
        """The programs that evaluate a graph in steps."""
        sample, log_prob = self.programs.sample, self.programs.log_prob
        stepped = [] if sample is None or not sample.stepped else [sample]
        return stepped + ([] if log_prob is None or not log_prob.estimates else [log_prob])

    def _least_runs(self) -> Iterator[tuple[Program, int, int]]:
        """Programs, how many rows a sample has in each call, and how many calls the shortest run has."""
        for program in self._stepping:
            if program is self.programs.sample:
                yield program, self._rows, _SAMPLING
            else:
                yield program, 1, _SCORING_MANY * self._calls(program)

    @cached_property
    def budget(self) -> dict[str, int]:
        """The most steps of whole runs by program, where an evaluation costs so much that the proof shortens them.

        Every graph is proven on the same inputs whatever it costs: what a longer run adds is more calls of it.
        """
        sample, log_prob = self.programs.sample, self.programs.log_prob
        limits = {}
        if sample is not None and (sample.steps or 0) > (most := self._sampling_steps(_LONGEST)):
            limits["sample"] = most
        if log_prob is not None and log_prob.estimates:
            wanted = {n: int(str(log_prob.scoring_options(n)["steps"])) for n in self.runs}
            if any(self._scoring_steps(n) < steps for n, steps in wanted.items()):
                limits["log_prob"] = max(min(self._scoring_steps(n), steps) for n, steps in wanted.items())
        return limits

    def _sampling_steps(self, n: int) -> int:
        """The most steps of a run that draws ``n`` samples; one number for all batches but the longest."""
        program = self.programs.sampling
        if not program.stepped:
            return _ANY
        rows = n if n == _LONGEST else max(BATCHES)
        return self._costs(program.graph).steps(rows * self._rows, 1, _SAMPLING)

    @property
    def _rows(self) -> int:
        """How many evaluations a step has for each sample: two with guidance."""
        described = self.model.condition
        parts = described.parts if described is not None and self.model.takes_parts else ()
        guides = bool(parts) and all(part.null is not None for part in parts)
        return 2 if guides or self.programs.sampling.null_class is not None else 1

    def _scoring_steps(self, n: int) -> int:
        """The most Runge-Kutta steps of a run that scores ``n`` data."""
        program = self.programs.log_prob
        assert program is not None
        few = n <= _LONGEST
        least = _SCORING if few else _SCORING_MANY
        rows = _LONGEST if few else max(BATCHES)
        return self._costs(program.graph).steps(rows, self._calls(program), least)

    def _calls(self, program: Program) -> int:
        """How often a Runge-Kutta step calls the graph."""
        ode = program.integrating("the model")
        size = math.prod(ode.noise_shape({graph.name: graph for graph in self.programs.graphs}))
        return evaluations(1, ode.probes, size)

    def golden_steps(self, program: Program) -> dict[str, int]:
        """Options of the golden run of a program: as many steps as it wants, and as its budget allows."""
        if program.estimates:
            most = self._costs(program.graph).steps(_LONGEST, self._calls(program), 1)
        else:
            most = self._sampling_steps(_LONGEST)
        return {name: min(value, most) if name == "steps" else value for name, value in program.golden.items()}

    def _costs(self, name: str) -> Cost:
        """What an evaluation of a graph costs."""
        if name not in self._counted:
            graph = next(graph for graph in self.programs.graphs if graph.name == name)
            sizes = {d: 1 for port in graph.inputs for d in port.shape if isinstance(d, str)}
            sizes |= {name: size for name, size in ONE_ROW.items() if name in sizes}
            with self.aside():
                feeds = self.ordinary(graph, sizes)
            self._counted[name] = cost(partial(call, graph, feeds))
        return self._counted[name]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A block in which drawing does not affect what is drawn after it."""
        state = self._random.bit_generator.state
        try:
            yield
        finally:
            self._random.bit_generator.state = state

    def ordinary(
        self, graph: Graph, sizes: Sizes, *, time: float | None = None, conditions: Feeds | None = None
    ) -> Feeds:
        """Random inputs like those of programs.

        Args:
            graph: the graph.
            sizes: of the symbolic dimensions.
            time: path time of a diffusion's step, in [0, 1]; None draws it.
            conditions: the inputs that are named parts, or what they are encoded as; None draws and encodes them.
        """
        t = float(self._random.uniform(0.05, 0.95)) if time is None else time
        conditions = self._conditions_of(graph, sizes) if conditions is None else conditions
        others = [port for port in graph.inputs if port.name not in conditions]
        drawn = {port.name: self._port(graph, port, _shape(port, sizes), t) for port in others}
        if "slots" in sizes and sizes.get(WIDE_COLUMNS) == sizes["slots"] + 2:
            # small, so that D differs before and after it
            drawn["clip"] = drawn["clip"] * _BITING
        return {port.name: {**conditions, **drawn}[port.name] for port in graph.inputs}

    def extremes(self, graph: Graph, sizes: Sizes) -> Iterator[tuple[str, Feeds]]:
        """The description of each case, and its inputs; all have the same named parts, which are encoded once."""
        role = self._roles.get(graph.name)
        stepped = role is not None and role.row(0.5) is not None
        conditions = None if stepped or graph.name == self._encoder else self._conditions_of(graph, sizes)
        for i, make in enumerate(graph.extremes):
            extreme = {name: np.asarray(array) for name, array in make(sizes.get("batch", 1)).items()}
            yield f"extreme {i + 1} of the model", {**self.ordinary(graph, sizes, conditions=conditions), **extreme}
        if stepped:
            yield from self._extreme_times(graph, sizes)
            return
        if graph.name == self._encoder:
            yield from self._extreme_parts(graph, sizes)
            return
        condition = {port.name for port in self.model.condition_inputs("batch")}
        floats = [p for p in graph.inputs if p.dtype == "float32" and p.name not in condition]
        noises = () if role is None else role.noises({graph.name: graph})
        if any(each.distribution != "normal" for each in noises):
            floats = [p for p in floats if p.name not in {e.name for e in noises if e.distribution != "normal"}]
            for end, what in enumerate(("least", "largest")):
                feeds = self.ordinary(graph, sizes, conditions=conditions)
                ends = {e.name: np.full_like(feeds[e.name], _ENDS[e.distribution][end]) for e in noises}
                yield f"noise at its {what}", {**feeds, **ends}
        for factor in (0, 3, 10):
            feeds = self.ordinary(graph, sizes, conditions=conditions)
            scaled = {p.name: feeds[p.name] * np.float32(factor) for p in floats}
            yield f"inputs times {factor}", {**feeds, **scaled}
        for value in (-30.0, -8.0, 8.0, 30.0):
            feeds = self.ordinary(graph, sizes, conditions=conditions)
            yield f"inputs of {value:g}", {**feeds, **{p.name: np.full_like(feeds[p.name], value) for p in floats}}

    def normals(self, graph: Graph) -> tuple[str, ...]:
        """The inputs of a graph that are the noise of a program that samples in one call, if all of it is normal."""
        role = self._roles.get(graph.name)
        if role is None or role.scores or role.stepped or MARGIN in (port.name for port in graph.outputs):
            return ()
        noises = role.noises({graph.name: graph})
        return tuple(each.name for each in noises) if all(e.distribution == "normal" for e in noises) else ()

    def _extreme_times(self, graph: Graph, sizes: Sizes) -> Iterator[tuple[str, Feeds]]:
        """Both ends of a path, with states of every second sample times 8: of even ones first, then of odd ones."""
        state = graph.inputs[0]
        axis = state.shape.index("batch")
        for t, first_factor in ((0.0, 8), (1.0, 1)):
            feeds = self.ordinary(graph, sizes, time=t)
            x = feeds[state.name]
            factors = np.where(np.arange(x.shape[axis]) % 2 == 0, first_factor, 9 - first_factor).astype(np.float32)
            along = [1] * x.ndim
            along[axis] = len(factors)
            yield f"t = {t:g}, states times 1 and 8", {**feeds, state.name: x * factors.reshape(along)}

    @cached_property
    def data(self) -> tuple[NDArray[np.float32], Any]:
        """Data to score, drawn from the model itself if it samples, and its conditions."""
        count = max(self.runs)
        condition = self.condition(count)
        options = {"steps": min(_PLAUSIBLE, self._sampling_steps(count))} if self.programs.steps else {}
        with torch.no_grad():
            if self.programs.sample is None:
                return np.array(self.model.examples(count).numpy(), np.float32), condition
            if self.programs.sample.temperature != 1:  # data to score are those of the density
                options["temperature"] = 1
            x = self.model.sample(count, condition=condition, seed=_SEED, **options)
        return x.numpy(), condition

    def condition(self, n: int) -> Any:
        """Conditions for ``n`` samples, as ``sample`` takes them."""
        c = self.model.condition
        if c is None:
            return None
        if self.model.takes_parts:
            return self.parts.values(n)
        if c.kind == "classes":
            return (np.arange(n) % c.size).astype(np.int32)
        return self._contexts((n, c.size))

    def condition_ports(self, n: int) -> Feeds:
        """Conditions for ``n`` samples, as graphs take them."""
        if self.model.condition is None:
            return {}
        if not self.model.takes_parts:
            return {"condition": self.condition(n)}
        return self._encoded(n, {})

    def _encoded(self, rows: int, sizes: Sizes) -> Feeds:
        """Parts as the graphs of programs take them: encoded, if there is an encoder."""
        if (known := self._encodings) is None:
            return self._filled(self.parts.feeds({**sizes, ROWS: rows}))
        most = max(BATCHES)
        chosen = self._random.permutation(most)[:rows] if rows <= most else self._random.integers(most, size=rows)
        return {name: array[chosen] for name, array in known.items()}

    def _filled(self, parts: Feeds) -> Feeds:
        graph = self.model.condition_graph()
        return parts if graph is None else call(graph, parts)

    @cached_property
    def _encodings(self) -> Feeds | None:
        """What all graphs behind an encoder that costs much get encodings from; None if each gets its own."""
        graph = self.model.condition_graph()
        if graph is None or any(size != ROWS for port in graph.outputs for size in port.shape if isinstance(size, str)):
            return None
        if self._costs(graph.name).of(max(BATCHES)) <= budget.ENCODING:
            return None
        return self._filled(self.parts.feeds({ROWS: max(BATCHES)}))

    def _conditions_of(self, graph: Graph, sizes: Sizes) -> Feeds:
        """The inputs of a graph that are named parts, or what they are encoded as."""
        if not self.model.takes_parts:
            return {}
        if graph.name == self._encoder:
            return self.parts.feeds(sizes)
        wanted = {port.name: port for port in self.model.condition_inputs("batch")}
        ports = [port for port in graph.inputs if port.name in wanted]
        if not ports:
            return {}
        # led by the batch, or by evaluations and the batch
        leading = [sizes[str(size)] for size in ports[0].shape[: -len(wanted[ports[0].name].shape) + 1 or None]]
        feeds = self._encoded(math.prod(leading), sizes)
        return {port.name: feeds[port.name].reshape(*leading, *feeds[port.name].shape[1:]) for port in ports}

    def _extreme_parts(self, graph: Graph, sizes: Sizes) -> Iterator[tuple[str, Feeds]]:
        """Parts at the ends of their ranges, and those that stand for no condition."""
        for what, feeds in self.parts.extremes(sizes):
            yield what, {port.name: feeds[port.name] for port in graph.inputs}

    @cached_property
    def parts(self) -> Parts:
        """Draws the named parts of conditions."""
        return Parts(self.model, self._random)

    @cached_property
    def _conditions(self) -> Any:
        """Conditions of samples: sample i has the same in every batch."""
        return self.condition(max(self.runs))

    def sampling(self, n: int) -> list[dict[str, Any]]:
        """Arguments to draw ``n`` samples: once the model's defaults, and short runs with and without guidance."""
        # one condition for several samples, and a seed of more than 32 bits, in the runs that no other is compared with
        apart = n == _LONGEST
        conditions = one_alone(self._conditions) if apart else first(self._conditions, n)
        common: dict[str, Any] = {"condition": conditions, "seed": _LARGE_SEED if apart else _SAMPLING_SEED}
        program = self.programs.sampling
        cases = [{**common, **each} for each in program.sampling_cases(n)]
        most = self._sampling_steps(n)
        # a default run has as many steps as the model wants
        cases = [{**case, "steps": most} if case.get("steps", program.steps or 0) > most else case for case in cases]
        described = self.model.condition
        if (
            program.stepped
            and self.model.takes_parts
            and described
            and all(p.null is not None for p in described.parts)
        ):
            cases[-1]["guidance"] = 2.0
        if apart and "guidance" in cases[-1]:
            cases += self._away(cases.pop())
        classes = self.model.condition is not None and self.model.condition.kind == "classes"
        if n == _NO_CONDITION and classes and cases[0].get("sampler") is not None:
            cases[0]["condition"] = None  # every class in turn
        return cases

    def _away(self, case: dict[str, Any]) -> list[dict[str, Any]]:
        """A guided run as two: guided away from another condition, and by a composition of the two."""
        other = one_alone(first(self._conditions, 1), 0)
        composed = {name: value for name, value in case.items() if name != "guidance"}
        composed |= {"condition": None, "compose": [(case["condition"], 1.5), (other, -0.5)]}
        return [{**case, "negative": other}, composed]

    def scoring(self, n: int) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """``n`` data to score, and the arguments."""
        data, conditions = self.data
        arguments: dict[str, Any] = {"condition": first(conditions, n)}
        program = self.programs.log_prob
        if program is not None and program.estimates:
            arguments |= program.scoring_options(n)
            arguments["steps"] = min(arguments["steps"], self._scoring_steps(n))
            if n == _NO_CONDITION and program.null_class is not None:
                arguments["condition"] = None  # scored under the null class
        return data[:n], arguments

    def unit(self, expected: Array) -> float:
        """The absolute size of a relative difference of 1 between samples."""
        return self.programs.sampling.unit(expected)

    def graph_unit(self, graph: Graph) -> float:
        """The absolute size of a relative difference of 1 between outputs of a graph: the number of dimensions for
        log-densities."""
        densities = self.programs.log_prob
        return 1.0 if densities is None else densities.graph_unit(graph.name, math.prod(self.model.event_shape))

    def _port(self, graph: Graph, port: Port, shape: tuple[int, ...], t: float) -> Array:
        role = self._roles.get(graph.name)
        if port.name == "condition" and self.model.condition is not None and port.dtype == "int32":
            null = None if role is None else role.null_class
            return self._random.integers(self.model.condition.size + (null is not None), size=shape, dtype=np.int32)
        if port.dtype == "int32":
            return np.zeros(shape, np.int32)
        if port.name == "condition" and self.model.condition is not None:
            return self._contexts(shape)
        if role is not None and (row := role.row(t)) is not None:
            if port.name in row:
                return np.array(row[port.name], np.float32)
            if port.name == "weights":
                weights = self._normal(shape)
                weights[0] += 1 - weights.sum()
                return weights
            if port.name == "mask":
                return self._random.integers(2, size=shape).astype(np.float32)
            if port.name == "probe":
                return np.where(self._normal(shape) < 0, np.float32(-1), np.float32(1))
        kinds = {} if role is None else {e.name: e.distribution for e in role.noises({graph.name: graph})}
        if kinds.get(port.name, "normal") != "normal":
            return self._noise(kinds[port.name], shape)
        coder = graph.name in self._coders
        scores = role is not None and role.scores
        if (scores or (coder and port.name == "x")) and shape[1:] == self.model.event_shape:
            x = self.data[0]
            return x[self._random.integers(len(x), size=shape[0])]
        if coder:
            sample = self.programs.sampling
            return np.float32(sample.shift) + np.float32(sample.scale) * self._normal(shape)
        return self._normal(shape)

    def _contexts(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Context vectors of the magnitude that the model was trained with."""
        assert self.model.condition is not None
        return self.model.typical_context(self.model.condition.parts[0], self._normal(shape))

    def _noise(self, distribution: Distribution, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Uniforms in (0, 1) on the grid of the specified ones, or Gumbel numbers of these."""
        u = (self._random.integers(1 << 23, size=shape) + 0.5) * 2.0**-23
        return np.asarray(u if distribution == "uniform" else -np.log(-np.log(u)), np.float32)

    def _normal(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        # an array even for a single number
        return np.asarray(self._random.standard_normal(shape), np.float32)


def _shape(port: Port, sizes: Sizes) -> tuple[int, ...]:
    return tuple(sizes[d] if isinstance(d, str) else d for d in port.shape)


def _batches(affordable: bool) -> tuple[int, ...]:
    """The batch sizes of a proof that can afford the largest, or not."""
    return BATCHES if affordable else (*BATCHES[:-1], FEWER)
