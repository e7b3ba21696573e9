"""Each field of a manifest and of a card, set to what it should not be: an error of ours comes out, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from zoo.bundle import MANIFEST, Bundle
from zoo.bundle.manifest import Manifest
from zoo.cli import cli
from zoo.errors import BundleError, ConfigError, ZooError
from zoo.modality import modality_from
from zoo.registry.cards import ModelCard
from zoo.runtime import contract

CARD = json.loads((Path(__file__).parents[2] / "plugins" / "zoo_models" / "wine-mlp" / "card.json").read_text("utf-8"))
SHIPPED = Path(__file__).parents[2] / "plugins" / "zoo_models"


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


#: JSON of what a field may be set to
WRONG = [
    "null",
    "true",
    "false",
    "0",
    "-0.0",
    "-1",
    "1",
    "1.5",
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "1" + "0" * 400,
    str(2**63),
    str(-(2**63) - 1),
    "1e-320",
    '""',
    '"x"',
    '"\\u0000"',
    '"\\ud800"',
    json.dumps("n" * 200),
    json.dumps("é" * 200),
    "[]",
    "[null]",
    "[1, [2]]",
    "{}",
    '{"kind": 1}',
    '{"kind": "table", "columns": [{"name": "a", "grain": 1' + "0" * 400 + "}]}",
    '{"a": {"b": {}}}',
    json.dumps(deep(20)),
]
#: and what takes long to read, for a field alone
LARGE = [json.dumps("y" * 70_000), json.dumps(deep(300)), "[" * 100_000 + "]" * 100_000, "1" + "0" * 100_000]
MARK = "@@here@@"


def places(value, path=()):
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield (*path, key)
        yield from places(child, (*path, key))


def variants(values):
    """JSON texts, each with one field set to one wrong value; of a list's entries, which are alike, the first."""
    for path in places(values):
        if any(isinstance(key, int) and key > 0 for key in path):
            continue
        changed = json.loads(json.dumps(values))
        target = changed
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = MARK
        text = json.dumps(changed)
        for wrong in [*WRONG, *(LARGE if path == ("name",) or path == ("created_by",) else ())]:
            yield text.replace(json.dumps(MARK), wrong)


def refused(kind, text, read):
    """Whether a text is refused, which is in one line of bounded length."""
    try:
        read(text)
    except kind as error:
        message = str(error)
    else:
        return False
    assert "\n" not in message
    assert len(message) < 1000, text
    return True


def test_cards_raise_errors_of_ours_alone(tmp_path):
    card = {**CARD, "config": {"a": 1}, "recipe": {"b": 1}, "metrics": {"c": {"value": 1}}}
    card["data"]["kind"]["columns"] = card["data"]["kind"]["columns"][:1]

    def read(text):
        (tmp_path / "card.json").write_text(text)
        card = ModelCard.from_folder(tmp_path)
        assert ModelCard.from_description(card.describe(), folder=tmp_path) == card
        modality_from(card.data.get("kind"))

    texts = list(variants(card))
    assert sum(refused(ConfigError, text, read) for text in texts) > len(texts) // 2


@pytest.mark.parametrize(
    ("model", "fields"), [("wine-mlp", ("kind", "programs")), ("mnist-unet", ("graphs", "condition", "proof"))]
)
def test_manifests_raise_errors_of_ours_alone(model, fields, tmp_path):
    whole = json.loads((SHIPPED / model / "bundle" / MANIFEST).read_text("utf-8"))

    def read(text):
        manifest = Manifest.from_json(json.dumps({**whole, "@": 0}).replace('"@": 0', text.strip()[1:-1]))
        contract.check(Bundle(tmp_path, manifest))

    for field in fields:
        kept = whole.pop(field)
        if field == "kind":
            kept["columns"] = kept["columns"][-1:]
        texts = list(variants({field: kept}))
        assert sum(refused(BundleError, text, read) for text in texts) > 0
        whole[field] = kept


#: fields of the manifest that commands read, and no schema bounds
SHOWN = [
    ("model", "name"),
    ("model", "weights"),
    ("model", "metrics"),
    ("model", "data"),
    ("model", "config"),
    ("model", "kind"),
    ("model", "folder"),
    ("model", "papers"),
    ("model", "summary"),
    ("model", "parameters"),
    ("proof", "largest_differences"),
    ("proof", "cases"),
    ("proof", "tolerance"),
    ("proof", "torch"),
    ("proof", "batches"),
    ("kind",),
    ("condition",),
    ("levels",),
    ("licenses",),
    ("created_by",),
    ("batch",),
    ("precision",),
]


def test_show_ends_with_errors_of_ours_alone(victim, capfd):
    good = json.loads((victim / MANIFEST).read_text())
    for path in SHOWN:
        for wrong in (None, 1, "x", [None], {"kind": 1}):
            values = json.loads(json.dumps(good))
            target = values
            for key in path[:-1]:
                target = target[key]
            target[path[-1]] = wrong
            (victim / MANIFEST).write_text(json.dumps(values))
            code = cli.main(["-q", "--no-plugins", "show", str(victim.folder)], standalone_mode=False)
            told = capfd.readouterr().err
            assert "internal error" not in told, (path, wrong, told)
            assert code in (0, 1), (path, wrong)


def test_a_long_name_becomes_a_file_name_that_a_file_system_takes(victim, monkeypatch, capfd):
    monkeypatch.chdir(victim.folder.parent)
    victim.manifest(lambda v: v["model"].update(name="é" * 200))
    assert cli.main(["run", str(victim.folder), "-n", "2", "--seed", "0"], standalone_mode=False) == 0
    (made,) = (p for p in victim.folder.parent.iterdir() if p.is_file())
    assert made.stem == "é" * 75
    capfd.readouterr()


def test_wrong_conditions_in_a_config_are_errors_of_ours():
    from zoo.conditions import Condition

    for fields in (
        {"kind": "classes", "size": "3"},
        {"kind": "classes", "size": True},
        {"kind": "vector", "size": 1.5},
    ):
        with pytest.raises(ZooError):
            Condition.from_description(fields)
