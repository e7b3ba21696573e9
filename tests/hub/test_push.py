"""Models put onto a local Hub: in one commit or not at all, with a card that the Hub's own library reads."""

import contextlib
import json
import resource
import shutil

import pytest
import yaml

from zoo.errors import HubError, UsageError
from zoo.hub import HubAddress, address_of, pull, push

ADDRESS = "hf:lab/flow"

# huggingface_hub's own call of its HTTP client, on the way that its uploads take without hf_xet
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def logged_in(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "good")
    return hub


@pytest.fixture
def folder(files, tmp_path):
    """A model's folder as training leaves it: card, bundle, and what is nobody else's business."""
    from zoo.registry.cards import ModelCard

    folder = tmp_path / "run"
    (folder / "bundle").mkdir(parents=True)
    for name, content in files.items():
        (folder / "bundle" / name).write_bytes(content)
    card = ModelCard(
        name="run-one",
        summary="A flow of [two] | numbers <script>",
        family="flow",
        architecture="nsf-coupling",
        event_shape=(2,),
        license={"code": "Apache-2.0", "weights": "CC-BY-SA-3.0"},
        data={"name": "moons", "license": "CC0-1.0"},
        metrics={"test_nll": {"value": 1.25, "unit": "nats"}, "steps": 100, "note": "fine", "broken": float("inf")},
        papers=("Durkan et al. 2019",),
        bundle="bundle",
    )
    (folder / "card.json").write_text(card.to_json())
    (folder / "checkpoint.safetensors").write_bytes(b"half a training")
    (folder / ".env").write_text("TOKEN=secret")
    return folder


def test_what_is_pushed_is_pulled_again(logged_in, folder, zoo, files):
    done = zoo("push", folder, ADDRESS)
    assert done.exit_code == 0, done.output
    repository = logged_in.repositories["lab/flow"]
    pushed = repository.files()
    assert set(pushed) == {".gitattributes", "README.md", "card.json", *(f"bundle/{name}" for name in files)}
    assert f"pushed run-one to {ADDRESS}@{repository.refs['main']}" in done.stdout
    assert len(repository.commits) == 2  # the one that made it, and the one of the model
    pulled = pull(address_of(ADDRESS))
    assert (pulled.folder / "card.json").read_bytes() == (folder / "card.json").read_bytes()
    assert zoo("run", ADDRESS, "-n", "2", "-o", "x.npy").exit_code == 0


def test_a_bundle_is_pushed_and_replaces_a_folder(logged_in, folder, flow, zoo):
    assert zoo("push", folder, ADDRESS).exit_code == 0
    assert zoo("push", flow, ADDRESS, "--message", "a bundle").exit_code == 0
    files = logged_in.repositories["lab/flow"].files()
    assert "manifest.json" in files
    assert "card.json" not in files
    assert pull(address_of(ADDRESS)).entry.name == "gaussian-flow"


def test_a_branch_a_private_repository_and_the_card_that_is_there(logged_in, folder, zoo):
    assert zoo("push", folder, f"{ADDRESS}@draft", "--private").exit_code == 0
    repository = logged_in.repositories["lab/flow"]
    assert repository.private
    assert "card.json" in repository.files("draft")
    assert "card.json" not in repository.files("main")
    repository.commit({**repository.files("draft"), "README.md": b"my own words"}, "draft")
    assert zoo("push", folder, f"{ADDRESS}@draft", "--no-card").exit_code == 0
    assert repository.files("draft")["README.md"] == b"my own words"
    with pytest.raises(UsageError, match="is a commit, and a push makes one"):
        push(folder, HubAddress("lab/flow", repository.refs["draft"]))


