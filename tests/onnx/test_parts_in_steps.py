"""Diffusions conditioned on named parts: guided by nulls, sampled in steps, with what was encoded in their states."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


from tests.small_parts import POLICY_PARTS, Policy, instructed, policy  # noqa: E402
from zoo.conditions import Condition, Part  # noqa: E402
from zoo.errors import UsageError  # noqa: E402
from zoo.runtime import load  # noqa: E402
from zoo.runtime.check import check  # noqa: E402
from zoo.runtime.session import Session  # noqa: E402
from zoo.samplers.state import SamplerState  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return policy()


@pytest.fixture(scope="module")
def folder(model, exported_once):
    return exported_once("policy", model)


@pytest.fixture
def bundle(folder):
    return load(folder, "cpu")


ONE = {name: value[0] for name, value in instructed(1).items()}
CASES = {
    "plain": {},
    "guided": {"guidance": 2.5},
    "without its condition": {"guidance": 0.0},
    "away from another": {"guidance": 3.0, "negative": {"state": [1.0, 2.0], "prompt": "cab"}},
    "with noise": {"sampler": "ddpm", "guidance": 1.5},
}


@pytest.mark.parametrize("case", CASES)
def test_a_bundle_samples_what_pytorch_does(model, bundle, case):
    x = model.sample(3, condition=instructed(3), seed=1, **CASES[case]).numpy()
    np.testing.assert_allclose(bundle.sample(3, condition=instructed(3), seed=1, **CASES[case]), x, atol=1e-4)
    np.testing.assert_allclose(
        bundle.sample(3, condition=instructed(3), seed=1, batch_size=2, **CASES[case]), x, atol=1e-4
    )


def test_guidance_is_away_from_all_nulls(model, bundle):
    nulls = {"image": np.zeros((1, 4, 4)), "state": [0.0, 0.0], "prompt": "_"}
    unguided = bundle.sample(2, condition=instructed(2), seed=1, guidance=0.0)
    # padding alone is no prompt that can be given: that of the null is in the state
    state = bundle.begin(2, condition=instructed(2), seed=1, guidance=2.0)
    parts = {name: torch.tensor(np.asarray(nulls[name], np.float32))[None] for name in ("image", "state")}
    parts["state"] = model.context_of(POLICY_PARTS.parts[1])(parts["state"])
    parts |= {"prompt": torch.zeros(1, 3, dtype=torch.int32), "prompt_mask": torch.tensor([[1.0, 0.0, 0.0]])}
    with torch.no_grad():
        encoded = model.encode_condition(parts)
    for name, value in encoded.items():
        np.testing.assert_allclose(state.other[name], value.expand(2, *value.shape[1:]).numpy(), atol=1e-6)
    assert np.abs(unguided - bundle.sample(2, condition=instructed(2), seed=1)).max() > 1e-3


@pytest.fixture
def calls(monkeypatch):
    """Rows that the encoder was given at each call, and calls of the step."""
    made = {"condition": [], "step": 0}
    run, run_on = Session.run, Session.run_on

    def counting(self, feeds, *others):
        if self.graph.stem == "condition":
            made["condition"].append(len(feeds["state"]))
        return run(self, feeds, *others)

    def stepping(self, *arguments):
        made["step"] += self.graph.stem == "step"
        return run_on(self, *arguments)

    monkeypatch.setattr(Session, "run", counting)
    monkeypatch.setattr(Session, "run_on", stepping)
    return made


def test_the_encoder_runs_once_for_all_steps_and_samples(bundle, calls):
    bundle.sample(64, condition=ONE, seed=0, steps=7, batch_size=16)
    assert calls == {"condition": [1], "step": 28}
    calls["condition"].clear()
    # the nulls are one row more
    bundle.sample(64, condition=ONE, seed=0, steps=7, guidance=2.0, batch_size=16)
    assert calls["condition"] == [1, 1]
    calls["condition"].clear()
    bundle.warm_up(condition=ONE)
    assert calls["condition"] == [1]
    calls["condition"].clear()
    for wrong in ({"guidance": "much"}, {"mask": np.ones(3)}, {"steps": 0}):
        with pytest.raises(UsageError):
            bundle.sample(2, condition=ONE, **wrong)
    assert calls["condition"] == []


def test_a_state_holds_what_was_encoded_and_goes_on_in_pytorch(model, bundle, calls, tmp_path):
    options = {"condition": instructed(3), "seed": 3, "guidance": 2.0}
    state = bundle.advance(bundle.begin(3, **options), 2)
    assert set(state.condition) == {"observed", "words", "seen"}
    state.save(tmp_path / "state.safetensors")
    read = SamplerState.load(tmp_path / "state.safetensors")
    for name in state.condition:
        np.testing.assert_array_equal(read.condition[name], state.condition[name])
        np.testing.assert_array_equal(read.other[name], state.other[name])
    calls["condition"].clear()
    x = bundle.finish(read)
    assert calls["condition"] == []
    np.testing.assert_allclose(x, bundle.sample(3, **options), atol=1e-5)
    np.testing.assert_allclose(model.finish(read).numpy(), x, atol=1e-4)


def test_scoring_encodes_once_and_agrees(model, bundle, calls):
    x = bundle.sample(3, condition=instructed(3), seed=1)
    calls["condition"].clear()
    expected = model.log_prob(torch.from_numpy(x), condition=instructed(3), steps=8).numpy()
    np.testing.assert_allclose(bundle.log_prob(x, condition=instructed(3), steps=8), expected, atol=1e-3)
    assert calls["condition"] == [3]
    noise = bundle.encode(x, condition=instructed(3), steps=10)
    np.testing.assert_allclose(model.encode(torch.from_numpy(x), condition=instructed(3), steps=10), noise, atol=1e-4)


class Elsewhere(Session):
    """A session that is told to be on another device than the host, of which the CPU takes the place."""

    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        self.provider, self.copied = "cuda", []

    def value(self, array):
        self.copied.append(np.shape(array))
        return super().value(array)

    def _check(self, feeds, elsewhere=()):
        arrays = super()._check(feeds, elsewhere)
        self.fed = set(arrays)
        return arrays


def elsewhere(folder, graph):
    """A bundle of which a graph is on another device, and its session."""
    model = load(folder, "cpu")
    info = model.manifest.graphs[graph]
    session = Elsewhere(model.bundle.file(info.file), inputs=info.inputs, outputs=info.outputs)
    model.session.loaded[graph] = session
    return model, session


def test_what_was_encoded_stays_on_the_device_while_data_are_scored(folder, bundle):
    model, session = elsewhere(folder, "divergence")
    given = instructed(3)
    x = bundle.sample(3, condition=given, seed=1)
    encoded = sorted([(3, 16 // 2), (3, 3, 8), (3, 3)])
    scores = {"steps": 4}, {"steps": 4, "probes": 2}
    for options in scores:
        session.copied.clear()
        np.testing.assert_array_equal(
            model.log_prob(x, condition=given, **options), bundle.log_prob(x, condition=given, **options)
        )
        # once, and not at each evaluation
        assert sorted(session.copied) == encoded
        assert session.fed == {"x", "time", "alpha", "sigma", "probe"}
    session.copied.clear()
    expected = bundle.elbo(x, condition=given, steps=4, terms=2)
    np.testing.assert_array_equal(model.elbo(x, condition=given, steps=4, terms=2), expected)
    assert sorted(session.copied) == encoded


def test_what_was_encoded_stays_on_the_device_while_samples_are_drawn(folder, bundle):
    model, session = elsewhere(folder, "step")
    given = {"condition": instructed(3), "seed": 1, "steps": 4}
    np.testing.assert_array_equal(model.sample(3, **given), bundle.sample(3, **given))
    # one evaluation without guidance
    assert [sum(shape == each for shape in session.copied) for each in ((1, 3, 8), (1, 3, 3, 8))] == [1, 1]
    assert not session.fed & {"observed", "words", "seen"}


def test_the_encoder_learns_through_the_loss_and_conditions_are_hidden():
    learner = policy().train()
    parts = {name: torch.as_tensor(value) for name, value in instructed(4).items() if name != "prompt"}
    parts |= {"prompt": torch.tensor([[1, 2, 0], [3, 0, 0], [1, 1, 1], [2, 0, 0]])}
    learner.loss(torch.zeros(4, 3), condition=parts).backward()
    for name, parameter in learner.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    tensors = learner.condition_tensors(parts, 4)
    hidden = learner.hidden(tensors, 1.0)
    assert not hidden["image"].any()
    assert not hidden["state"].any()
    assert hidden["prompt_mask"].tolist() == [[1, 0, 0]] * 4
    assert all(torch.equal(value, tensors[name]) for name, value in learner.hidden(tensors, 0.0).items())
    # a null that is longer than the prompts of a batch
    long = Policy(Condition((*POLICY_PARTS.parts[:2], dataclasses.replace(POLICY_PARTS.parts[2], null=(1, 2, 3)))))
    hidden = long.hidden(long.condition_tensors({**parts, "prompt": torch.tensor([[1]] * 4)}, 4), 0.5)
    assert {tuple(row) for row in hidden["prompt"].tolist()} <= {(1, 0, 0), (1, 2, 3)}
    assert hidden["prompt_mask"].shape == (4, 3)


def test_a_condition_keeps_its_gradient_through_every_step(model):
    image = torch.rand(2, 1, 4, 4, requires_grad=True)
    condition = {"image": image, "state": torch.zeros(2, 2), "prompt": torch.tensor([[1, 2], [3, 0]])}
    model.sample(2, condition=condition, seed=0, guidance=2.0).sum().backward()
    assert image.grad.abs().max() > 0


def test_guidance_needs_a_null_of_each_part(bundle):
    parts = Condition((*POLICY_PARTS.parts[:1], Part("state", "numbers", (2,)), *POLICY_PARTS.parts[2:]))
    model = policy(parts=parts)
    with pytest.raises(UsageError, match="guidance needs a null of each part of the condition, and state has none"):
        model.sample(1, condition=ONE, guidance=2.0)
    # without guidance, nothing is missing
    assert model.sample(1, condition=ONE, seed=0).shape == (1, 3)


def test_golden_values_are_replayed(bundle):
    assert check(bundle.bundle, "cpu").ok


# -- on the command line ---------------------------------------------------------------------------------------------


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Runs the command line in a folder with files of parts, and gives what it wrote or says."""
    from click.testing import CliRunner
    from PIL import Image

    from zoo import weights
    from zoo.cli import cli

    monkeypatch.chdir(tmp_path)
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4) * 16
    Image.fromarray(pixels).save("cam.png")
    np.save("arm.npy", np.array([4.0, 6.0], np.float32))
    np.save("arms.npy", np.array([[4.0, 6.0], [5.0, 5.0]], np.float32))
    np.savez("all.npz", image=pixels[None] / np.float32(255), state=np.array([4.0, 6.0]), other=np.zeros(3))
    weights.write(
        tmp_path / "all.safetensors", {"image": pixels[None] / np.float32(255), "state": np.array([4.0, 6.0])}
    )
    (tmp_path / "all.json").write_text('{"state": [4, 6], "prompt": ["cab", "a"]}')

    def run(*arguments):
        done = CliRunner().invoke(cli, [str(a) for a in arguments])
        written = tmp_path / "x.npy"
        return done.stderr if done.exit_code else np.load(written) if written.exists() else None

    run.pixels = (pixels[None] / 255.0).astype(np.float32)
    return run


