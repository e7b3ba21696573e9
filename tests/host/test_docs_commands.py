"""The commands of the documentation's pages, run one after another, as they stand."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from zoo.cli import _group

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: pages whose commands tests elsewhere run
ELSEWHERE = {
    "data": "tests/host/test_data_page.py",
    "hub": "tests/hub/test_page.py",
    "scaling": "tests/bulk/test_bulk.py",
}
#: pages that hold what commands print, or commands of a checkout's own, with the reason
LISTED = {"full-run": "the output of scripts/full"}
#: commands that no test runs, by their beginnings, with the reason
NOT_RUN = {
    "python3 -m venv": "installs: tests/host/test_readme_commands.py and CI do",
    "pip install": "installs: CI does",
    "python -m http.server": "serves until it is stopped; tests/web open the page in a browser",
    "node sample.mjs": "as above; tests/web run it",
    "cd package && npm install": "fetches from a registry; tests/web use the modules that it would bring",
    "cd digits-cpp": "needs CMake and a build of ONNX Runtime; tests/targets compile the program by hand",
    "cmake": "as above",
    "build/sample": "as above",
    "zoo export package.module:factory": "stands for any module; tests/cli_run export one",
    "zoo export DiT-XL-2-256/": "2.7 GB of weights; tests/diffusion import a small one of its layout",
    "zoo train recipes/mnist-unet-consistency.toml": "takes an hour; tests/training distil a small model",
    "zoo eval mnist-unet --scored 64": "takes minutes; tests/training evaluate smaller models",
    "scripts/gpu": "tests/host/test_gpu_script.py rehearses it",
}


def commands(page):
    """The commands of a page's blocks ``sh`` and ``console``, without comments, in order."""
    found = []
    for kind, block in re.findall(r"^```(sh|console)\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S):
        lines = block.replace("\\\n", " ").splitlines()
        if kind == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        found += [line for each in lines if (line := re.sub(r"\s+#.*|^#.*", "", each).strip())]
    return found


def is_run(command):
    return not any(command.startswith(beginning) for beginning in NOT_RUN)


PAGES = sorted(page.stem for page in DOCS.glob("*.md") if page.stem not in {*ELSEWHERE, *LISTED} and commands(page))


def test_the_pages_are_known():
    assert PAGES == [
        "bring-your-model",
        "diffusion",
        "export",
        "getting-started",
        "models",
        "runtime",
        "targets",
        "training",
        "web",
    ]
    assert all((ROOT / test).exists() for test in ELSEWHERE.values())


def test_what_is_not_run_stands_on_a_page():
    everything = [command for page in PAGES for command in commands(DOCS / f"{page}.md")]
    assert [each for each in NOT_RUN if not any(command.startswith(each) for command in everything)] == []


def test_getting_started(tmp_path, monkeypatch):
    """Within one process, since that imports torch once."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    own = [command for command in commands(DOCS / "getting-started.md") if is_run(command)]
    assert len(own) >= 14
    for command in own:
        program, *arguments = shlex.split(command)
        assert program == "zoo"
        result = CliRunner().invoke(_group.cli, arguments)
        assert result.exit_code == 0, f"{command}\n{result.output}"
    for written in ("digits.png", "moons.csv", "nats.csv", "points.png", "page/index.html", "program/sample.py"):
        assert (tmp_path / written).stat().st_size > 0
    assert (tmp_path / "nats.csv").read_text().splitlines()[0] == "log_prob"


def files_of(page, folder):
    """What a page's commands find: files and folders that it speaks of as the reader's own."""
    if page == "bring-your-model":
        import torch
        from safetensors.torch import save_file

        source = "import torch, zoo, zuko\n\n\ndef make_flow():\n    torch.manual_seed(0)\n"
        source += "    return zoo.wrap(zuko.flows.MAF(2, transforms=1, hidden_features=[8]), event_shape=(2,))\n"
        (folder / "my_module.py").write_text(source)
        import zuko

        torch.manual_seed(0)
        save_file(zuko.flows.MAF(2, transforms=1, hidden_features=[8]).state_dict(), folder / "flow.safetensors")
    if page == "models":
        (folder / "docs" / "images").mkdir(parents=True)
        for picture in ("maze.png", "small.png", "noto.png", "emoji.csv"):
            shutil.copy(DOCS / "images" / picture, folder / "docs" / "images")
    if page == "training":
        recipe = (ROOT / "recipes" / "circles-maf.toml").read_text("utf-8")
        (folder / "recipe.toml").write_text(re.sub(r"(?m)^steps = .*", "steps = 1000", recipe))
    if page == "diffusion":
        import numpy as np
        from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

        network = UNet2DModel(
            sample_size=32, block_out_channels=(32, 32), down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"), layers_per_block=1, norm_num_groups=8,
        )  # fmt: skip
        DDPMPipeline(unet=network, scheduler=DDPMScheduler()).save_pretrained(folder / "ddpm-cifar10-32")
        np.save(folder / "digits.npy", np.zeros([2, 1, 28, 28], np.float32))
        shutil.copytree(ROOT / "recipes", folder / "recipes")


@pytest.mark.full
@pytest.mark.parametrize("page", [page for page in PAGES if page != "getting-started"])
def test_the_commands_of_a_page(page, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    for library in {"bring-your-model": ["zuko"], "diffusion": ["diffusers"]}.get(page, []):
        pytest.importorskip(library)
    own = [command for command in commands(DOCS / f"{page}.md") if is_run(command)]
    files_of(page, tmp_path)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, module in (("zoo", "-m zoo"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    # one shell for all, since some change the folder
    script = "\n".join(["set -e", *(f"echo {shlex.quote('$ ' + each)}\n{each}" for each in own)])
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
