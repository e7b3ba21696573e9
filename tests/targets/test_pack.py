"""``zoo.exporting.pack``: a proven bundle and what a target adds, whole or not at all, without PyTorch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.bundle import GOLDEN, MANIFEST, open_bundle
from zoo.errors import (
    BundleError,
    ExportError,
    MissingDependencyError,
    OutputError,
    ProofError,
    UnknownNameError,
    UsageError,
)
from zoo.exporting import export, pack
from zoo.registry import Registry
from zoo.registry.discovery import Plugin, PluginRecord, discover

ROOT = Path(__file__).parents[2]
TARGETS = ("python", "cpp", "mobile", "triton")


def registry(**targets):
    """The installed plugins and targets made of functions of this module."""
    exporters = tuple(
        zoo.Exporter(name=name, entry=f"{__name__}:{function}", packs=True, **more)
        for name, (function, more) in targets.items()
    )
    record = PluginRecord(name="test", distribution="zoo-test", version="1.0", module=__name__)
    return Registry([*discover(), Plugin(record, {"exporter": exporters})])


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Entry points name modules, and pytest gives this one a name that cannot be imported otherwise."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this())


def _this():
    import types

    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


def fails(bundle, folder):
    (folder / "half").write_text("half")
    raise ExportError("the target cannot express this")


def full_disk(bundle, folder):
    (folder / "half").write_text("half")
    raise OSError(28, os.strerror(28))


def tells(bundle, folder, **options):
    """What a target is given."""
    (folder / "told").write_text(f"{bundle.folder.relative_to(folder)} {bundle.manifest.model['name']} {options}")


@pytest.mark.parametrize("target", TARGETS)
def test_the_bundle_is_packed_as_it_is(packed, bundles, target):
    folder = packed(target, "moons-nsf")
    if target == "mobile":  # which takes it apart
        assert not (folder / "bundle").exists()
        assert not list(folder.glob("*.onnx"))
        return
    original = bundles("moons-nsf")
    assert {path.name for path in (folder / "bundle").iterdir()} == {path.name for path in original.iterdir()}
    for path in original.iterdir():
        assert (folder / "bundle" / path.name).read_bytes() == path.read_bytes()
    open_bundle(folder / "bundle")


@pytest.mark.parametrize("target", ["python", "cpp", "triton"])
def test_the_same_bundle_gives_the_same_bytes(packed, bundles, tmp_path, target):
    again = pack(open_bundle(bundles("digits-nsf")), tmp_path / "again", target=target)
    files = {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}
    first = packed(target, "digits-nsf")
    assert files == {path.relative_to(first): path.read_bytes() for path in first.rglob("*") if path.is_file()}


@pytest.mark.parametrize("target", TARGETS)
def test_readmes_name_the_model(packed, target):
    text = (packed(target, "digits-nsf") / "README.md").read_text()
    assert text.startswith("# digits-nsf")
    for trace in ("/work", "/tmp", str(Path.home())):
        assert f"{trace}/" not in text


def test_an_existing_folder_is_replaced_with_force_alone(bundles, tmp_path):
    bundle = open_bundle(bundles("moons-nsf"))
    folder = tmp_path / "packed"
    folder.mkdir()
    (folder / "mine").write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        pack(bundle, folder, target="python")
    assert (folder / "mine").read_text() == "precious"
    assert pack(bundle, folder, target="python", force=True) == folder
    assert not (folder / "mine").exists()
    assert (folder / "sample.py").is_file()


@pytest.mark.parametrize(
    ("function", "error", "said"),
    [("fails", ExportError, "cannot express this"), ("full_disk", OutputError, "no space left on device")],
)
def test_a_target_that_fails_leaves_what_was_there(bundles, tmp_path, function, error, said):
    bundle = open_bundle(bundles("moons-nsf"))
    with pytest.raises(error, match=said):
        pack(bundle, tmp_path / "new", target="broken", registry=registry(broken=(function, {})))
    assert list(tmp_path.iterdir()) == []
    old = tmp_path / "old"
    old.mkdir()
    (old / "mine").write_text("precious")
    with pytest.raises(error, match=said):
        pack(bundle, old, target="broken", force=True, registry=registry(broken=(function, {})))
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (old / "mine").read_text() == "precious"


def test_a_target_is_given_the_copy_and_its_options(bundles, tmp_path):
    folder = pack(
        open_bundle(bundles("moons-nsf")),
        tmp_path / "packed",
        target="tells",
        registry=registry(tells=("tells", {})),
        colour="red",
    )
    assert (folder / "told").read_text() == "bundle moons-nsf {'colour': 'red'}"


def test_what_cannot_be_packed_is_refused_before_any_work(bundles, tmp_path):
    bundle = open_bundle(bundles("moons-nsf"))
    with pytest.raises(UnknownNameError, match="no exporter named 'pyhton'"):
        pack(bundle, tmp_path / "p", target="pyhton")
    with pytest.raises(UsageError, match="onnx is written from a model, not from a bundle"):
        pack(bundle, tmp_path / "p", target="onnx")
    needy = registry(needy=("tells", {"requires": ("no_such_package",)}))
    with pytest.raises(MissingDependencyError, match="no_such_package"):
        pack(bundle, tmp_path / "p", target="needy", registry=needy)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_computes_something_else_is_not_packed(bundles, tmp_path):
    """Its files are whole and listed, but its golden values are another model's."""
    import json

    from zoo import weights
    from zoo.bundle import file_info

    folder = shutil.copytree(bundles("moons-nsf"), tmp_path / "bundle")
    golden = weights.read(folder / GOLDEN)
    weights.write(folder / GOLDEN, {k: a + 1 if "/out/" in k else a for k, a in golden.items()})
    values = json.loads((folder / MANIFEST).read_text())
    values["files"][GOLDEN] = vars(file_info(folder / GOLDEN))
    (folder / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(ProofError):
        pack(open_bundle(folder), tmp_path / "packed", target="python")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_that_changes_meanwhile_is_not_packed(bundles, tmp_path, monkeypatch):
    folder = shutil.copytree(bundles("moons-nsf"), tmp_path / "bundle")
    bundle = open_bundle(folder)
    monkeypatch.setattr("zoo.runtime.check.confirm", lambda _: (folder / "MODEL_CARD.md").write_text("other"))
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md"):
        pack(bundle, tmp_path / "packed", target="python")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_export_to_a_target_is_a_new_bundle_packed(small, tmp_path):
    folder = export(small.Gaussian(), tmp_path / "packed", target="python", batch=2)
    assert open_bundle(folder / "bundle").manifest.batch == 2
    assert (folder / "sample.py").is_file()


NO_TORCH = """
import sys
from pathlib import Path

from importlib.machinery import PathFinder

class WithoutTorch(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "torch" else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTorch
from zoo.bundle import open_bundle
from zoo.exporting import pack

source, target, folder = sys.argv[1:]
pack(open_bundle(Path(source)), folder, target=target)
assert "torch" not in sys.modules
print(sorted(path.name for path in Path(folder).iterdir()))
"""


@pytest.mark.parametrize("target", TARGETS)
def test_packing_needs_no_torch(packed, bundles, tmp_path, target):
    path = os.pathsep.join(map(str, (ROOT, ROOT / "plugins", ROOT / "exporters")))
    command = [sys.executable, "-c", NO_TORCH, bundles("moons-nsf"), target, tmp_path / "packed"]
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(sorted(p.name for p in packed(target, "moons-nsf").iterdir()))
    assert done.stderr == ""
