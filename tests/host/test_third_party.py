"""Real third-party packages: installed into a fresh environment with pip, used, broken, and uninstalled.

Those that pages of docs/plugins show are tested by test_plugin_pages.py too.
"""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "third_party" / "zoo-example"
REJECTION = ROOT / "zoo" / "templates" / "files" / "program"
DOORS = ROOT / "tests" / "third_party" / "zoo-doors"
GAN = ROOT / "tests" / "third_party" / "zoo-gan"
GENERATORS = ROOT / "tests" / "third_party" / "zoo-generators"


@pytest.fixture(scope="module")
def environment(new_environment):
    return new_environment("third-party")


@pytest.fixture
def example(tmp_path):
    return Path(shutil.copytree(EXAMPLE, tmp_path / "zoo-example", ignore=shutil.ignore_patterns("__pycache__")))


def names(document, plural="architectures"):
    return {item["name"]: item for item in document[plural]}


def its_metric_is_measured_beside_the_built_in_ones(environment, bundle):
    import numpy as np

    from zoo.registry import installed
    from zoo.training.data import load_data

    measured = environment.json("eval", bundle, "--data", "moons", "--samples", "64", "--scored", "20")
    assert {"test_nll", "mean_distance"} <= set(measured["metrics"])
    environment.zoo("run", bundle, "-n", "64", "--seed", "1", "-o", "drawn.npy")
    drawn = np.load(environment.work / "drawn.npy")
    test = load_data(installed().dataset("moons"), {}, installed()).test.x
    distance = np.linalg.norm(drawn.mean(0) - test.mean(0))
    assert measured["metrics"]["mean_distance"]["value"] == pytest.approx(distance, abs=1e-4)
    alone = environment.json("eval", bundle, "--data", "moons", "--metric", "mean-distance")
    assert list(alone["metrics"]) == ["mean_distance"]


@pytest.mark.slow
def test_a_third_party_package_from_install_to_uninstall(environment, example):
    import numpy as np

    before = environment.json("list", "--all"), environment.json("plugins")
    assert "gaussian" not in names(before[0])

    # installed: it is listed, from where it comes
    environment.install(example)
    listed = names(environment.json("list", "--architectures"))["gaussian"]
    assert listed["plugin"] == {"name": "example", "distribution": "zoo-example", "version": "0.1.0"}
    assert listed["unavailable"] is None
    (record,) = [p for p in environment.json("plugins")["plugins"] if p["name"] == "example"]
    assert (record["status"], record["builtin"]) == ("ok", False)
    assert record["brings"] == ["1 architecture", "1 sampler", "1 metric"]

    # trained, exported, run, scored: no line of the plugin is about any of these
    trained = environment.json("train", str(example / "gaussian.toml"), "-o", "runs/gaussian", "--steps", "40")
    assert trained["model"] == "moons-gaussian"
    environment.zoo("export", "runs/gaussian", "-o", "gaussian.bundle")
    environment.zoo("run", "gaussian.bundle", "-n", "16", "--seed", "0", "-o", "samples.npy")
    environment.zoo("run", "gaussian.bundle", "--log-prob", "samples.npy", "-o", "densities.npy")
    samples = np.load(environment.work / "samples.npy")
    densities = np.load(environment.work / "densities.npy")
    assert samples.shape == (16, 2)
    # the density of a Gaussian whose parameters are those in the trained weights, written out here
    from safetensors.numpy import load_file

    arrays = {
        k: v.astype(np.float64) for k, v in load_file(environment.work / "runs/gaussian/weights.safetensors").items()
    }
    z = (samples - arrays["mean"]) / np.exp(arrays["log_std"])
    expected = -0.5 * (z**2 + np.log(2 * np.pi)).sum(1) - arrays["log_std"].sum()
    np.testing.assert_allclose(densities, expected, atol=1e-5)

    its_metric_is_measured_beside_the_built_in_ones(environment, "gaussian.bundle")

    # its sampler runs with a bundle that was exported before anybody had thought of it
    environment.zoo(
        "run", "mnist-unet", "--sampler", "two-step", "--steps", "6", *(["-n", "2", "--seed", "0", "-o", "digits.npy"])
    )
    assert np.load(environment.work / "digits.npy").shape == (2, 1, 28, 28)

    # disabled: as if it were not there
    assert "gaussian" not in names(environment.json("--no-plugins=example", "list", "--architectures"))
    assert "gaussian" not in names(environment.json("--no-plugins", "list", "--architectures"))

    # uninstalled: no trace, and the bundle runs on without it
    environment.pip("uninstall", "-y", "zoo-example")
    assert (environment.json("list", "--all"), environment.json("plugins")) == before
    environment.zoo("run", "gaussian.bundle", "-n", "16", "--seed", "0", "-o", "again.npy")
    np.testing.assert_array_equal(np.load(environment.work / "again.npy"), samples)
    error = environment.json("train", str(example / "gaussian.toml"), "-o", "runs/other", code=2)["error"]
    assert error["message"] == "there is no architecture named 'gaussian'"


