"""The journey of a model of named parts through the commands: `zoo train` on a plugin's data, `zoo export`, `zoo run`.

A policy is given a picture, the state of an arm, and a word, which the data set holds as ids or as a text.
"""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from zoo.cli import cli
from zoo.models.building import load as load_model
from zoo.registry import Registry

DATA = """
    import numpy as np
    import zoo

    WORDS = ["left", "right", "up"]
    ALPHABET = "_efghilprtu"

    @zoo.hookimpl
    def zoo_datasets():
        return [zoo.DataSource(name="reaching", entry="zoo_reaching:reaching")]

    def reaching(*, train=48, form="ids", seed=0):
        random = np.random.default_rng(seed)

        def some(n):
            image, state = random.random((n, 1, 4, 4)), 50 + 5 * random.standard_normal((n, 3))
            words = [WORDS[i] for i in random.integers(3, size=n)]
            goal = np.stack([image.mean((1, 2, 3)), state[:, 0] / 50], 1)
            x = np.linspace(0, 1, 4)[None, :, None] * goal[:, None]
            ids = [[ALPHABET.index(c) for c in word.ljust(5, "_")] for word in words]
            condition = {"image": image, "state": state, "prompt": np.array(ids)}
            if form == "texts":
                condition["prompt"] = words
            if form == "lists":
                condition = {name: part.tolist() for name, part in condition.items()}
            if form == "nan":
                state[3, 1] = np.nan
            if form == "ragged":
                condition["prompt"] = [[ALPHABET.index(c) for c in word] for word in words]
            if form == "mixed":
                condition["prompt"] = [[1, 2], ["a"]] + [[4]] * (n - 2)
            if form == "short":
                condition["state"] = state[1:]
            return zoo.Split(x.astype(np.float32), condition)

        return zoo.Dataset("reaching", some(train), some(8), some(8))
"""
RECIPE = """
name = "reach"
training = { steps = 4, batch_size = 16, learning_rate = 0.01, evaluate_every = 2, ema = 0.9 }
[data]
name = "reaching"
options = { form = "ids" }
[model]
architecture = "mlp"
[model.config]
event_shape = [4, 2]
hidden = 8
blocks = 1
class_dropout = 0.1
likelihood = false
sampling = { steps = 3 }
[[model.config.condition.parts]]
name = "image"
modality = "image"
shape = [1, 4, 4]
minimum = 0.0
maximum = 1.0
null = 0.0
[[model.config.condition.parts]]
name = "state"
modality = "numbers"
shape = [3]
null = 50.0
[[model.config.condition.parts]]
name = "prompt"
modality = "tokens"
shape = ["length"]
alphabet = "_efghilprtu"
padding = 0
null = 0
required = false
[model.config.conditioning]
image = { channels = [4], grid = 2, width = 8 }
prompt = { width = 8, layers = 1 }
"""
STATES = np.array([[50.0, 51.0, 49.0], [45.0, 55.0, 50.0]])


@pytest.fixture
def command(site, tmp_path, monkeypatch):
    """Runs a command in this process, in an empty folder, with the data set's plugin installed."""
    site.install("zoo-reaching", DATA)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
        return done.exit_code, done.stderr

    return run


def trained(command, form, folder):
    with open("reach.toml", "w", encoding="utf-8") as file:
        file.write(RECIPE.replace('"ids"', f'"{form}"'))
    return command("train", "reach.toml", "-o", folder)


@pytest.mark.slow  # an export, and a process
def test_a_policy_from_its_recipe_to_samples_without_torch(command, site, tmp_path, zoo_command):
    assert trained(command, "ids", "policy")[0] == 0
    assert command("export", "policy", "-o", "policy.bundle")[0] == 0
    model = load_model(Registry.discover(), str(tmp_path / "policy"))
    blocked = "import sys\nfor name in ('torch', 'onnx'): sys.modules[name] = None\n"
    (site.folder / "sitecustomize.py").write_text(blocked)
    shades = np.arange(0, 256, 16, dtype=np.uint8).reshape(4, 4)
    Image.fromarray(shades).save("cam.png")
    np.save("states.npy", STATES)
    # a picture and a word that serve both rows of a part
    given = ("--condition", "image=cam.png", "--condition", "state=states.npy", "--condition", "prompt=left")
    away = ("--guidance", "2", "--negative", "image=cam.png", "--negative", "state=40,40,40", "--negative", "prompt=up")
    zoo_command("run", "policy.bundle", *given, *away, "--seed", "3", "-o", "x.npz", check=0)
    image, found = shades[None] / 255, np.load("x.npz")
    chosen = {"image": image, "state": STATES, "prompt": "left"}
    negative = {"image": image, "state": [40.0] * 3, "prompt": "up"}
    expected = model.sample(2, seed=3, condition=chosen, guidance=2.0, negative=negative).detach()
    np.testing.assert_allclose(found["samples"], expected, atol=1e-4)
    # the file of samples holds what they were given; a part that is not required is left out
    code, said = command("run", "policy.bundle", "--condition", "x.npz", *away, "--seed", 3, "-o", "again.npy")
    assert code == 0, said
    np.testing.assert_array_equal(np.load("again.npy"), found["samples"])
    code, said = command("run", "policy.bundle", *given[:4], "--seed", 3, "-o", "less.npy")
    assert code == 0, said
    less = model.sample(2, seed=3, condition={"image": image, "state": STATES}).detach()
    np.testing.assert_allclose(np.load("less.npy"), less, atol=1e-4)
    # what the bundle states of its data is enough to load them
    code, said = command("eval", "policy.bundle", "--samples", 2)
    assert 'reaching with form = "ids", as reach was trained' in said


def test_texts_and_lists_train_as_their_ids_do(command, tmp_path):
    weights = []
    for form in ("ids", "texts", "lists", "ragged"):
        code, said = trained(command, form, form)
        assert code == 0, said
        weights.append((tmp_path / form / "weights.safetensors").read_bytes())
    assert len(set(weights)) == 1
    card = json.loads((tmp_path / "texts" / "card.json").read_text("utf-8"))
    assert card["data"]["options"] == {"form": "texts"}


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("nan", "the conditions state of the train split of data set reaching have the value nan in row 3, column 1"),
        ("mixed", "part prompt of the conditions of a split, row 1, are numbers of one sample, not <U1[1]"),
        ("short", "48 samples come with 47 of part state"),
    ],
)
def test_what_is_wrong_with_the_parts_of_a_data_set_is_said_before_training(command, form, says, tmp_path):
    code, said = trained(command, form, "policy")
    assert code == 1
    assert says in said
    assert not (tmp_path / "policy" / "weights.safetensors").exists()
