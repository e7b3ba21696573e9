"""Give a shelved flow another temperature: its graphs and weights stay byte for byte, and so does their proof.

    python scripts/temper.py mnist-glow 0.7

What changes is compared with PyTorch again: whole runs of the program that samples. Golden samples are drawn anew, and
card, manifest and docs/models.md state the temperature. The recipe is to be changed by hand.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import click
import model_page
import torch
from safetensors.numpy import load_file
from ship import SHELF

from zoo import runtime, weights
from zoo.bundle import GOLDEN, MANIFEST, MODEL_CARD, file_info, open_bundle
from zoo.bundle.differences import TOLERANCE, relative_difference
from zoo.errors import ProofError
from zoo.files import write_text
from zoo.models import building
from zoo.registry import installed
from zoo.registry.cards import CARD_FILE, ModelCard
from zoo_onnx.export import update_card

#: numbers of samples, as in the proof of an export, and their seed
SIZES, SEED = (1, 2, 3, 17), 77


@click.command()
@click.argument("name")
@click.argument("temperature", type=click.FloatRange(0))
def main(name: str, temperature: float) -> None:
    """Give the shelved model NAME a temperature."""
    shelf = SHELF / name
    card = ModelCard.from_folder(shelf)
    card = replace(card, config={**card.config, "temperature": temperature}, recipe=_recipe(card, temperature))
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(shutil.copytree(shelf, Path(scratch) / name))
        write_text(staged / CARD_FILE, card.to_json())
        model = building.load(installed(), ModelCard.from_folder(staged))
        bundle = staged / "bundle"
        manifest = open_bundle(bundle).manifest
        manifest = replace(manifest, sample=replace(manifest.sampling, temperature=temperature))
        arrays = load_file(bundle / GOLDEN)
        seed, n = (int(arrays[f"program:sample/0/in/{each}"]) for each in ("seed", "n"))
        with torch.no_grad():
            arrays["program:sample/0/out/x"] = model.sample(n, seed=seed).numpy()
        weights.write(bundle / GOLDEN, arrays)
        files = {**manifest.files, GOLDEN: file_info(bundle / GOLDEN)}
        write_text(bundle / MANIFEST, replace(manifest, files=files).to_json())
        largest = _compared(model, bundle)
        proof = {**manifest.proof, "largest_differences": {**manifest.proof["largest_differences"], "sample": largest}}
        write_text(bundle / MANIFEST, replace(manifest, files=files, proof=proof).to_json())
        update_card(bundle, card)
        for path in (CARD_FILE, f"bundle/{MANIFEST}", f"bundle/{MODEL_CARD}", f"bundle/{GOLDEN}"):
            shutil.copyfile(staged / path, shelf / path)
    open_bundle(shelf / "bundle")
    model_page.write()
    click.echo(f"{name} samples at temperature {temperature:g}, equal to PyTorch within {largest:.1e}")


def _recipe(card: ModelCard, temperature: float) -> dict[str, object] | None:
    """The recipe of a card with the temperature in its config."""
    if card.recipe is None:
        return None
    model = card.recipe["model"]
    assert isinstance(model, dict)
    return {**card.recipe, "model": {**model, "config": {**model["config"], "temperature": temperature}}}


def _compared(model: building.GenerativeModel, bundle: Path) -> float:
    """The largest difference of whole runs from PyTorch.

    Raises:
        ProofError: it is beyond the tolerance.
    """
    opened, largest = runtime.load(bundle, "cpu"), 0.0
    for n in SIZES:
        with torch.no_grad():
            expected = model.sample(n, seed=SEED).numpy()
        unit = opened.manifest.sampling.unit(expected)
        largest = max(largest, relative_difference(opened.sample(n, seed=SEED), expected, unit))
    if largest > TOLERANCE:
        raise ProofError(f"samples differ by {largest:.2g} between ONNX Runtime and PyTorch")
    return float(f"{largest:.2g}")


if __name__ == "__main__":
    main()
