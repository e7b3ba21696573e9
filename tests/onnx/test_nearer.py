"""Noise so far out that float32 has no digits is compared nearer, and no nearer than noise comes."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx_ir")

from zoo.errors import ProofError  # noqa: E402 - after the checks for what they need
from zoo.exporting import export  # noqa: E402
from zoo.models.interface import DirectModel  # noqa: E402
from zoo_onnx.nearer import Nearer, nearer  # noqa: E402


class Waves(DirectModel):
    """sin(z⁵): a last bit of z = 30 is several waves, one of z = 6 a thousandth of a wave."""

    family = "waves"
    density = "none"
    farthest = 1e9

    def __init__(self):
        super().__init__()
        self.event_shape = (64,)
        self.scale = torch.nn.Parameter(torch.ones(64))

    def inverse(self, z, condition=None):
        return self.scale * torch.sin(z * z * z * z * z)

    def programs(self):
        programs = super().programs()
        (graph,) = programs.graphs
        return replace(programs, graphs=(replace(graph, written={"waves": self.write}),))

    def write(self, builder, inputs):
        return builder.call(self.clamped, (inputs[0], ("batch", 64)))

    def clamped(self, z):
        """The same, rounded in another order."""
        z = z.clamp(-self.farthest, self.farthest)
        square = z * z
        return self.scale * torch.sin(square * square * z)


class WrongAtSeven(Waves):
    """Its graph differs from noise of 7 on, where float32 has digits."""

    farthest = 7.0


def test_a_graph_without_digits_far_out_is_exported_and_says_so(tmp_path):
    said = []
    export(Waves(), tmp_path / "bundle", progress=lambda what, done, total: said.append(what))
    proof = json.loads((tmp_path / "bundle" / "manifest.json").read_text("utf-8"))["proof"]
    assert proof["nearer"]["inverse"]["cases"] > 0
    assert proof["nearer"]["inverse"]["share"] in (0.5, 0.25, 0.125)
    assert proof["nearer"]["inverse"]["pytorch"] > 0.1
    assert any(each.startswith("graph inverse has no digits in float32") for each in said)
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text("utf-8")
    assert "Noise of graph inverse beyond what is drawn" in card


def test_one_that_is_wrong_where_float32_has_digits_is_refused(tmp_path):
    with pytest.raises(ProofError, match="graph inverse, output x differs by"):
        export(WrongAtSeven(), tmp_path / "bundle")


def halves(z, off):
    """Inputs as they are taken nearer, where float32 is off by ``off(z)``."""
    feeds, found = {"z": np.array(z, np.float32)[:, None], "condition": np.arange(len(z))}, Nearer()
    rounded = lambda given: {"x": given["z"] * 0 + off(np.abs(given["z"]))}  # noqa: E731 - beside its twin
    exact = lambda given: {"x": given["z"] * 0}  # noqa: E731
    result = nearer(feeds, ["z"], rounded, exact, 1.0, found)
    return None if result is None else result["z"][:, 0].tolist(), found


def test_only_samples_without_digits_move_and_only_as_far_as_they_must():
    moved, found = halves([30, -20, 3], lambda z: 0.02 * (z > 8))
    assert moved == [7.5, -5, 3]
    assert (found.cases, found.share, found.pytorch) == (1, 0.25, pytest.approx(0.02))


def test_where_noise_comes_nothing_is_excused():
    assert halves([30, 5.9], lambda z: 0.02 * (z > 5.8))[0] is None
    assert halves([30], lambda z: 0 * z + 0.02)[0] is None


def test_where_float32_has_digits_nothing_moves():
    assert halves([30, -20], lambda z: 0 * z + 0.009) == (None, Nearer())
