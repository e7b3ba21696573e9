"""Models that somebody's code makes: what runs it, what it may return, and what is said of it afterwards."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

import zoo  # noqa: E402 - after the check for torch
from zoo import weights  # noqa: E402
from zoo.cli import cli  # noqa: E402
from zoo.errors import BundleError, UsageError  # noqa: E402
from zoo.models.factories import Factory  # noqa: E402
from zoo.models.sources import resolve  # noqa: E402
from zoo.registry import installed  # noqa: E402

CODE = """
import torch
from torch import nn

import zoo
from beside import WIDTH

print("the code runs")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter, self.leave = nn.Linear(3, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, t, x):
        return self.leave(torch.tanh(self.enter(torch.cat([x, t[:, None]], 1))))


def make(likelihood=False):
    return zoo.denoiser(Net(), event_shape=(2,), convention="torchcfm", likelihood=likelihood)


def network():
    return Net()


def number():
    return 3


def fails():
    return {}["missing"]


def leaves():
    raise SystemExit(4)


def needs(classes, *, width):
    return make()


finished, constant = make(), 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with such code, and weights of its network."""
    (tmp_path / "flow_of_mine.py").write_text(CODE)
    (tmp_path / "beside.py").write_text("WIDTH = 8\n")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    random = np.random.default_rng(0)
    shapes = {"enter.weight": (8, 3), "enter.bias": (8,), "leave.weight": (2, 8), "leave.bias": (2,)}
    weights.write(tmp_path / "w.safetensors", {k: random.normal(size=s).astype("f4") for k, s in shapes.items()})
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in ("flow_of_mine", "beside"):
            del sys.modules[name]


def says(*arguments):
    """Exit code, and what a command says on stderr."""
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    return done.exit_code, " ".join(done.stderr.split())


def test_a_bundle_remembers_the_code_that_made_its_model_and_says_how_to_make_it_again(folder):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    code, told = says("export", "./flow_of_mine.py:make", "--weights", "w.safetensors", "-o", "out")
    assert code == 0, told
    assert "running the code of flow_of_mine.py, which can do whatever you can" in told
    manifest = json.loads((folder / "out" / "manifest.json").read_text("utf-8"))
    files = {"flow_of_mine.py", "w.safetensors"}
    digests = {name: weights.sha256(folder / name) for name in files}
    assert manifest["model"]["source"] == {
        "kind": "file",
        "module": "flow_of_mine",
        "factory": "make",
        "file": "flow_of_mine.py",
        "sha256": digests["flow_of_mine.py"],
        "weights": {"file": "w.safetensors", "sha256": digests["w.safetensors"]},
    }
    assert str(folder) not in (folder / "out" / "manifest.json").read_text("utf-8")
    shown = CliRunner().invoke(cli, ["show", "out"]).stdout
    assert f"make() of flow_of_mine.py (sha256 {digests['flow_of_mine.py'][:16]}…), with the weights w.safet" in shown
    assert json.loads(CliRunner().invoke(cli, ["show", "out", "--json"]).stdout)["source"]["factory"] == "make"
    with pytest.raises(BundleError, match=r"out was exported from make\(\) of flow_of_mine\.py") as error:
        zoo.load("out")
    assert "`from flow_of_mine import make`, `model = make()`" in error.value.hint
    # what the hint says
    sys.path.insert(0, str(folder))
    try:
        from flow_of_mine import make
    finally:
        sys.path.remove(str(folder))
    model, file = make(), Path("out") / "weights.safetensors"
    weights.load_into(model, weights.read(file), source=file)
    from zoo.runtime import load

    np.testing.assert_allclose(load("out").sample(4, seed=1), model.sample(4, seed=1).numpy(), atol=1e-5)


REFUSED = {
    "flow_of_mine.py:network": "returns the module Net, which is not a zoo.GenerativeModel",
    "flow_of_mine.py:number": "number() of flow_of_mine.py returns int, not a zoo.GenerativeModel",
    "flow_of_mine.py:fails": "fails at flow_of_mine.py, line 33: KeyError: 'missing'",
    "flow_of_mine.py:leaves": "fails at flow_of_mine.py, line 37: SystemExit: 4",
    "flow_of_mine.py:needs": "needs() of flow_of_mine.py needs classes, width",
    "flow_of_mine.py:constant": "constant of flow_of_mine is a int, not a function",
    "flow_of_mine.py:mak": "there is no function of flow_of_mine.py named 'mak' Did you mean make?",
    "elsewhere.py:make": "there is no file elsewhere.py",
    "broken.py:make": "fails at broken.py, line 2: SyntaxError",
    "lacking.py:make": "fails at lacking.py, line 1: ModuleNotFoundError: No module named 'not_installed_at_all'",
    # a bare name is never a file of the current folder
    "flow_of_mine:make": "there is no module 'flow_of_mine' to import make from To run the file in this folder: "
    "./flow_of_mine.py:make.",
    "no.such.module:make": "there is no module 'no.such.module'",
}


@pytest.mark.parametrize("model", REFUSED)
def test_what_the_code_does_wrong_is_told_in_a_sentence_with_its_line(model, folder):
    (folder / "broken.py").write_text("x = 1\ndef make(:\n")
    (folder / "lacking.py").write_text("import not_installed_at_all\n")
    code, told = says("export", model, "-o", "out")
    assert code in (1, 2)
    assert REFUSED[model] in told
    assert "Traceback" not in told
    assert not (folder / "out").exists()


def test_the_refusal_of_a_network_names_the_call_that_makes_a_model_of_it(folder):
    assert (
        "zoo.denoiser(net, event_shape=..., convention=...)" in says("export", "flow_of_mine.py:network", "-o", "o")[1]
    )


def test_an_installed_module_is_imported_and_a_model_that_it_has_made_is_taken(folder, monkeypatch):
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    monkeypatch.syspath_prepend(folder)
    made = Factory.of("flow_of_mine:finished").make()
    assert made.source["kind"] == "module"
    assert made.source["sha256"] == weights.sha256(folder / "flow_of_mine.py")
    assert made.model.event_shape == (2,)
    assert not made.model.training


def changed(folder, **arrays):
    """The weights with other arrays; None leaves one out."""
    kept = {**weights.read(folder / "w.safetensors"), **{k.replace("__", "."): v for k, v in arrays.items()}}
    weights.write(folder / "other.safetensors", {k: v for k, v in kept.items() if v is not None})
    return "other.safetensors"


def test_weights_are_loaded_strictly_and_all_that_is_wrong_is_named_at_once(folder):
    ones = np.ones(3, "f4")
    file = changed(folder, enter__bias=None, more=ones, leave__bias=ones)
    code, told = says("export", "flow_of_mine.py:make", "--weights", file, "-o", "out")
    assert code == 1
    for part in ("missing enter.bias", "unexpected more", "leave.bias is float32[3], expected float32[2]"):
        assert part in told


def test_weights_of_the_network_or_of_the_whole_model_are_taken_and_any_width_of_numbers(folder):
    factory, given = Factory.of("flow_of_mine.py:make"), weights.read(folder / "w.safetensors")
    whole = {f"network.net.{name}": array for name, array in given.items()}
    weights.write(folder / "whole.safetensors", whole)
    weights.write(folder / "half.safetensors", {k: v.astype("f2") for k, v in given.items()})
    for name, atol in (("w", 0), ("whole", 0), ("half", 1e-2)):
        model = factory.make(folder / f"{name}.safetensors").model
        for key, array in whole.items():
            np.testing.assert_allclose(model.state_dict()[key].numpy(), array, atol=atol)


def test_a_pickle_is_never_opened(folder):
    torch.save({}, folder / "w.pt")
    code, told = says("export", "flow_of_mine.py:make", "--weights", "w.pt", "-o", "out")
    assert (code, "is a pickle, which is never loaded here" in told or "not a safetensors file" in told) == (1, True)


def test_nothing_but_the_three_commands_runs_code(folder):
    for run in (lambda m: resolve(installed(), m), zoo.load):
        with pytest.raises(UsageError, match="names code, which only zoo export, zoo run and zoo eval run"):
            run("flow_of_mine.py:make")
    for arguments in (("show", "flow_of_mine.py:make"), ("check", "flow_of_mine.py:make")):
        code, told = says(*arguments)
        assert code == 2
        assert "the code runs" not in told
    assert "flow_of_mine" not in sys.modules


def test_options_that_do_not_go_with_code_are_refused_before_it_runs(folder):
    assert "so it takes no --weights" in says("export", "moons-nsf", "--weights", "w.safetensors", "-o", "out")[1]
    told = says("export", "flow_of_mine.py:make", "-I", "units=state", "-o", "out")[1]
    assert "takes no option units of an importer" in told
    (folder / "there").mkdir()
    told += says("export", "flow_of_mine.py:make", "-o", "there")[1]
    assert "running" not in told
    assert "flow_of_mine" not in sys.modules


def test_a_path_that_exists_is_that_path(folder):
    (folder / "odd:name").mkdir()
    assert Factory.of("odd:name") is None
    assert [Factory.of(m) for m in ("moons-nsf", "./out", "C:\\models\\flow", "a-b:make")] == [None] * 4
    assert Factory.of("dir/my-file.py:make") == Factory("my-file", "make", Path("dir/my-file.py"))
