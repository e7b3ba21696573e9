"""``zoo train``: trains a recipe into a model folder."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._complete import names_of
from zoo.cli._data import NAMES, data_options, stated
from zoo.cli._streams import Terminated
from zoo.errors import MissingDependencyError, OutputError, UsageError

if TYPE_CHECKING:
    from zoo.registry.cards import ModelCard
    from zoo.training.checkpoint import TrainingState
    from zoo.training.processes import Processes
    from zoo.training.recipe import Recipe


@click.command("train")
@click.argument("recipe", metavar="RECIPE", shell_complete=names_of("model", "architecture", files=True))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Model folder to write [runs/NAME].")
@click.option("--data", metavar="PATH", help="File, folder or module:function to train on, or a data set's name.")
@data_options
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="A key of the recipe: training.steps=2000.")
@click.option("--from", "start", metavar="MODEL", help="Start with the weights, config and standardisation of a model.")
@click.option("--extend", type=click.IntRange(1), metavar="STEPS", help="Go on with the finished run RECIPE.")
@click.option(
    "--ema", type=float, metavar="LENGTH", help="Write the average of this length of the finished run RECIPE."
)
@click.option("--check", is_flag=True, help="Say everything that is wrong with the recipe, and train nothing.")
@click.option("--steps", type=click.IntRange(1), help="Optimizer steps, instead of the recipe's.")
@click.option("--seed", type=click.IntRange(0), help="Seed, instead of the recipe's.")
@click.option(
    "--samples-every", type=click.IntRange(1), metavar="STEPS", help="Write samples into the folder as it goes."
)
@click.option("--tensorboard", is_flag=True, help="Write loss and learning rate for TensorBoard into the folder.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    help="Processes that read samples ahead which lie in files [up to 4 where there are such].",
)
@click.option("--device", default="cpu", show_default=True, help="Torch device: cpu, cuda, cuda:1, mps, ...")
@click.option("--restart", is_flag=True, help="Discard a checkpoint or finished model in the output folder.")
@json_option
@pass_app
def command(
    app: App,
    /,
    recipe: str,
    output: Path | None,
    data: str | None,
    changes: tuple[str, ...],
    start: str | None,
    extend: int | None,
    ema: float | None,
    check: bool,
    steps: int | None,
    seed: int | None,
    samples_every: int | None,
    tensorboard: bool,
    workers: int | None,
    device: str,
    restart: bool,
    **parsed: Any,
) -> None:
    """Train a model.

    RECIPE is a recipe.toml, or a model whose card has a recipe (then that model is trained again), or with --data an
    architecture, whose event shape, condition and categories the data determine. The output folder gets card.json
    and weights.safetensors; `zoo export` and `zoo run` accept its path.

    A run that was interrupted, by Ctrl-C or a power cut, resumes from its last checkpoint if the same command is run
    again, and ends with the same weights. --extend goes on with a finished run, whose folder RECIPE is. --from starts
    with another model, on data that are read as its own were. --ema writes another average of the weights of a finished
    run, which was trained with training.ema_snapshots, as a model of its own.

    \b
    zoo train recipe.toml
    zoo train nsf-coupling --data people.csv --set training.steps=2000
    zoo train nsf-coupling --data sims.csv --given x_0..x_9 --bounds b=0:3
    zoo train unet --data photos/ --resize 32 --samples-every 500
    zoo train nsf-coupling --data more.csv --from runs/people
    zoo train runs/people --extend 5000
    zoo train runs/people --ema 0.1 -o runs/people-smooth
    """
    options = stated(**{name: parsed[name] for name in NAMES})
    if check:
        _check(app, recipe, data, options, changes, start)
        return
    _need_torch()
    if ema is not None:
        unused = (data, start, extend, steps, seed, samples_every, tensorboard, workers, restart, options, changes)
        if output is None or any(map(_stated, unused)):
            raise UsageError("--ema makes a model of a run as it was: it needs -o, and only --device besides")
        _averaged(app, _folder_of(recipe), ema, output, device)
        return
    from zoo.training.extending import extended
    from zoo.training.locking import locked
    from zoo.training.processes import joined

    with ExitStack() as stack:
        processes = stack.enter_context(joined(device))
        app.quiet = app.quiet or not processes.leads
        if extend is not None:
            others = (output, data, start, steps, seed, restart, options, changes)
            folder = _finished(recipe, alone=not any(map(_stated, others)))
            with processes.leader_first():
                if processes.leads:
                    stack.enter_context(locked(folder))
                settled = extended(folder, extend, app.say)
        else:
            settled = _settled(app, recipe, data, options, changes, start)
            numbers: dict[str, Any] = {k: v for k, v in (("steps", steps), ("seed", seed)) if v is not None}
            settled = replace(settled, training=replace(settled.training, **numbers))
            folder = output or Path("runs") / settled.name
            with processes.leader_first():
                if processes.leads:
                    stack.enter_context(locked(folder))
                    _make_room(folder, restart=restart)
        watch = {"samples_every": samples_every or 0, "tensorboard": tensorboard}
        _run(app, settled, folder, processes, watch, workers=workers, device=device)


def _run(
    app: App,
    recipe: Recipe,
    folder: Path,
    processes: Processes,
    watch: Mapping[str, object],
    *,
    workers: int | None,
    device: str,
) -> None:
    """Train a recipe into a folder, and say how it goes.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    from zoo.training.processes import local_device
    from zoo.training.run import train_recipe

    together = processes.size > 1
    with _interruptible(once=not together) as interrupted, app.progress(recipe.name, recipe.training.steps) as update:

        def report(training_state: TrainingState, loss: float, validation: float | None) -> None:
            shown = f"loss {loss:.4g}, learning rate {training_state.learning_rate:.2g}"
            update(training_state.step, recipe.training.steps, training_state.resumed_at, shown)
            if validation is not None:
                best = " (best so far)" if training_state.best_step == training_state.step else ""
                app.say(f"step {training_state.step}: loss {loss:.4f}, validation {validation:.4f}{best}")

        watched: dict[str, Any] = {"report": report, "say": app.say, **watch}
        where: dict[str, Any] = {"device": local_device(device), "processes": processes, "workers": workers}
        card = train_recipe(recipe, folder, app.registry, stop=partial(bool, interrupted), **where, **watched)
        if card is None:
            interrupted.append(0)  # perhaps by a signal that has not reached this process yet
    if card is None:
        ended = f"interrupted; the checkpoint is in {folder}: run the same command to resume"
        app.say(ended)
        first = interrupted[0]
        raise KeyboardInterrupt(ended) if first in (0, signal.SIGINT) else Terminated(first, ended)
    _told(app, card, folder)
    if app.json and processes.leads:
        told = {"model": card.name, "folder": folder, "steps": recipe.training.steps, "metrics": card.metrics}
        app.emit(told)


