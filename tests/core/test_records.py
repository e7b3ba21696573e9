"""Dataclasses as JSON values and back: what is written is read as it was, and what does not fit is named."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from zoo import records
from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo.modality import Audio, Column, Table, Text, describe, modality_from


@dataclass(frozen=True)
class Leaf:
    size: int
    share: float | None = field(default=None, metadata=records.OMITTED)


@dataclass(frozen=True)
class Tree:
    name: str
    leaves: tuple[Leaf, ...] = ()
    named: Mapping[str, Leaf] = field(default_factory=dict)
    pair: tuple[float, float] = (0.0, 1.0)
    any: Any = None
    good: bool = True
    kind: ClassVar[str] = "tree"


TREE = Tree("a", (Leaf(1), Leaf(2, 0.5)), {"b": Leaf(3)}, (1.0, 2.0), {"x": [1, None]}, False)
WRITTEN = {
    "kind": "tree",
    "name": "a",
    "leaves": [{"size": 1}, {"size": 2, "share": 0.5}],
    "named": {"b": {"size": 3}},
    "pair": [1.0, 2.0],
    "any": {"x": [1, None]},
    "good": False,
}


def test_what_is_written_is_read_as_it_was():
    assert records.write(TREE) == WRITTEN
    assert list(records.write(TREE)) == list(WRITTEN)
    assert records.read(Tree, {k: v for k, v in WRITTEN.items() if k != "kind"}, "tree") == TREE


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], "^tree must be a table"),
        ({}, "^tree: name is missing"),
        ({"name": "a", "nmae": 1}, "^tree: .*nmae"),
        ({"name": 1}, "^tree: name must be str, not 1"),
        ({"name": "a", "good": 1}, "^tree: good must be bool, not 1"),
        ({"name": "a", "leaves": {}}, "^tree: leaves must be a list of tables"),
        ({"name": "a", "leaves": [{"size": 1}, 2]}, "^tree: leaves, entry 1 must be a table"),
        ({"name": "a", "leaves": [{"size": True}]}, "^tree: leaves, entry 0: size must be int, not True"),
        ({"name": "a", "leaves": [{"size": 1, "share": "x"}]}, "^tree: leaves, entry 0: share must be float"),
        ({"name": "a", "named": [1]}, "^tree: named must be a table"),
        ({"name": "a", "named": {"b": {"sise": 1}}}, "^tree: named.b: .*sise"),
        ({"name": "a", "pair": [1.0]}, "^tree: pair must be a list of 2"),
        ({"name": "a", "pair": [1.0, "x"]}, "^tree: pair, entry 1 must be float"),
    ],
)
def test_what_does_not_fit_is_named_with_the_way_to_it(values, says):
    with pytest.raises(ConfigError, match=says):
        records.read(Tree, values, "tree")


@pytest.mark.parametrize(
    "values", [{"name": [0] * 10_000}, {"name": "a", "x" * 10_000: 1}, {"name": "a", "pair": "y" * 10_000}]
)
def test_what_does_not_fit_is_shortened(values):
    with pytest.raises(ConfigError) as caught:
        records.read(Tree, values, "tree")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"kind": "classes"}, "condition: size is missing"),
        ({"size": 2}, "condition: kind is missing"),
        ({"kind": "classes", "size": 2, "lables": ["a", "b"]}, "lables"),
        ({"kind": "classes", "size": 2, "labels": "ab"}, "condition: labels must be a list"),
        ({"kind": "vectors", "size": 2}, "classes or vector"),
        (3, "condition must be a table"),
    ],
)
def test_a_condition_that_is_none_is_refused(values, says):
    with pytest.raises(ConfigError, match=says):
        Condition.from_description(values)


@pytest.mark.parametrize(
    "modality",
    [Audio(8000), Text("\nab"), Table((Column("a"), Column.categories("b", ("x", "y")), Column("c", grain=0.5)))],
)
def test_a_modality_comes_back(modality):
    assert modality_from(describe(modality)) == modality


@pytest.mark.parametrize(
    "values",
    [
        *(3, {}, {"kind": "smell"}, {"kind": ["audio"]}, {"kind": "audio"}, {"kind": "audio", "sample_rate": "8000"}),
        *({"kind": "table", "columns": [{"name": "a", "width": 1}]}, {"kind": "table", "columns": 3}),
    ],
)
def test_what_is_no_modality_is_refused(values):
    with pytest.raises(ConfigError):
        modality_from(values)
