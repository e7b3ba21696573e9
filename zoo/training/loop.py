"""The training loop: a model's own loss, averaged weights, evaluation, early stopping and exact resumption."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo import weights
from zoo.arrays import Array
from zoo.data import Dataset, Split, fitted
from zoo.models.interface import GenerativeModel, Objective
from zoo.training import checkpoint, feeding
from zoo.training.averages import FOLDER, PowerAverages, reconstructed
from zoo.training.checkpoint import TrainingState
from zoo.training.clock import Clock
from zoo.training.distillation import Distillation
from zoo.training.feeding import Feed
from zoo.training.fit import check_fit
from zoo.training.log import BOARD_FOLDER, LOG_FILE, Line, Log
from zoo.training.optimizers import average_of, averages, learning_rate_factor, optimizer_of
from zoo.training.parallel import Replicas
from zoo.training.processes import ALONE, Processes
from zoo.training.recipe import Recipe, TrainingRecipe

_EVALUATION_BATCH = 500
_PREPARATION = 10_000


class Onlooker(Protocol):
    """Looks at the model as it is trained, and changes nothing."""

    def __call__(self, step: int, model: GenerativeModel) -> None:
        """Called after every step with the averaged model, in training mode or not."""


class Reporter(Protocol):
    """Receives the progress of a run; the command line displays it."""

    def __call__(self, training_state: TrainingState, loss: float, validation: float | None) -> None:
        """Called after every step, with the validation loss if there was an evaluation."""


@dataclass(frozen=True)
class Result:
    """A finished run: the weights to keep, and its progress."""

    arrays: weights.Arrays
    training_state: TrainingState


def train(
    model: GenerativeModel,
    data: Dataset,
    recipe: Recipe,
    path: Path,
    *,
    distillation: Distillation | None = None,
    report: Reporter | None = None,
    look: Onlooker | None = None,
    stop: Callable[[], bool] = lambda: False,
    tensorboard: bool = False,
    processes: Processes = ALONE,
    workers: int | None = None,
) -> Result | None:
    """Train ``model`` on ``data`` according to ``recipe``, resuming from the checkpoint at ``path`` if there is one.

    Args:
        model: freshly built from the same recipe, or with loaded weights, whose constants it then keeps.
        data: the data set.
        recipe: the run.
        path: of the checkpoint, in an existing folder.
        distillation: a prepared distillation, to use instead of the model's own loss.
        report: called after each step.
        look: likewise, with the model, such as to draw samples.
        stop: called after each step; True writes a checkpoint and returns None.
        tensorboard: write the lines of the log for TensorBoard too, beside it.
        processes: those that train the model together; each calls this function with the same arguments.
        workers: processes that read samples ahead, see :func:`~zoo.training.feeding.workers_of`; they change no byte.

    Returns:
        the result, or None if stopped early.

    Raises:
        ConfigError: the run diverged: loss, gradient or parameters are not finite. The previous checkpoint is kept.
        DataError: the data does not fit the model, or has numbers that are not finite.
        WeightsError: the checkpoint is damaged or of another recipe.
    """
    settings, data = recipe.training, fitted(data, model.event_shape, model.length)
    check_fit(model, data)
    if not path.exists():
        if recipe.distillation is None or recipe.distillation.start == "fresh":
            prepare(model, data, seed=settings.seed)
        elif distillation is not None:
            distillation.start(model)
    run = _Run(model, recipe, path, processes)
    training_state = run.training_state
    model.train()
    run.average.train(run.average is model)
    clock = Clock(training_state, model.device)
    board = path.with_name(BOARD_FOLDER) if tensorboard else None
    log = Log(path.with_name(LOG_FILE), training_state.step, board) if processes.leads else None
    with feeding.feed_of(data.train, recipe, training_state.step, processes, workers) as feed:
        while training_state.step < settings.steps and not run.exhausted:
            at = settings.at(training_state.step)
            step, parts = training_state.step, (run.replicas, feed)
            loss = _step(model, run.average, run.optimizer, data, at, step, distillation, path, *parts)
            training_state.learning_rate = at.learning_rate * learning_rate_factor(at, training_state.step)
            training_state.step += 1
            last, validation = training_state.step == settings.steps, None
            if run.powers is not None:
                run.powers.follow(training_state.step, last=last)
            if settings.evaluate_every and (last or training_state.step % settings.evaluate_every == 0):
                validation = run.evaluate(data, loss, distillation)
                last = last or run.exhausted
            if log is not None and (last or validation is not None or training_state.step % settings.log_every == 0):
                log.add(_logged(training_state, loss, validation))
            clock.read()
            if report is not None:
                report(training_state, loss, validation)
            if look is not None:
                look(training_state.step, run.average)
            stopping = processes.any(stop()) and not last
            if stopping or last or training_state.step % settings.checkpoint_every == 0:
                run.save()
            if stopping:
                return None
    return Result(run.kept(), training_state)


def _logged(training_state: TrainingState, loss: float, validation: float | None) -> Line:
    """What the log says of the step that was the last."""
    return {
        "step": training_state.step,
        "loss": loss,
        "learning_rate": training_state.learning_rate,
        **({} if validation is None else {"validation": validation}),
    }


class _Run:
    """The content of a checkpoint: model, averaged weights, optimizer, progress, and the best weights so far."""

    def __init__(self, model: GenerativeModel, recipe: Recipe, path: Path, processes: Processes) -> None:
        settings = recipe.training
        self.model, self.recipe, self.path, self.processes = model, recipe, path, processes
        self.average = copy.deepcopy(model) if settings.ema or averages(settings) else model
        self.replicas = replicas_of(model, recipe, processes)
        if self.average is not model:
            self.replicas.take(self.average)
        self.optimizer, self.training_state = optimizer_of(model, settings), TrainingState()
        self.best: weights.Arrays | None = None
        self.powers: PowerAverages | None = None
        if settings.ema_snapshots:
            snapshots = path.with_name(FOLDER)
            self.powers = PowerAverages(model, snapshots, settings.ema_snapshots, writes=processes.leads)
        if path.exists():
            self.training_state, self.best = checkpoint.load(
                path,
                model=model,
                average=self.average,
                optimizer=self.optimizer,
                recipe=recipe.describe(),
                averages=self.powers,
                processes=processes,
            )

    @property
    def exhausted(self) -> bool:
        """Whether as many evaluations in a row as the recipe's patience have found no lower validation loss."""
        settings, history = self.recipe.training, self.training_state.history
        since = sum(each["step"] > self.training_state.best_step for each in history)
        return 0 < settings.patience <= since

    def save(self) -> None:
        checkpoint.save(
            self.path,
            model=self.model,
            average=self.average,
            optimizer=self.optimizer,
            best=self.best,
            training_state=self.training_state,
            recipe=self.recipe.describe(),
            learning_rate=self.recipe.training.at(self.training_state.step).learning_rate,
            averages=self.powers,
            processes=self.processes,
        )

    def evaluate(self, data: Dataset, loss: float, distillation: Distillation | None) -> float:
        """The validation loss, recorded in the history; if it is the lowest so far, the weights are kept."""
        settings, training_state = self.recipe.training, self.training_state
        validation = evaluate(
            self.average,
            data,
            data.validation,
            seed=settings.seed,
            distillation=distillation,
            processes=self.processes,
        )
        training_state.history.append({"step": training_state.step, "loss": loss, "validation": validation})
        if validation < training_state.best:
            training_state.best, training_state.best_step = validation, training_state.step
            if settings.keep == "best":
                self.best = {name: array.copy() for name, array in self.replicas.arrays(self.average).items()}
        return validation

    def kept(self) -> weights.Arrays:
        """The weights to keep according to the recipe."""
        if self.recipe.training.keep == "best" and self.best is not None:
            return self.best
        arrays = self.replicas.arrays(self.average)
        if self.powers is not None and self.processes.leads and (length := self.recipe.training.ema_length):
            arrays |= reconstructed(self.powers.folder, length, self.training_state.step)
        return arrays


