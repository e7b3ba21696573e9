"""``zoo export`` with targets that pack: options, checks, the table of everything, and exit codes."""

import json
import shutil
import sys
from types import ModuleType

import pytest
import torch
from click.testing import CliRunner

import zoo
from zoo import weights
from zoo.bundle import open_bundle
from zoo.cli import _export_all, cli
from zoo.cli._app import App
from zoo.errors import ExportError, ProofError
from zoo.files import sha256
from zoo.registry import Registry
from zoo.registry.cards import ModelCard, WeightsFile
from zoo.registry.discovery import Plugin, PluginRecord, discover


@pytest.fixture(scope="session")
def card(tmp_path_factory):
    """A small spline flow as a model folder, without a bundle."""
    nsf = pytest.importorskip("zoo_flows.nsf")
    folder = tmp_path_factory.mktemp("models") / "small"
    folder.mkdir()
    config = {"event_shape": [2], "transforms": 1, "hidden": 16, "blocks": 1}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nsf.NSFCoupling(**config)
        with torch.no_grad():  # a fresh flow is the identity, whatever its weights are rounded to
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape))
    path = folder / "weights.safetensors"
    weights.write(path, weights.state_arrays(model))
    card = ModelCard(
        name="small",
        family="flow",
        architecture="nsf-coupling",
        config=config,
        event_shape=(2,),
        weights=WeightsFile(path.name, sha256(path), path.stat().st_size),
    )
    (folder / "card.json").write_text(card.to_json())
    return ModelCard.from_folder(folder)


@pytest.fixture
def targets(monkeypatch):
    """Targets of this test, by name: how they pack and how they verify."""
    module = ModuleType("odd_targets")
    monkeypatch.setitem(sys.modules, "odd_targets", module)
    described = []

    def add(name, pack, verify=None):
        setattr(module, f"pack_{name}", pack)
        setattr(module, f"verify_{name}", verify)
        check = f"odd_targets:verify_{name}" if verify else ""
        described.append(zoo.Exporter(name=name, entry=f"odd_targets:pack_{name}", verify=check, packs=True))

    add("mute", lambda bundle, folder, colour="none": (folder / "colour").write_text(colour) and None)
    add.described = described
    return add


@pytest.fixture
def command(card, targets, monkeypatch):
    """``zoo export`` where one model is registered, and the targets of the test besides ``onnx`` and ``python``."""
    python = zoo.Exporter(
        name="python", entry="zoo_targets.python:pack", verify="zoo_targets.python:verify", packs=True
    )
    others = [p for p in discover() if p.record.name not in ("models", "targets", "web")]
    record = PluginRecord(name="test", distribution="zoo-test", version="1.0", module="odd_targets")

    def registry(self):
        return Registry([*others, Plugin(record, {"model": (card,), "exporter": (python, *targets.described)})])

    monkeypatch.setattr(App, "find_registry", registry)
    lossy = {"quantize": "int4-weights", "bound": 1e-3}
    monkeypatch.setattr(_export_all, "PRECISIONS", {"float32": {}, "int4-weights": lossy})

    def run(*arguments):
        result = CliRunner().invoke(cli, [str(a) for a in ("export", *arguments)])
        assert "Traceback" not in result.stderr
        return result.exit_code, result.stdout, result.stderr

    return run


def raises(error):
    def function(*_):
        raise error

    return function


# -- one target -------------------------------------------------------------------------------------------------------


def test_a_bundle_is_packed_and_checked(command, bundles, tmp_path):
    code, out, err = command(bundles("moons-nsf"), "-o", tmp_path / "p", "--target", "python", "--check", "--json")
    assert code == 0, err
    assert "packing" in err
    assert "tracing" not in err
    assert "checked: 3 samples by sample.py" in err
    said = json.loads(out)
    assert said["checked"] == "3 samples by sample.py"
    assert said["model"] == "moons-nsf"
    assert "sample.py" in said["files"]


def test_the_size_that_is_told_is_that_of_everything(command, bundles, tmp_path):
    code, out, _ = command(bundles("moons-nsf"), "-o", tmp_path / "p", "--target", "python", "--json")
    assert code == 0
    files = [path for path in (tmp_path / "p").rglob("*") if path.is_file()]
    said = json.loads(out)
    assert said["size"] == sum(path.stat().st_size for path in files)
    assert said["files"] == {path.relative_to(tmp_path / "p").as_posix(): path.stat().st_size for path in files}
    assert "checked" not in said


def test_what_is_no_bundle_is_not_said_to_run(command, targets, bundles, tmp_path):
    targets("apart", lambda bundle, folder: shutil.copy(bundle.folder / "manifest.json", folder) and None)
    code, out, err = command(bundles("moons-nsf"), "-o", tmp_path / "p", "--target", "apart", "--json")
    assert code == 0
    assert "zoo run" not in err
    assert "manifest" not in json.loads(out)


def test_options_that_change_graphs_make_a_new_bundle(command, tmp_path):
    code, _, err = command("small", "-o", tmp_path / "p", "--target", "python", "--batch", "2", "--check")
    assert code == 0, err
    assert "tracing" in err
    assert open_bundle(tmp_path / "p" / "bundle").manifest.batch == 2
    assert "checked: 3 samples" in err


