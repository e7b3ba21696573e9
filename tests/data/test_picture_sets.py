"""CIFAR-10, Fashion-MNIST and the emoji: read as they are published, refused where not, skipped if not there."""

import io
import tarfile
import tomllib
from pathlib import Path

import numpy as np
import pytest

from zoo.data.fetch import Remote, fetch
from zoo.errors import ConfigError, DataError
from zoo.parts import Part
from zoo_data import captioned_emoji, cifar10, emoji, fashion_mnist, paired_emoji

ROOT = Path(__file__).parents[2]


def there(load, *args, **options):
    try:
        return load(*args, **options)
    except DataError as error:
        pytest.skip(str(error))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))


def archive(path, batches):
    with tarfile.open(path, "w:gz") as file:
        for name, content in batches.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def test_the_rows_of_cifar_are_a_class_and_three_planes(tmp_path):
    random = np.random.default_rng(0)
    images, classes = random.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8), np.array([0, 9, 3, 3], np.uint8)
    content = np.concatenate([classes[:, None], images.reshape(4, -1)], 1).tobytes()
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    batches = cifar10.read_batches(archive(tmp_path / "c.tar.gz", dict.fromkeys(names, content)), rows=4)
    np.testing.assert_array_equal(batches["test_batch.bin"][0], images)
    np.testing.assert_array_equal(batches["data_batch_5.bin"][1], classes)
    for broken, told in (
        (dict.fromkeys(names[1:], content), "has no file data_batch_1.bin"),
        (dict.fromkeys(names, content[:-1]), "does not hold 4 pictures"),
        (dict.fromkeys(names, b"\x0a" + content[1:]), "has the class 10"),
    ):
        with pytest.raises(DataError, match=told):
            cifar10.read_batches(archive(tmp_path / "c.tar.gz", broken), rows=4)
    (tmp_path / "c.tar.gz").write_bytes(b"<html>")
    with pytest.raises(DataError, match="not an archive"):
        cifar10.read_batches(tmp_path / "c.tar.gz")


def test_a_file_with_another_md5_is_not_the_published_one(tmp_path, monkeypatch, offline):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x.bin").write_bytes(b"hello")
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert fetch("set", Remote("x.bin", (), md5="5d41402abc4b2a76b9719d911017c592")).name == "x.bin"
    with pytest.raises(DataError, match="md5 differs"):
        fetch("set", Remote("x.bin", (), md5="0" * 32))
    monkeypatch.delenv("ZOO_OFFLINE")
    with pytest.raises(DataError, match="no host has it") as refused:
        fetch("set", Remote("y.bin", ()))
    assert "ZOO_DATA" in refused.value.hint


@pytest.mark.parametrize("load", [cifar10.cifar10, fashion_mnist.fashion_mnist])
def test_the_standard_split(load, offline):
    data = there(load)
    assert (data.levels, len(data.labels)) == (256, 10)
    assert len(data.validation) == 5_000
    assert len(data.test) == 10_000


def test_emoji_are_on_white_and_all_tones_of_one_are_in_one_split(offline):
    data = there(emoji.emoji, size=8, skin_tones=True)
    assert data.event_shape == (3, 8, 8)
    assert len(data.train) + len(data.validation) + len(data.test) == 3786
    assert "smileys-emotion" in data.labels
    corners = data.train.x[:, :, 0, 0]
    assert (corners == 255).all(1).mean() > 0.5


@pytest.mark.full
def test_the_same_emoji_in_two_styles_are_in_the_same_split(offline):
    plain, other = there(emoji.emoji, size=8), there(emoji.emoji, size=8, style="twemoji")
    np.testing.assert_array_equal(plain.train.condition, other.train.condition)


