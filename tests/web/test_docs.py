"""The examples of docs/web.md, run as they stand."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from zoo.runtime import BundledModel
from zoo_web import onnxruntime_web
from zoo_web.browser import Browser, find_browser, served

DOCUMENT = (Path(__file__).parents[2] / "docs" / "web.md").read_text("utf-8")
SECONDS = 60


def example(name):
    (found,) = re.findall(rf"<!-- example: {name} -->\n\n```\w+\n(.*?)```", DOCUMENT, re.S)
    return found


@pytest.fixture
def seven(bundle):
    """What the first example draws, as Python does."""
    model = BundledModel(bundle("mnist-unet"), "cpu")
    return np.minimum(np.floor(model.sample(1, seed=4, condition=7, sampler="ddim", steps=10)), 255)[0, 0]


def test_a_page_of_ones_own(packed, modules, seven, tmp_path):
    program = find_browser()
    if program is None:
        pytest.skip("Chromium is not installed, and CHROMIUM names no other")
    folder = packed("mnist-unet", "web")
    for name in ("genzoo", "bundle", "ort"):
        shutil.copytree(folder / name, tmp_path / name)
    (tmp_path / "index.html").write_text(example("page"), "utf-8")
    with served(tmp_path) as address, Browser(program) as browser:
        browser.open(address)
        browser.wait("document.getElementById('said').textContent === 'Seed 4'", SECONDS)
        pixels = "document.getElementById('digit').getContext('2d').getImageData(0, 0, 28, 28).data"
        shown = np.array(browser.evaluate(f"Array.from({pixels})")).reshape(28, 28, 4)
        assert [line for line in browser.console if "favicon" not in line] == []
    assert np.abs(shown[..., 0] - seven).max() <= 1
    assert (shown[..., 3] == 255).all()


def test_a_program_of_ones_own(packed, modules, bundle, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "mnist-unet").symlink_to(packed("mnist-unet", "node"), target_is_directory=True)
    (tmp_path / "program.mjs").write_text(example("node"), "utf-8")
    environment = {**os.environ, "GENZOO_NODE_MODULES": str(modules)}
    command = [node, "program.mjs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    model = BundledModel(bundle("mnist-unet"), "cpu")
    expected = model.sample(2, seed=0, condition=3, sampler="ddim", steps=10)
    assert found["shape"] == list(expected.shape)
    np.testing.assert_allclose(np.reshape(found["data"], expected.shape), expected, rtol=1e-4, atol=128e-4)


def test_it_names_the_version_that_is_packed():
    assert f"`onnxruntime-web` {onnxruntime_web.VERSION}" in DOCUMENT


def test_its_pictures_are_there_and_small():
    pictures = re.findall(r"!\[.+\]\((images/.+?)\)", DOCUMENT)
    assert len(pictures) == 2
    for picture in pictures:
        assert (Path(__file__).parents[2] / "docs" / picture).stat().st_size < 200_000