def replicas_of(model: GenerativeModel, recipe: Recipe, processes: Processes) -> Replicas:
    """How the processes of a run keep its model: each a whole one, or a part of it."""
    if not recipe.training.shard:
        return Replicas(model, processes, compiled=recipe.training.compile)
    from zoo.training.sharded import Shards

    return Shards(model, processes)


def _step(
    model: GenerativeModel,
    average: GenerativeModel,
    optimizer: torch.optim.Optimizer,
    data: Dataset,
    settings: TrainingRecipe,
    step: int,
    distillation: Distillation | None,
    path: Path,
    replicas: Replicas,
    feed: Feed,
) -> float:
    processes = replicas.processes
    with step_seed(settings.seed, step):
        pieces = feeding.pieces(len(data.train), settings, step)
        count = sum(map(len, pieces))
        parts = []
        for piece in pieces:
            with processes.share(len(piece)):
                rows = piece[processes.rows(len(piece))]
                x, condition = batch(data, data.train, rows, model, feed.take(rows))
            parts.append((x, condition, len(piece), len(piece) / count * processes.weight(len(piece))))
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate_factor(settings, step)
        values = []
        for number, objective in enumerate(_objectives(model, distillation, step / settings.steps)):
            loss_of = replicas.loss(number, objective)
            parameters = [parameter for parameter in objective.parameters if parameter.requires_grad]
            # the optimizer skips parameters without a gradient
            optimizer.zero_grad(set_to_none=True)
            value = torch.zeros((), device=model.device)
            for left, (x, condition, count, weight) in zip(reversed(range(len(parts))), parts, strict=True):
                with replicas.adding_up(last=left == 0), processes.share(count):
                    with _precision(settings.precision, model.device):
                        loss = loss_of(x, condition=condition) * weight
                    # gradients are averaged over processes, of which each has a part of the loss
                    replicas.backward(loss * processes.size, parameters)
                value = value + loss.detach()
            value = processes.total(value)
            values.append(_minimise(objective, parameters, value, optimizer, settings, step, path))
    if averages(settings):
        average_of(optimizer, average, model)
    elif average is not model:
        update_average(average, model, decay=min(settings.ema, (1 + step) / (10 + step)))
    return values[0]


