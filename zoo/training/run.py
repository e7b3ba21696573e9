"""From a recipe to a model folder: build, train, measure, write ``card.json`` and ``weights.safetensors``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import weights
from zoo.arrays import Array
from zoo.data import Dataset, fitted
from zoo.errors import ConfigError, DataError, OutputError, PluginError, UsageError, WeightsError, ZooError
from zoo.files import write_text
from zoo.modality import describe
from zoo.models import building
from zoo.models.sources import resolve
from zoo.registry.cards import CARD_FILE, DataSource, ModelCard, WeightsFile
from zoo.registry.discovery import last_line
from zoo.training import kept
from zoo.training.clock import effort_of
from zoo.training.data import beginning, data_of
from zoo.training.distillation import Distillation
from zoo.training.inferring import inferred
from zoo.training.recipe import Recipe

if TYPE_CHECKING:
    from zoo.models.interface import GenerativeModel
    from zoo.registry import Registry
    from zoo.training.loop import Reporter
    from zoo.training.processes import Processes

WEIGHTS_FILE = "weights.safetensors"


def find_recipe(source: str, registry: Registry) -> Recipe:
    """The recipe in a TOML file, or in the card of a model.

    Args:
        source: path of a ``.toml`` file or of a model folder, or the name of a model.
        registry: where names are looked up.

    Raises:
        ConfigError: the file is not a recipe, or the model has none.
        UnknownNameError: no such model.
    """
    if source.endswith(".toml"):
        return Recipe.from_file(Path(source))
    card = resolve(registry, source).card
    if card is None or card.recipe is None:
        raise ConfigError(f"{source} has no recipe", hint="Pass a recipe.toml, or a model whose card has one.")
    return Recipe.from_dict(card.recipe, source=f"the recipe of {card.name}")


def completed(recipe: Recipe, data: Dataset, registry: Registry, say: Callable[[str], None]) -> Recipe:
    """A recipe of data from a path with the part of the model's config that the data determine.

    Raises:
        ConfigError: data that the architecture has nothing for.
    """
    config, names = inferred(recipe.model.architecture, data, recipe.model.config, registry)
    if names:
        say(f"inferred from {data.name}: {', '.join(names)}")
    if isinstance(data.train.condition, Mapping) and "condition" not in config:
        parts = ", ".join(data.train.condition)
        say(
            f"the parts {parts} of the conditions are not used: the model's config has no condition that describes them"
        )
    return replace(recipe, model=replace(recipe.model, config=config))


def _check_unchanged(recipe: Recipe, checkpoint: Path) -> None:
    """Refuse to go on with a run whose file has changed since.

    Raises:
        DataError: with the file.
    """
    try:
        before = json.loads(kept.metadata(checkpoint)["recipe"])["data"].get("sha256", "")
    except (AttributeError, KeyError, TypeError, ValueError):
        return  # the loop says what is wrong with it
    if before and recipe.data.sha256 and before != recipe.data.sha256:
        raise DataError(
            f"{recipe.data.path} has changed since the run in {checkpoint.parent} began: its sha256 is "
            f"{recipe.data.sha256[:12]}..., and was {before[:12]}...",
            hint="Put the old file back, choose another folder with -o, or pass --restart.",
        )


def train_recipe(
    recipe: Recipe,
    folder: Path,
    registry: Registry,
    *,
    loaded: tuple[DataSource, Dataset] | None = None,
    device: str = "cpu",
    report: Reporter | None = None,
    samples_every: int = 0,
    tensorboard: bool = False,
    say: Callable[[str], None] = lambda text: None,
    stop: Callable[[], bool] = lambda: False,
    processes: Processes | None = None,
    workers: int | None = None,
) -> ModelCard | None:
    """Train and write a model folder, resuming from its checkpoint if there is one.

    Args:
        recipe: the run.
        folder: for checkpoints and the finished model; created if missing.
        registry: where architectures and data sets are looked up.
        loaded: the data and their description, for a recipe that is complete; None to load what the recipe names.
        device: torch device.
        report: called after each step.
        samples_every: steps between files of samples in the folder ``samples``; 0 for none.
        tensorboard: write what the log has for TensorBoard too, into the folder ``tensorboard``.
        say: receives progress messages, one line each.
        stop: called after each step; True writes a checkpoint and returns None.
        processes: those that train the model together, in a folder that each can read; None for this one alone.
        workers: processes that read samples ahead, see :func:`~zoo.training.feeding.workers_of`; they change no byte.

    Returns:
        the card of the finished model, or None if stopped early.
    """
    from zoo.training import loop
    from zoo.training.processes import ALONE
    from zoo.training.sketching import Sketches

    processes = processes or ALONE
    recipe, source, data = (recipe, *loaded) if loaded is not None else load_all(recipe, registry, say)
    model = initial_model(recipe, registry, device=device, say=say)
    data = fitted(data, model.event_shape, model.length)
    parameters = sum(p.numel() for p in model.parameters())
    say(
        f"{recipe.name}: {recipe.model.architecture}, {parameters:,} parameters, {len(data.train):,} samples of "
        f"{data.name}"
    )
    _make(folder)
    distillation = build_distillation(model, recipe, registry, device=device)
    if distillation is not None:
        with processes.leader_first():
            distillation.prepare(data, seed=recipe.training.seed, folder=folder, say=say)
    checkpoint = kept.checkpoint_in(folder, shard=recipe.training.shard)
    if checkpoint.exists():
        _check_unchanged(recipe, checkpoint)
        say(f"resuming from {checkpoint}")
    draws = samples_every and (processes.leads or recipe.training.shard)
    look = Sketches(folder, data, samples_every, processes.leads).draw if draws else None
    watched: dict[str, Any] = {"report": report, "look": look, "stop": stop}
    watched |= {"tensorboard": tensorboard, "workers": workers}
    result = loop.train(model, data, recipe, checkpoint, distillation=distillation, processes=processes, **watched)
    if result is None:
        return None
    card = finished_card(model, recipe, registry, source, data)
    if not processes.leads:
        return card
    if processes.size > 1 and recipe.training.shard:
        model = initial_model(recipe, registry, device=device, say=lambda text: None)  # a whole one
    if (state := result.training_state).step < recipe.training.steps:
        say(f"stopped at step {state.step:,}: the validation loss has not fallen since step {state.best_step:,}")
    card = replace(card, training=effort_of(state))
    card = complete(folder, card, result.arrays, model, data, recipe, distillation=distillation, say=say)
    kept.keep_state(checkpoint)
    if distillation is not None:
        distillation.finish(folder)
    return card


def complete(
    folder: Path,
    card: ModelCard,
    arrays: Mapping[str, Array],
    model: GenerativeModel,
    data: Dataset,
    recipe: Recipe,
    *,
    distillation: Distillation | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> ModelCard:
    """Write the folder of a trained model: weights, card, and what is measured on the test split.

    Args:
        folder: to write, created if missing.
        card: of the model, without its weights and metrics.
        arrays: the weights, which ``model`` gets too.
        model: that of the recipe.
        data: the data.
        recipe: the run.
        distillation: that of the recipe.
        say: receives progress messages, one line each.

    Returns:
        the card as it was written.
    """
    _make(folder)
    weights.load_into(model, arrays, source="the trained model")
    model.eval()
    # from here on the model is complete, even if measuring it fails
    card = _write_folder(folder, card, arrays)
    return _measured(card, folder, lambda: measure(model, data, recipe, distillation=distillation, say=say))


def load_all(recipe: Recipe, registry: Registry, say: Callable[[str], None]) -> tuple[Recipe, DataSource, Dataset]:
    """The data that a recipe names, and the recipe with what they determine.

    Raises:
        DataError, ConfigError, PluginError: as of :func:`zoo.training.data.data_of`.
    """
    wanted = beginning(recipe, registry)
    source, data, described = data_of(recipe.data, registry, say, wanted=wanted)
    recipe = replace(recipe, data=described)
    if described.path and wanted is None:
        recipe = completed(recipe, data, registry, say)
    return recipe, source, data


def _make(folder: Path) -> None:
    """Make a folder, unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}") from error


