"""Bundles of the small models of the package zoo-generators, exported once."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

sys.path.insert(0, str(Path(__file__).parent))

from small_generators import ALPHABET, card_of, gru, kernels, walk

from zoo.exporting import export
from zoo.modality import Text, describe


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """A function from a name to the folder of a bundle."""
    made = {}
    text = {"levels": len(ALPHABET), "kind": describe(Text(ALPHABET))}
    recipes = {"gru": (gru, text), "walk": (walk, {}), "kernels": (kernels, {})}

    def bundle(name):
        if name not in made:
            make, data = recipes[name]
            model = make()
            folder = tmp_path_factory.mktemp(name) / "bundle"
            made[name] = export(model, folder, card=card_of(name, model, **data))
        return made[name]

    return bundle
