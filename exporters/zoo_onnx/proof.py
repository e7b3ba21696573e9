"""The proof: what ONNX Runtime computes from a bundle equals what PyTorch computes, or there is no bundle.

First the model is checked alone, in PyTorch: it must be a function of its inputs (:mod:`zoo_onnx.reference`), its
density that of its samples (:mod:`zoo_onnx.density`), and its graphs must compute what its programs assume
(:mod:`zoo_onnx.denoiser`). Then the bundle is compared with it, graph by graph at batches of 1, 2, 3 and 17,
on ordinary and extreme inputs other than the traced ones; and whole programs are compared, from the seed to
the samples and from the data to the density.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.errors import ProofError, RuntimeFailure
from zoo.models.interface import GenerativeModel
from zoo.programs import Graph, Programs
from zoo.programs.conditioning import ROWS
from zoo.runtime import BundledModel
from zoo.samplers import StepTable
from zoo_onnx import optimiser
from zoo_onnx.cases import cases
from zoo_onnx.compare import Comparison
from zoo_onnx.conditions import check_conditions
from zoo_onnx.denoiser import check_denoiser
from zoo_onnx.density import Finding, check_density
from zoo_onnx.explain import explain
from zoo_onnx.flips import Flips
from zoo_onnx.inputs import BATCHES, Feeds, Inputs
from zoo_onnx.lengths import check_lengths
from zoo_onnx.margins import check_margins
from zoo_onnx.nearer import Nearer, nearer
from zoo_onnx.reference import Reference, call, densities, samples, samples_and_margins
from zoo_onnx.sizes import at_sizes, proven_sizes

#: the batch size whose results are computed again, and a seed drawn before it, to reveal state kept between calls
_REPEATED, _OTHER_SEED = 3, 8
#: entries of each kind in the manifest
_LISTED = 64


class Proof:
    """Compares a model with itself, and a bundle with the model it was exported from.

    Args:
        model: in float32, on the CPU, in evaluation mode.
        programs: its programs.
    """

    def __init__(self, model: GenerativeModel, programs: Programs) -> None:
        self.model, self.programs = model, programs
        self.inputs = Inputs(model, programs)
        self.comparison = Comparison(flips=Flips.of(model))
        self.reference = Reference(model, programs)
        self.batch: int | None = None
        self.density: Finding | None = None
        self.cases = 0
        self._bundle: BundledModel | None = None
        self._kept: dict[Hashable, Any] = {}

    @property
    def bundle(self) -> BundledModel:
        """The bundle that is compared with the model."""
        assert self._bundle is not None
        return self._bundle

    def of(self, bundle: BundledModel, batch: int | None = None) -> Proof:
        """The proof of another form of the bundle, with a fixed batch size or any (None).

        Its results are added to those of this proof.
        """
        other = copy.copy(self)
        other._bundle, other.batch = bundle, batch
        return other

    # -- the model alone ------------------------------------------------------------------------------------------

    def itself(self) -> None:
        """Prove that the model is a function of its inputs, and that its declarations hold.

        Raises:
            ProofError: it is not, or they do not.
        """
        for check in self.of_itself().values():
            check()

    def of_itself(self) -> dict[str, Callable[[], None]]:
        """What :meth:`itself` proves, by name, in its order; each may be called alone."""
        return {
            "repeatable": self._repeats,
            "noise": lambda: self._noises_are_used(self._run_exactly),
            "declarations": self._declares,
            "density": self._scores,
        }

    def _repeats(self) -> None:
        """The same inputs give the same bits, and sample i is the same alone and among others."""
        for graph in self.programs.graphs:
            self._graph_itself(graph)
        if self.programs.sample is not None:
            self._samples_themselves()
        if self.programs.log_prob is not None:
            self._densities_themselves()

    def _run_exactly(self, name: str, feeds: Feeds) -> Feeds:
        return call(self.reference.exact_graphs[name], feeds, torch.float64)

    def _declares(self) -> None:
        """What a model says of its denoiser, the lengths of its events, its margins and its conditions is so."""
        for check in (check_denoiser, check_lengths, check_margins, check_conditions):
            check(self.model, self.programs, self.inputs, self._run_exactly)

    def _scores(self) -> None:
        """``log_prob`` is the density of what ``sample`` draws."""
        condition = self.inputs.condition_ports(max(BATCHES))
        self.reference.unchanged()
        self.density = check_density(self.reference.exact, self.programs, self.reference.exact_graphs, condition)

    def _graph_itself(self, graph: Graph) -> None:
        batches = self.inputs.batches
        sizes = proven_sizes((*graph.inputs, *graph.outputs), None, batches)
        small, large = (sizes[batches.index(n)] for n in (_REPEATED, max(batches)))
        call(graph, self.inputs.ordinary(graph, small))  # a call in between, so that state kept from it would show
        feeds, batch = self.inputs.ordinary(graph, small), self.inputs.ordinary(graph, large)
        self._kept[graph.name, _REPEATED] = feeds, self.reference.repeated(graph, feeds, f"at {at_sizes(small)}")
        self._kept[graph.name, max(batches)] = (
            batch,
            self.reference.alone(graph, batch, self.comparison, f"at {at_sizes(large)}", self.inputs.graph_unit(graph)),
        )

    def _samples_themselves(self) -> None:
        arguments = self.inputs.sampling(1)[-1]
        samples(1, {**arguments, "seed": _OTHER_SEED}, self.model)
        self._kept["program:sample", 1, len(self.inputs.sampling(1)) - 1] = self.reference.repeated_result(
            "sample", f"for 1 sample{_said(arguments)}", partial(samples, 1, arguments)
        )
        most = max(self.inputs.runs)
        for n in (1, _REPEATED):
            for i, arguments in enumerate(self.inputs.sampling(n)):
                small, large = (self._samples(size, i)[:n] for size in (n, most))
                small = self._levelled(n, arguments, small, large)
                self.reference.alone_result(
                    "sample",
                    f"for {n} and {most} samples{_said(arguments)}",
                    self.comparison,
                    (small, large),
                    partial(samples, n, arguments),
                    self.inputs.unit(large),
                )

    def _noises_are_used(self, run: Callable[[str, Feeds], Feeds]) -> None:
        """Refuse a noise that samples do not depend on, which a graph may not even take."""
        graphs = {graph.name: graph for graph in self.programs.graphs}
        sample = self.programs.sample
        noises = () if sample is None else sample.noises(graphs)
        if sample is None or len(noises) < 2:
            return
        graph = graphs[sample.graph]
        with self.inputs.aside():
            first, other = (self.inputs.ordinary(graph, {"batch": max(BATCHES), ROWS: max(BATCHES)}) for _ in range(2))
        x = next(iter(run(graph.name, first).values()))
        for each in noises:
            changed = next(iter(run(graph.name, {**first, each.name: other[each.name]}).values()))
            if np.array_equal(x, changed):
                raise ProofError(
                    f"samples do not depend on the noise {each.name}, which the program draws",
                    hint="Leave out of noises what draw does not use.",
                )

    def _densities_themselves(self) -> None:
        # one datum, since each costs an ODE
        x, arguments = self.inputs.scoring(1)
        short = {**arguments, "steps": 1} if "steps" in arguments else arguments
        densities(x + 1, short, self.model)
        alone = self.reference.repeated_result("log_prob", "for 1 datum", partial(densities, x, short))
        if "steps" not in arguments:
            self._kept["program:log_prob", 1] = alone
        last = max(self.inputs.runs)
        options = self.inputs.scoring(last)[1]
        for n in (1, 2, _REPEATED):
            x, own = self.inputs.scoring(n)
            # few steps of an ODE show it; the references of many are then shared, see _densities
            arguments = {**own, "steps": options["steps"]} if "steps" in options else own
            if _alike(options, arguments) and (n != 2 or "steps" not in options):
                compute = partial(densities, x, arguments)
                if _alike(own, arguments):
                    small = self._densities(n)
                else:  # the run that was repeated above, where it has as many steps
                    small = alone if n == 1 and _alike(short, arguments) else compute(self.model)
                self.reference.alone_result(
                    "log_prob",
                    f"for {n} and {last} data",
                    self.comparison,
                    (small, self._densities(last)[:n]),
                    compute,
                    float(np.prod(self.model.event_shape)),
                )

    # -- the bundle -----------------------------------------------------------------------------------------------

    def graph(self, graph: Graph) -> None:
        """Prove one graph.

        Raises:
            ProofError: it differs, or ONNX Runtime cannot run it.
        """
        exact = partial(call, self.reference.exact_graphs[graph.name], dtype=torch.float64)
        kept = {n: each for n in self.inputs.batches if (each := self._kept.get((graph.name, n))) is not None}
        known = optimiser.check(
            graph,
            self.bundle,
            self.inputs,
            self.batch,
            kept={} if self.batch is not None else {n: feeds for n, (feeds, _) in kept.items()},
            expected=partial(call, graph),
            exact=exact,
            flips=self.comparison.flips,
        )
        for where, feeds, expected in cases(graph, self.inputs, kept, self.batch):
            try:
                self._case(graph, where, feeds, expected, known.get(where))
            except ProofError:
                if (near := self._nearer(graph, feeds)) is None:
                    raise
                self._case(graph, f"{where}, some of it nearer", near, call(graph, near), None)

    def _nearer(self, graph: Graph, feeds: Feeds) -> Feeds | None:
        """The same inputs where float32 has digits (:mod:`zoo_onnx.nearer`); None if that is not what is wrong."""
        noises = self.inputs.normals(graph)
        if not noises:
            return None
        noted = self.comparison.nearer.get(graph.name, Nearer())
        exact = partial(call, self.reference.exact_graphs[graph.name], dtype=torch.float64)
        near = nearer(feeds, noises, partial(call, graph), exact, self.inputs.graph_unit(graph), noted)
        if near is not None:
            self.comparison.nearer[graph.name] = noted
        return near

    def sample(self) -> None:
        """Prove that the same seed gives the same samples.

        Raises:
            ProofError: it does not.
        """
        for n in self.inputs.runs:
            for i, arguments in enumerate(self.inputs.sampling(n)):
                self._compare_samples("sample", f"for {n} samples{_said(arguments)}", n, arguments, self._samples(n, i))

    def log_prob(self) -> None:
        """Prove that the same data have the same log-density.

        Raises:
            ProofError: they do not.
        """
        if self.programs.log_prob is None:
            return
        for n in self.inputs.runs:
            x, arguments = self.inputs.scoring(n)
            compute = partial(densities, x, arguments)
            actual = self._run("log_prob", f"for {n} data", partial(self.bundle.log_prob, x, **arguments))
            self.comparison.check(
                "log_prob",
                f"for {n} data",
                actual,
                self._densities(n),
                exact=lambda compute=compute: compute(self.reference.exact),  # type: ignore[misc]
                moved=partial(self.reference.moved_models, compute),
                unit=float(np.prod(self.model.event_shape)),
            )

    def fused(self, table: StepTable | None) -> None:
        """Prove that the fused run gives the samples of the model.

        Args:
            table: its sampler, or None.

        Raises:
            ProofError: it does not.
        """
        for n in self.inputs.runs:
            arguments = {name: self.inputs.sampling(n)[0][name] for name in ("seed",)}
            arguments["condition"] = self.inputs.condition(n)
            drawn = arguments if table is None else {**arguments, "sampler": table}
            actual = self._run(
                "fused",
                f"for {n} samples in one call",
                partial(self.bundle.sample, n, fused=True, batch_size=n, **arguments),
            )
            self._check_samples(
                "fused", f"for {n} samples in one call", n, drawn, actual, samples(n, drawn, self.model)
            )

    def summary(self) -> dict[str, Any]:
        """A summary for the manifest.

        Raises:
            ProofError: the model was changed by being called, or too many samples differ from an edge on.
        """
        from zoo.runtime.ort import onnxruntime

        self.reference.unchanged()
        self.comparison.flips.few()
        near = self.comparison.nearer
        judged = {
            what: {
                "cases": each.cases,
                "where": each.where,
                "given": float(f"{each.actual_error:.1e}"),
                "pytorch": float(f"{each.expected_error:.1e}"),
                "bound": float(f"{each.bound:.1e}"),
            }
            for what, each in sorted(self.comparison.judged.items())[:_LISTED]
        }
        return {
            "cases": self.cases,
            "batches": list(self.inputs.batches),
            "tolerance": self.comparison.tolerance,
            "largest_differences": {k: float(f"{v:.1e}") for k, v in sorted(self.comparison.largest.items())},
            **({"judged_by_float64": judged} if judged else {}),
            **({"nearer": {name: each.describe() for name, each in near.items()}} if near else {}),
            **({} if self.density is None else {"density": self.density.describe()}),
            **({"most_steps": self.inputs.budget} if self.inputs.budget else {}),
            **({"most_samples": max(self.inputs.runs)} if self.inputs.runs != BATCHES else {}),
            **({"crossed_edges": self.comparison.flips.crossed} if self.comparison.flips.crossed else {}),
            **({"symbols": self.comparison.flips.describe()} if self.comparison.flips.symbols else {}),
            "torch": torch.__version__.split("+")[0],
            "onnxruntime": onnxruntime().__version__,
        }

    def _case(self, graph: Graph, where: str, feeds: Feeds, reference: Feeds, known: Feeds | None) -> None:
        run = partial(self.bundle.session(graph.name).run, feeds) if known is None else lambda: known
        actual = self._run(f"graph {graph.name}", where, run)
        actual = self.comparison.flips.outputs(actual, reference)
        for port in graph.outputs:
            self.comparison.check(
                f"graph {graph.name}, output {port.name}",
                where,
                actual[port.name],
                reference[port.name],
                exact=partial(self.reference.exact_output, graph.name, feeds, port.name),
                moved=partial(self.reference.moved_outputs, graph.name, feeds, port.name),
                unit=self.inputs.graph_unit(graph),
            )

    def _compare_samples(self, what: str, where: str, n: int, arguments: dict[str, Any], expected: Array) -> None:
        actual = self._run(what, where, partial(self.bundle.sample, n, **arguments))
        try:
            self._check_samples(what, where, n, arguments, actual, expected)
        except ProofError as error:

            def again(seed: int) -> Array:
                return samples(n, {**arguments, "seed": seed}, self.model)

            cause = (
                explain(self.bundle, n, arguments, expected, actual, again) if actual.shape == expected.shape else ""
            )
            if not cause:
                raise
            raise ProofError(f"{error}: {cause}", hint=error.hint) from error

    def _check_samples(
        self, what: str, where: str, n: int, arguments: dict[str, Any], actual: Array, expected: Array
    ) -> None:
        compute = partial(samples, n, arguments)
        self.comparison.check(
            what,
            where,
            self._levelled(n, arguments, actual, expected),
            expected,
            exact=lambda: compute(self.reference.exact),
            moved=partial(self.reference.moved_models, compute),
            unit=self.inputs.unit(expected),
        )

    def _levelled(self, n: int, arguments: dict[str, Any], actual: Array, expected: Array) -> Array:
        """Actual samples without the symbols that rounding drew differently (:mod:`zoo_onnx.flips`)."""
        drawn = samples_and_margins(n, arguments, self.model)
        if drawn is None:
            return actual
        # the margins are those of the expected samples, or nothing is accepted
        margin = drawn[1] if np.array_equal(drawn[0], expected) else np.full_like(drawn[1], np.inf)
        return self.comparison.flips.levelled(actual, expected, margin)[0]

    def _run(self, what: str, where: str, run: Callable[[], Any]) -> Any:
        self.cases += 1
        try:
            return run()
        except RuntimeFailure as error:
            raise ProofError(f"ONNX Runtime cannot run {what} {where}: {error}", hint=error.hint) from error

    def _samples(self, n: int, choice: int) -> Array:
        """Samples of PyTorch, drawn once."""
        if (key := ("program:sample", n, choice)) not in self._kept:
            self._kept[key] = samples(n, self.inputs.sampling(n)[choice], self.model)
        kept: Array = self._kept[key]
        return kept

    def _densities(self, n: int) -> NDArray[np.float64]:
        """Densities of PyTorch, computed once: a single datum's by an ODE are those of the first of two data."""
        if (key := ("program:log_prob", n)) not in self._kept:
            x, arguments = self.inputs.scoring(n)
            shared = n == 1 and "steps" in arguments and _alike(self.inputs.scoring(2)[1], arguments)
            self._kept[key] = self._densities(2)[:1] if shared else densities(x, arguments, self.model)
        kept: NDArray[np.float64] = self._kept[key]
        return kept


def _said(arguments: dict[str, object]) -> str:
    known = {
        **arguments,
        **({"negative": "another condition"} if "negative" in arguments else {}),
        **({"compose": "two conditions"} if "compose" in arguments else {}),
    }
    return "".join(f", {k} {v}" for k, v in known.items() if k not in ("condition", "seed"))


def _alike(a: dict[str, object], b: dict[str, object]) -> bool:
    """Whether two runs differ only in their data."""
    return a.get("steps") == b.get("steps") and (a["condition"] is None) == (b["condition"] is None)
