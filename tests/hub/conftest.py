"""A local Hub, the caches of a new user, and hand-made bundles."""

import importlib.util
import io
import json
import sys
import zipfile
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent


def _loaded(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


handmade = _loaded("handmade_bundles_of_hub", TESTS / "runtime" / "conftest.py")
serving = _loaded("local_hub", TESTS / "hub" / "server.py")
command_line = _loaded("command_line_of_hub", TESTS / "cli_run" / "conftest.py")

flow, zoo = handmade.flow, command_line.zoo


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Caches of their own, and nothing of this machine's settings."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "zoo-cache"))
    for name in ("ZOO_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("_ATTEMPTS", "_WAIT"):
        monkeypatch.setattr(f"zoo.data.transfer.{name}", {"_ATTEMPTS": 2, "_WAIT": 0.0}[name])
    return tmp_path


@pytest.fixture
def server():
    hub = serving.Hub()
    yield hub
    hub.stop()


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    """The local Hub, which huggingface_hub talks to."""
    library = pytest.importorskip("huggingface_hub", reason="pip install 'genzoo[hub]'")
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import _http

    template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in {
        "ENDPOINT": server.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": template,
        "HF_HUB_CACHE": str(tmp_path / "hf-cache"),
        "HF_TOKEN_PATH": str(tmp_path / "no-token"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": False,
    }.items():
        monkeypatch.setattr(constants, name, value)
    # between attempts it waits a second and more
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
    library.close_session()
    stop = server.stop
    # what is kept alive would still answer
    monkeypatch.setattr(server, "stop", lambda: (stop(), library.close_session()))
    yield server
    library.close_session()


@pytest.fixture
def files(flow):
    """The files of a bundle with weights, as a repository has them."""
    import numpy as np
    from safetensors.numpy import save

    from zoo.bundle import MANIFEST

    files = {path.name: path.read_bytes() for path in flow.iterdir()}
    files["weights.safetensors"] = save({"w": np.arange(5000, dtype=np.float32)})
    manifest = json.loads(files[MANIFEST])
    told = {"size": len(files["weights.safetensors"]), "sha256": serving.sha(files["weights.safetensors"])}
    manifest["files"]["weights.safetensors"] = told
    return {**files, MANIFEST: json.dumps(manifest).encode()}


def zipped(files, **options):
    """An archive of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content, **options)
    return buffer.getvalue()


@pytest.fixture
def packed(files):
    return zipped({f"digits/{name}": content for name, content in files.items()})


@pytest.fixture
def pack():
    return zipped