def initial_model(recipe: Recipe, registry: Registry, *, device: str, say: Callable[[str], None]) -> GenerativeModel:
    """The model of a recipe with its initial weights, on its device.

    Raises:
        UsageError: there is no such device.
        ConfigError: a model that cannot be built, or whose parts do not fit.
    """
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(recipe.training.seed)
        model = building.build(registry, recipe.model.architecture, recipe.model.config)
    if recipe.model.weights:
        start = building.load(registry, recipe.model.weights)
        weights.load_into(model, weights.state_arrays(start), source=recipe.model.weights)
        weights.mark_loaded(model)  # so that it keeps its constants
        say(f"the model starts with the weights of {recipe.model.weights}")
    for name, source_model in recipe.model.parts.items():
        begin_with(model, name, building.load(registry, source_model))
        say(f"{name} starts with the weights of {source_model}")
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"torch cannot use device {device!r} here: {str(error).splitlines()[0]}") from error
    return model


def _write_folder(folder: Path, card: ModelCard, arrays: Mapping[str, Array]) -> ModelCard:
    """Write the weights and the card, and return the card with the weights' file."""
    digest = weights.write(folder / WEIGHTS_FILE, arrays)
    size = (folder / WEIGHTS_FILE).stat().st_size
    described = {**card.describe(), "weights": vars(WeightsFile(WEIGHTS_FILE, digest, size))}
    card = ModelCard.from_description(described, folder=folder)
    write_text(folder / CARD_FILE, card.to_json())
    return card