def _stated(value: object) -> bool:
    return value is not None and value is not False and value not in ((), {})


def _finished(source: str, *, alone: bool) -> Path:
    """The folder of a run that is to go on."""
    if not alone:
        raise UsageError("--extend goes on with a run as it was: it takes no option besides --device")
    return _folder_of(source)


def _averaged(app: App, run: Path, length: float, output: Path, device: str) -> None:
    """Write the average of a finished run."""
    from zoo.training.locking import locked
    from zoo.training.posthoc import averaged

    with locked(output):
        card = averaged(run, length, output, app.registry, device=device, say=app.say)
    _told(app, card, output)
    if app.json:
        app.emit({"model": card.name, "folder": output, "length": length, "metrics": card.metrics})


def _told(app: App, card: ModelCard, folder: Path) -> None:
    """Say what was measured, and what to do next."""
    for name, metric in card.metrics.items():
        app.say(f"{name}: {metric['value']} {metric.get('unit', '')}".rstrip())
    app.say(f"wrote {folder}: try `zoo export {folder} -o {folder.name}.bundle`")


def _folder_of(source: str) -> Path:
    folder = Path(source)
    if not folder.is_dir():
        raise UsageError(f"{source} is not the folder of a run", hint="Name a finished run: runs/NAME.")
    return folder