@contextlib.contextmanager
def room(most):
    """A block in which no file becomes longer: the system refuses the write, as it does on a full disk."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def test_a_full_disk_is_told_as_what_cannot_be_written(logged_in, folder, files, zoo, tmp_path):
    """And not as the model that is read meanwhile; nothing is left, and nobody is asked."""
    with room(max(map(len, files.values())) - 1):
        dry, real = zoo("push", folder, ADDRESS, "--dry-run", "-o", "look"), zoo("push", folder, ADDRESS)
    for done in (dry, real):
        assert done.exit_code == 1
        told = done.stderr.splitlines()[-1]
        assert told.startswith("Error: cannot write ")
        assert told.endswith(": file too large")
    assert not any("look" in path.name for path in tmp_path.iterdir())
    assert logged_in.requests == []
    assert zoo("push", folder, ADDRESS).exit_code == 0
    with room(max(map(len, files.values())) - 1):
        done = zoo("pull", folder, "-o", "copy")
    assert done.stderr.splitlines()[-1].startswith("Error: cannot write ")
    assert not any("copy" in path.name for path in tmp_path.iterdir())


def test_a_dry_run_writes_a_folder_and_asks_nobody(hub, folder, zoo, tmp_path):
    done = zoo("push", folder, ADDRESS, "--dry-run", "-o", "look")
    assert done.exit_code == 0, done.output
    assert hub.requests == []
    look = tmp_path / "look"
    assert not (look / "checkpoint.safetensors").exists()
    assert not (look / ".env").exists()
    assert (look / "README.md").read_text().startswith("---\n")
    assert zoo("run", look, "-n", "2", "-o", "x.npy").exit_code == 0
    assert "look exists already" in zoo("push", folder, ADDRESS, "--dry-run", "-o", "look").stderr
    assert "-o is the folder of --dry-run" in zoo("push", folder, ADDRESS, "-o", "look").stderr


def metadata(folder):
    text = (folder / "README.md").read_text("utf-8")
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


def test_the_card_is_one_that_the_hub_reads(hub, folder, zoo, tmp_path):
    from huggingface_hub import ModelCard as HubCard

    assert zoo("push", folder, ADDRESS, "--dry-run", "-o", "look").exit_code == 0
    head, body = metadata(tmp_path / "look")
    assert head["library_name"] == "genzoo"
    assert head["license"] == "cc-by-sa-3.0"
    assert head["pipeline_tag"] == "other"
    assert head["tags"] == ["genzoo", "onnx", "flow", "nsf-coupling"]
    (index,) = head["model-index"]
    assert index["name"] == "run-one"
    metrics = {m["type"]: m["value"] for result in index["results"] for m in result["metrics"]}
    assert metrics == {"test_nll": 1.25, "steps": 100}  # what is no finite number is left out
    card = HubCard.load(tmp_path / "look" / "README.md")
    assert {each.metric_value for each in card.data.eval_results} == {1.25, 100}
    assert f"zoo run {ADDRESS}\n" in body
    assert f'zoo.runtime.load("{ADDRESS}")' in body
    assert r"A flow of \[two\] \| numbers \<script\>" in body


CARDS = {
    "mnist-unet": ("unconditional-image-generation", "cc-by-sa-3.0", "image"),
    "names-masked": ("text-generation", None, "text"),
    "wine-mlp": ("other", None, "table"),
    "spoken-digits-speakers": ("other", None, "audio"),
    "moons-nsf": ("other", None, None),
}


@pytest.mark.sample("mnist-unet", "names-masked", "spoken-digits-speakers")
@pytest.mark.parametrize("name", CARDS)
def test_cards_of_pretrained_models(hub, zoo, tmp_path, name):
    from zoo.registry import installed

    if name not in {item.description.name for item in installed().items("model")}:
        pytest.skip("the pretrained models (genzoo-models) are not installed")
    assert zoo("push", name, f"hf:lab/{name}", "--dry-run", "-o", "look").exit_code == 0
    head, body = metadata(tmp_path / "look")
    task, license, tag = CARDS[name]
    assert head["pipeline_tag"] == task
    assert tag is None or tag in head["tags"]
    card = installed().model(name)
    assert head["license"] == (license or head["license"])
    assert head["license"] in (card.license["weights"].lower(), "other")
    assert head["model-index"][0]["results"]
    assert "## Proof" in body
    assert body.count("## Use") == 1
    assert "path/to/this/folder" not in body
    assert body.count(f"\n# {name}\n") == 1


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (None, "no token is set, and the hub asks for one"),
        ("old", "does not accept the token, which may have expired"),
        ("reader", "the token does not permit it"),
    ],
    ids=["no token", "stale token", "read-only token"],
)
def test_who_may_not_write_is_told_and_changes_nothing(hub, folder, zoo, monkeypatch, token, told):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    hub.add("lab/flow", {"README.md": b"mine"})
    done = zoo("push", folder, ADDRESS)
    assert done.exit_code == 1
    assert told in done.stderr
    assert "hf auth login" in done.stderr.splitlines()[-1]
    assert hub.repositories["lab/flow"].files() == {"README.md": b"mine"}
    assert len(hub.repositories["lab/flow"].commits) == 1


def test_a_connection_cut_while_pushing_leaves_the_repository_as_it_was(logged_in, folder, zoo):
    before = logged_in.add("lab/flow", {"README.md": b"mine"})
    logged_in.cut["upload"] = 1000
    done = zoo("push", folder, ADDRESS)
    assert done.exit_code == 1
    assert f"Error: {ADDRESS} cannot be pushed: the connection to" in done.stderr
    assert logged_in.repositories["lab/flow"].refs["main"] == before
    logged_in.cut.clear()
    assert zoo("push", folder, ADDRESS).exit_code == 0
    endpoint = logged_in.endpoint
    logged_in.stop()
    done = zoo("push", folder, ADDRESS)
    assert f"Error: {ADDRESS} cannot be pushed: {endpoint} cannot be reached" in done.stderr
    assert "pulled" not in done.stderr  # no advice on another command


def test_offline_nothing_is_pushed(logged_in, folder, zoo, monkeypatch):
    from huggingface_hub import constants

    with monkeypatch.context() as patched:
        patched.setattr(constants, "HF_HUB_OFFLINE", True)
        done = zoo("push", folder, ADDRESS)
        assert done.stderr.endswith(f"Error: {ADDRESS} cannot be pushed: HF_HUB_OFFLINE forbids asking the hub\n")
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(HubError, match="ZOO_OFFLINE forbids asking the hub"):
        push(folder, address_of(ADDRESS))
    assert logged_in.repositories == {}


def test_what_is_damaged_or_no_model_is_not_pushed(logged_in, folder, zoo, tmp_path, files):
    (tmp_path / "above").mkdir()
    shutil.copytree(folder, tmp_path / "above" / "run")
    assert "not a model" in zoo("push", tmp_path / "above", ADDRESS).stderr
    weights = folder / "bundle" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert "altered or damaged" in zoo("push", folder, ADDRESS).stderr
    manifest = json.loads(files["manifest.json"])
    assert manifest["files"]
    for address in ("lab/flow", "https://example.org/x.zip#sha256=" + "0" * 64):
        assert "is not an address of the Hub" in zoo("push", folder, address).stderr
    assert logged_in.requests == []
