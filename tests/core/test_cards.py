"""Model cards: what is written is read back, and what is no card is refused."""

import json

import pytest

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo.registry.cards import CARD_FILE, ModelCard, WeightsFile

CARD = ModelCard(
    name="tiny",
    summary="a model",
    family="flow",
    architecture="nsf-coupling",
    config={"transforms": 2},
    event_shape=(2,),
    condition=Condition.classes(3),
    parameters=10,
    weights=WeightsFile("weights.safetensors", "0" * 64, 100),
    license={"code": "Apache-2.0", "weights": "CC0-1.0"},
    papers=("Durkan et al. 2019",),
)


def test_a_card_comes_back_from_its_folder(tmp_path):
    (tmp_path / CARD_FILE).write_text(CARD.to_json())
    card = ModelCard.from_folder(tmp_path)
    assert card.describe() == CARD.describe()
    assert card.weights_path == tmp_path / "weights.safetensors"
    assert card.bundle_path is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "format 2"),
        ({"colour": "red"}, "colour"),
        ({"weights": {"file": "w"}}, "not a model card"),
        ({"weights": {"file": "../../x", "sha256": "0" * 64, "size": 1}}, "leaves the model's folder"),
        ({"bundle": "/etc"}, "leaves the model's folder"),
        ({"event_shape": "ab"}, "not a model card"),
        ({"condition": {"kind": "weather", "size": 2}}, "condition"),
    ],
)
def test_what_is_no_card_is_refused(tmp_path, change, says):
    (tmp_path / CARD_FILE).write_text(json.dumps({**CARD.describe(), **change}))
    with pytest.raises(ConfigError, match=says):
        ModelCard.from_folder(tmp_path)


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="not a model folder"):
        ModelCard.from_folder(tmp_path)
    (tmp_path / CARD_FILE).write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        ModelCard.from_folder(tmp_path)
