"""Bundles that are damaged, altered, too new or inconsistent; and what importing the runtime needs."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from zoo.bundle import Bundle, read_manifest
from zoo.errors import BundleError, ConditionError, UsageError
from zoo.runtime import contract, load


@pytest.fixture
def copy(flow, tmp_path):
    return shutil.copytree(flow, tmp_path / "bundle")


@pytest.fixture
def diffusion_copy(diffusion, tmp_path):
    return shutil.copytree(diffusion, tmp_path / "bundle")


def edit(folder, change):
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    return folder


def test_a_bundle_tells_what_it_is(flow, classes):
    model = load(flow)
    assert (model.name, model.event_shape, model.condition, model.levels) == ("gaussian-flow", (2,), None, None)
    assert model.provider in ("cpu", "cuda")
    assert model.fallback is None
    assert load(classes).condition.labels == ("low", "middle", "high")
    assert load(classes).levels == 4


def test_a_truncated_graph_is_refused(copy):
    path = copy / "inverse.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match="bytes, expected"):
        load(copy)


def test_an_altered_graph_is_refused(copy):
    path = copy / "inverse.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="altered or damaged"):
        load(copy)


def test_a_link_is_refused(copy, flow):
    (copy / "inverse.onnx").unlink()
    (copy / "inverse.onnx").symlink_to(flow / "inverse.onnx")
    with pytest.raises(BundleError, match="is a link"):
        load(copy)


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        load(tmp_path)


def swap_graph(values):
    values["programs"]["sample"]["graph"] = "log_prob"


def rename_port(values):
    values["graphs"]["inverse"]["inputs"][0]["name"] = "u"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["format"].update(version=3), "bundle format 3"),
        (lambda v: v.pop("graphs"), "not a valid manifest"),
        (lambda v: v["programs"]["sample"].update(kind="magic"), "'magic'"),
        (lambda v: v["programs"]["sample"].update(noise=None), "no input for the noise"),
        (lambda v: v["programs"].update(sample=v["programs"]["log_prob"]), "no input for the noise"),
        (lambda v: v["files"].update({"../x": {"size": 1, "sha256": "0"}}), "not a plain file"),
        (swap_graph, "graph log_prob takes x, expected z"),
        (rename_port, r"has the inputs 'z' float32\[batch, 2\], the manifest says 'u'"),
    ],
)
def test_a_wrong_manifest_of_a_flow_is_refused(copy, change, message):
    with pytest.raises(BundleError, match=message):
        load(edit(copy, change))


def sample_field(**fields):
    return lambda v: v["programs"]["sample"].update(fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (sample_field(scale="2"), "expected a number, not '2'"),
        (sample_field(scale=0), "scale must be above 0"),
        (sample_field(scale=True), "not True"),
        (sample_field(data_min="x"), "not 'x'"),
        (sample_field(path={"name": "straight"}), "no path named 'straight'"),
        (sample_field(path={"name": "vp-linear", "x": 1}), "vp-linear"),
        (sample_field(path=7), "expected a table, not 7"),
        (sample_field(steps="many"), "expected a whole number, not 'many'"),
        (sample_field(null_class=-1), "null_class must be 0 or more"),
        (sample_field(graph="divergence"), "graph divergence takes"),
        (lambda v: v["programs"]["log_prob"].update(graph="step"), "graph step takes"),
        (lambda v: v["programs"].update(sample=v["programs"]["log_prob"]), "integrate cannot sample"),
        (lambda v: v["programs"].update(log_prob=v["programs"]["sample"]), "iterate cannot score"),
    ],
)
def test_a_wrong_manifest_of_a_diffusion_is_refused(diffusion_copy, change, message):
    with pytest.raises(BundleError, match=message):
        load(edit(diffusion_copy, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["graphs"]["divergence"]["outputs"].pop(), "does not give trace"),
        (lambda v: v["graphs"]["step"]["inputs"].pop(), "expected .*weights"),
    ],
)
def test_graphs_that_no_program_can_use_are_refused(diffusion_copy, change, message):
    with pytest.raises(BundleError, match=r"\.onnx has the (in|out)puts .*, the manifest says"):
        load(edit(diffusion_copy, change))
    # if the files were so too
    with pytest.raises(BundleError, match=message):
        contract.check(Bundle(diffusion_copy, read_manifest(diffusion_copy)))


def test_a_manifest_that_lies_about_a_graph_is_refused(copy):
    def lie(values):
        values["graphs"]["inverse"]["inputs"][0]["shape"] = ["batch", 3]

    with pytest.raises(BundleError, match=r"inputs 'z' float32\[batch, 2\], the manifest says 'z' float32\[batch, 3\]"):
        load(edit(copy, lie)).sample(1)


def test_a_bundle_without_log_prob_says_so(copy):
    model = load(edit(copy, lambda v: v["programs"].update(log_prob=None)))
    with pytest.raises(UsageError, match="cannot score data"):
        model.log_prob([[0.0, 0.0]])


def test_scoring_needs_a_class_when_there_is_no_null_class(classes, tmp_path):
    folder = edit(
        shutil.copytree(classes, tmp_path / "bundle"), lambda v: v["programs"]["log_prob"].update(null_class=None)
    )
    with pytest.raises(ConditionError, match="needs the classes"):
        load(folder).log_prob([[[[0, 1], [2, 3]]]])


def test_an_unknown_graph_is_told(flow):
    with pytest.raises(UsageError, match="no graph step"):
        load(flow).session("step")


def test_the_runtime_imports_neither_torch_nor_the_command_line(flow):
    """NumPy, safetensors and ONNX Runtime suffice, and ONNX Runtime only once a bundle is loaded."""
    code = (
        "import sys, zoo.runtime\n"
        "assert 'onnxruntime' not in sys.modules\n"
        f"zoo.runtime.load({str(flow)!r}).sample(2, seed=0)\n"
        "foreign = {'torch', 'onnx', 'click', 'rich', 'pluggy', 'matplotlib', 'PIL', 'zoo_diffusion'}\n"
        "print(sorted(foreign & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "[]\n", "")