COMMON = ("-n", 2, "--seed", 3, "--provider", "cpu", "-o", "x.npy", "--force")


@pytest.mark.parametrize(
    ("given", "means"),
    [
        (["image=cam.png", "state=arm.npy", "prompt=cab"], {"image": None, "state": [4, 6], "prompt": "cab"}),
        (["state=4,6"], {"state": [4, 6]}),
        (["state=arms.npy"], {"state": [[4, 6], [5, 5]]}),
        (["all.npz"], {"image": None, "state": [4, 6]}),
        (["all.safetensors"], {"image": None, "state": [4, 6]}),
        (["all.json"], {"state": [4, 6], "prompt": ["cab", "a"]}),
    ],
)
def test_parts_are_given_by_name_or_in_one_file(zoo, folder, bundle, given, means):
    condition = {name: zoo.pixels if value is None else value for name, value in means.items()}
    options = [each for text in given for each in ("--condition", text)]
    x = zoo("run", folder, *COMMON, *options)
    np.testing.assert_allclose(x, bundle.sample(2, condition=condition, seed=3), atol=1e-5)


def test_a_file_of_one_value_a_row_says_how_many_samples(zoo, folder):
    assert len(zoo("run", folder, "--provider", "cpu", "-o", "x.npy", "--condition", "state=arms.npy")) == 2