def _objectives(model: GenerativeModel, distillation: Distillation | None, done: float) -> Sequence[Objective]:
    """What one step minimises: the model's own objectives, or that of a distillation."""
    if distillation is None:
        return model.objectives()

    def loss(x: Tensor, *, condition: Tensor | None) -> Tensor:
        return distillation.loss(model, x, condition, done=done)

    return (Objective("loss", loss, tuple(model.parameters())),)


def _minimise(
    objective: Objective,
    parameters: Sequence[torch.nn.Parameter],
    loss: Tensor,
    optimizer: torch.optim.Optimizer,
    settings: TrainingRecipe,
    step: int,
    path: Path,
) -> float:
    """Move the parameters of an objective along their gradients, and return its value.

    Raises:
        ConfigError: value or gradient is not finite; nothing was moved.
    """
    norm = _gradient_norm(parameters, settings.gradient_clip)
    # both at once, so that the processor synchronises with an accelerator once per objective
    value, size = (float(number) for number in torch.stack([loss, norm.to(loss)]).tolist())
    for what, number in ((objective.name, value), ("norm of the gradient", size)):
        if not math.isfinite(number):
            raise checkpoint.diverged(f"the {what} is {number} at step {step + 1}", path, settings.learning_rate)
    optimizer.step()
    return value


def _gradient_norm(parameters: Sequence[torch.nn.Parameter], clip: float) -> Tensor:
    """The global norm of the gradient, which is clipped if ``clip`` is above 0: not finite if any part of it is not."""
    if clip:
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
    else:
        norm = torch.nn.utils.get_total_norm(p.grad for p in parameters if p.grad is not None)
    whole: Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # of parameters kept in parts
    return whole


@torch.no_grad()
def update_average(average: torch.nn.Module, model: torch.nn.Module, *, decay: float) -> None:
    """average ← decay·average + (1 - decay)·model, parameter by parameter; buffers are copied.

    The decay is warmed up as (1 + step)/(10 + step), so that the average forgets the initial weights.
    """
    # all in one call: one by one, the calls take longer than the arithmetic of small models
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1.0 - decay)
    for kept, buffer in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(buffer)


