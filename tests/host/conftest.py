"""Fake installed packages, found through the real ``importlib.metadata``."""

import importlib
import json
import os
import subprocess
import sys
import sysconfig
import textwrap
from importlib import metadata
from pathlib import Path

import pytest

from zoo.registry import Registry
from zoo.registry.discovery import discover

ROOT = Path(__file__).parents[2]


class Site:
    """A folder on ``sys.path`` that packages are installed into."""

    def __init__(self, folder):
        self.folder = folder
        self.modules = []

    def install(self, name, source="", *, version="1.0", module=None, points=None, folder=None, kind="dist-info"):
        """Write a distribution with one module and its entry point in the group ``zoo``."""
        folder = folder or self.folder
        folder.mkdir(exist_ok=True)
        module = module or name.replace("-", "_")
        self.modules.append(module)
        (folder / f"{module}.py").write_text(textwrap.dedent(source), "utf-8")
        info = folder / f"{module}-{version}.{kind}"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / ("PKG-INFO" if kind == "egg-info" else "METADATA")).write_text(metadata)
        points = {name: module} if points is None else points
        lines = "\n".join(f"{key} = {value}" for key, value in points.items())
        (info / "entry_points.txt").write_text(f"[zoo]\n{lines}\n")
        importlib.invalidate_caches()
        return info

    def plugins(self, **options):
        """What discovery makes of the packages here, by plugin name, the built-in ones left out."""
        return {p.record.name: p for p in discover(**options) if not p.record.builtin}

    def registry(self, **options):
        return Registry(list(self.plugins(**options).values()))


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    site = Site(folder)
    yield site
    for module in site.modules:
        sys.modules.pop(module, None)


@pytest.fixture
def zoo_command(site, tmp_path):
    """Run the command line in a process of its own that sees the packages of ``site``."""

    def run(*arguments, check=None, environment=None, python=()):
        path = os.pathsep.join(map(str, (site.folder, ROOT, ROOT / "plugins", ROOT / "exporters")))
        given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *python, "-m", "zoo", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**given, **(environment or {})},
            timeout=120,
        )
        if check is not None:
            assert done.returncode == check, done.stderr
        return done

    def run_json(*arguments, **options):
        return json.loads(run(*arguments, "--json", **options).stdout)

    run.json = run_json
    return run


GOOD = """
    import zoo

    @zoo.hookimpl
    def zoo_architectures():
        return [zoo.Architecture(name="gaussian", family="flow", entry="somewhere:Gaussian")]
"""


@pytest.fixture
def good():
    """Source of a plugin that works."""
    return GOOD


class Environment:
    """A virtual environment that sees this one's packages, so that nothing needs the network."""

    def __init__(self, folder):
        self.work = folder / "work"
        self.work.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        self.python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        site = subprocess.run(
            [self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        )
        # addsitedir and not the bare path: this one may hold an editable install, which is a .pth itself
        here = sysconfig.get_path("purelib")
        Path(site.stdout.strip(), "this.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ZOO_PLUGINS", "PIP_"))}
        self.environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1", "OMP_NUM_THREADS": "1"}

    def pip(self, *arguments):
        command = [sys.executable, "-m", "pip", "--python", self.python, *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    def zoo(self, *arguments, code=0):
        command = [self.python, "-m", "zoo", *arguments]
        done = subprocess.run(command, env=self.environment, cwd=self.work, capture_output=True, text=True)
        assert done.returncode == code, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def python_says(self, code):
        done = subprocess.run(
            [self.python, "-c", code], env=self.environment, cwd=self.work, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments, code=0):
        return json.loads(self.zoo(*arguments, "--json", code=code).stdout)

    def install(self, *sources):
        self.pip("install", "--no-build-isolation", "--no-deps", "--force-reinstall", *map(str, sources))


@pytest.fixture(scope="session")
def new_environment(tmp_path_factory):
    """Makes an environment, given the name of its folder."""
    try:
        metadata.version("genzoo")
    except metadata.PackageNotFoundError:
        pytest.skip("genzoo is not installed here")
    pytest.importorskip("torch")
    pytest.importorskip("hatchling")
    return lambda name: Environment(tmp_path_factory.mktemp(name))
