"""Where graphs run: names of providers, and what of a device reaches ONNX Runtime."""

import os
import subprocess
import sys

import pytest

from zoo.errors import ProviderError, UnknownNameError, UsageError
from zoo.runtime import Device, Session, load
from zoo.runtime.device import available, choose_provider
from zoo.runtime.ort import onnxruntime


@pytest.fixture
def built_with(monkeypatch):
    """Pretends that ONNX Runtime was built with providers, and keeps what sessions are created with."""
    ort = onnxruntime()

    def pretend(*names):
        full = [f"{name}ExecutionProvider" for name in names]
        monkeypatch.setattr(ort, "get_available_providers", lambda: full)
        created = []

        class Fake:
            def __init__(self, path, options, providers, enable_fallback=0):
                created.append((providers, options))
                self.first = providers[0] if isinstance(providers[0], str) else providers[0][0]

            def get_providers(self):
                return [self.first]

            def get_inputs(self):
                return []

            get_outputs = get_inputs

        monkeypatch.setattr(ort, "InferenceSession", Fake)
        return created

    return pretend


def test_names_are_those_of_the_build(built_with):
    built_with("CUDA", "CoreML", "Azure", "CPU")
    # a server on the internet is none of the places where a bundle runs
    assert available() == {
        "cuda": "CUDAExecutionProvider",
        "coreml": "CoreMLExecutionProvider",
        "cpu": "CPUExecutionProvider",
    }
    assert choose_provider("auto") == "cuda"
    assert choose_provider("coreml") == "coreml"
    with pytest.raises(UnknownNameError) as caught:
        choose_provider("azure")
    assert "coreml" in caught.value.hint


def test_without_cuda_auto_is_the_cpu_and_cuda_an_error(built_with):
    built_with("CoreML", "CPU")
    assert choose_provider("auto") == "cpu"
    with pytest.raises(ProviderError, match="built without it"):
        choose_provider("cuda")


def test_cuda_gets_its_device_and_no_tf32_unless_asked(built_with, flow):
    created = built_with("CUDA", "CPU")
    Session(flow / "inverse.onnx", Device("cuda", index=1))
    Session(flow / "inverse.onnx", Device("cuda", tf32=True, options={"prefer_nhwc": "1"}))
    (first, _), (second, _) = created
    assert first == [("CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"}), "CPUExecutionProvider"]
    assert second[0][1] == {"device_id": "0", "use_tf32": "1", "prefer_nhwc": "1"}


def test_another_provider_gets_its_own_options_alone(built_with, flow):
    created = built_with("CoreML", "CPU")
    session = Session(flow / "inverse.onnx", Device("coreml", options={"MLComputeUnits": "ALL"}))
    assert session.provider == "coreml"
    assert created[0][0] == [("CoreMLExecutionProvider", {"MLComputeUnits": "ALL"}), "CPUExecutionProvider"]


def test_threads_reach_the_session(built_with, flow):
    created = built_with("CPU")
    Session(flow / "inverse.onnx", Device("cpu", threads=3))
    ((providers, options),) = created
    assert providers == ["CPUExecutionProvider"]
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"threads": True}, {"index": -1}, {"index": 0.5}])
def test_numbers_that_are_none_are_refused(wrong):
    with pytest.raises(UsageError):
        Device(**wrong)


def test_threads_are_given_once(flow):
    with pytest.raises(UsageError, match="its own number of threads"):
        load(flow, Device("cpu"), threads=2)
    assert load(flow, Device("cpu", threads=2)).sample(1, seed=0).shape == (1, 2)


def test_nothing_is_told_to_the_makers_of_onnx_runtime(tmp_path):
    run = "from zoo.runtime import load; load('moons-nsf', 'cpu').sample(2, seed=0)"
    environment = {key: value for key, value in os.environ.items() if key not in ("ORT_DISABLE_TELEMETRY", "HOME")}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", run], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.rglob("*onnxruntime*"))