def test_each_of_k_values_serves_m_samples(zoo, folder, bundle):
    np.savetxt("arms.csv", [[4.0, 6.0], [5.0, 5.0]], delimiter=",")
    given = ("--condition", "state=arms.csv", "--condition", "prompt=a", "-n", 4)
    x = zoo("run", folder, *COMMON, *given)
    condition = {"state": [[4, 6], [4, 6], [5, 5], [5, 5]], "prompt": "a"}
    np.testing.assert_allclose(x, bundle.sample(4, condition=condition, seed=3), atol=1e-5)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["camera=cam.png"], "'camera=cam.png' does not begin with the name of a part"),
        (["state=4,6", "state=arm.npy"], "--condition state is given twice"),
        (["state=arm.np"], "'arm.np' is neither a file nor a list of numbers"),
        (["state=cam.png"], "cam.png is an image, and part state is numbers"),
        (["state=4"], "part state of the condition"),
        (["prompt=cab"], "part state of the condition is missing"),
        (["state=4,6", "prompt=cat"], "has no symbol 't'"),
        (["arm.npy"], "arm.npy has none of the parts image, state, prompt"),
    ],
)
def test_what_is_no_part_is_refused_in_a_sentence(zoo, folder, given, says):
    said = zoo("run", folder, *COMMON, *(each for text in given for each in ("--condition", text)))
    assert isinstance(said, str)
    assert says in " ".join(said.split())