@pytest.mark.slow
def test_a_third_party_package_that_breaks_stops_nobody_else(environment, example):
    module = example / "zoo_example" / "__init__.py"
    module.write_text("import zoo\nimport surely_not_there\n")
    environment.install(example)
    try:
        failed = environment.json("plugins", "--failed")["plugins"]
        (record,) = [p for p in failed if p["distribution"] == "zoo-example"]
        assert record["error"] == "ModuleNotFoundError: No module named 'surely_not_there'"
        assert record["where"].replace("\\", "/") == "zoo_example/__init__.py:2"
        listed = environment.zoo("list", "--samplers")
        assert "ddim" in listed.stdout
        assert "plugin example of zoo-example 0.1.0 is ignored" in listed.stderr
        shown = environment.zoo("plugins", "--failed").stdout
        assert "pip uninstall zoo-example" in shown
        environment.zoo("doctor", code=3)

        # a hook that fails, and a model class that does: both named, neither spreads
        module.write_text((EXAMPLE / "zoo_example" / "__init__.py").read_text())
        (example / "zoo_example" / "gaussian.py").write_text("raise RuntimeError('not today')\n")
        environment.install(example)
        assert "gaussian" in names(environment.json("list", "--architectures"))
        error = environment.json("train", str(example / "gaussian.toml"), "-o", "runs/broken", code=1)["error"]
        assert "'gaussian' of zoo-example 0.1.0 cannot be loaded: RuntimeError: not today" in error["message"]
        assert not (environment.work / "runs" / "broken").exists()
    finally:
        environment.pip("uninstall", "-y", "zoo-example")


@pytest.mark.full
@pytest.mark.slow
def test_a_third_party_kind_of_program_trains_exports_proves_and_runs(environment, tmp_path):
    import numpy as np

    package = Path(shutil.copytree(REJECTION, tmp_path / "zoo-rejection", ignore=shutil.ignore_patterns("__pycache__")))
    environment.install(package)
    try:
        assert "rejection" in names(environment.json("list", "--programs"), "programs")
        environment.json("train", str(package / "resampled.toml"), "-o", "runs/resampled", "--steps", "60")
        environment.zoo("export", "runs/resampled", "-o", "resampled.bundle")
        proof = environment.json("show", "resampled.bundle")["bundle"]["proof"]
        assert proof["largest_differences"]["sample"] <= proof["tolerance"]
        assert (
            "the first of 4 proposals of inverse that accept keeps"
            in environment.zoo("show", "resampled.bundle").stdout
        )
        assert all(row["ok"] for row in environment.json("check", "resampled.bundle")["differences"])
        for batch in ("7", "40"):
            environment.zoo(
                *("run", "resampled.bundle", "-n", "40", "--seed", "0", "-o", f"x{batch}.npy", "--batch-size", batch)
            )
        whole = np.load(environment.work / "x40.npy")
        np.testing.assert_allclose(np.load(environment.work / "x7.npy"), whole, atol=1e-5)
        # what a rejection sampler of this bundle's own graphs gives, written out here
        found = environment.python_says(
            "from zoo.runtime import load; import numpy as np; from zoo.noise import Stream, normal, uniform\n"
            "m = load('resampled.bundle', 'cpu'); z = normal(0, 40, (4, 2))\n"
            "u = uniform(0, 40, (4,), stream=Stream.STEP)\n"
            "x = [m.session('inverse').run({'z': z[:, t]})['x'] for t in range(4)]\n"
            "a = [m.session('accept').run({'x': v})['accept'] for v in x]\n"
            "r = [next((x[t][i] for t in range(4) if u[i, t] < a[t][i]), x[3][i]) for i in range(40)]\n"
            "print(np.abs(np.stack(r) - np.load('x40.npy')).max())"
        )
        assert float(found) < 1e-5
        environment.zoo("run", "resampled.bundle", "-n", "4", "--steps", "3", "-o", "no.npy", code=2)
        without = environment.zoo("--no-plugins=rejection", "run", "resampled.bundle", "-o", "no.npy", code=1)
        assert "a program of kind 'rejection' that this version cannot run" in without.stderr
    finally:
        environment.pip("uninstall", "-y", "zoo-rejection")
    # the bundle stays whole; what runs it is gone
    error = environment.json("run", "resampled.bundle", "-n", "4", "-o", "no.npy", code=1)["error"]
    assert "kind 'rejection'" in error["message"]


