"""The judge of emoji from words: whose labels it chooses among, what it reads, and what it calls near."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

SCRIPT = Path(__file__).parents[2] / "scripts" / "emoji_judge.py"
_spec = importlib.util.spec_from_file_location("emoji_judge", SCRIPT)
script = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(script)


@pytest.fixture
def emoji():
    """Sixty emoji of three groups, the last two of them with one label, in two styles."""
    made = object.__new__(script.Emoji)
    made.labels = [f"thing {i}" for i in range(59)] + ["thing 58"]
    made.groups = np.array(["few"] * 6 + ["many"] * 30 + ["others"] * 24)
    made.train = np.arange(60) % 3 > 0
    made.pictures = np.random.default_rng(0).integers(256, size=(2, 60, 3, 32, 32)).astype(np.uint8)
    return made


def test_a_picture_is_named_among_twenty_of_which_ten_are_of_its_group(emoji):
    for place, of_group in ((2, 5), (10, 10), (59, 10)):
        chosen = emoji.candidates(place)
        assert len(set(chosen)) == len(chosen) == 20
        assert chosen[0] == place
        assert sum(emoji.groups[i] == emoji.groups[place] for i in chosen[1:]) == of_group
        assert [emoji.labels[i] for i in chosen].count(emoji.labels[place]) == 1
        assert emoji.candidates(place) == chosen
    assert emoji.candidates(10)[1:] != emoji.candidates(11)[1:]


def test_texts_are_read_by_their_words_alone():
    judge = script.Judge(["cat", "dog", "red"]).eval()
    a, b, c, d = judge.of_texts(["cat, red", "red unknown cat", "dog", "cat"])
    torch.testing.assert_close(a, b)
    assert (a - c).norm() > 0.1
    assert (a - d).norm() > 1e-3
    pictures = judge.of_pictures(torch.rand(4, 3, 32, 32) * 255)
    torch.testing.assert_close(pictures.norm(dim=1), torch.ones(4))


def test_a_judge_that_knows_nothing_names_at_chance(emoji):
    """Before training, the first of the candidates, which is the own label, is chosen no more often than others."""
    judge, places = script.Judge(sorted({"thing", *map(str, range(59))})), np.arange(60)
    right = [script.named(judge, emoji, emoji.pictures[style], places).mean() for style in (0, 1)]
    assert np.mean(right) < 0.25


def test_the_nearest_picture_is_one_of_training(emoji):
    disturbed = emoji.pictures[1].astype(np.float32)
    disturbed[:, 0] += 3.0
    distance, nearest = script._nearest(emoji, disturbed)
    # a root mean square over all channels, a third of which differs by three
    np.testing.assert_allclose(distance[emoji.train], np.sqrt(3.0), atol=0.05)
    np.testing.assert_array_equal(nearest[emoji.train], np.flatnonzero(emoji.train))
    assert (distance[~emoji.train] > 50).all()
    assert emoji.train[nearest].all()