def test_what_takes_no_parts_says_so(zoo, folder):
    said = zoo("run", folder, *COMMON, "--class", "1")
    assert "this model is conditioned on the parts image, state, prompt, not on a class" in " ".join(said.split())


def test_one_can_guide_away_from_parts_of_other_lengths(model, bundle, zoo, folder):
    for prompt in ("cabba", "c"):
        options = {"guidance": 3.0, "negative": {"state": [1.0, 2.0], "prompt": prompt}}
        x = model.sample(3, condition=instructed(3), seed=1, **options).numpy()
        np.testing.assert_allclose(bundle.sample(3, condition=instructed(3), seed=1, **options), x, atol=1e-4)
    away = ("--guidance", 3, "--negative", "state=1,2", "--negative", "prompt=cabba")
    x = zoo("run", folder, *COMMON, "--condition", "state=4,6", "--condition", "prompt=a", *away)
    options["negative"]["prompt"] = "cabba"
    expected = bundle.sample(2, condition={"state": [4.0, 6.0], "prompt": "a"}, seed=3, **options)
    np.testing.assert_allclose(x, expected, atol=1e-5)
    said = zoo("run", folder, *COMMON, "--condition", "state=4,6", "--guidance", 2, "--negative", "mood=1")
    assert "--negative 'mood=1' does not begin with the name of a part" in " ".join(said.split())


def test_a_gradient_passes_where_what_is_guided_away_from_is_longer(model):
    image = torch.rand(2, 1, 4, 4, requires_grad=True)
    condition = {"image": image, "state": torch.zeros(2, 2), "prompt": torch.tensor([[1, 2], [3, 0]])}
    negative = {"state": [1.0, 2.0], "prompt": "abcab"}
    model.sample(2, condition=condition, seed=0, guidance=2.0, negative=negative).sum().backward()
    assert image.grad.abs().max() > 0


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_files_of_samples_hold_their_parts_and_run_again(zoo, folder, bundle, suffix):
    """Those that one gives for all once, others for each, texts of any length; what is left out stays so."""
    file = f"samples.{suffix}"
    first = ("-n", 2, "--seed", 3, "--provider", "cpu", "--force", "-o", file)
    zoo("run", folder, *first, "--condition", "all.json")
    x = zoo("run", folder, *COMMON, "--condition", file)
    condition = {"state": [4.0, 6.0], "prompt": ["cab", "a"]}
    np.testing.assert_allclose(x, bundle.sample(2, condition=condition, seed=3), atol=1e-5)
    # data with its condition is encoded under it
    zoo("run", folder, "--encode", file, "--provider", "cpu", "--force", "-o", "x.npy", "--steps", 4)
    x = np.load("x.npy")
    samples = bundle.sample(2, condition=condition, seed=3)
    np.testing.assert_allclose(x, bundle.encode(samples, condition=condition, steps=4), atol=1e-4)


def test_a_table_of_samples_holds_parts_of_numbers(zoo, folder):
    zoo("run", folder, "-n", 2, "--seed", 3, "--provider", "cpu", "-o", "x.csv", "--condition", "state=arms.npy")
    from pathlib import Path

    from zoo.render.read import read_samples

    assert Path("x.csv").read_text().splitlines()[0] == "x0,x1,x2,condition/state/0,condition/state/1"
    _, found = read_samples(Path("x.csv"), (3,))
    np.testing.assert_array_equal(found["state"], [[4.0, 6.0], [5.0, 5.0]])


def test_rows_of_an_interpolation_have_a_condition_each(zoo, folder, bundle):
    from zoo.samplers.slerp import slerp

    options = ("--interpolate", 2, "-n", 3, "--seed", 3, "--provider", "cpu", "-o", "x.npy", "--force")
    x = zoo("run", folder, *options, "--condition", "state=arms.npy", "--condition", "prompt=cab")
    from zoo import noise

    ends = noise.normal(3, 3, (3,))
    between = np.stack([slerp(a, b, u) for a, b in ((ends[0], ends[1]), (ends[1], ends[2])) for u in (0.0, 1.0)])
    condition = {"state": [[4, 6], [4, 6], [5, 5], [5, 5]], "prompt": "cab"}
    np.testing.assert_allclose(x, bundle.sample(4, condition=condition, noise=between, seed=3), atol=1e-4)
