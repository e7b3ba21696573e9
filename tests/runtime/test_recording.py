"""Recorded calls: a replay repeats a call at the addresses that were recorded, whatever is bound to it.

There is no CUDA here, so the CPU's session is wrapped in what CUDA graphs do to a session: a call with a number that is
known runs what was bound when it was recorded.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from zoo.errors import RuntimeFailure, UsageError
from zoo.runtime import Device, Session, load, recording
from zoo.runtime.recording import MOST, Recorder

CPU = ("cpu", 0)


class Replaying:
    """A session that records and replays."""

    def __init__(self, session):
        self._session, self.recorded, self.replays, self.plain = session, {}, 0, 0

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run(self, names, arrays, options):
        assert options.get_run_config_entry("gpu_graph_id") == "-1"
        self.plain += 1
        return self._session.run(names, arrays)

    def run_with_iobinding(self, binding, options):
        number = int(options.get_run_config_entry("gpu_graph_id"))
        if number < 0:
            self.plain += 1
        elif number in self.recorded:
            self.replays += 1
            binding = self.recorded[number]
        else:
            self.recorded[number] = binding
        self._session.run_with_iobinding(binding)


def recorded(model, graph):
    """A model whose calls of a graph are recorded."""
    session = model.session(graph)
    replaying = Replaying(session._session)
    session._recorder = Recorder(replaying, CPU, graph)
    return replaying


def test_recorded_steps_give_the_samples_of_steps_that_are_not(diffusion):
    plain, model = load(diffusion, "cpu"), load(diffusion, "cpu")
    seen = recorded(model, "step")
    for n, seed, sampler in ((4, 0, "ddim"), (4, 1, "ddim"), (7, 2, "ddim"), (4, 3, "ddpm"), (4, 4, "dpm-solver-pp")):
        given = {"seed": seed, "sampler": sampler, "steps": 5}
        np.testing.assert_array_equal(model.sample(n, **given), plain.sample(n, **given))
    # two buffers in turn for each size: 4 and 7 samples, and 4 with a history
    assert len(seen.recorded) == 6
    assert (seen.replays, seen.plain) == (5 * 5 - 6, 0)


def test_runs_at_the_same_time_do_not_share_states(diffusion):
    plain, model = load(diffusion, "cpu"), load(diffusion, "cpu")
    recorded(model, "step")
    streams = [model.stream(3, seed=seed, sampler="ddpm", steps=4) for seed in (0, 1)]
    last = [frames[-1].x for frames in zip(*zip(*streams, strict=True), strict=True)]
    for seed, x in enumerate(last):
        np.testing.assert_array_equal(x, plain.sample(3, seed=seed, sampler="ddpm", steps=4))


def test_previews_and_edits_are_recorded_apart(diffusion):
    plain, model = load(diffusion, "cpu"), load(diffusion, "cpu")
    recorded(model, "step")
    x = plain.sample(2, seed=9, steps=3)
    edit = {"init": x, "strength": 1.0, "seed": 3, "steps": 4}
    for given in ({"seed": 3, "steps": 4}, edit, {"seed": 4, "steps": 4}):
        seen = []
        watched = model.sample(2, **given, preview=lambda *frame, seen=seen: seen.append(frame))
        np.testing.assert_array_equal(watched, plain.sample(2, **given))
        np.testing.assert_array_equal(model.sample(2, **given), plain.sample(2, **given))
        assert len(seen) == 4


def test_recorded_scores_hold_what_their_conditions_are_encoded_as():
    folder = Path(__file__).parents[1] / "bundles" / "parts" / "policy"
    plain, model, x = load(folder, "cpu"), load(folder, "cpu"), np.ones((3, 3))
    seen = recorded(model, "divergence")
    for state in ([4.0, 6.0], [1.0, 2.0], [[4.0, 6.0], [1.0, 2.0], [4.0, 5.0]]):
        given = {"condition": {"state": state, "prompt": "cab"}, "steps": 2}
        np.testing.assert_array_equal(model.log_prob(x, **given), plain.log_prob(x, **given))
    # one recording serves every condition, whose values are given back for the next run
    assert (len(seen.recorded), seen.plain) == (1, 0)
    free = model.session("divergence")._recorder._free
    assert {role: len(values) for (role, *_), values in free.items()} == {
        "held observed": 1,
        "held words": 1,
        "held seen": 1,
    }


def test_a_flow_is_recorded_for_each_size(flow):
    plain, model = load(flow, "cpu"), load(flow, "cpu")
    seen = recorded(model, "inverse")
    for n in (1, 5, 1, 5):
        np.testing.assert_array_equal(model.sample(n, seed=n), plain.sample(n, seed=n))
    assert (len(seen.recorded), seen.replays) == (2, 2)


def test_what_is_recorded_is_bounded(flow):
    plain, model = load(flow, "cpu"), load(flow, "cpu")
    seen = recorded(model, "inverse")
    for n in range(1, MOST + 4):
        np.testing.assert_array_equal(model.sample(n, seed=0), plain.sample(n, seed=0))
    assert (len(seen.recorded), seen.plain) == (MOST, 3)
    np.testing.assert_array_equal(model.sample(2, seed=1), plain.sample(2, seed=1))
    assert seen.replays == 1


def test_a_shape_at_the_address_of_another_is_recorded_anew():
    class Value:
        def __init__(self, *shape):
            self._shape = shape

        def data_ptr(self):
            return 4096

        def shape(self):
            return self._shape

    recorder = object.__new__(Recorder)
    recorder._recorded = {}
    numbers = [recorder._number([("x", Value(n, 2))]) for n in (3, 4, 3)]
    assert numbers == [0, 1, 0]


def test_an_input_that_is_read_on_the_host_is_refused(tmp_path, monkeypatch):
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 2]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    path = tmp_path / "shape.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    inner = Session(path)._session
    with pytest.raises(RuntimeFailure, match=r"shape\.onnx cannot be recorded: it reads x on the host"):
        Recorder(inner, ("cuda", 0), "shape.onnx")

    class Old:
        pass

    with pytest.raises(RuntimeFailure, match="does not tell where graph shape"):
        Recorder(Old(), CPU, "shape.onnx")


def test_only_cuda_records():
    assert Device("cuda", options={"enable_cuda_graph": "1"}).records("cuda")
    assert not Device("cuda").records("cuda")
    # "auto" that fell back to the CPU
    assert not Device("auto", options={"enable_cuda_graph": "1"}).records("cpu")
    with pytest.raises(UsageError, match="trt_cuda_graph_enable is not supported"):
        Device("tensorrt", options={"trt_cuda_graph_enable": "true"})


def test_small_inputs_are_copied_when_they_change(flow, monkeypatch):
    session = Session(flow / "inverse.onnx")
    recorder = Recorder(session._session, CPU, "inverse")
    value = recorder._input("z", np.zeros((1, 2), np.float32))
    copies = []
    monkeypatch.setattr(type(value), "update_inplace", lambda self, array: copies.append(array))
    recorder._input("z", np.zeros((1, 2), np.float32))
    recorder._input("z", np.ones((1, 2), np.float32))
    large = np.zeros((recording._COMPARED, 2), np.float32)
    recorder._input("z", large)
    recorder._input("z", large)
    assert [array.shape for array in copies] == [(1, 2), large.shape]
