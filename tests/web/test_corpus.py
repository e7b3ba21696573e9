"""Bundles written long ago give their golden samples in Node: see tests/bundles/README.md."""

from pathlib import Path

import numpy as np
import pytest

from zoo import weights
from zoo.bundle import read_manifest

BUNDLES = Path(__file__).parents[1] / "bundles"
CORPUS = sorted(path.parent.relative_to(BUNDLES).as_posix() for path in BUNDLES.glob("*/*/manifest.json"))
SAMPLE = """const model = await genzoo.open({ folder: given.folder });
const { seed, condition, fused } = given, { data, shape } = await model.sample(given.n, { seed, condition, fused });
return { data, shape };"""


@pytest.mark.parametrize("name", CORPUS)
def test_golden_samples_are_given_again(node, package, name):
    golden, manifest = weights.read(BUNDLES / name / "golden.safetensors"), read_manifest(BUNDLES / name)
    for program in ("sample", "fused"):
        if f"program:{program}/0/out/x" not in golden:
            continue
        start = f"program:{program}/0/in/"
        given = {key.removeprefix(start): value for key, value in golden.items() if key.startswith(start)}
        parts = {key.removeprefix("condition/"): v.tolist() for key, v in given.items() if "/" in key}
        condition = parts or (given["condition"].tolist() if "condition" in given else None)
        options = {"n": int(given["n"]), "seed": int(given["seed"]), "condition": condition}
        found = node(package, SAMPLE, folder=str(BUNDLES / name), fused=program == "fused", **options)
        expected = golden[f"program:{program}/0/out/x"]
        array = np.array(found["data"], np.float32).reshape(found["shape"])
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-4 * manifest.sample.unit(expected))
