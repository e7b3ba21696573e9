"""The doctor recognises each illness it knows, and names what mends it."""

import json
import sys
import types

import pytest

from zoo import doctor
from zoo.registry import Registry
from zoo.registry.cards import Check, Finding
from zoo.registry.discovery import Plugin, PluginRecord
from zoo.runtime import session


@pytest.fixture
def installed(monkeypatch):
    """Pretend that just these distributions are installed."""

    def install(**versions):
        known = {name.replace("_", "-"): version for name, version in versions.items()}
        monkeypatch.setattr(doctor, "version", known.get)

    return install


def ort(monkeypatch, providers=("CPUExecutionProvider",), **attributes):
    """Put a module in the place of onnxruntime."""
    module = types.ModuleType("onnxruntime")
    module.__version__ = "1.20.0"
    module.get_available_providers = lambda: list(providers)
    module.set_default_logger_severity = lambda level: None
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    return module


def levels(findings):
    return [finding.level for finding in findings]


def test_both_runtimes_are_an_error_with_the_repair(installed, monkeypatch):
    installed(onnxruntime="1.20.0", onnxruntime_gpu="1.20.0")
    ort(monkeypatch, InferenceSession=object)
    first, second = doctor.runtimes()
    assert first.level == "error"
    assert "onnxruntime and onnxruntime-gpu are both installed" in first.message
    expected = "pip uninstall -y onnxruntime onnxruntime-gpu\npip install 'onnxruntime-gpu[cuda,cudnn]'"
    assert first.repair == expected
    assert second.level == "ok"


def test_a_half_removed_runtime_is_an_error(installed, monkeypatch):
    installed(onnxruntime_gpu="1.20.0")
    ort(monkeypatch)  # a folder that is left over has no InferenceSession
    (finding,) = doctor.runtimes()
    assert finding.level == "error"
    assert "half installed" in finding.message
    assert finding.repair.startswith("pip uninstall -y onnxruntime-gpu\npip install 'onnxruntime-gpu")


def test_no_runtime_is_a_warning(installed, monkeypatch):
    installed()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (finding,) = doctor.runtimes()
    assert finding.level == "warning"
    assert "pip install 'genzoo[cpu]'" in finding.repair


@pytest.mark.parametrize("works", [True, False])
def test_cuda_is_judged_by_a_session_and_not_by_a_list(installed, monkeypatch, works):
    installed(onnxruntime_gpu="1.20.0")
    ort(monkeypatch, ("CUDAExecutionProvider", "CPUExecutionProvider"), InferenceSession=object)
    asked = []

    class Session:
        def __init__(self, graph, provider):
            asked.append((graph.read_bytes(), provider))
            self.provider, self.fallback = ("cuda", None) if works else ("cpu", "libcudnn.so.9 is missing")

    monkeypatch.setattr(session, "Session", Session)
    findings = list(doctor.runtimes())
    assert asked == [(doctor.identity_graph(), "auto")]
    assert levels(findings) == ["ok", "ok" if works else "warning"]
    if not works:
        assert "libcudnn.so.9 is missing" in findings[1].message
        assert "onnxruntime-gpu[cuda,cudnn]" in findings[1].repair


def test_cuda_is_not_tried_when_the_runtime_was_built_without(installed, monkeypatch):
    installed(onnxruntime="1.20.0")
    ort(monkeypatch, InferenceSession=object)
    assert levels(doctor.runtimes()) == ["ok"]


def test_the_graph_that_is_written_by_hand_is_a_graph(tmp_path):
    pytest.importorskip("onnxruntime")
    import numpy as np

    path = tmp_path / "identity.onnx"
    path.write_bytes(doctor.identity_graph())
    loaded = session.Session(path, "cpu")
    assert loaded.run({"x": np.array([2.5], np.float32)})["y"].tolist() == [2.5]


def test_packages_that_lack_are_not_an_illness(installed):
    installed(genzoo="0.1.0", numpy="2.0", safetensors="0.5")
    findings = list(doctor.packages())
    assert set(levels(findings)) == {"ok"}
    (torch,) = [f for f in findings if f.message.startswith("torch")]
    assert "needed only to train" in torch.message
    assert torch.repair == "pip install 'genzoo[torch]'"


def test_a_stale_egg_info_is_found(site, good, tmp_path, monkeypatch):
    site.install("twice-here", good, version="2.0")
    stale = tmp_path / "stale"
    site.install("Twice_Here", good, version="1.0", module="twice_here", folder=stale, kind="egg-info")
    monkeypatch.setattr(sys, "path", [*sys.path, str(stale)])
    (finding,) = doctor.duplicates({"twice-here"})
    assert finding.level == "warning"
    assert finding.message.startswith("twice-here is found 2 times")
    assert str(site.folder) in finding.message
    assert str(stale) in finding.message
    assert list(doctor.duplicates({"something-else"})) == []


def test_plugins_that_failed_are_errors_and_conflicts_warnings():
    failed = PluginRecord(
        name="p",
        distribution="zoo-p",
        version="1",
        module="p",
        status="failed",
        error="ImportError: no",
        where="p.py:2",
    )
    ok, finding = doctor.plugins(Registry([Plugin(failed)]))
    assert ok.message == "0 of 1 plugins are loaded; version 1 of the plugin API"
    assert finding.level == "error"
    assert "ImportError: no (p.py:2)" in finding.message
    assert finding.repair == "zoo --no-plugins=p ..., or pip uninstall zoo-p"


CHECKS = """
    import zoo
    from zoo.registry.cards import Finding

    @zoo.hookimpl
    def zoo_checks():
        names = ("fine", "broken", "exits", "wrong")
        return [zoo.Check(name=name, entry=f"checked:{name}") for name in names]

    def fine():
        yield Finding(level="warning", message="the fan is dusty", repair="Clean it.")

    def broken():
        yield Finding(level="ok", message="not kept")
        raise RuntimeError("no such device")

    def exits():
        raise SystemExit(0)

    def wrong():
        return [Finding(level="splendid", message="")]
"""


def test_checks_of_plugins_run_and_may_break(site):
    site.install("checked", CHECKS)
    found = {}
    for name, finding in doctor.examine(site.registry()):
        found.setdefault(name, []).append(finding)
    assert found["fine"] == [Finding(level="warning", message="the fan is dusty", repair="Clean it.")]
    assert [f.message for f in found["broken"]] == ["the check itself failed: RuntimeError: no such device"]
    assert [f.message for f in found["exits"]] == ["the check itself failed: SystemExit: 0"]
    assert "not a Finding of level ok, warning, error" in found["wrong"][0].message
    assert {f.level for name in ("broken", "exits", "wrong") for f in found[name]} == {"error"}


def test_a_check_that_lacks_a_package_says_so():
    check = Check(name="npu", entry="a:b", requires=("surely_not_there",))
    record = PluginRecord(name="p", distribution="p", version="1", module="p")
    registry = Registry([Plugin(record, {"check": (check,)})])
    (finding,) = [finding for name, finding in doctor.examine(registry) if name == "npu"]
    assert (finding.level, finding.repair) == ("error", "pip install surely_not_there")


def test_the_command_exits_with_3_when_something_is_broken(zoo_command, site):
    site.install("checked", CHECKS)
    done = zoo_command("doctor", "--json", check=3)
    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert {f["check"] for f in document["findings"]} >= {"python", "packages", "onnxruntime", "plugins", "fine"}
    text = zoo_command("doctor", check=3).stdout
    assert "warning  fine: the fan is dusty\n         -> Clean it.\n" in text
