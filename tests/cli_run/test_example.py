"""The example condition of a bundle: added, kept, shown, taken by ``--example``, and refused where it is damaged."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from zoo.bundle import EXAMPLE, MANIFEST, MODEL_CARD, open_bundle, read_manifest
from zoo.bundle.example import example_of, has_example, told, with_section, write_example
from zoo.errors import BundleError, ConditionError, UsageError
from zoo.exporting import copy_bundle, pack
from zoo.hub.readme import readme
from zoo.runtime import BundledModel

pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parents[2]
BUNDLES, SHIPPED = ROOT / "tests" / "bundles", ROOT / "plugins" / "zoo_models"
POLICY = {"image": np.full((1, 4, 4), 0.25, np.float32), "state": [0.1, 0.2], "prompt": "abc"}


@pytest.fixture
def copied(tmp_path):
    """A copy of a bundle of the tests."""

    def copy(name):
        return Path(shutil.copytree(BUNDLES / name, tmp_path / "bundle"))

    return copy


def some(condition):
    """A value for each part of a condition."""
    values = {}
    for part in condition.parts:
        shape = [size if isinstance(size, int) else 3 for size in part.shape]
        whole = part.modality in ("classes", "tokens")
        low = 0.0 if part.minimum is None else part.minimum
        values[part.name] = np.ones(shape, np.int32) if whole else np.full(shape, low + 0.25, np.float32)
    return values


@pytest.mark.parametrize(
    "name", ["before-parts/classes", "before-parts/vector", "parts/policy", "parts/posterior", "parts/everything"]
)
def test_an_example_is_what_samples_are_given(copied, name, tmp_path, zoo):
    folder = copied(name)
    assert BundledModel(open_bundle(folder), "cpu").example is None
    before = read_manifest(folder)
    values = some(before.condition)
    write_example(folder, values)
    bundle = open_bundle(folder)  # every digest is right again
    model = BundledModel(bundle, "cpu")
    expected = model.sample(2, seed=3, condition=values)
    np.testing.assert_array_equal(model.sample(2, seed=3, condition=model.example), expected)
    # nothing else has changed
    changed = {name for name, info in bundle.manifest.files.items() if before.files.get(name) != info}
    assert changed == {EXAMPLE, *({MODEL_CARD} & before.files.keys())}
    assert bundle.manifest.graphs == before.graphs
    assert bundle.manifest.proof == before.proof
    ran = zoo("run", folder, "--example", "-n", 2, "--seed", 3, "-o", "x.npz")
    assert ran.exit_code == 0, ran.output
    np.testing.assert_array_equal(np.load("x.npz")["samples"], expected)
    assert str(folder) not in str(json.loads(str(np.load("x.npz")["about"])).get("condition"))


def test_it_is_replaced_and_left_out_parts_stay_out(copied):
    folder = copied("parts/policy")
    write_example(folder, POLICY)
    first = (folder / MODEL_CARD).read_text("utf-8") if (folder / MODEL_CARD).exists() else ""
    optional = [part.name for part in read_manifest(folder).condition.parts if not part.required]
    write_example(folder, {name: value for name, value in POLICY.items() if name not in optional})
    assert set(example_of(open_bundle(folder))) == set(POLICY) - set(optional)
    assert first.count("## Example") <= 1


def test_a_section_of_the_card_is_written_once_and_other_sections_stay():
    condition = read_manifest(SHIPPED / "emoji-text" / "bundle").condition
    example = example_of(open_bundle(SHIPPED / "emoji-text" / "bundle"))
    card = "# name\n\n## Use\n\nso\n\n## Papers\n\n- one\n"
    once = with_section(card, condition, example)
    assert with_section(once, condition, example) == once
    assert once.startswith(card.rstrip("\n"))
    assert "style: noto; prompt: smiling face with sunglasses" in once
    amid = once.replace("## Papers", "## Example\n\nold\n\n## Papers")
    assert with_section(amid, condition, example) == once


@pytest.mark.parametrize(
    ("value", "error", "sentence"),
    [
        (None, UsageError, "nothing is given"),
        ({"image": None}, UsageError, "nothing is given"),
        ({"colour": 3}, ConditionError, "has no part 'colour'"),
        ({"image": np.zeros((1, 4, 4))}, ConditionError, "state of the condition is missing"),
        ({**POLICY, "state": [np.nan, 0]}, ConditionError, "finite"),
        ({**POLICY, "state": [[1, 2], [3, 4]]}, ConditionError, "state"),
    ],
)
def test_what_is_no_condition_is_no_example(copied, value, error, sentence):
    folder = copied("parts/policy")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(error, match=sentence):
        write_example(folder, value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_example_that_is_altered_or_of_another_model_is_refused(copied, tmp_path):
    folder = copied("parts/policy")
    write_example(folder, POLICY)
    bundle = open_bundle(folder)
    content = (folder / EXAMPLE).read_bytes()
    (folder / EXAMPLE).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=r"example\.safetensors has been altered"):
        open_bundle(folder)
    with pytest.raises(BundleError, match="does not fit the model"):
        example_of(bundle)
    # of the right digest, but for another model
    other = Path(shutil.copytree(BUNDLES / "before-parts" / "vector", tmp_path / "other"))
    write_example(other, some(read_manifest(other).condition))
    (folder / EXAMPLE).write_bytes((other / EXAMPLE).read_bytes())
    text = json.loads((folder / MANIFEST).read_text("utf-8"))
    text["files"][EXAMPLE] = json.loads((other / MANIFEST).read_text("utf-8"))["files"][EXAMPLE]
    (folder / MANIFEST).write_text(json.dumps(text), "utf-8")
    with pytest.raises(BundleError, match="does not fit the model"):
        example_of(open_bundle(folder))


def test_copies_and_packages_keep_it_or_get_another(copied, tmp_path):
    folder = copied("parts/policy")
    write_example(folder, POLICY)
    bundle = open_bundle(folder)
    kept = copy_bundle(bundle, tmp_path / "kept")
    assert example_of(open_bundle(kept))["state"].tolist() == pytest.approx([0.1, 0.2])
    other = pack(bundle, tmp_path / "other", target="python", example={**POLICY, "state": [3, 4]})
    assert example_of(open_bundle(other / "bundle"))["state"].tolist() == [3, 4]
    assert np.load(other / "example" / "state.npy").tolist() == [3, 4]
    assert "--condition state=3,4" in (other / "README.md").read_text("utf-8")


def test_export_takes_one(copied, zoo):
    folder = copied("parts/policy")
    np.save("image.npy", POLICY["image"])
    given = ["--example", "image=image.npy", "--example", "state=0.1,0.2", "--example", "prompt=abc"]
    done = zoo("export", folder, "-o", "packed", "--target", "python", *given)
    assert done.exit_code == 0, done.output
    assert told(read_manifest(folder).condition, example_of(open_bundle(Path("packed") / "bundle"))) == {
        "image": "image 1×4×4",
        "state": "0.1,0.2",
        "prompt": "abc",
    }
    assert "image: image 1×4×4" in zoo("show", "packed/bundle").output
    refused = zoo("export", folder, "-o", "never", "--target", "python", "--example", "state=1,2,3")
    assert refused.exit_code == 2
    assert not Path("never").exists()
    refused = zoo("export", "moons-nsf", "-o", "never", "--target", "python", "--example", "1")
    assert "moons-nsf takes no condition, and so no --example" in refused.output


def test_a_condition_that_is_needed_is_asked_for_with_a_way_to_go_on(copied, zoo):
    folder = copied("parts/policy")
    without = zoo("run", folder)
    assert without.exit_code == 2
    assert "--condition state=FILE, or a value, gives it." in without.output
    assert "--example" not in without.output
    assert "comes without an example" in zoo("run", folder, "--example").output
    write_example(folder, POLICY)
    assert "--example takes the example that comes with the model." in zoo("run", folder).output
    for more in (["--class", "1"], ["--condition", "state=1,2"], ["--compose", "state=1,2:1"], ["--resume", "x"]):
        said = zoo("run", folder, "--example", *more)
        assert said.exit_code == 2
        assert "exclude each other" in said.output, more


def test_shipped_models_that_need_a_condition_have_an_example():
    for path in sorted(SHIPPED.glob("*/bundle")):
        manifest = read_manifest(path)
        if manifest.condition is not None and manifest.condition.kind != "classes":
            assert has_example(manifest), path
            assert example_of(open_bundle(path)), path
            if manifest.sample is not None:
                assert "zoo run hf:o/n --example" in readme("hf:o/n", None, manifest)
