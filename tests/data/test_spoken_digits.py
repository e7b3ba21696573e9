"""Spoken digits: archives read within bounds, recordings brought to one length and loudness, split as documented."""

import io
import os
import tomllib
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest

from zoo.errors import ConfigError, DataError
from zoo.modality import Audio
from zoo_data import spoken_digits as module
from zoo_data.spoken_digits import Take, prepared, read_recordings, spoken_digits


def wav(samples, *, rate=8000, channels=1, width=2):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, f"<i{width}" if width > 1 else "u1").tobytes())
    return buffer.getvalue()


def tone(n, amplitude=8000, hertz=440):
    return np.rint(amplitude * np.sin(2 * np.pi * hertz * np.arange(n) / 8000)).astype(np.int16)


def archive(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            out.writestr(name, content)
    return path


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Eight takes of two digits by two people, as the archive of the data set holds them."""
    files = {
        f"fsdd-1/recordings/{digit}_{who}_{take}.wav": wav(tone(900 + 100 * take, hertz=300 + 200 * digit))
        for digit in (3, 8)
        for who in ("theo", "lucas")
        for take in range(8)
    }
    (tmp_path / "fsdd").mkdir()
    path = archive(tmp_path / "fsdd" / "recordings.zip", files | {"fsdd-1/README.md": b"hello"})
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    monkeypatch.setattr(module, "_DIGEST", module._digest(_contents(path)))
    return path


def _contents(path):
    with zipfile.ZipFile(path) as opened:
        return {
            Take(int(digit), who, int(take)): opened.read(name)
            for name in opened.namelist()
            if name.endswith(".wav")
            for digit, who, take in [Path(name).stem.split("_")]
        }


def test_takes_0_to_4_are_the_test_set(data):
    digits = spoken_digits(1024, ["theo", "lucas"])
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (4, 8, 20)
    np.testing.assert_array_equal(np.unique(digits.test.condition), [3, 8])
    assert digits.event_shape == (1, 1024)
    assert digits.modality == Audio(8000)
    assert digits.labels == tuple("0123456789")
    assert len(spoken_digits(1024, ["theo"]).test) == 10


def test_who_speaks_can_be_a_second_condition(data):
    plain, both = (spoken_digits(1024, ["theo", "lucas"], speaker_part=part) for part in (False, True))
    assert both.labels == ()
    assert both.train.condition.keys() == {"digit", "speaker"}
    for name in ("train", "validation", "test"):
        split = getattr(both, name)
        np.testing.assert_array_equal(split.x, getattr(plain, name).x)
        np.testing.assert_array_equal(split.condition["digit"], getattr(plain, name).condition)
    # whatever speakers are chosen, each keeps his number
    assert set(both.test.condition["speaker"]) == {2, 4}


def test_the_recipe_of_all_speakers_names_them_in_order():
    recipe = tomllib.loads((Path(__file__).parents[2] / "recipes" / "spoken-digits-speakers.toml").read_text("utf-8"))
    digit, speaker = recipe["model"]["config"]["condition"]["parts"]
    assert speaker["labels"] == list(module.SPEAKERS)
    assert (digit["size"], speaker["size"]) == (10, 6)
    assert recipe["data"]["options"]["speaker_part"] is True


def test_other_recordings_are_not_the_published_ones(data, monkeypatch):
    monkeypatch.setattr(module, "_DIGEST", "0" * 64)
    with pytest.raises(DataError, match="not the published ones"):
        spoken_digits()


@pytest.mark.parametrize("options", [{"length": 0}, {"length": 1.5}, {"speakers": []}, {"speakers": ["adam"]}])
def test_options_are_checked(data, options):
    with pytest.raises(ConfigError, match=r"length must be a whole|speakers must be a list"):
        spoken_digits(**options)


def test_a_short_recording_stands_in_the_middle_at_one_loudness():
    quiet, loud = prepared(tone(1600, 500), 4096), prepared(tone(1600, 20000), 4096)
    np.testing.assert_allclose(quiet, loud, atol=0.01)
    assert np.flatnonzero(quiet)[[0, -1]].tolist() == pytest.approx([1248, 2847], abs=20)
    assert np.sqrt(np.mean(quiet[1248:2848] ** 2)) == pytest.approx(module.LOUDNESS, rel=1e-2)
    steps = quiet.astype(np.float64) * 32768
    np.testing.assert_array_equal(steps, np.rint(steps))


def test_quiet_ends_and_a_constant_are_taken_away():
    spoken = np.concatenate([np.zeros(800), tone(1600), np.zeros(1600)]) + 300
    x = prepared(spoken.astype(np.int16), 4000)
    assert np.abs(x[:1100]).max() == 0 == np.abs(x[-1100:]).max()
    assert np.abs(x[1200:2800]).max() > 0.1


def test_of_a_long_recording_the_loudest_part_is_kept():
    x = np.concatenate([tone(2000, 2000), tone(1000, 20000), tone(2000, 2000)])
    kept = prepared(x, 1000)
    assert np.abs(kept[:20]).max() > 0.1
    assert np.abs(kept[-20:]).max() > 0.1


def test_clicks_are_not_louder_than_full_scale():
    x = np.zeros(4000, np.int16)
    x[[10, 3990]] = 30000
    assert 0.9 < np.abs(prepared(x, 4096)).max() < 1


def test_silence_stays_silence():
    assert np.abs(prepared(np.zeros(100, np.int16), 256)).max() == 0


GOOD = wav(tone(100))
BAD = {
    "another rate": ({"1_theo_0.wav": wav(tone(100), rate=16000)}, "16000 Hz, expected 8000"),
    "stereo": ({"1_theo_0.wav": wav(tone(100), channels=2)}, "2 channels"),
    "8 bit": ({"1_theo_0.wav": wav(np.full(100, 128), width=1)}, "8 bits"),
    "truncated": ({"1_theo_0.wav": GOOD[:-50]}, "truncated"),
    "no wav": ({"1_theo_0.wav": b"hello"}, r"not a readable \.wav file"),
    "twice": ({"a/1_theo_0.wav": GOOD, "b/1_theo_0.wav": GOOD}, "is there twice"),
    "too large": ({"1_theo_0.wav": bytes(1 << 21)}, "more than 1048576 bytes"),
    "no recordings": ({"readme.txt": b"hello"}, "holds no recordings"),
}


@pytest.mark.parametrize(("files", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_with_an_archive_is_told(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        read_recordings(archive(tmp_path / "x.zip", files))


def test_a_damaged_archive_is_refused(tmp_path):
    whole = archive(tmp_path / "x.zip", {"1_theo_0.wav": wav(tone(4000))}).read_bytes()
    for content in (b"", b"hello", whole[:-10], whole[:60] + bytes(20) + whole[80:]):
        (tmp_path / "y.zip").write_bytes(content)
        with pytest.raises(DataError, match=r"y\.zip"):
            read_recordings(tmp_path / "y.zip")


def test_names_that_lead_out_of_the_archive_lead_nowhere(tmp_path):
    files = {"../../1_theo_0.wav": GOOD, "/etc/2_theo_0.wav": GOOD}
    before = sorted(tmp_path.rglob("*"))
    read = read_recordings(archive(tmp_path / "x.zip", files))
    assert sorted(read) == [Take(1, "theo", 0), Take(2, "theo", 0)]
    assert sorted(tmp_path.rglob("*")) == [*before, tmp_path / "x.zip"]


@pytest.mark.skipif(
    not (Path(os.environ.get("ZOO_DATA", "nowhere")) / "fsdd" / "recordings.zip").is_file(),
    reason="needs the recordings: set ZOO_DATA to a folder with fsdd/recordings.zip",
)
def test_the_published_recordings():
    digits = spoken_digits(4096, ["nicolas"])
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (430, 20, 50)
    assert np.bincount(digits.train.condition).tolist() == [43] * 10
    assert -1 <= digits.train.x.min() < digits.train.x.max() < 1
