"""What can be checked of a model, by name: the parts of its proof, and a few that the proof does without.

They are for whoever writes a model, one after another, so that one fault does not hide the next; an export runs the
whole proof instead (:mod:`zoo_onnx.export`). Each raises a :class:`~zoo.errors.ZooError` that says what is wrong, or
:class:`~zoo.errors.NotApplicable` where there is nothing to check.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor

from zoo.errors import NotApplicable, ProofError, ZooError
from zoo.exporting import card_of
from zoo.models.interface import DirectModel, GenerativeModel
from zoo.training import loop
from zoo_onnx.behaviour import Behaviour, Make, moved
from zoo_onnx.density import function, undone
from zoo_onnx.export import graph_of, opened_of
from zoo_onnx.plan import Plan, planned
from zoo_onnx.proof import Proof
from zoo_onnx.sizes import proven_sizes
from zoo_onnx.suspects import failing
from zoo_onnx.volumes import Conditions, log_normal

#: of derivatives and determinants in float64, relative to 1 + the value
_TOLERANCE = 1e-5
#: rows of a batch of which derivatives are taken, and the largest event
_ROWS, _LARGEST = 4, 128
#: cells along an axis of the grid that a density is summed on, by the number of axes; deviations that it reaches beyond
#: the samples, and the allowed error of a mass
_CELLS, _REACH, _MASS = {1: 20_001, 2: 601}, 8.0, 0.02
_DRAWN = 2000


def model_checks(make: Make) -> Mapping[str, Callable[[], None]]:
    """The checks of a model, by name.

    Args:
        make: builds the model with fresh weights, a new one each time it is called.

    Raises:
        ExportError: it cannot be copied, or says of itself what its programs contradict.
    """
    torch.manual_seed(0)
    model = moved(make())
    # constants are those of some data, and of the weights
    loop.prepare(model, _behaviour(make, _Checked(model)).toy(), seed=0)
    checked = _Checked(model)
    behaviour = _behaviour(make, checked)
    names = [graph.name for graph in checked.plan.programs.graphs]
    return {
        "samples": behaviour.samples,
        "densities": behaviour.densities,
        "training": behaviour.training,
        "saving": behaviour.saving,
        "dtype": behaviour.dtype,
        "device": behaviour.device,
        **{name: partial(checked.of_itself, name) for name in checked.proof.of_itself()},
        "invertible": checked.invertible,
        "log-determinant": checked.log_determinant,
        "mass": checked.mass,
        "forward-mode": checked.forward_mode,
        **{f"symbolic-batch-{name}": partial(checked.symbolic_batch, name) for name in names},
        **{f"parity-{name}": partial(checked.parity, name) for name in names},
        "parity-sample": checked.parity_of_samples,
        "parity-log-prob": checked.parity_of_densities,
    }


def _behaviour(make: Make, checked: _Checked) -> Behaviour:
    return Behaviour(make, checked.plan.draft.model, checked.proof.inputs, checked.plan.programs)


class _Checked:
    """A model, its proof and its graphs, each made when a check first needs it."""

    def __init__(self, model: GenerativeModel) -> None:
        self.plan: Plan = planned(
            model,
            card_of(model, "checked"),
            opset=None,
            inverse=None,
            fused=None,
            precision=None,
            batch=None,
            quality=False,
        )
        self.proof = Proof(self.plan.draft.model, self.plan.programs)

    # -- in PyTorch ---------------------------------------------------------------------------------------------------

    def of_itself(self, name: str) -> None:
        """One part of the proof of the model alone."""
        with failing(self.plan.draft.model):
            self.proof.of_itself()[name]()
        if name == "density" and self.proof.density is None:
            raise NotApplicable("samples are not drawn, or densities not computed, in one call")

    @property
    def _exact(self) -> GenerativeModel:
        return self.proof.reference.exact

    def _conditions(self, n: int) -> Conditions:
        return {k: torch.from_numpy(a).to(_wide(a)) for k, a in self.proof.inputs.condition_ports(n).items()}

    def invertible(self) -> None:
        """``to_noise`` undoes ``to_data``."""
        if not all(callable(getattr(self._exact, name, None)) for name in ("to_noise", "to_data")):
            raise NotApplicable("it has not both methods to_noise and to_data")
        n = 16
        z = self._exact.noise(3, n, self._exact.event_shape)
        with torch.no_grad():
            undone(self._exact, z, self._conditions(n), slack=1e3 * self._exact.resolution)

    def log_determinant(self) -> None:
        """``log_prob`` is log N(z) - log |det ∂x/∂z|, with the Jacobian by automatic differentiation."""
        model = self._exact
        draw, score = self._maps()
        if model.resolution:
            raise NotApplicable("it samples by a search, which has no derivative; see density")
        conditions = self._conditions(_ROWS)
        z = model.noise(5, _ROWS, model.event_shape)
        rows = []
        for i in range(_ROWS):
            mine = {name: each[i : i + 1] for name, each in conditions.items()}

            def one(flat: Tensor, mine: Conditions = mine) -> Tensor:
                return draw(flat.reshape(1, *model.event_shape), mine).flatten()

            rows.append(torch.func.jacrev(one)(z[i].flatten()))
        with torch.no_grad():
            expected = log_normal(z) - torch.linalg.slogdet(torch.stack(rows))[1]
            x = draw(z, conditions)
            scored = score(x, conditions)
            allowed = _TOLERANCE * (z[0].numel() + expected.abs()) + 10 * model.density_error(x)
        worst = int(((scored - expected).abs() - allowed).nan_to_num(math.inf).argmax())
        if not bool((scored - expected).abs()[worst] <= allowed[worst]):
            raise ProofError(
                f"log_prob gives {float(scored[worst]):.6g} nats at a sample, and the Jacobian of sampling by "
                f"automatic differentiation {float(expected[worst]):.6g}",
                hint="Compare log_density(x) with log N(z) - log |det ∂x/∂z| at x = inverse(z).",
            )

    def mass(self) -> None:
        """The density of one or two numbers sums to 1 over a grid."""
        model = self._exact
        size = math.prod(model.event_shape)
        if self.plan.programs.log_prob is None or not self.plan.programs.log_prob.scores:
            raise NotApplicable("no density is stated that one call computes")
        if size not in _CELLS or not model.samples or model.density != "exact":
            raise NotApplicable(
                f"only exact densities of 1 or 2 numbers are summed, not {model.density} ones of {size}"
            )
        if isinstance(model, DirectModel) and model.draws_symbols:
            raise NotApplicable("its events are symbols; see density")
        value = self._summed(size)
        if not abs(value - 1) <= _MASS:
            raise ProofError(
                f"exp(log_prob) sums to {value:.4g} over a grid of {_CELLS[size]} points an axis around the samples, "
                "where a density has 1",
                hint="Look for a missing or wrong log-determinant or constant.",
            )

    def _summed(self, size: int) -> float:
        score = self._score()
        conditions = self._conditions(1)
        n = _DRAWN
        with torch.no_grad():
            # at a temperature below 1 samples do not reach where the density is
            own = {"temperature": 1} if getattr(self._exact, "temperature", 1) != 1 else {}
            x = self._exact.sample(n, condition=self._one_condition(), seed=11, **own).double().flatten(1)
            low, high = x.min(0).values, x.max(0).values
            reach = _REACH * x.std(0).clamp(min=1e-3)
            axes = [
                torch.linspace(float(a), float(b), _CELLS[size], dtype=torch.float64)
                for a, b in zip(low - reach, high + reach, strict=True)
            ]
            grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, *self._exact.event_shape)
            cell = math.prod(float(axis[1] - axis[0]) for axis in axes)
            total = 0.0
            for part in torch.split(grid, 50_000):
                repeated = {name: each.expand(len(part), *each.shape[1:]) for name, each in conditions.items()}
                total += float(score(part, repeated).exp().sum()) * cell
        return total

    def _one_condition(self) -> Any:
        values = self.proof.inputs.condition(1)
        if values is None or self._exact.takes_parts:
            return values
        return values[0]

    def _maps(self) -> tuple[Callable[[Tensor, Conditions], Tensor], Callable[[Tensor, Conditions], Tensor]]:
        """Noise to samples, and samples to log-densities, of a model that draws a sample from one normal its size."""
        programs = self.plan.programs
        if programs.sample is None or programs.log_prob is None or not programs.log_prob.scores:
            raise NotApplicable("no density is stated that one call computes")
        noises = programs.sample.noises(self.proof.reference.exact_graphs)
        shapes = [each.shape for each in noises]
        exact = self._exact.density == "exact" and programs.sample.noise_port is not None
        if not exact or shapes != [self._exact.event_shape] or math.prod(self._exact.event_shape) > _LARGEST:
            raise NotApplicable(
                f"it does not map one normal noise of at most {_LARGEST} numbers to a sample; see density"
            )
        graphs = self.proof.reference.exact_graphs
        return function(graphs[programs.sample.graph], programs.sample.noise_port), self._score()

    def _score(self) -> Callable[[Tensor, Conditions], Tensor]:
        assert self.plan.programs.log_prob is not None
        return function(self.proof.reference.exact_graphs[self.plan.programs.log_prob.graph], None)

    def forward_mode(self) -> None:
        """Forward and reverse mode agree on the derivative of the graph that samples: u·(J v) = (Jᵀ u)·v."""
        program = self.plan.programs.sample
        if program is None or (isinstance(self._exact, DirectModel) and self._exact.draws_symbols):
            raise NotApplicable("it draws symbols, or nothing" if program else "it only scores")
        if self._exact.resolution:
            raise NotApplicable("it samples by a search, which has no derivative")
        graph = self.proof.reference.exact_graphs[program.graph]
        feeds = self.proof.inputs.ordinary(graph, proven_sizes((*graph.inputs, *graph.outputs))[2])
        inputs = {name: torch.from_numpy(array).to(_wide(array)) for name, array in feeds.items()}
        first = next(port.name for port in graph.inputs if port.dtype == "float32")

        def apply(value: Tensor) -> Tensor:
            result = graph.module(*({**inputs, first: value}[port.name] for port in graph.inputs))
            output: Tensor = result[0] if isinstance(result, (tuple, list)) else result
            return output

        generator = torch.Generator().manual_seed(0)
        direction = torch.randn(inputs[first].shape, generator=generator, dtype=torch.float64)
        try:
            derivative: Any = torch.func.jvp(apply, (inputs[first],), (direction,))
        except (RuntimeError, NotImplementedError) as error:
            raise ProofError(
                f"graph {graph.name} has no forward-mode derivative: {str(error).splitlines()[0]}",
                hint="Likelihoods of diffusions take one; avoid in-place operations and custom autograd functions.",
            ) from error
        value, forward = derivative
        other = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        point = inputs[first].clone().requires_grad_()
        (backward,) = torch.autograd.grad((apply(point) * other).sum(), point)
        ahead, back = float((forward * other).sum()), float((backward * direction).sum())
        if not abs(ahead - back) <= _TOLERANCE * (1 + abs(back)):
            raise ProofError(
                f"the derivative of graph {graph.name} along a direction is {ahead:.8g} in forward mode and {back:.8g} "
                "in reverse mode",
                hint="A custom autograd function, or a tensor that is detached, has one of the two wrong.",
            )

    # -- in ONNX ------------------------------------------------------------------------------------------------------

    @cached_property
    def _graphs(self) -> dict[str, ir.Model | ZooError]:
        """Each graph, traced or written, or why it cannot be."""
        graphs: dict[str, ir.Model | ZooError] = {}
        for graph in self.plan.programs.graphs:
            try:
                graphs[graph.name] = graph_of(self.plan, graph)
            except ZooError as error:
                graphs[graph.name] = error
        return graphs

    def symbolic_batch(self, name: str) -> None:
        """A graph is traced, and its batch stays symbolic."""
        traced = self._graphs[name]
        if isinstance(traced, ZooError):
            raise traced
        graph = next(each for each in self.plan.programs.graphs if each.name == name)
        for port, value in zip(graph.outputs, traced.graph.outputs, strict=True):
            assert value.shape is not None
            for i, size in enumerate(port.shape):
                if isinstance(size, str) and isinstance(value.shape[i], int):
                    raise ProofError(
                        f"output {port.name} of graph {name} has a fixed size {value.shape[i]}, not {size}"
                    )

    @cached_property
    def _proof_of_bundle(self) -> Proof | ZooError:
        failed = [each for each in self._graphs.values() if isinstance(each, ZooError)]
        if failed:
            return failed[0]
        folder = Path(tempfile.mkdtemp(prefix="zoo-checks-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        graphs = [each for each in self._graphs.values() if isinstance(each, ir.Model)]
        return self.proof.of(opened_of(self.plan, graphs, folder))

    def _bundled(self) -> Proof:
        if isinstance(self._proof_of_bundle, ZooError):
            raise NotApplicable(f"a graph cannot be traced: {self._proof_of_bundle}")
        return self._proof_of_bundle

    def parity(self, name: str) -> None:
        """A graph computes in ONNX Runtime what it computes in PyTorch."""
        self._bundled().graph(next(graph for graph in self.plan.programs.graphs if graph.name == name))

    def parity_of_samples(self) -> None:
        """The bundle draws the model's samples from the same seed."""
        if self.plan.programs.sample is None:
            raise NotApplicable("it only scores")
        self._bundled().sample()

    def parity_of_densities(self) -> None:
        """The bundle scores as the model does."""
        if self.plan.programs.log_prob is None:
            raise NotApplicable("it has no density")
        self._bundled().log_prob()


def _wide(array: object) -> torch.dtype | None:
    return torch.float64 if str(getattr(array, "dtype", "")) == "float32" else None