def _settled(
    app: App,
    source: str,
    data: str | None,
    options: dict[str, object],
    changes: tuple[str, ...],
    start: str | None = None,
) -> Recipe:
    """The recipe of a run: of a file, of a model, or of an architecture and data."""
    from zoo.training.assembling import changed, of_architecture, started_from, with_data
    from zoo.training.run import find_recipe

    if options and data is None:
        raise UsageError(
            f"-D {next(iter(options))}=... is an option of data that --data names, and there is no --data",
            hint=f"An option of a recipe's own data: --set data.options.{next(iter(options))}=VALUE.",
        )
    if _is_architecture(app, source):
        if data is None:
            raise UsageError(f"{source} is an architecture, and is trained on data", hint="Name them with --data.")
        recipe = of_architecture(source, data, options, app.registry, complete=start is None)
    else:
        recipe = find_recipe(source, app.registry)
        if data is not None:
            recipe = with_data(recipe, data, options)
    recipe = changed(recipe, changes) if changes else recipe
    return recipe if start is None else started_from(recipe, start, app.registry)


def _is_architecture(app: App, source: str) -> bool:
    known = {item.description.name for item in app.registry.items("architecture")}
    return source in known and not Path(source).exists()


def _check(
    app: App,
    source: str,
    data: str | None,
    options: dict[str, object],
    changes: tuple[str, ...],
    start: str | None,
) -> None:
    """Say everything that is wrong with a recipe.

    Raises:
        ConfigError: with how many mistakes there are, if any.
    """
    from zoo.errors import ConfigError
    from zoo.training.checking import mistakes

    if not source.endswith(".toml"):
        settled = _settled(app, source, data, options, changes, start)
        problems = mistakes(settled.describe(), app.registry)
    else:
        if data is not None or changes or options or start is not None:
            raise UsageError("--check looks at a recipe as it stands: leave --data, its options, --set and --from out")
        problems = mistakes(Path(source), app.registry)
    if app.json:
        app.emit({"recipe": source, "mistakes": problems})
    else:
        for mistake in problems:
            app.say(mistake)
    if problems:
        many = f"{len(problems)} mistakes" if len(problems) > 1 else "1 mistake"
        raise ConfigError(f"{source} has {many}")
    app.say(f"{source} has no mistakes")


def _need_torch() -> None:
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise MissingDependencyError("torch", "train a model", extra="torch")


def _make_room(folder: Path, *, restart: bool) -> None:
    from zoo.registry.cards import CARD_FILE
    from zoo.training import kept
    from zoo.training.log import BOARD_FOLDER, LOG_FILE
    from zoo.training.run import WEIGHTS_FILE

    if restart:
        kept.remove(folder)
        for name in ("averages", BOARD_FOLDER):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in (CARD_FILE, WEIGHTS_FILE, LOG_FILE):
            (folder / name).unlink(missing_ok=True)
    # a model beside its checkpoint was not measured completely
    if (folder / CARD_FILE).exists() and not kept.checkpoint_in(folder).exists():
        raise OutputError(
            f"{folder} contains a finished model",
            hint="Choose another folder with -o, or pass --restart to replace it.",
        )


@contextmanager
def _interruptible(*, once: bool) -> Iterator[list[int]]:
    """A block in which Ctrl-C, SIGTERM, and SIGHUP unless it is ignored (``nohup``), are only recorded in the list.

    With ``once``, the second acts as usual. Of several processes each gets an interruption twice, from the terminal and
    from what started it, sooner or later than the others, and goes on to the step after which all of them stop.
    """
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        if once:
            signal.signal(number, previous[number])

    hanging_up = getattr(signal, "SIGHUP", None)  # a system may lack it
    noticed = [signal.SIGINT, signal.SIGTERM]
    if hanging_up is not None and signal.getsignal(hanging_up) != signal.SIG_IGN:
        noticed.append(hanging_up)
    previous: dict[int, Any] = {each: signal.signal(each, note) for each in noticed}
    try:
        yield noted
    finally:
        if once or not noted:
            for number, handler in previous.items():
                signal.signal(number, handler)
