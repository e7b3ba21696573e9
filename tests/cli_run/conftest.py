"""The command line, run in this process, and the hand-made bundles of the runtime's tests."""

import importlib.util
from pathlib import Path

import pytest
from click.testing import CliRunner

from zoo.cli import cli

_PATH = Path(__file__).parent.parent / "runtime" / "conftest.py"
_spec = importlib.util.spec_from_file_location("handmade_bundles", _PATH)
handmade = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(handmade)

flow, diffusion, broken_diffusion, classes, known = (
    getattr(handmade, name) for name in ("flow", "diffusion", "broken_diffusion", "classes", "known")
)


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """``zoo(*arguments)`` runs the command line in an empty folder and gives click's result."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def run(*arguments):
        return runner.invoke(cli, [str(a) for a in arguments])

    return run
