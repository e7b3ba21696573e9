"""How a model behaves in PyTorch, checked on toy data: seeds, training, saving, types and devices.

The inputs are those of a proof (:mod:`zoo_onnx.inputs`), so models of classes, parts, symbols and lengths are checked
as any other. Each function raises a :class:`~zoo.errors.ZooError` that says what was expected and what came.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo import weights
from zoo.data import Dataset, Split
from zoo.errors import CheckError, NotApplicable
from zoo.models.interface import GenerativeModel
from zoo.programs import Programs
from zoo.training import loop
from zoo_onnx.inputs import Inputs
from zoo_onnx.sizes import proven_sizes

Make = Callable[[], GenerativeModel]
_SAMPLES, _STEPS, _RATE, _DRAWS = 5, 40, 0.01, 8
_TOYS = 128
#: deviation of what is added to fresh weights, so that layers that begin as the identity do something
_MOVE = 0.05
#: of results in float64 and float32, relative to 1 + the value
_APART = 2e-3


def moved(model: GenerativeModel, deviation: float = _MOVE, seed: int = 0) -> GenerativeModel:
    """The model in evaluation mode, with a little noise added to its parameters in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(deviation * noise.to(parameter))
    return model.eval()


class Behaviour:
    """A model's behaviour, check by check.

    Args:
        make: builds the model with fresh weights.
        model: one of these, moved and in evaluation mode.
        inputs: to call it with.
        programs: its programs.
    """

    def __init__(self, make: Make, model: GenerativeModel, inputs: Inputs, programs: Programs) -> None:
        self.make, self.model, self.inputs, self.programs = make, model, inputs, programs
        self._conditions: dict[int, Any] = {}

    def _condition(self, n: int) -> Any:
        """Conditions of ``n`` samples, the same whenever they are asked for."""
        if n not in self._conditions:
            self._conditions[n] = self.inputs.condition(n)
        return self._conditions[n]

    # -- samples ------------------------------------------------------------------------------------------------------

    def _drawn(self, model: GenerativeModel, n: int = _SAMPLES, seed: int = 1) -> Tensor:
        if self.programs.sample is None:
            raise NotApplicable("it only scores")
        steps = {"steps": 3} if self.programs.steps else {}
        with torch.no_grad():
            return model.sample(n, condition=self._condition(n), seed=seed, **steps)

    def _data(self, model: GenerativeModel, n: int = _SAMPLES) -> Tensor:
        with torch.no_grad():
            return self._drawn(model, n) if self.programs.sample is not None else model.examples(n)

    def _scored(self, model: GenerativeModel, x: Tensor) -> Tensor:
        if self.programs.log_prob is None:
            raise NotApplicable("it has no density")
        options: dict[str, Any] = {"steps": 2} if self.programs.log_prob.estimates else {}
        with torch.no_grad():
            return model.log_prob(x, condition=self._condition(len(x)), **options)

    def samples(self) -> None:
        """Samples have the shape of events, are finite, and follow from their seed; log-densities are one each."""
        x = self._drawn(self.model)
        shape = (_SAMPLES, *self.model.event_shape)
        _equal("the shape of five samples", tuple(x.shape), shape)
        if not bool(x.isfinite().all()):
            raise CheckError(f"{int((~x.isfinite()).sum())} numbers of five samples are not finite")
        if not torch.equal(x, self._drawn(self.model)):
            raise CheckError(
                "the same seed gives other samples the second time",
                hint="Draw noise by self.noise(seed, n, shape), or let zoo.DirectModel draw it.",
            )
        if torch.equal(x, self._drawn(self.model, seed=2)):
            raise CheckError("seeds 1 and 2 give the same samples", hint="Use the seed that sample is given.")

    def densities(self) -> None:
        """Log-densities are one for each datum, and finite at samples."""
        scored = self._scored(self.model, self._data(self.model))
        _equal("the shape of log_prob of five samples", tuple(scored.shape), (_SAMPLES,))
        if not bool(scored.isfinite().all()):
            raise CheckError(f"log_prob of the model's own samples is {scored.tolist()}, not finite")

    # -- training -----------------------------------------------------------------------------------------------------

    def toy(self) -> Dataset:
        """Data of another model of the same class, so that they are valid for it."""
        other = moved(self.make(), 0.3, seed=1)
        if any(not bool(p.isfinite().all()) for p in other.parameters()):  # pragma: no cover - noise is finite
            raise NotApplicable("its weights cannot be moved")
        x = np.array(self._data(other, _TOYS).numpy(), np.float32)
        if not np.isfinite(x).all():
            raise NotApplicable("a model with random weights gives samples that are not finite")
        split = Split(x, self._condition(_TOYS))
        return Dataset("toy", split, split, split)

    def training(self) -> None:
        """Some steps of Adam decrease the loss on toy data, and all gradients are finite."""
        torch.manual_seed(0)
        model, data = self.make(), self.toy()
        loop.prepare(model, data, seed=0)
        objectives = model.objectives()
        if not any(p.requires_grad for each in objectives for p in each.parameters):
            raise NotApplicable("it has no parameters to train")
        before, likely = self._loss(model, data), self._likely(model, data)
        model.train()
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=_RATE)
        for step in range(_STEPS):
            with loop.step_seed(0, step):
                x, condition = loop.batch(data, data.train, np.arange(_TOYS), model)
                for objective in objectives:
                    optimizer.zero_grad()
                    loss = objective.loss(x, condition=condition)
                    _check_loss(loss, objective.name, step)
                    loss.backward(inputs=[p for p in objective.parameters if p.requires_grad])  # type: ignore[no-untyped-call]
                    _check_gradients(model, step)
                    optimizer.step()
        after = self._loss(model, data)
        if len(objectives) == 1 and not after < before:
            raise CheckError(
                f"the loss on toy data was {before:.5g} before {_STEPS} steps of Adam (learning rate {_RATE}), and is "
                f"{after:.5g} after them, not less",
                hint="Is the sign of the loss right, and does it depend on all parameters?",
            )

        now = self._likely(model, data)
        if len(objectives) == 1 and likely is not None and now is not None and not now > likely:
            raise CheckError(
                f"the loss falls, and the mean log_prob of the toy data it is trained on does not rise: it was "
                f"{likely:.5g} nats and is {now:.5g}",
                hint="The loss of a model with a density is -log_prob, or a bound: is its sign right?",
            )

    def _likely(self, model: GenerativeModel, data: Dataset) -> float | None:
        """The mean log-density of the data; None if no single call computes it exactly."""
        if self.programs.log_prob is None or not self.programs.log_prob.scores or model.density != "exact":
            return None
        x, _ = loop.batch(data, data.train, np.arange(_TOYS), model)
        return float(self._scored(model.eval(), x).mean())

    def _loss(self, model: GenerativeModel, data: Dataset) -> float:
        return float(np.mean([loop.evaluate(model, data, data.train, seed=seed) for seed in range(_DRAWS)]))

    # -- state --------------------------------------------------------------------------------------------------------

    def saving(self) -> None:
        """A model built anew from the same config, with the saved weights, is the same model."""
        model = self.make()
        loop.prepare(model, self.toy(), seed=0)  # what it fits must be in its weights, too
        moved(model)
        again = self.make()
        with tempfile.TemporaryDirectory(prefix="zoo-checks-") as folder:
            path = Path(folder) / "weights.safetensors"
            weights.write(path, weights.state_arrays(model))
            weights.load_into(again, weights.read(path), source=path)
        again.eval()
        x = self._data(model)
        pairs = {"samples": (self._data(again), x)}
        if self.programs.log_prob is not None:
            pairs["log-densities"] = self._scored(again, x), self._scored(model, x)
        for what, (after, before) in pairs.items():
            if not torch.equal(after, before):
                raise CheckError(
                    f"{what} differ by {_apart(after, before):.3g} after saving and loading the weights",
                    hint="What a model fits or learns belongs in parameters and buffers: self.register_buffer(...).",
                )

    def dtype(self) -> None:
        """The model follows ``.double()``, and gives nearly the same in float64."""
        exact = copy.deepcopy(self.model).double()
        x = self._drawn(exact) if self.programs.sample is not None else exact.examples(_SAMPLES).double()
        _equal("the type of samples of the model in float64", x.dtype, torch.float64)
        discrete = getattr(self.model, "draws_symbols", False)
        if self.programs.sample is not None and not discrete:
            _near("samples in float64 and float32", x, self._drawn(self.model))
        if self.programs.log_prob is None:
            return
        scored = self._scored(exact, x)
        _equal("the type of log_prob of the model in float64", scored.dtype, torch.float64)
        _near("log-densities in float64 and float32", scored, self._scored(self.model, x.float()))

    def device(self) -> None:
        """All of a model moves with it: to CUDA where there is one, else to torch's device without memory."""
        for name, module in self.model.named_modules():
            for attribute, value in vars(module).items():
                if isinstance(value, Tensor):
                    raise CheckError(
                        f"{_of(name, module)}.{attribute} is a tensor that is neither a parameter nor a buffer, so it "
                        "stays behind when the model moves, and is not saved",
                        hint=f'self.register_buffer("{attribute}", ...) makes it part of the module.',
                    )
        device = torch.device("cuda" if torch.cuda.is_available() else "meta")
        there = copy.deepcopy(self.model).to(device)
        for graph in there.programs().graphs:
            feeds = self.inputs.ordinary(graph, proven_sizes((*graph.inputs, *graph.outputs))[2])
            arguments = [torch.from_numpy(feeds[port.name]).to(device) for port in graph.inputs]
            try:
                with torch.no_grad():
                    graph.module(*arguments)
            except (RuntimeError, NotImplementedError) as error:
                said = str(error).splitlines()[0]
                if "expected device" in said or "same device" in said:
                    raise CheckError(
                        f"graph {graph.name} makes a tensor on another device than its inputs': {said}",
                        hint="Make tensors by x.new_zeros(...), torch.zeros(..., device=x.device), or as buffers.",
                    ) from error
                # a value that a device without memory cannot tell is no fault


def _equal(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise CheckError(f"{what} is {actual}, where {expected} was expected")


def _near(what: str, a: Tensor, b: Tensor) -> None:
    difference = (a.double() - b.double()).abs()
    scale = 1 + b.double().abs()
    if not bool((difference <= _APART * scale).all()):
        raise CheckError(
            f"{what} differ by {float(difference.max()):.3g}, where rounding explains {_APART} of 1 + the value",
            hint="Is a constant of the model in float32 alone, or a number rounded on the way?",
        )


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max()) if a.shape == b.shape else float("inf")


def _of(name: str, module: torch.nn.Module) -> str:
    return f"{type(module).__name__} {name}".strip()


def _check_loss(loss: Tensor, name: str, step: int) -> None:
    if loss.ndim or not bool(loss.isfinite()):
        raise CheckError(f"objective {name} is {loss.tolist()} at step {step + 1}, not one finite number")
    if not loss.requires_grad:
        raise CheckError(f"objective {name} has no gradient: it depends on no parameter")


def _check_gradients(model: GenerativeModel, step: int) -> None:
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            raise CheckError(f"the gradient of {name} is not finite at step {step + 1}")
