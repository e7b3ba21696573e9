"""The temperature of samples: what the noise of a seed is multiplied by, the same in PyTorch and in ONNX Runtime."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import zoo  # noqa: E402
import zoo.runtime  # noqa: E402
from zoo.bundle import Manifest, read_manifest  # noqa: E402
from zoo.errors import ConfigError, UsageError  # noqa: E402
from zoo.noise import normal, tempered  # noqa: E402
from zoo.programs import Direct  # noqa: E402
from zoo.programs.one_call import NoiseInput  # noqa: E402
from zoo_flows.nice import NICE  # noqa: E402


@pytest.fixture(scope="module")
def cool():
    torch.manual_seed(0)
    model = NICE(event_shape=(2,), hidden=8, temperature=0.5)
    return model.eval()


@pytest.fixture(scope="module")
def folder(cool, tmp_path_factory):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    return zoo.export(cool, tmp_path_factory.mktemp("cool") / "bundle", fused={})


def test_noise_is_scaled_in_float32():
    z = {"z": normal(3, 4, (2,))}
    np.testing.assert_array_equal(tempered(z, 0.7)["z"], z["z"] * np.float32(0.7))
    assert tempered(z, 1)["z"].dtype == tempered(z, 0.7)["z"].dtype == np.float32


def test_samples_at_a_temperature_are_those_of_scaled_noise(cool):
    z = torch.from_numpy(normal(3, 5, (2,)))
    for given, scale in ((None, 0.5), (1.0, 1.0), (0.25, 0.25), (0, 0.0)):
        expected = cool.inverse(z * scale)
        torch.testing.assert_close(cool.sample(5, seed=3, temperature=given), expected, rtol=0, atol=0)


def test_a_bundle_has_the_temperature_of_its_model(cool, folder):
    assert read_manifest(folder).sample.temperature == 0.5
    bundle = zoo.runtime.load(folder, "cpu")
    for options in ({}, {"temperature": 1}, {"temperature": 0.25}):
        expected = cool.sample(5, seed=3, **options).numpy()
        np.testing.assert_allclose(bundle.sample(5, seed=3, **options), expected, atol=1e-5)
    np.testing.assert_allclose(bundle.sample(5, seed=3, fused=True), cool.sample(5, seed=3).numpy(), atol=1e-5)


def test_log_densities_know_nothing_of_it(cool, folder):
    x = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    warm = NICE(event_shape=(2,), hidden=8)
    warm.load_state_dict(cool.state_dict())
    expected = warm.log_prob(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(zoo.runtime.load(folder, "cpu").log_prob(x), expected, atol=1e-5)


def test_a_noise_that_is_stated_is_taken_as_it_is(cool, folder):
    bundle, z = zoo.runtime.load(folder, "cpu"), normal(3, 5, (2,))
    expected = cool.inverse(torch.from_numpy(z)).detach().numpy()
    np.testing.assert_allclose(bundle.sample(5, noise=z), expected, atol=1e-5)
    with pytest.raises(UsageError, match="temperature scales the noise of a seed"):
        bundle.sample(5, noise=z, temperature=0.5)


@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf"), "warm", True])
def test_what_is_no_temperature_is_refused(cool, folder, wrong):
    for model in (cool, zoo.runtime.load(folder, "cpu")):
        with pytest.raises(UsageError, match="a temperature is a finite number, 0 or more"):
            model.sample(2, temperature=wrong)
    with pytest.raises(ConfigError, match="a temperature is a finite number"):
        NICE(event_shape=(2,), hidden=8, temperature=wrong)


def test_programs_without_normals_have_none():
    with pytest.raises(ValueError, match="scoring has no temperature"):
        Direct("log_prob", temperature=0.5)
    with pytest.raises(ValueError, match="normal noise alone"):
        Direct("inverse", noise=(NoiseInput("g", "gumbel"),), temperature=0.5)
    assert not Direct("inverse", noise=(NoiseInput("g", "gumbel"),)).tempers
    assert Direct("inverse", noise="z").tempers


def test_a_manifest_states_it_only_where_it_is_another_than_1(folder):
    text = (folder / "manifest.json").read_text()
    assert '"temperature": 0.5' in text
    assert Manifest.from_json(text).to_json() == text
    assert '"version": 2' in text
    assert '"version": 1' in Manifest.from_json(text.replace('"temperature": 0.5', '"temperature": 1')).to_json()


def test_the_command_line_says_and_records_it(folder, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from zoo.cli import cli

    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(cli, [str(each) for each in arguments])

    done = run("run", folder, "-n", 4, "--seed", 3, "-o", "own.npy")
    assert done.exit_code == 0, done.output
    assert "temperature 0.5, the model's own: tidier and less varied than the model's density" in done.stderr
    done = run("run", folder, "-n", 4, "--seed", 3, "--temperature", 1, "-o", "one.csv")
    assert "temperature" not in done.stderr
    done = run("run", folder, "-n", 4, "--seed", 3, "--temperature", 0.25, "-o", "cold.npz")
    assert "temperature 0.25: tidier" in done.stderr
    assert "--temperature 0.25" in run("show", "cold.npz").stdout
    assert '"temperature": 0.25' in run("show", "cold.npz", "--json").stdout
    done = run("run", folder, "-n", 4, "--seed", 3, "--temperature", 1.5, "-o", "hot.npz")
    assert "temperature 1.5: less tidy and more varied than" in done.stderr
    np.save("z.npy", normal(0, 4, (2,)))
    for other in (["--noise", "z.npy"], ["--fused"], ["--log-prob", "own.npy"], ["--encode", "own.npy"]):
        done = run("run", folder, "--temperature", 0.5, *other)
        assert done.exit_code == 2, other
        assert "temperature" in done.stderr
    done = run("run", folder, "-n", 3, "--seed", 3, "--interpolate", 2, "-o", "way.npy")
    assert done.exit_code == 0, done.output
    ends = np.load("way.npy")
    assert np.allclose(ends[0], np.load("own.npy")[0], atol=1e-5)
