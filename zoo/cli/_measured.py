"""What ``zoo eval`` measures: a model in a bundle or in PyTorch, and the data of a name or of a file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli._app import App
from zoo.errors import UsageError, ZooError
from zoo.models.sources import Facts, Source
from zoo.printable import assignments

if TYPE_CHECKING:
    from zoo.data import Dataset
    from zoo.metrics.unexported import TorchModel
    from zoo.reading.matching import Matched, Wanted
    from zoo.runtime import BundledModel
    from zoo.training.data import TrainedOn


@dataclass(frozen=True)
class Measured:
    """Data to measure a model on, their options, and whether their training split is what the model was trained on."""

    data: Dataset
    options: Mapping[str, Any]
    own: bool = True


def opened(app: App, source: Source, provider: str | None, stack: ExitStack) -> BundledModel | TorchModel:
    """The model's bundle; one without a bundle in PyTorch, unless a provider is named that runs bundles alone."""
    from zoo.cli._opening import open_model
    from zoo.models import building

    if source.bundle is not None or provider is not None or source.card is None or find_spec("torch") is None:
        return open_model(app, source, provider or "auto", stack)
    from zoo.metrics.unexported import TorchModel

    app.say(f"{source.name} has no bundle: measuring it in PyTorch")
    return TorchModel(building.load(app.registry, source), source.card)


def data_of_measurement(app: App, source: Source, name: str | None, stated: Mapping[str, Any]) -> Measured:
    """The data set of a name, the data of a file, or what the model was trained on.

    An option given by hand takes precedence over that of the model's training, if it is the model's own data set, and
    that over the default.

    Raises:
        UsageError: no name, and the model does not state its data.
        DataError: a file that does not fit the model.
    """
    from zoo.reading import finding
    from zoo.training.assembling import data_named
    from zoo.training.data import data_of_model, load_data, trained_on

    known = trained_on(source)
    if name is None and known is None:
        raise UsageError(f"{source.name} does not state its training data", hint="Name a data set with --data.")
    registered = name is None or (known is not None and name == known.name and not known.path)
    path = "" if registered or name is None else data_named(name, {}).path
    if path and not (known is not None and known.sha256 and known.sha256 == finding.digest_or_none(path)):
        return _of_file(app, source, path, stated, known)
    if path and known is not None:
        app.say(f"{path} is what {source.name} was trained on: its test split is measured")
        name = known.name
    name = known.name if name is None and known is not None else str(name)
    trained = None if known is None else known.options_of(name)
    options = {**(trained or {}), **stated}
    if told := _told(source.name, name, options, stated, known):
        app.say(told)
    if known is not None and known.path and name == known.name:
        return Measured(data_of_model(known, options, app.registry, app.say), options)
    own = known is not None and name == known.name and known.options is not None and not stated
    return Measured(load_data(app.registry.dataset(name), options, app.registry), options, own)


def _of_file(app: App, source: Source, path: str, stated: Mapping[str, Any], known: TrainedOn | None) -> Measured:
    from zoo.reading.matching import held_out

    wanted = wanted_by(source)
    matched = read_as(app, source, path, stated)
    training = None if known is None else _training_data(app, known)
    if training is None or training.event_shape != matched.split.x.shape[1:]:
        app.say(f"the training data of {source.name} are not at hand: half of {path} stands for other real data")
        training = None
    data = held_out(Path(path).name or path, matched, wanted, training, seed=0)
    return Measured(data, {**wanted.options, **stated}, own=training is not None)


def read_as(app: App, source: Source, path: str, stated: Mapping[str, Any]) -> Matched:
    """A file, a folder or what a function returns, read as the training data of a model were."""
    from zoo.reading import finding, matching

    if finding.is_function(path):
        app.say(f"running the code of {path}")
    matched = matching.read(path, wanted_by(source), stated, app.registry)
    for note in matched.notes:
        app.say(note)
    return matched


def wanted_by(source: Source) -> Wanted:
    """What a model says of its data, by its card or its manifest."""
    from zoo.reading.matching import Wanted
    from zoo.training.data import wanted_of

    if source.card is not None:
        return wanted_of(source.card)
    manifest = source.manifest()
    if manifest is None:
        raise UsageError(f"{source.name} does not say what its data are")
    stated, facts = manifest.model.get("data"), Facts.stated(source.name, manifest)
    data = stated if isinstance(stated, Mapping) else {}
    return Wanted.stated(
        source.name,
        data,
        event_shape=facts.event_shape,
        levels=manifest.levels,
        modality=facts.modality,
        condition=facts.condition,
    )


def _training_data(app: App, known: TrainedOn) -> Dataset | None:
    """What a model was trained on, if it is still there, unchanged, and no code."""
    from zoo.training.data import data_of_model, load_data

    try:
        if known.path:
            return data_of_model(known, known.options or {}, app.registry)
        return load_data(app.registry.dataset(known.name), known.options or {}, app.registry)
    except ZooError:
        return None


def _told(model: str, name: str, options: Mapping[str, Any], stated: Mapping[str, Any], known: TrainedOn | None) -> str:
    """Where the options of a data set come from, in one line; empty if they are the defaults, as in training."""
    listed = assignments(options)
    trained = None if known is None else known.options_of(name)
    if trained is not None:
        if not options:
            return ""
        by_hand = f"; {', '.join(stated)} as given, the rest" if stated else ","
        return f"{name} with {listed}{by_hand} as {model} was trained"
    taken = f"with {listed}, else its defaults" if options else "with its defaults"
    if known is None:
        return f"{name} {taken}: {model} does not state its training data"
    if name != known.name:
        return f"{name} {taken}: {model} was trained on {known.name}"
    return f"{name} {taken}: {model} does not state the options that it was trained with"
