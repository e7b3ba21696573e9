"""The pages of docs/plugins: what they show are the files of packages in tests/third_party.

The packages are installed, the commands of a page are run one after another, and say what the page says that they say.
"""

import csv
import doctest
import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from zoo.templates import FILES, TEMPLATES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "plugins"
#: those that `zoo new` writes under other names
PACKAGES = {f"zoo-{template.name}": FILES / kind for kind, template in TEMPLATES.items()}


@dataclass(frozen=True)
class Page:
    """A page: the files that it shows, by path, and its commands with what each says, or an empty text."""

    name: str
    text: str
    files: dict
    commands: list

    @classmethod
    def of(cls, path):
        text = path.read_text("utf-8")
        files = dict(re.findall(r"^`([\w./-]+)`\n\n```\w+\n(.*?)^```$", text, re.M | re.S))
        consoles = "".join(re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S))
        commands = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", consoles.replace("\\\n", " "), re.M)
        return cls(path.stem, text, files, commands)

    @property
    def package(self):
        (name,) = re.findall(r'^name = "([\w-]+)"$', self.files["pyproject.toml"], re.M)
        return PACKAGES.get(name) or ROOT / "tests" / "third_party" / name


PAGES = {path.stem: Page.of(path) for path in sorted(DOCS.glob("*.md")) if path.stem != "README"}
pages = pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))


def test_there_is_a_page_for_every_kind_and_the_index_names_them_all():
    index = (DOCS / "README.md").read_text("utf-8")
    assert re.findall(r"\]\(([\w-]+)\.md\)", index) == [
        "first-plugin",
        "flow",
        "diffusion-network",
        "conditional",
        "sample-only",
        "data-set",
        "metric",
        "sampler",
        "program",
        "target",
        "path-format-command",
    ]
    assert sorted(re.findall(r"\]\(([\w-]+)\.md\)", index)) == sorted(PAGES)


@pages
def test_a_page_shows_exactly_the_files_of_its_package(page):
    files = {
        str(path.relative_to(page.package)): path.read_text("utf-8")
        for path in page.package.rglob("*")
        if path.is_file() and path.suffix in (".py", ".toml")
    }
    assert page.files == files


@pages
def test_a_page_begins_with_its_installation_and_tells_only_of_commands_that_there_are(page):
    from zoo.cli import COMMANDS

    (install, said), *others = page.commands
    assert (install, said) == ("pip install -e .", "")
    told = {next(word for word in shlex.split(command)[1:] if not word.startswith("-")) for command, _ in others}
    assert told <= {*COMMANDS, *(["extent"] if page.name == "path-format-command" else [])}
    assert all(command.startswith("zoo ") for command, _ in others)


DOCUMENTS = ["README.md", "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_to_files_lead_somewhere(document):
    path = ROOT / document
    links = re.findall(
        r"\]\(([^)#\s]+)(?:#[^)]*)?\)", re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.M | re.S)
    )
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not missing


@pytest.fixture(scope="session")
def installed_pages(new_environment):
    """An environment with the packages of all pages."""
    environment = new_environment("pages")
    sources = environment.work.parent / "packages"
    ignored = shutil.ignore_patterns("__pycache__")
    environment.install(
        *(shutil.copytree(page.package, sources / page.name, ignore=ignored) for page in PAGES.values())
    )
    return environment