@pytest.mark.full
@pytest.mark.slow
def test_a_bound_and_no_density_at_all_train_export_and_run(environment, tmp_path):
    """A VAE, whose density is a bound, and a GAN, which has none and trains two networks against one another."""
    import numpy as np

    packages = {
        name: shutil.copytree(source, tmp_path / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        for name, source in (("vae", GENERATORS), ("gan", GAN))
    }
    environment.install(*packages.values())
    try:
        for name, density in (("vae", "bound"), ("gan", "none")):
            recipe = str(packages[name] / f"{name}.toml")
            trained = environment.json("train", recipe, "-o", f"runs/{name}", "--steps", "300")
            assert list(trained["metrics"]) == {"vae": ["test_bound_nll"], "gan": ["test_loss"]}[name]
            environment.zoo("export", f"runs/{name}", "-o", f"{name}.bundle")
            assert environment.json("show", f"{name}.bundle")["density"] == density
            assert environment.json("show", f"runs/{name}")["density"] == density
    finally:
        environment.pip("uninstall", "-y", "zoo-generators", "zoo-gan")
    # without the package
    for name in ("vae", "gan"):
        environment.zoo("run", f"{name}.bundle", "-n", "2000", "--seed", "0", "-o", f"{name}.npy")
        x = np.load(environment.work / f"{name}.npy")
        # both half-moons, which lie about (0.5, 0.25)
        assert np.abs(x.mean(0) - [0.5, 0.25]).max() < 0.3
        assert x.std(0).min() > 0.2
    scored = environment.json("run", "vae.bundle", "--log-prob", "vae.npy", "-o", "vae-scores.npy")
    assert scored["density"] == "bound"
    metrics = environment.json("eval", "vae.bundle", "--data", "moons", "--samples", "0")["metrics"]
    assert "test_bound_nll" in metrics
    assert "test_nll" not in metrics
    assert "test_nll" not in environment.json("eval", "gan.bundle", "--data", "moons", "--samples", "0")["metrics"]
    error = environment.json("run", "gan.bundle", "--log-prob", "gan.npy", "-o", "no.npy", code=2)["error"]
    assert "cannot score" in error["message"]


@pytest.mark.full
@pytest.mark.slow
def test_a_recurrent_network_and_a_density_alone_train_export_and_run(environment, tmp_path):
    """Names by a GRU, walks of variable length, and a kernel density, which only scores."""
    import numpy as np

    package = Path(
        shutil.copytree(GENERATORS, tmp_path / "zoo-generators", ignore=shutil.ignore_patterns("__pycache__"))
    )
    environment.install(package)
    metrics = {
        "gru": ["test_nll", "test_bits_per_symbol"],
        "walk": ["test_nll"],
        "kernels": ["test_nll", "test_gap"],
    }
    try:
        for name, measured in metrics.items():
            trained = environment.json("train", str(package / f"{name}.toml"), "-o", f"runs/{name}", "--steps", "200")
            assert list(trained["metrics"]) == measured
            environment.zoo("export", f"runs/{name}", "-o", f"{name}.bundle")
            shown = environment.json("show", f"{name}.bundle")
            assert (shown["density"], shown["samples"]) == ("exact", name != "kernels")
            assert environment.json("show", f"runs/{name}")["samples"] == (name != "kernels")
        assert "only scores" in environment.zoo("show", "runs/kernels").stdout
        if (Path(os.environ.get("ZOO_DATA", "")) / "names" / "names.txt").is_file():
            trained = environment.json("train", str(package / "names-gru.toml"), "-o", "runs/names", "--steps", "20")
            # better than any letter alike, of 27
            assert trained["metrics"]["test_bits_per_symbol"]["value"] < np.log2(27)
        evaluated = environment.json("eval", "gru.bundle", "--data", "syllables", "--samples", "50")["metrics"]
        assert {"test_nll", "test_bits_per_symbol", "novel"} <= set(evaluated)
        alone = environment.json("eval", "kernels.bundle", "--data", "moons")["metrics"]
        # no metric of samples; and 200 kernels know more of two moons than a normal, whose gap is above 1
        assert list(alone) == ["test_nll", "test_gap"]
        assert 0 < alone["test_gap"]["value"] < 1
    finally:
        environment.pip("uninstall", "-y", "zoo-generators")
    # without the package: names of syllables, most of them
    environment.zoo("run", "gru.bundle", "-n", "200", "--seed", "0", "-o", "names.txt")
    names = (environment.work / "names.txt").read_text("utf-8").split()
    assert sum(re.fullmatch("([klmnrst][aeio]){2,3}", name) is not None for name in names) > 100
    scored = environment.json("run", "gru.bundle", "--log-prob", "names.txt")
    assert scored["bits_per_dim"] is None
    assert np.isfinite(scored["log_prob"]).all()
    environment.zoo("run", "walk.bundle", "-n", "30", "--seed", "0", "-o", "walks.csv")
    assert (environment.work / "walks.csv").read_text().splitlines()[0].endswith(",length")
    environment.zoo("run", "walk.bundle", "--log-prob", "walks.csv", "-o", "walk-scores.npy")
    assert np.isfinite(np.load(environment.work / "walk-scores.npy")).all()
    error = environment.json("run", "kernels.bundle", "-n", "4", "-o", "no.npy", code=2)["error"]
    assert error["message"].endswith("only scores data: it cannot sample")


def it_runs_in_a_single_file_that_knows_no_path(environment, expected):
    """The target ``python``: the table of the model's own sampler is numbers by then."""
    import numpy as np

    code = "import sys; sys.path.insert(0, 'even-python'); from sample import Model; import numpy as np\n"
    code += "np.save('alone.npy', Model('even-python/bundle').sample(16, seed=0)); assert 'zoo' not in sys.modules"
    environment.python_says(code)
    np.testing.assert_allclose(np.load(environment.work / "alone.npy"), expected, atol=1e-4)


@pytest.mark.slow
def test_a_third_party_command_format_path_and_network_through_the_doors_of_the_built_in_ones(environment, tmp_path):
    import numpy as np

    package = Path(shutil.copytree(DOORS, tmp_path / "zoo-doors", ignore=shutil.ignore_patterns("__pycache__")))
    environment.install(package)
    try:
        (record,) = [p for p in environment.json("plugins")["plugins"] if p["name"] == "doors"]
        assert record["brings"] == ["1 architecture", "1 data set", "1 path", "3 formats", "1 modality", "1 command"]
        assert "Commands of plugins:\n  extent  Say how far data reach.\n" in environment.zoo("--help").stdout
        environment.json("train", str(package / "even.toml"), "-o", "runs/even")
        environment.zoo("export", "runs/even", "-o", "even.bundle")
        shown = json.loads((environment.work / "even.bundle" / "manifest.json").read_text("utf-8"))
        described = {"name": "even", "reach": 8.0, "package": "zoo-doors"}
        assert (shown["programs"]["sample"]["path"], shown["programs"]["log_prob"]) == (described, None)
        assert environment.json("show", "even.bundle")["density"] == "none"
        for suffix in ("tsv", "npy"):
            environment.zoo("run", "even.bundle", "-n", "16", "--seed", "0", "-o", f"even.{suffix}")
        samples = np.load(environment.work / "even.npy")
        np.testing.assert_array_equal(np.loadtxt(environment.work / "even.tsv", delimiter="\t"), samples)
        # the format is read, by a command of its own and by those of the host
        reach = environment.json("extent", "even.tsv", "--size", "2")
        np.testing.assert_allclose([reach["low"], reach["high"]], [samples.min(0), samples.max(0)])
        environment.zoo("run", "even.bundle", "--init", "even.tsv", "--strength", "0", "-n", "16", "-o", "same.npy")
        np.testing.assert_allclose(np.load(environment.work / "same.npy"), samples, atol=1e-6)
        environment.zoo("run", "moons-nsf", "--log-prob", "even.tsv", "-o", "scores.tsv")
        environment.zoo("run", "moons-nsf", "--log-prob", "even.npy", "-o", "scores.npy")
        scores = np.load(environment.work / "scores.npy")
        np.testing.assert_array_equal(np.loadtxt(environment.work / "scores.tsv"), scores)
        error = environment.json("run", "even.bundle", "-o", "x.xyz", code=2)["error"]
        assert ".tsv (numbers between tabs, one sample per line)" in error["hint"]
        environment.zoo("export", "even.bundle", "--target", "python", "-o", "even-python")
    finally:
        environment.pip("uninstall", "-y", "zoo-doors")
    # gone: what needs it says so, and what does not goes on
    environment.zoo("run", "even.bundle", "-n", "16", "--seed", "0", "-o", "without.npy")
    np.testing.assert_array_equal(np.load(environment.work / "without.npy"), samples)
    error = environment.json("run", "even.bundle", "-n", "4", "--steps", "7", "-o", "no.npy", code=1)["error"]
    assert error["message"].startswith("'zoo-doors' is needed to run other step tables than the stored ones (ddim-10, ")
    assert "No such command 'extent'" in environment.zoo("extent", code=2).stderr
    assert ".tsv" not in environment.json("run", "moons-nsf", "-o", "x.tsv", code=2)["error"]["hint"]
    it_runs_in_a_single_file_that_knows_no_path(environment, samples)


@pytest.mark.full
@pytest.mark.slow
def test_a_third_party_modality_is_trained_exported_written_read_drawn_and_missed(environment, tmp_path):
    """Boards of noughts and crosses, in text files and pictures of their own."""
    import numpy as np

    package = Path(shutil.copytree(DOORS, tmp_path / "zoo-doors", ignore=shutil.ignore_patterns("__pycache__")))
    environment.install(package)
    try:
        (board,) = [each for each in environment.json("list", "--modalities")["modalities"] if each["name"] == "board"]
        assert (board["plugin"]["distribution"], board["suffix"]) == ("zoo-doors", ".brd")
        environment.json("train", str(package / "games.toml"), "-o", "runs/games", "--steps", "100")
        environment.zoo("export", "runs/games", "-o", "games.bundle")
        described = {"kind": "board", "package": "zoo-doors", "rows": 3, "columns": 3, "pieces": ".XO"}
        for place in ("runs/games", "games.bundle"):
            assert environment.json("show", place)["modality"] == described
        assert "board: boards, of the plugin zoo-doors" in environment.zoo("show", "games.bundle").stdout
        drawn = environment.json("run", "games.bundle", "-n", "6", "--seed", "0")
        assert drawn["output"] == "games.brd"
        for suffix in ("npy", "png", "svg"):
            environment.zoo("run", "games.bundle", "-n", "6", "--seed", "0", "-o", f"games.{suffix}")
        samples = np.load(environment.work / "games.npy")
        pieces = np.array(list(".XO"))[np.floor(samples).clip(0, 2).astype(int)]
        text = (environment.work / "games.brd").read_text("utf-8")
        assert text.split() == ["".join(row) for each in pieces for row in each]
        assert (environment.work / "games.svg").read_text("utf-8").count("<text") == 54
        assert (environment.work / "games.png").read_bytes().startswith(b"\x89PNG")
        # read back, to score and to start from
        np.save(environment.work / "whole.npy", np.floor(samples).clip(0, 2).astype(np.int64))
        scores = [
            environment.json("run", "games.bundle", "--log-prob", f"{data}", "--steps", "4")["log_prob"]
            for data in ("games.brd", "whole.npy")
        ]
        assert scores[0] == scores[1]
        environment.zoo("run", "games.bundle", "--init", "games.brd", "--strength", "0", "-n", "6", "-o", "same.brd")
        assert (environment.work / "same.brd").read_text("utf-8") == text
        (environment.work / "wide.brd").write_text("....\n....\n....\n")
        error = environment.json("run", "games.bundle", "--log-prob", "wide.brd", code=1)["error"]
        assert error["message"] == "wide.brd has boards of another size"
        error = environment.json("run", "moons-nsf", "--log-prob", "games.brd", code=1)["error"]
        assert error["message"] == "games.brd holds boards, but this is not a model of boards"
        assert all(row["ok"] for row in environment.json("check", "games.bundle")["differences"])
    finally:
        environment.pip("uninstall", "-y", "zoo-doors")
    plain_numbers_are_left(environment, described, samples)


def plain_numbers_are_left(environment, described, samples):
    """A bundle and a card of a modality whose plugin is gone."""
    import numpy as np

    told = "their modality 'board' is of the package 'zoo-doors', which is not installed as a plugin, or disabled"
    for place in ("runs/games", "games.bundle"):
        assert environment.json("show", place)["modality"] == described
        assert told in environment.zoo("show", place).stdout
    done = environment.zoo("run", "games.bundle", "-n", "6", "--seed", "0", "--force")
    assert f"samples are plain numbers here: {told}" in done.stderr
    np.testing.assert_array_equal(np.load(environment.work / "games.npy"), samples)
    error = environment.json("run", "games.bundle", "-n", "2", "-o", "x.brd", code=2)["error"]
    assert "'.brd' of x.brd is not a known format" in error["message"]
    checked = environment.json("check", "games.bundle")
    assert (checked["ok"], set(checked["unrun"])) == (True, {"log_prob"})
    # packed without the plugin, for a runtime that knows of none
    environment.zoo("export", "games.bundle", "--target", "python", "-o", "games-python")
    code = "import sys; sys.path.insert(0, 'games-python'); from sample import Model; import numpy as np\n"
    code += "np.save('alone.npy', Model('games-python/bundle').sample(6, seed=0)); assert 'zoo' not in sys.modules"
    environment.python_says(code)
    np.testing.assert_allclose(np.load(environment.work / "alone.npy"), samples, atol=1e-4)


ACME = ROOT / "zoo" / "templates" / "files" / "adapter"


def test_the_page_on_other_peoples_flows_shows_the_file_of_its_adapter():
    page = (ROOT / "docs" / "adapters.md").read_text("utf-8")
    shown = dict(re.findall(r"^`([\w./-]+)`\n\n```python\n(.*?)^```$", page, re.M | re.S))
    assert shown == {"zoo_acme.py": (ACME / "zoo_acme.py").read_text("utf-8")}
    assert shown["zoo_acme.py"].count("\n") <= 60


@pytest.mark.slow
@pytest.mark.full
def test_an_adapter_of_a_third_party_package_exports_a_library_that_genzoo_does_not_know(environment, tmp_path):
    import numpy as np

    source = shutil.copytree(ACME, tmp_path / "zoo-acme", ignore=shutil.ignore_patterns("__pycache__"))
    environment.install(source)
    try:
        assert "acme" in names(environment.json("list", "--adapters"), "adapters")
        code = (
            "import torch, zoo, acme_flows\n"
            "torch.manual_seed(0)\n"
            "flow = acme_flows.TriangularFlow(3, 2)\n"
            "zoo.export(zoo.wrap(flow, context=2), 'acme.bundle')\n"
            "x, c = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.5, -1.0]])\n"
            "print(float(flow.log_likelihood(x, c)))\n"
        )
        told = float(environment.python_says(code))
    finally:
        environment.pip("uninstall", "-y", "zoo-acme")
    # without the package, and in ONNX Runtime
    np.save(environment.work / "x.npy", np.array([[1.0, 2.0, 3.0]], np.float32))
    np.save(environment.work / "c.npy", np.array([[0.5, -1.0]], np.float32))
    scored = ["run", "acme.bundle", "--log-prob", "x.npy", "--condition", "c.npy", "-o", "scored.npy"]
    environment.zoo(*scored)
    assert np.load(environment.work / "scored.npy")[0] == pytest.approx(told, abs=1e-4)