@torch.no_grad()
def evaluate(
    model: GenerativeModel,
    data: Dataset,
    split: Split,
    *,
    seed: int,
    distillation: Distillation | None = None,
    processes: Processes = ALONE,
) -> float:
    """Mean loss over a split, the model's or the distillation's, in evaluation mode, always with the same noise."""
    was_training = model.training
    model.eval()
    total = 0.0
    try:
        with step_seed(seed, -1):
            for start in range(0, len(split.x), _EVALUATION_BATCH):
                indices = np.arange(start, min(start + _EVALUATION_BATCH, len(split.x)))
                with processes.share(len(indices)):
                    x, condition = batch(data, split, indices[processes.rows(len(indices))], model)
                    if distillation is None:
                        loss = model.loss(x, condition=condition)
                    else:
                        loss = distillation.loss(model, x, condition, done=1.0)
                total += loss.item() * len(indices) * processes.weight(len(indices))
    finally:
        model.train(was_training)
    return float(processes.total(torch.tensor(total, dtype=torch.float64))) / len(split.x)


def prepare(model: GenerativeModel, data: Dataset, *, seed: int) -> None:
    """Let a model fit its constants to the training split, or to a random subset of 10,000 samples.

    Loaded models or submodules are left unchanged: their weights were trained with their constants.
    """
    if weights.is_loaded(model):
        return
    count = len(data.train)
    chosen = np.random.default_rng(seed).permutation(count)[:_PREPARATION]
    with step_seed(seed, -1):
        x, condition = batch(data, data.train, chosen, model)
    loaded = [(part, copy.deepcopy(part.state_dict())) for part in model.modules() if weights.is_loaded(part)]
    if condition is None or "condition" not in inspect.signature(model.prepare).parameters:
        # models of plugins written before contexts were standardised take only the data
        model.prepare(x)
    else:
        model.prepare(x, condition)
    for part, state in loaded:
        part.load_state_dict(state)


def batch(
    data: Dataset, split: Split, indices: NDArray[np.int64], model: GenerativeModel, samples: Array | None = None
) -> tuple[Tensor, Any]:
    """The samples at ``indices`` as model input, dequantised when the data is discrete or rounded.

    Uniform noise in [0, 1) turns the distribution of integers into a density (Theis et al. 2016, section 3.1).
    ``samples`` are those at ``indices``, if they were read before.
    """
    samples = np.asarray(split.x[indices]) if samples is None else samples
    x = torch.from_numpy(samples).to(model.device, model.dtype)
    if data.widths is not None:
        x = x + torch.rand_like(x) * torch.as_tensor(data.widths, dtype=x.dtype, device=x.device)
    condition = None if model.condition is None else split.condition_at(indices)
    if condition is None or model.condition is None:
        return x, None
    if not model.condition.plain:
        # filled up to the longest of the batch, with masks
        return x, model.condition_tensors(condition, len(x))
    if isinstance(condition, Mapping) or condition.dtype.kind not in "iuf":
        condition = model.condition.arrays(condition, len(x))[model.condition.names[0]]
    return x, torch.from_numpy(condition).to(model.device)


class step_seed(AbstractContextManager[None]):  # noqa: N801 - reads as a statement: with step_seed(...)
    """Seeds torch's global generator by (seed, step) inside the block and restores it afterwards.

    Seeding each step separately makes a resumed run equal to an uninterrupted one without storing generator states.
    """

    def __init__(self, seed: int, step: int) -> None:
        self.mixed = int(np.random.SeedSequence([seed, step + 1]).generate_state(1, np.uint64)[0] >> 1)
        self.fork = torch.random.fork_rng()

    def __enter__(self) -> None:
        self.fork.__enter__()
        torch.manual_seed(self.mixed)

    def __exit__(self, *exc: object) -> None:
        self.fork.__exit__(None, None, None)


def _precision(precision: str, device: torch.device) -> AbstractContextManager[object]:
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