def says(environment, folder, command):
    """What a command of a page says on both streams, in order, and its exit code."""
    program, *arguments = shlex.split(command)
    assert program == "zoo"
    done = subprocess.run(
        [environment.python, "-m", "zoo", *arguments],
        env={**environment.environment, "PYTHONUNBUFFERED": "1", "COLUMNS": "120"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout, done.returncode


@pytest.mark.slow
@pages
@pytest.mark.sample("metric", "sampler")
def test_the_commands_of_a_page_say_what_it_says(page, installed_pages, tmp_path):
    for recipe in page.package.glob("*.toml"):
        shutil.copy(recipe, tmp_path)
    same = doctest.OutputChecker().check_output
    for command, told in page.commands[1:]:
        said, code = says(installed_pages, tmp_path, command)
        if "cannot be fetched" in said and "ZOO_DATA" not in os.environ:
            pytest.skip(f"{command}: {said.splitlines()[0]}")
        assert (code != 0) == told.startswith("Error: "), f"{command}\n{said}"
        assert same(told, said, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), f"{command}\n{said}\nnot\n{told}"
    RIGHT[page.name](tmp_path, installed_pages)


# -- whether what the commands of a page made is right ----------------------------------------------------------------


def numbers(path, columns=("x0", "x1")):
    with path.open(encoding="utf-8") as file:
        return np.array([[float(row[name]) for name in columns] for row in csv.DictReader(file)])


def near_the_moons(x, moons=(0, 1)):
    """The share of points that are nearer than 0.25 to one of two half circles."""
    t = np.linspace(0, np.pi, 100)
    upper, lower = np.stack([np.cos(t), np.sin(t)], 1), np.stack([1 - np.cos(t), 0.5 - np.sin(t)], 1)
    curve = np.concatenate([(upper, lower)[i] for i in moons])
    return (np.linalg.norm(x[:, None] - curve, axis=2).min(1) < 0.25).mean()


def metric_of(folder, run, name):
    return json.loads((folder / "runs" / run / "card.json").read_text("utf-8"))["metrics"][name]["value"]


def first_plugin(folder, environment):
    x = np.load(folder / "samples.npy")
    assert x.shape == (16, 2)
    # the best normal with a diagonal covariance: of deviations 0.87 and 0.5
    assert abs(metric_of(folder, "gaussian", "test_nll") - (1 + np.log(2 * np.pi * 0.87 * 0.5))) < 0.05


def flow(folder, environment):
    """Better than a normal, whose nll is 3.6, and of mass 1."""
    assert metric_of(folder, "twist", "test_nll") < 3.3
    axis = np.arange(-10, 10, 0.1, np.float32)
    np.save(folder / "grid.npy", np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    says(environment, folder, "zoo run twist.bundle --log-prob grid.npy -o densities.npy")
    assert abs(np.exp(np.load(folder / "densities.npy")).sum() * 0.1**2 - 1) < 0.01


def diffusion_network(folder, environment):
    x = numbers(folder / "upper.csv")
    assert near_the_moons(x, [0]) > 0.9
    assert near_the_moons(x, [1]) < 0.5


def conditional(folder, environment):
    """The posterior of a line with a normal prior and normal errors is a normal, worked out here."""
    x, times = numbers(folder / "lines.csv"), np.linspace(-1, 1, 5)
    readings, precision = np.array([-1.1, -0.4, 0.1, 0.6, 0.9]), 1 / 0.5**2
    exact = 1 + precision * np.array([(times**2).sum(), len(times)])
    mean = precision * np.array([(times * readings).sum(), readings.sum()]) / exact
    np.testing.assert_allclose(x.mean(0), mean, atol=0.08)
    np.testing.assert_allclose(x.std(0), exact**-0.5, rtol=0.2)
    entropies = [0.5 * np.log(2 * np.pi * np.e / (1 + k / d**2)) for k in (2.5, 5) for d in (0.1, 0.5)]
    assert sum(entropies) / 2 == pytest.approx(-1.46, abs=0.005)
    assert sum(entropies) / 2 - 0.15 < metric_of(folder, "posterior", "test_nll") < sum(entropies) / 2 + 0.15
    assert np.load(folder / "densities.npy").shape == (1000,)


def sample_only(folder, environment):
    """Mean and deviations of the data; before training, no deviation is above 0.3."""
    x = numbers(folder / "gan.csv")
    np.testing.assert_allclose(x.mean(0), [0.5, 0.25], atol=0.15)
    np.testing.assert_allclose(x.std(0), [0.87, 0.5], atol=0.2)


def data_set(folder, environment):
    """Points of the second arm, in the recipe's number of turns."""
    x, place = numbers(folder / "second.csv"), np.linspace(0, 1, 200)
    angle = 2 * np.pi * 0.75 * place + np.pi
    arm = 2 * place[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    near, other = (np.linalg.norm(x[:, None] - each, axis=2).min(1) for each in (arm, -arm))
    assert (near < other).mean() > 0.9
    assert np.median(near) < 0.2


def metric(folder, environment):
    """The same number from samples and data, pair by pair."""
    from zoo.registry import installed
    from zoo.runtime import load
    from zoo.training.data import load_data

    said, _ = says(environment, folder, "zoo eval moons-nsf --metric coverage --samples 100 --json")
    value = json.loads(said[said.index("{") :])["metrics"]["coverage"]["value"]
    real = load_data(installed().dataset("moons"), {}, installed()).test.x[:100]
    drawn = load(installed().model("moons-nsf").bundle_path, "cpu").sample(100, seed=1)
    covered = 0
    for point in real:
        fifth = sorted(np.linalg.norm(real - point, axis=1))[5]
        covered += min(np.linalg.norm(drawn - point, axis=1)) < fifth
    assert value == covered / 100


def sampler(folder, environment):
    """Its rows are those that are asked for, and they leave a normal distribution, whose D is known, as it is."""
    x = numbers(folder / "restart.csv")
    assert near_the_moons(x) > 0.9
    np.testing.assert_array_equal(numbers(folder / "resumed.csv"), x)
    variance = environment.python_says(
        "from zoo_restart.restart import restart; from zoo.paths import path_from; import numpy as np\n"
        "table = restart(path_from('rectified-flow'), 64, repeats=2); assert len(table) == 64 + 2 * 32\n"
        "r = np.random.default_rng(0); x = table.initial_scale * r.standard_normal(20000)\n"
        "for row in table:\n"
        "    d = row.alpha * 4 * x / (row.alpha**2 * 4 + row.sigma**2)\n"
        "    x = row.matrix[0] @ [x, d] + row.noise_scale * r.standard_normal(20000)\n"
        "print(x.var())"
    )
    assert float(variance) == pytest.approx(4, rel=0.06)


def program(folder, environment):
    x = numbers(folder / "resampled.csv")
    assert np.abs(x.mean(0) - [0.5, 0.25]).max() < 0.1
    # better than the best normal with a diagonal covariance, by twenty standard errors of 0.004 and more
    assert metric_of(folder, "resampled", "test_nll") < 1 + np.log(2 * np.pi * 0.87 * 0.5) - 0.1


def target(folder, environment):
    """The script, from noise that is chosen here, gives what the model gives."""
    z = np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32)
    np.save(folder / "z.npy", z)
    command = [environment.python, "-I", folder / "moons" / "sample.py", folder / "z.npy", folder / "x.npy"]
    subprocess.run(command, check=True)
    from zoo.runtime import load

    (expected,) = load(folder / "moons" / "bundle", "cpu").session("inverse").run({"z": z}).values()
    np.testing.assert_allclose(np.load(folder / "x.npy"), expected, atol=1e-5)


def path_format_command(folder, environment):
    samples = np.loadtxt(folder / "even.tsv", delimiter="\t")
    assert samples.shape == (100, 2)
    assert np.isfinite(np.loadtxt(folder / "scores.tsv")).all()


RIGHT = {
    "first-plugin": first_plugin,
    "flow": flow,
    "diffusion-network": diffusion_network,
    "conditional": conditional,
    "sample-only": sample_only,
    "data-set": data_set,
    "metric": metric,
    "sampler": sampler,
    "program": program,
    "target": target,
    "path-format-command": path_format_command,
}
