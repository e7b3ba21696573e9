"""Bundles written long ago give their golden samples in Node: see tests/bundles/README.md."""

import json
import shutil
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


def test_a_table_with_a_column_that_the_graph_does_not_take_is_refused(node, package, tmp_path):
    script = """const model = await genzoo.open({ folder: given.folder });
    const { shape } = await model.sample(2, { seed: 0, table: "ddpm-100" }), table = model.table();
    table.matrix = table.matrix.slice(0, 4);
    return { shape, refused: await refused(() => model.sample(2, { table: given.table ?? table })) };"""
    folder = shutil.copytree(BUNDLES / "columns" / "unclipped", tmp_path / "bundle")
    found = node(package, script, folder=str(folder))
    assert (found["shape"], found["refused"][1]) == ([2, 3], "graph step takes no matrix of 1 columns for 1 slots")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["programs"]["sample"]["unclipped_column"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    found = node(package, script, folder=str(folder), table="ddim-4")
    assert (found["shape"], found["refused"][1]) == ([2, 3], "graph step takes no matrix of 3 columns for 1 slots")
    manifest["programs"]["sample"]["unclipped_column"], manifest["format"]["version"] = True, 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    opened = "return refused(() => genzoo.open({ folder: given.folder }));"
    assert "unclipped_column, which format 1 does not have" in node(package, opened, folder=str(folder))[1]


def test_what_a_plugin_brought_is_no_reason_to_refuse_but_other_tables_and_scores_are(node, package):
    script = """const model = await genzoo.open({ folder: given.folder });
    const { shape } = await model.sample(2, { seed: 0, table: "ddpm-100" });
    return { shape, kind: model.manifest.kind.kind, scores: model.scores, tables: model.tables,
      refused: await refused(() => model.sample(2, { table: "ddim-7" })) };"""
    found = node(package, script, folder=str(BUNDLES / "brought" / "games"))
    assert (found["shape"], found["kind"], found["scores"]) == ([2, 3, 3], "board", False)
    assert set(found["tables"]) == {"ddim-4", "ddim-10", "ddim-20", "ddim-50", "ddpm-100"}
    assert found["refused"][1] == "there is no step table ddim-7"