def test_captions_are_words_of_the_recipe_and_no_held_out_emoji_is_trained_on(offline):
    data = there(captioned_emoji.captioned_emoji, size=8)
    recipe = tomllib.loads((ROOT / "recipes" / "emoji-text.toml").read_text("utf-8"))
    (prompt,) = [p for p in recipe["model"]["config"]["condition"]["parts"] if p["name"] == "prompt"]
    assert prompt["labels"] == captioned_emoji.vocabulary()
    part = Part(**prompt)
    texts = {name: getattr(data, name).condition["prompt"] for name in ("train", "validation", "test")}
    assert all(part.words(str(text)) for split in texts.values() for text in split)
    # four captions of a picture in training, the first two its label; two styles
    labels = set(texts["train"][::4])
    assert set(texts["train"][1::4]) == labels
    assert len(texts["train"]) == 8 * len(labels)
    assert not labels & {*texts["validation"], *texts["test"]}
    assert len(texts["validation"]) + len(texts["test"]) == 2 * (1911 - len(labels))
    plain = there(emoji.emoji, size=8, style="twemoji")
    for name, size in (("train", 8), ("test", 2)):
        split = getattr(data, name)
        np.testing.assert_array_equal(split.condition["style"][:size], np.repeat([0, 1], size // 2))
        np.testing.assert_array_equal(split.x[size // 2 :: size], getattr(plain, name).x)


def test_pairs_are_of_one_emoji_and_held_out_bases_are_not_trained_on(offline):
    data = there(paired_emoji.paired_emoji, size=8)
    captioned = there(captioned_emoji.captioned_emoji, size=8)
    for name in ("validation", "test"):
        own, other = getattr(data, name), getattr(captioned, name)
        np.testing.assert_array_equal(own.condition["picture"], other.x[::2])
        np.testing.assert_array_equal(own.x, other.x[1::2])
    # every emoji four times: as it is, mirrored, and twice moved; then those with skin tones
    plain = len(captioned.train) // 8
    train = data.train
    np.testing.assert_array_equal(train.x[:plain], captioned.train.x[4::8])
    np.testing.assert_array_equal(train.condition["picture"][:plain], captioned.train.x[::8])
    for x in (train.x, train.condition["picture"]):
        np.testing.assert_array_equal(x[plain : 2 * plain], x[:plain, :, :, ::-1])
    toned = len(train) - 4 * plain
    assert 1000 < toned < 3786 - 1911
    codes = {name: {emoji.base_of(str(each["code"])) for each in listed} for name, listed in split_codes().items()}
    assert not codes["train"] & (codes["validation"] | codes["test"])


def split_codes():
    return dict(zip(("train", "validation", "test"), (listed for listed, _ in paired_emoji._viewed(8)), strict=True))


def test_a_pair_is_moved_together_with_white_around():
    view = paired_emoji.View(np.array([1, 1, 0]), np.array([False, True, False]), np.array([[1, -2], [0, 1], [0, 0]]))
    x = np.arange(2 * 3 * 16, dtype=np.uint8).reshape(2, 3, 4, 4)
    moved, mirrored, same = view.of(x)
    np.testing.assert_array_equal(moved[:, 1:, :2], x[1, :, :3, 2:])
    assert (moved[:, 0] == 255).all()
    assert (moved[:, :, 2:] == 255).all()
    np.testing.assert_array_equal(mirrored[:, :, 1:], x[1, :, :, :0:-1])
    np.testing.assert_array_equal(same, x[0])


def test_small_emoji_are_means_of_squares_of_both_styles(offline):
    data = there(paired_emoji.shrunk_emoji, size=16, small=4)
    for split in (data.train, data.test):
        means = split.x.reshape(-1, 3, 4, 4, 4, 4).mean((3, 5))
        assert np.abs(split.condition["small"] - means).max() <= 0.5
    pairs = there(paired_emoji.paired_emoji, size=16)
    np.testing.assert_array_equal(data.test.x, np.concatenate([pairs.test.condition["picture"], pairs.test.x]))
    np.testing.assert_array_equal(data.train.x, np.concatenate([pairs.train.condition["picture"], pairs.train.x]))
    with pytest.raises(ConfigError, match="below 16, not 16"):
        paired_emoji.shrunk_emoji(size=16, small=16)


@pytest.mark.parametrize("wrong", [{"style": "apple"}, {"size": 12}])
def test_emoji_that_there_are_not_are_refused(wrong):
    with pytest.raises(ConfigError, match="the emoji have"):
        emoji.emoji(**wrong)


def test_captioned_emoji_of_another_size_are_refused():
    with pytest.raises(ConfigError, match="the emoji have sides of 64, 32, 16 or 8 pixels, not 12"):
        captioned_emoji.captioned_emoji(size=12)
