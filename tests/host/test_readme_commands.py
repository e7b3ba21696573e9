"""What the README shows: the commands of its first list in sequence, and with --full everything else, as written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


TEXT = (ROOT / "README.md").read_text("utf-8")
#: begins blocks of commands that are run elsewhere, with the reason
ELSEWHERE = {"python3 -m venv": "install: CI does", "zoo export mnist-unet -o page": "tests/web open the page"}


def blocks(kind):
    """The blocks of a kind, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.M | re.S)


def commands():
    block = blocks("console")[0]
    return [re.sub(r"\s+#.*", "", line[2:]) for line in block.splitlines() if line.startswith("$ ")]


def run(command, folder):
    """A command line, by this Python's genzoo."""
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / "zoo"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m zoo "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.mark.slow
def test_every_command_of_the_readme_runs_after_those_before_it(tmp_path):
    pytest.importorskip("onnxruntime")
    assert len(commands()) >= 12
    for command in commands():
        run(command, tmp_path)


def test_every_block_of_the_readme_is_run_by_a_test():
    others = [block for kind in ("sh", "console") for block in blocks(kind)[kind == "console" :]]
    left = [b for b in others if not any(b.removeprefix("$ ").startswith(begin) for begin in ELSEWHERE)]
    assert left == [shell()]
    assert len(blocks("python")) == 3


def shell():
    """The commands on folders and data of one's own."""
    (block,) = [block for block in blocks("sh") if "path/to/" in block]
    return block


@pytest.mark.full
def test_the_commands_on_ones_own_files_run(tmp_path):
    np, diffusers = pytest.importorskip("numpy"), pytest.importorskip("diffusers")
    network = diffusers.UNet2DModel(
        sample_size=32, block_out_channels=(32, 32), down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), layers_per_block=1, norm_num_groups=8,
    )  # fmt: skip
    pipeline = diffusers.DDPMPipeline(unet=network, scheduler=diffusers.DDPMScheduler())
    pipeline.save_pretrained(tmp_path / "path" / "to" / "ddpm-cifar10-32")
    people = np.random.default_rng(0).normal([170, 70], [8, 11], [600, 2])
    np.savetxt(tmp_path / "people.csv", people, delimiter=",", header="height,weight", comments="", fmt="%.1f")
    run(f"set -e\n{shell()}", tmp_path)
    assert (tmp_path / "cifar" / "index.html").is_file()
    assert len((tmp_path / "more.csv").read_text("utf-8").splitlines()) == 101


@pytest.mark.full
@pytest.mark.parametrize("which", range(3))
def test_the_python_of_the_readme_runs(which, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    block = blocks("python")[which]
    if "zuko" in block:
        pytest.importorskip("zuko")

    class Network(torch.nn.Module):
        """Noise of an image and a timestep."""

        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, padding=1), torch.nn.SiLU())
            self.last = torch.nn.Conv2d(4, 3, 3, padding=1)

        def forward(self, x, t):
            time = (t.to(x.dtype) / 1000)[:, None, None, None].expand(-1, 1, *x.shape[2:])
            return self.last(self.layers(torch.cat([x, time], 1)))

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    import zoo

    names = {"zoo": zoo, "net": Network(), "betas": torch.linspace(1e-4, 0.02, 1000)}
    exec(compile(block, "README.md", "exec"), names)
    if "bundle" in names:
        assert names["x"].shape == (16, 1, 28, 28)
        assert names["nats"].shape == (16,)
    else:
        assert any((tmp_path / name / "manifest.json").is_file() for name in ("flow", "denoiser"))