@pytest.mark.parametrize("model", ["bundle", "small"])
def test_a_target_gets_its_options(command, bundles, tmp_path, model):
    source = bundles("moons-nsf") if model == "bundle" else model
    code, _, err = command(source, "-o", tmp_path / "p", "--target", "mute", "-T", "colour=red", "--check")
    assert code == 0, err
    assert (tmp_path / "p" / "colour").read_text() == "red"
    assert "written, but cannot be run here" in err


@pytest.mark.parametrize("model", ["bundle", "small"])
def test_an_option_that_a_target_has_not_is_a_usage_error(command, bundles, tmp_path, model):
    source = bundles("moons-nsf") if model == "bundle" else model
    code, _, err = command(source, "-o", tmp_path / "p", "--target", "python", "-T", "colour=red")
    assert code == 2
    assert "the target python has no option colour" in err
    assert list(tmp_path.iterdir()) == []
    code, _, err = command(source, "-o", tmp_path / "p", "-T", "colour=red")
    assert code == 2
    assert "the target onnx does not pack a bundle and takes no -T" in err


@pytest.mark.parametrize(("error", "code"), [(ExportError("no such luck"), 1), (ProofError("they differ"), 3)])
def test_a_target_that_fails_has_its_exit_code_and_leaves_nothing(command, targets, bundles, tmp_path, error, code):
    targets("odd", raises(error))
    given, out, err = command(bundles("moons-nsf"), "-o", tmp_path / "p", "--target", "odd", "--json")
    assert given == code
    assert json.loads(out)["error"]["message"] == str(error)
    assert str(error) in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("error", "code"), [(ExportError("no such luck"), 1), (ProofError("they differ"), 3)])
def test_a_check_that_fails_has_its_exit_code(command, targets, bundles, tmp_path, error, code):
    targets("odd", lambda bundle, folder: None, raises(error))
    given, out, err = command(bundles("moons-nsf"), "-o", tmp_path / "p", "--target", "odd", "--check", "--json")
    assert given == code
    assert json.loads(out)["error"]["message"] == str(error)
    assert "checked:" not in err


# -- everything -------------------------------------------------------------------------------------------------------


def test_all_is_one_table_with_numbered_reasons(command, targets, tmp_path):
    """A target that refuses, one with a bug, one whose check fails, a precision that is too lossy: the rest goes on."""
    targets("bad", raises(ZeroDivisionError("division by zero")))
    targets("odd", raises(ExportError("this target cannot express flows")))
    targets("sad", lambda bundle, folder: None, raises(ProofError("its samples differ")))
    folder = tmp_path / "out"
    code, out, err = command("--all", "--check", "--no-quality", "-o", folder)
    assert code == 3
    lines = out.splitlines()
    assert lines[0].split() == ["model", "precision", "onnx", "bad", "mute", "odd", "python", "sad"]
    cells = {line.split()[1]: line.replace("no (", "no(").split()[2:] for line in lines if line.startswith("small ")}
    assert cells == {
        "float32": ["ok", "no(1)", "ok", "no(2)", "ok", "no(3)"],
        "int4-weights": ["no(4)", "no(5)", "no(5)", "no(5)", "no(5)", "no(5)"],
    }
    reasons = [line for line in lines if line.startswith("(")]
    at = raises(None).__code__.co_firstlineno + 1
    assert reasons[:3] == [
        f"(1) the target bad of zoo-test 1.0 fails: ZeroDivisionError: division by zero (test_cli.py:{at})",
        "(2) this target cannot express flows",
        "(3) its samples differ",
    ]
    assert reasons[3].startswith("(4) ")
    assert "0.1% is the bound" in reasons[3]
    assert reasons[4:] == ["(5) there is no bundle to pack"]
    assert "small float32 python: 3 samples by sample.py" in err
    assert "small float32 odd: NOT OK: this target cannot express flows" in err
    # what went well, or was written before its check failed, is kept where -o says
    kept = {path.name for path in folder.iterdir()}
    assert kept == {f"small-float32-{target}" for target in ("onnx", "python", "mute", "sad")}
    assert open_bundle(folder / "small-float32-onnx").manifest.event_shape == (2,)


def test_all_that_is_well_exits_0_and_leaves_nothing(command, tmp_path, monkeypatch):
    monkeypatch.setattr(_export_all, "PRECISIONS", {"float32": {}})
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("--all", "--json")
    assert code == 0
    assert [(cell["model"], cell["target"], cell["ok"]) for cell in json.loads(out)] == [
        ("small", "onnx", True),
        ("small", "mute", True),
        ("small", "python", True),
    ]
    assert list(tmp_path.iterdir()) == []


def test_all_takes_nothing_that_it_decides_itself(command):
    for given in (
        ["--fused"],
        ["--opset", "20"],
        ["-T", "a=b"],
        ["--batch", "3"],
        ["--dtype", "float16"],
        ["--inverse", "loop"],
        ["--sampler", "ddim"],
        ["--steps", "3"],
        ["--guidance", "2"],
        ["-O", "eta=0"],
    ):
        code, _, err = command("--all", *given)
        assert code == 2, given
        assert f"--all exports everything, and takes no {given[0]}" in err
