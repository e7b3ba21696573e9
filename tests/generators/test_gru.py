"""A recurrent network over texts: a written loop, symbols by Gumbel noise, probabilities up to the end of a text."""

import itertools
import json

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from small_generators import ALPHABET, card_of, gru  # noqa: E402 - after the check for torch

from zoo import noise  # noqa: E402
from zoo.bundle import read_manifest  # noqa: E402
from zoo.exporting import export  # noqa: E402
from zoo.modality import Text  # noqa: E402
from zoo.render import write  # noqa: E402
from zoo.render.files import Extras  # noqa: E402
from zoo.render.read import read_samples  # noqa: E402
from zoo.render.text import texts  # noqa: E402
from zoo.runtime import load  # noqa: E402


def test_samples_are_drawn_by_a_loop_whose_state_is_the_hidden_one(bundles):
    described = json.loads((bundles("gru") / "manifest.json").read_text("utf-8"))
    assert described["programs"]["sample"]["noise"] == [{"name": "gumbel", "distribution": "gumbel"}]
    assert described["length"] == {"end": 0}
    assert described["proof"]["density"]["method"] == "counted"
    graph = onnx.load(bundles("gru") / "inverse.onnx", load_external_data=False).graph
    assert [node.op_type for node in graph.node].count("Loop") == 1


def test_bundle_and_model_draw_the_same_texts_with_the_same_probabilities(bundles):
    model, bundle = gru(), load(bundles("gru"), "cpu")
    x = bundle.sample(50, seed=3, batch_size=7)
    with torch.no_grad():
        np.testing.assert_array_equal(x, model.sample(50, seed=3).numpy())
        expected = model.log_prob(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(bundle.log_prob(x), expected, atol=1e-5)
    # nothing follows the end, and what does not count
    assert np.array_equal(x, bundle.manifest.length.ended(x))
    ends = bundle.manifest.length.lengths(x)
    beyond = np.arange(5) > ends[:, None]
    np.testing.assert_array_equal(bundle.log_prob(np.where(beyond, 3.0, x)), bundle.log_prob(x))


def test_all_texts_together_have_probability_one(bundles):
    """Each text once: those that end before the last place, and those that do not end."""
    bundle, symbols = load(bundles("gru"), "cpu"), range(1, len(ALPHABET))
    every = [(*text, *[0] * (5 - size)) for size in range(6) for text in itertools.product(symbols, repeat=size)]
    total = np.exp(bundle.log_prob(np.array(every, np.float32), batch_size=2000)).sum()
    assert total == pytest.approx(1.0, abs=1e-5)


def test_the_first_letter_is_drawn_by_the_largest_score(bundles):
    """Written out here from the weights: argmax of logits and Gumbel numbers, and the frequencies of softmax."""
    model, bundle = gru(), load(bundles("gru"), "cpu")
    with torch.no_grad():
        _, logits = model.step(*model.begin(torch.zeros(1, 1))[:2])
    logits = logits[0].double().numpy()
    scores = logits + noise.gumbel(11, 4000, (5, len(ALPHABET)))[:, 0]
    first = bundle.sample(4000, seed=11)[:, 0]
    np.testing.assert_array_equal(first, scores.argmax(1))
    p = np.exp(logits) / np.exp(logits).sum()
    shares = np.bincount(first.astype(int), minlength=len(p)) / 4000
    assert (np.abs(shares - p) < 4 * np.sqrt(p / 4000)).all()


def test_texts_are_written_and_read_with_their_probabilities(bundles, tmp_path):
    bundle, alphabet = load(bundles("gru"), "cpu"), Text(ALPHABET)
    x = bundle.sample(20, seed=5)
    extras = Extras(levels=6, modality=alphabet, length=bundle.manifest.length)
    write(x, tmp_path / "x.txt", extras)
    assert (tmp_path / "x.txt").read_text("utf-8").splitlines() == texts(x, alphabet)
    for suffix in ("txt", "npz", "csv", "safetensors", "npy"):
        if suffix != "txt":
            write(x, tmp_path / f"x.{suffix}", extras)
        read, _ = read_samples(tmp_path / f"x.{suffix}", (5,), alphabet, length=bundle.manifest.length)
        np.testing.assert_array_equal(read, x)
        np.testing.assert_allclose(bundle.log_prob(read.astype(np.int64)), bundle.log_prob(x), rtol=1e-5)


def test_a_fused_graph_draws_the_same_texts(tmp_path):
    model = gru()
    card = card_of("fused", model)
    folder = export(model, tmp_path / "bundle", card=card, fused={})
    bundle = load(folder, "cpu")
    np.testing.assert_array_equal(bundle.sample(9, seed=2, fused=True), bundle.sample(9, seed=2))
    assert read_manifest(folder).length == model.length