def _measured(card: ModelCard, folder: Path, measure: Callable[[], dict[str, object]]) -> ModelCard:
    """Add what is measured to the card of a model folder.

    Raises:
        ZooError: measuring failed; the folder holds the trained model, and a run from the checkpoint measures it again.
    """
    try:
        metrics = measure()
    except Exception as error:
        what = str(error) if isinstance(error, ZooError) else last_line(error)
        raise PluginError(
            f"{card.name} cannot be measured on the test split: {what}",
            hint=f"The trained model is complete in {folder}. Run the same command to measure it again.",
        ) from error
    card = replace(card, metrics=metrics)
    write_text(folder / CARD_FILE, card.to_json())
    return card


def begin_with(model: GenerativeModel, name: str, other: GenerativeModel) -> None:
    """Load the weights of another model into a submodule.

    Raises:
        ConfigError: there is no such submodule, or they do not fit.
    """
    try:
        part = model.get_submodule(name)
        weights.load_into(part, weights.state_arrays(other), source="that model")
    except (AttributeError, WeightsError) as error:
        raise ConfigError(f"model.parts: {name} cannot start with another model's weights: {error}") from error


def build_distillation(
    student: GenerativeModel, recipe: Recipe, registry: Registry, *, device: str = "cpu"
) -> Distillation | None:
    """The distillation of a recipe, or None if it has none.

    Args:
        student: the model to train.
        recipe: names the method and the teacher.
        registry: where both are looked up.
        device: torch device that the teacher is moved to.

    Raises:
        UnknownNameError: no such method or teacher.
        ConfigError: unknown options, or a student or teacher that the method does not accept.
        PluginError: a method that fails.
    """
    table = recipe.distillation
    if table is None:
        return None
    method = registry.distillation(table.method)
    build = registry.load_entry(method)
    teacher = building.load(registry, table.teacher).to(device).requires_grad_(False)
    try:
        inspect.signature(build).bind(student, teacher, **table.options)
    except TypeError as error:
        raise ConfigError(f"distillation.options of {method.name}: {error}") from error
    try:
        distillation = build(student, teacher, **table.options)
    except ZooError:
        raise
    except Exception as error:  # whatever the class raises for unexpected values
        raise PluginError(
            f"the distillation method {method.name} cannot be used with these options: {last_line(error)}"
        ) from error
    if not isinstance(distillation, Distillation):
        raise PluginError(f"{method.entry} of the distillation method {method.name} is not a Distillation")
    return distillation


def measure(
    model: GenerativeModel,
    data: Dataset,
    recipe: Recipe,
    *,
    distillation: Distillation | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, object]:
    """Metrics of a finished model on the test split: its loss, and its density if scoring is one call."""
    from zoo.density import is_likelihood
    from zoo.metrics.density import held_out_density
    from zoo.models.interface import DirectModel
    from zoo.training import loop

    say("measuring on the test split")
    if isinstance(model, DirectModel) and is_likelihood(model.density):
        return held_out_density(model, data, seed=recipe.training.seed)
    loss = loop.evaluate(model, data, data.test, seed=recipe.training.seed, distillation=distillation)
    of = "the training objective" if distillation is None else distillation.measures
    return {"test_loss": {"value": round(loss, 5), "of": of, "samples": len(data.test)}}


def _code_license(registry: Registry, architecture: str) -> str:
    """The licence of an architecture's code: ours, or what the distribution of its plugin states; empty for nothing."""
    plugin = registry.item("architecture", architecture).plugin
    if plugin.builtin:
        return "Apache-2.0"
    try:
        stated = metadata.metadata(plugin.distribution)
        return str(stated["License-Expression"]) if "License-Expression" in stated else ""
    except metadata.PackageNotFoundError:  # a plugin of this process alone
        return ""


def finished_card(
    model: GenerativeModel, recipe: Recipe, registry: Registry, source: DataSource, data: Dataset
) -> ModelCard:
    """The card of a trained model, without its weights file and before it is measured."""
    architecture = registry.architecture(recipe.model.architecture)
    papers = [architecture.paper]
    if recipe.distillation is not None:
        papers.append(registry.distillation(recipe.distillation.method).paper)
    return ModelCard(
        name=recipe.name,
        summary=recipe.summary or f"{architecture.name} on {data.name}",
        family=architecture.family,
        architecture=architecture.name,
        config=recipe.model.config,
        event_shape=model.event_shape,
        condition=model.condition,
        parameters=sum(p.numel() for p in model.parameters()),
        data={
            "name": source.name,
            "options": recipe.data.options,
            **({"path": recipe.data.path, "sha256": recipe.data.sha256} if recipe.data.path else {}),
            "license": source.license,
            "source": source.source,
            "levels": data.levels,
            **({} if data.modality is None else {"kind": describe(data.modality)}),
            # what a file of the same kind is read by, besides
            **{name: data.extra[name] for name in ("given", "columns", "grain") if name in data.extra},
        },
        license={"code": _code_license(registry, architecture.name), "weights": recipe.license},
        density=model.density,
        samples=model.samples,
        length=model.length,
        papers=tuple(paper for paper in papers if paper),
        recipe=recipe.describe(),
    )
