"""The commands of the README's first list, in sequence and as written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def commands():
    block = (ROOT / "README.md").read_text("utf-8").split("```console\n", 1)[1].split("```", 1)[0]
    return [re.sub(r"\s+#.*", "", line[2:]) for line in block.splitlines() if line.startswith("$ ")]


@pytest.mark.slow
def test_every_command_of_the_readme_runs_after_those_before_it(tmp_path):
    pytest.importorskip("onnxruntime")
    assert len(commands()) >= 12
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "zoo"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m zoo "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    for command in commands():
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
