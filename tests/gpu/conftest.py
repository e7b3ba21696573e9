"""Tests that need a GPU with CUDA; ``scripts/gpu`` runs them, and sets ``ZOO_GPU`` where there must be one."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.runtime import Device, Session, load
from zoo.runtime.device import available

MODELS = Path(__file__).resolve().parents[2] / "plugins" / "zoo_models"


def why_not():
    """Why there is no CUDA here, or None."""
    if "cuda" not in available():
        return "this ONNX Runtime was built without CUDA"
    try:
        # its CUDA libraries serve ONNX Runtime too, wherever either package lies
        import torch

        if not torch.cuda.is_available():
            return "PyTorch finds no GPU"
    except ModuleNotFoundError:
        pass
    try:
        Session(MODELS / "circles-maf" / "bundle" / "inverse.onnx", "cuda")
    except ZooError as error:
        return str(error)
    return None


@pytest.fixture(scope="session", autouse=True)
def cuda():
    """Skips without CUDA, unless there must be a GPU."""
    reason = why_not()
    if reason is not None and os.environ.get("ZOO_GPU") == "1":
        pytest.fail(f"there must be a GPU here: {reason}")
    if reason is not None:
        pytest.skip(f"no CUDA: {reason}")


@pytest.fixture(scope="session")
def shipped():
    """The folder of a shipped bundle."""
    return lambda name: MODELS / name / "bundle"


@pytest.fixture(scope="session")
def opened(shipped):
    """Shipped models by name and device; each is loaded once."""
    made = {}

    def model(name, provider="cuda", **options):
        key = (name, provider, *sorted(options.items()))
        if key not in made:
            made[key] = load(shipped(name), Device(provider, options=options))
        return made[key]

    return model


@pytest.fixture
def profiled(tmp_path):
    """Runs a graph of a bundle with ONNX Runtime's profile: calls a function with the model, and gives the nodes.

    The nodes are counted by (operator, provider, types of the outputs).
    """

    def nodes(folder, graph, run):
        class Profiled(Device):
            def session_options(self):
                options = super().session_options()
                options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
                return options

        model = load(folder, Profiled("cuda"))
        run(model)
        events = json.loads(Path(model.session(graph)._session.end_profiling()).read_text())
        counted = Counter()
        for event in events:
            given = event.get("args", {})
            if event.get("cat") == "Node" and "provider" in given:
                types = tuple(kind for each in given.get("output_type_shape", ()) for kind in each)
                counted[given["op_name"], given["provider"].removesuffix("ExecutionProvider"), types] += 1
        return counted

    return nodes
