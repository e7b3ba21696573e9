"""``zoo export --all``: every model, in every precision, for every target, in one table."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.bundle import open_bundle
from zoo.cli._app import App
from zoo.cli._text import echo, table
from zoo.errors import ZooError
from zoo.exporting import BUNDLES, blaming
from zoo.models import building
from zoo.registry.cards import Exporter, ModelCard

#: the name of a precision in the table, and the options of ``onnx`` that write it
PRECISIONS: dict[str, dict[str, str]] = {
    "float32": {},
    "float16": {"dtype": "float16"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"quantize": "int8"},
    "int8-dynamic": {"quantize": "int8-dynamic"},
    "int8-weights": {"quantize": "int8-weights"},
    "int4-weights": {"quantize": "int4-weights"},
}


@dataclass(frozen=True)
class Cell:
    """One export.

    Attributes:
        model: its name.
        precision: of weights and arithmetic.
        target: name of the exporter.
        ok: whether it was written and, if requested, checked.
        said: what was checked, or why it is not ok.
    """

    model: str
    precision: str
    target: str
    ok: bool
    said: str


def export_all(app: App, cards: list[ModelCard], *, check: bool, output: Path | None, quality: bool) -> bool:
    """Export everything, show the table, and return whether all of it succeeded.

    Args:
        app: registry, progress and output.
        cards: the models.
        check: whether bundles' golden values are replayed and targets are run.
        output: folder to keep the exports in; None keeps none.
        quality: whether the metrics of cards are measured again at lower precision.
    """
    targets = [item.description for item in app.registry.items("exporter")]
    assert all(isinstance(target, Exporter) for target in targets)
    packing = [target for target in targets if isinstance(target, Exporter) and target.packs]
    total = len(cards) * len(PRECISIONS) * (1 + len(packing))
    cells: list[Cell] = []
    with tempfile.TemporaryDirectory(prefix="genzoo-") as scratch, app.progress("exporting", total) as update:
        for card in cards:
            for cell in _of_model(app, card, packing, output or Path(scratch), check=check, quality=quality):
                cells.append(cell)
                update(len(cells), total)
                app.say(f"{cell.model} {cell.precision} {cell.target}: {'' if cell.ok else 'NOT OK: '}{cell.said}")
    if app.json:
        app.emit([vars(cell) for cell in cells])
    else:
        _show(cells, [BUNDLES, *(target.name for target in packing)])
    return all(cell.ok for cell in cells)


def _of_model(
    app: App, card: ModelCard, packing: list[Exporter], folder: Path, *, check: bool, quality: bool
) -> Iterator[Cell]:
    from zoo.exporting import export, pack

    model, bundles = building.load(app.registry, card), app.registry.exporter(BUNDLES)
    for precision, options in PRECISIONS.items():
        bundle = folder / f"{card.name}-{precision}-{BUNDLES}"
        chosen: dict[str, Any] = {**options, **({} if quality or not options else {"quality": False})}
        try:
            export(model, bundle, card=card, registry=app.registry, force=True, **chosen)
            said = "written and proven"
            if check:
                said += f", {verified(app, bundles, bundle)}"
        except Exception as error:  # errors of one export do not stop the others
            yield Cell(card.name, precision, BUNDLES, False, _reason(bundles, error))
            for target in packing:
                yield Cell(card.name, precision, target.name, False, "there is no bundle to pack")
            continue
        yield Cell(card.name, precision, BUNDLES, True, said)
        for target in packing:
            packed = folder / f"{card.name}-{precision}-{target.name}"
            try:
                pack(open_bundle(bundle), packed, target=target.name, registry=app.registry, force=True)
                said = verified(app, target, packed) if check else "packed"
            except Exception as error:
                yield Cell(card.name, precision, target.name, False, _reason(target, error))
            else:
                yield Cell(card.name, precision, target.name, True, said)


def _reason(target: Exporter, error: Exception) -> str:
    if isinstance(error, ZooError):
        return str(error)
    return f"the target {target.name} fails: {type(error).__name__}: {error}"


def verified(app: App, target: Exporter, folder: Path) -> str:
    """Run the output of a target, and return what was run.

    Raises:
        ZooError: it is wrong, or cannot be run here.
    """
    if not target.verify:
        return "written, but cannot be run here"
    verify = app.registry.load_entry(dataclasses.replace(target, entry=target.verify))
    with blaming(app.registry, target):
        return str(verify(folder))


def _show(cells: list[Cell], targets: list[str]) -> None:
    by_row: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        by_row.setdefault((cell.model, cell.precision), {})[cell.target] = cell
    reasons: list[str] = []

    def verdict(cell: Cell) -> str:
        if cell.ok:
            return "ok"
        if cell.said not in reasons:
            reasons.append(cell.said)
        return f"no ({reasons.index(cell.said) + 1})"

    rows = [[*key, *(verdict(row[target]) for target in targets)] for key, row in by_row.items()]
    table(["model", "precision", *targets], rows)
    for number, reason in enumerate(reasons, 1):
        echo(f"({number}) {reason}")
