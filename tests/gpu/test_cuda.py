"""Bundles on a GPU: the provider is used, its results are the proven ones, and the state stays on the device."""

import threading

import numpy as np
import pytest

from zoo.bundle import open_bundle
from zoo.bundle.differences import relative_difference
from zoo.errors import DeviceMemoryError, ProviderError, UnknownNameError
from zoo.runtime import Device, Session, load
from zoo.runtime.check import confirm, tolerance_of

pytestmark = pytest.mark.gpu

RECORDED = {"enable_cuda_graph": "1"}
#: a network of convolutions, two of matrix products, a flow each of couplings and of autoregressive steps
STEPPED, DIRECT = ("mnist-unet", "wine-mlp", "names-masked"), ("digits-nsf", "circles-maf", "mnist-glow")
GRAPHS = [*((name, "step") for name in STEPPED), *((name, "inverse") for name in DIRECT)]


def drawn(model, n=3, **options):
    """Samples from one seed; those of models that sample in steps in eight."""
    steps = {"steps": 8} if model.manifest.sampling.stepped else {}
    return model.sample(n, seed=1, **steps, **options)


def same(model, actual, expected):
    """Whether samples are equal within the proven tolerance."""
    unit = model.manifest.sampling.unit(expected)
    return relative_difference(actual, expected, unit) <= tolerance_of(model.manifest, "sample")


@pytest.mark.parametrize("name", [*STEPPED, *DIRECT])
def test_golden_values_are_reproduced(shipped, name):
    report = confirm(open_bundle(shipped(name)), "cuda")
    assert {row.provider for row in report.rows if row.provider} == {"cuda"}


@pytest.mark.parametrize("name", [*STEPPED, *DIRECT])
def test_samples_are_those_of_the_cpu(opened, name):
    model = opened(name)
    assert (model.provider, model.fallback) == ("cuda", None)
    assert model.session()._session.get_providers()[0] == "CUDAExecutionProvider"
    assert same(model, drawn(model), drawn(opened(name, "cpu")))


def test_random_steps_guidance_and_histories_are_those_of_the_cpu(opened):
    for given in ({"sampler": "ddpm"}, {"sampler": "dpm-solver-pp"}, {"guidance": 3.0}):
        model = opened("mnist-unet")
        assert same(model, drawn(model, **given), drawn(opened("mnist-unet", "cpu"), **given)), given


@pytest.mark.parametrize(("name", "graph"), GRAPHS)
def test_all_arithmetic_runs_on_the_gpu_and_nothing_is_copied_between(shipped, profiled, name, graph):
    nodes = profiled(shipped(name), graph, drawn)
    assert any(provider == "CUDA" for _, provider, _ in nodes)
    assert not [op for op, _, _ in nodes if op.startswith("Memcpy")]
    # shapes are computed on the host
    on_host = [(op, types) for op, provider, types in nodes if provider != "CUDA"]
    assert not [op for op, types in on_host if not set(types) <= {"int64", "int32", "bool"}]


@pytest.mark.parametrize("name", ["mnist-unet", "wine-mlp"])
@pytest.mark.parametrize("options", [{}, RECORDED])
def test_the_state_stays_on_the_device(opened, monkeypatch, name, options):
    model = opened(name, **options)
    copies = []
    for name in ("value", "fetch", "replace"):
        own = getattr(Session, name)
        monkeypatch.setattr(Session, name, lambda self, *a, own=own, name=name: copies.append(name) or own(self, *a))
    counts = []
    for steps in (5, 20):
        copies.clear()
        model.sample(2, seed=0, sampler="ddim", steps=steps)
        counts.append(sorted(copies))
    assert counts[0] == counts[1]
    assert counts[0].count("fetch") == 1
    assert model.session().value(np.zeros(3, np.float32)).device_name() == "cuda"


@pytest.mark.parametrize("name", [*STEPPED, *DIRECT])
def test_replays_of_cuda_graphs_are_equal(opened, name):
    model = opened(name, **RECORDED)
    first, other = drawn(model), model.sample(3, seed=2)
    assert model.session()._recorder._recorded
    np.testing.assert_array_equal(drawn(model), first)
    assert not np.array_equal(first, other)
    assert same(model, first, drawn(opened(name, "cpu")))
    # another size in between
    model.sample(2, seed=3)
    np.testing.assert_array_equal(drawn(model), first)


def test_replays_follow_noise_histories_and_guidance(opened):
    model = opened("mnist-unet", **RECORDED)
    for given in ({"sampler": "ddpm"}, {"sampler": "dpm-solver-pp"}, {"guidance": 3.0}):
        assert same(model, drawn(model, **given), drawn(opened("mnist-unet", "cpu"), **given)), given


@pytest.mark.parametrize("options", [{}, RECORDED])
def test_threads_get_the_same_results(opened, options):
    model = opened("digits-nsf", **options)
    expected, results = [model.sample(2, seed=seed) for seed in range(4)], {}

    def sample(seed):
        results[seed] = model.sample(2, seed=seed)

    threads = [threading.Thread(target=sample, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        assert same(model, results[seed], expected[seed])


def test_tf32_is_used_only_where_it_was_asked_for(shipped, opened):
    exact = drawn(opened("mnist-unet"))
    rounded = drawn(load(shipped("mnist-unet"), Device("cuda", tf32=True)))
    assert not np.array_equal(rounded, exact)


def test_a_wrong_provider_is_an_error(shipped):
    with pytest.raises(UnknownNameError, match="no provider named 'cdua'"):
        load(shipped("circles-maf"), "cdua")
    with pytest.raises(ProviderError, match=r"CUDA was requested but is not in use for inverse\.onnx"):
        load(shipped("circles-maf"), Device("cuda", index=99)).sample(1, seed=0)
    fallen = load(shipped("circles-maf"), Device("auto", index=99))
    assert fallen.provider == "cpu"
    assert fallen.fallback


def test_memory_that_does_not_suffice_is_one_sentence_and_halves_the_batch(shipped, opened):
    small = Device("cuda", options={"gpu_mem_limit": str(192 << 20), "arena_extend_strategy": "kSameAsRequested"})
    given = {"seed": 0, "steps": 1, "guidance": 1.0}
    with pytest.raises(DeviceMemoryError, match="the GPU's memory does not suffice to run step") as caught:
        load(shipped("mnist-unet"), small).sample(1024, batch_size=1024, **given)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120
    model = load(shipped("mnist-unet"), small)
    x = model.sample(1024, **given)
    assert model.session().largest_batch < 1024
    assert same(model, x[:2], opened("mnist-unet").sample(1024, **given)[:2])
