"""A neural posterior from a file, by the command line alone: data, training, calibration, a bundle, and draws of it."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("scipy")
pq = pytest.importorskip("pyarrow.parquet")

from zoo.cli import _group  # noqa: E402 - after the check for torch

#: of the simulations and of the training; fixed before any of them was run
SEEDS = (1, 2, 3)
PARAMETERS, ROWS, NOISE = ("free a", "b", "phi"), 20_000, 0.4
CONFIG = {"hidden": 32, "blocks": 1, "transforms": 4}
TRAINING = {"steps": 1200, "batch_size": 256, "learning_rate": 3e-3, "evaluate_every": 200, "keep": "best"}


def simulated(seed, scale):
    """Parameters of the prior - free, in [0, 3], an angle - and five measurements of them in units of 1/scale."""
    random = np.random.default_rng(seed)
    a, b, phi = random.normal(size=ROWS), random.uniform(0, 3, ROWS), random.uniform(-np.pi, np.pi, ROWS)
    radius = 1 + 0.3 * b
    means = [a, b, radius * np.cos(phi), radius * np.sin(phi), 0.5 * a * b]
    x = scale * (np.stack(means, 1) + NOISE * random.normal(size=(ROWS, 5)) + 2.0)
    return np.concatenate([np.stack([a, b, phi], 1), x], 1)


def run(*args):
    result = CliRunner().invoke(_group.cli, [str(arg) for arg in args])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def trained(folder, seed, scale):
    """The folder of a run on a file of simulations, whose metrics are measured."""
    import pyarrow as pa

    table, name = simulated(seed, scale), f"sims-{seed}-{scale:g}"
    headings = [*PARAMETERS, *(f"x_{i}" for i in range(5))]
    pq.write_table(pa.table(dict(zip(headings, table.T, strict=True))), folder / f"{name}.parquet")
    settings = [f"training.{key}={value}" for key, value in TRAINING.items()]
    run(
        *("train", "nsf-circular", "--data", folder / f"{name}.parquet", "--given", "x_0..x_4", "--bounds", "b=0:3"),
        *("--circular", "phi", "--seed", seed, "--set", f"model.config={json.dumps(CONFIG)}"),
        *(word for each in settings for word in ("--set", each)),
        *("-o", folder / name),
    )
    measured = json.loads(run("eval", folder / name, "--metric", "likelihood", "--metric", "calibration", "--json"))
    return folder / name, measured["metrics"]


def weighted(observed, n=400_000):
    """Means and deviations of a and b, and the mean direction of phi, under the posterior: by weights of the prior."""
    random = np.random.default_rng(0)
    a, b, phi = random.normal(size=n), random.uniform(0, 3, n), random.uniform(-np.pi, np.pi, n)
    radius = 1 + 0.3 * b
    means = np.stack([a, b, radius * np.cos(phi), radius * np.sin(phi), 0.5 * a * b], 1)
    logs = -0.5 * (((observed - 2.0 - means) / NOISE) ** 2).sum(1)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    mean = [weights @ a, weights @ b]
    deviation = [np.sqrt(weights @ (each - m) ** 2) for each, m in zip((a, b), mean, strict=True)]
    return mean, deviation, float(np.angle(weights @ np.exp(1j * phi)))


@pytest.mark.full  # two trainings of half a minute for each seed
@pytest.mark.parametrize("seed", SEEDS)
def test_a_posterior_from_a_file_is_calibrated_whatever_the_scale_of_its_contexts(seed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, plain = trained(tmp_path, seed, 1.0)
    folder, scaled = trained(tmp_path, seed, 1e4)
    assert abs(scaled["test_nll"]["value"] - plain["test_nll"]["value"]) < 0.05
    assert set(scaled["sbc"]["p_values"]) == set(PARAMETERS)
    assert min(scaled["sbc"]["p_values"].values()) > 0.01, scaled["sbc"]
    run("export", folder, "-o", "sims.bundle")
    # one row of measurements, as a spreadsheet writes it, is the observation
    observed = simulated(100 + seed, 1.0)[0, 3:]
    with open("row.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([[f"x_{i}" for i in range(5)], [repr(1e4 * float(x)) for x in observed]])
    run("run", "sims.bundle", "--condition", "row.csv", "-n", 1000, "--seed", 0, "-o", "drawn.csv")
    with open("drawn.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1000
    assert list(rows[0])[:3] == list(PARAMETERS)
    a, b, phi = (np.array([float(row[name]) for row in rows]) for name in PARAMETERS)
    assert ((b >= 0) & (b <= 3)).all()
    assert ((phi >= -np.pi - 1e-6) & (phi <= np.pi + 1e-6)).all()
    mean, deviation, direction = weighted(observed)
    for drawn, m, s in zip((a, b), mean, deviation, strict=True):
        assert abs(drawn.mean() - m) < 0.25 * s
        assert drawn.std() == pytest.approx(s, rel=0.2)
    away = np.angle(np.exp(1j * phi).mean()) - direction
    assert abs(np.angle(np.exp(1j * away))) < 0.1
