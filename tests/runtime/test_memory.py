"""A batch that does not fit into memory: one sentence, and halves, with the same samples."""

import numpy as np
import pytest

from zoo.errors import DeviceMemoryError, RuntimeFailure
from zoo.runtime import Session, load
from zoo.runtime.ort import onnxruntime

#: what ONNX Runtime, cuDNN, cuBLAS and CUDA say
SAID = [
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. Name:'c' "
    "Status Message: bfc_arena.cc:376 AllocateRawInternal() Failed to allocate memory for requested buffer of size "
    "37748736",
    "CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED ; GPU=0",
    "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
    "CUDA failure 2: out of memory ; GPU=0",
    "std::bad_alloc",
]


@pytest.fixture
def small(monkeypatch):
    """Memory for so many samples at a time; gives the sizes of the calls, those that failed negative."""

    def limit(largest):
        sizes = []

        def limited(own):
            def run(self, feeds, *rest):
                resident = rest[0] if rest and isinstance(rest[0], dict) else {}  # of a step: state [slots, n, d]
                n = len(feeds[self.inputs[0].name]) if not resident else resident["state"].shape()[1]
                sizes.append(n if n <= largest else -n)
                if n > largest:
                    raise self._failure("run", RuntimeError(SAID[0]))
                return own(self, feeds, *rest)

            return run

        monkeypatch.setattr(Session, "run", limited(Session.run))
        monkeypatch.setattr(Session, "run_on", limited(Session.run_on))
        return sizes

    return limit


@pytest.mark.parametrize("said", SAID)
def test_it_is_told_in_one_sentence(flow, said):
    error = Session(flow / "inverse.onnx")._failure("run", RuntimeError(said))
    assert isinstance(error, DeviceMemoryError)
    assert isinstance(error, RuntimeFailure)
    assert str(error).startswith("the host's memory does not suffice to run inverse.onnx")
    assert str(error).endswith("37.7 MB more were asked for" if "37748736" in said else "inverse.onnx")
    assert error.hint == "Try a smaller batch size."


def test_it_is_told_of_a_graph_that_does_not_fit(flow, monkeypatch):
    def full(*_, **__):
        raise RuntimeError(SAID[0])

    monkeypatch.setattr(onnxruntime(), "InferenceSession", full)
    with pytest.raises(DeviceMemoryError, match=r"the host's memory does not suffice to load inverse\.onnx") as caught:
        Session(flow / "inverse.onnx")
    assert caught.value.hint is None


def test_samples_of_halved_batches_are_the_same(flow, small):
    expected = load(flow, "cpu").sample(37, seed=0)
    sizes = small(5)
    model = load(flow, "cpu")
    reported = []
    np.testing.assert_array_equal(model.sample(37, seed=0, progress=lambda *at: reported.append(at)), expected)
    assert [-n for n in sizes if n < 0] == [37, 18, 9]
    assert sum(n for n in sizes if n > 0) == 37
    assert reported[-1] == (1, 1)
    # what fits is remembered
    sizes.clear()
    model.sample(12, seed=0)
    assert min(sizes) > 0


def test_steps_of_halved_batches_are_the_same(diffusion, small):
    given = {"seed": 0, "steps": 4, "sampler": "ddpm"}
    plain = load(diffusion, "cpu")
    expected, half_way = plain.sample(9, **given), plain.advance(plain.begin(9, **given), 2)
    small(4)
    np.testing.assert_array_equal(load(diffusion, "cpu").sample(9, **given), expected)
    model = load(diffusion, "cpu")
    np.testing.assert_array_equal(model.finish(half_way), expected)
    *_, frame = load(diffusion, "cpu").stream(9, **given)
    np.testing.assert_array_equal(frame.x, expected)


def test_scores_of_halved_batches_are_the_same(diffusion, flow, small):
    x = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    points = x[:, :2].copy()
    plain, direct = load(diffusion, "cpu"), load(flow, "cpu")
    expected = plain.log_prob(x, steps=2), plain.elbo(x, steps=3, terms=2), direct.log_prob(points)
    small(4)
    halved = load(diffusion, "cpu")
    np.testing.assert_allclose(halved.log_prob(x, steps=2), expected[0], rtol=1e-5)
    np.testing.assert_allclose(halved.elbo(x, steps=3, terms=2), expected[1], rtol=1e-5)
    np.testing.assert_allclose(load(flow, "cpu").log_prob(points), expected[2], rtol=1e-5)


def test_a_single_sample_that_does_not_fit_and_a_size_that_was_asked_for_are_errors(flow, small):
    small(0)
    with pytest.raises(DeviceMemoryError, match="does not suffice"):
        load(flow, "cpu").sample(4, seed=0)
    sizes = small(3)
    with pytest.raises(DeviceMemoryError):
        load(flow, "cpu").sample(8, seed=0, batch_size=4)
    assert sizes == [-4]
