"""Recordings written to .wav files and read back; their picture."""

import io
import wave

import numpy as np
import pytest

from zoo.errors import DataError, UsageError
from zoo.modality import Audio
from zoo.render import check_output, default_suffix, write
from zoo.render.audio import GRAIN, rounding
from zoo.render.files import Extras
from zoo.render.read import read_samples
from zoo.render.spectrograms import spectrogram

MODALITY = Audio(8000)
SHAPE = (1, 400)


@pytest.fixture(scope="module")
def samples():
    """Three recordings of 16 bits."""
    steps = np.random.default_rng(0).integers(-32768, 32768, (3, *SHAPE))
    return (steps * GRAIN).astype(np.float32)


def wav(n=400, *, rate=8000, channels=1, width=2):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(bytes(n * channels * width))
    return buffer.getvalue()


def test_recordings_come_back(samples, tmp_path):
    for n in (1, 3):
        write(samples[:n], tmp_path / f"{n}.wav", Extras(modality=MODALITY))
        x, condition = read_samples(tmp_path / f"{n}.wav", SHAPE, MODALITY)
        np.testing.assert_array_equal(x, samples[:n])
        assert condition is None


def test_players_get_16_bits_with_silence_between(samples, tmp_path):
    write(samples, tmp_path / "x.wav", Extras(modality=MODALITY))
    with wave.open(str(tmp_path / "x.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(frames) == 3 * 400 + 2 * 2000
    assert not frames[400:2400].any()


def test_numbers_are_floored_and_cut_off(tmp_path):
    x = np.array([0.0, 0.9 * GRAIN, -0.1 * GRAIN, 2.0, -2.0, 1.0], np.float32)[None, None]
    write(x, tmp_path / "x.wav", Extras(modality=MODALITY))
    read, _ = read_samples(tmp_path / "x.wav", (1, 6), MODALITY)
    np.testing.assert_array_equal(read[0, 0] / GRAIN, [0, 0, -1, 32767, -32768, 32767])


BAD = {
    "another rate": (wav(rate=44100), "sample rate of 44100 Hz, expected 8000 Hz"),
    "stereo": (wav(channels=2), "2 channels, expected one"),
    "8 bits": (wav(width=1), "8 bits per sample, expected 16"),
    "truncated": (wav()[:-100], "truncated: it has 350 of 400"),
    "too short": (wav(399), "399 samples, expected 400"),
    "too long": (wav(401), "401 samples, expected 400"),
    "empty": (wav(0), "truncated: it has 0"),
    "no wav": (b"RIFF and so on", r"not a readable \.wav file"),
    "nothing": (b"", "ends too early"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_other_files_are_refused(content, message, tmp_path):
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_samples(tmp_path / "x.wav", SHAPE, MODALITY)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match=r"x\.wav"):
        read_samples(tmp_path / "x.wav", SHAPE, MODALITY)


def test_only_recordings_are_written_to_wav(tmp_path):
    with pytest.raises(UsageError, match="not recordings") as caught:
        check_output(tmp_path / "x.wav", (1, 8, 8))
    assert "x.png" in caught.value.hint
    (tmp_path / "x.wav").write_bytes(wav())
    with pytest.raises(DataError, match="holds recordings, but this is not a model of recordings"):
        read_samples(tmp_path / "x.wav", (1, 8, 8))
    assert default_suffix(SHAPE, MODALITY) == ".wav"


def test_numbers_of_16_bits_get_noise_and_others_do_not(samples):
    noise = rounding(samples, MODALITY, 0)
    assert noise is not None
    assert 0 <= noise.min() < noise.max() < GRAIN
    assert rounding(samples + np.float32(0.3 * GRAIN), MODALITY, 0) is None


def test_a_tone_is_a_line_in_the_spectrogram():
    x = np.sin(2 * np.pi * 1000 * np.arange(4000) / 8000)
    picture = spectrogram(x, 8000)
    frequencies = np.linspace(0, 4000, len(picture))
    loudest = frequencies[picture[:, 20:-20].argmax(axis=0)]
    np.testing.assert_allclose(loudest, 1000, atol=63)


@pytest.mark.parametrize("n", [1, 12, pytest.param(70, marks=pytest.mark.full)])
def test_recordings_have_a_picture(n, tmp_path):
    from PIL import Image

    x = np.random.default_rng(0).normal(0, 0.1, (n, *SHAPE)).astype(np.float32)
    extras = Extras(np.arange(n) % 3, ("a", "b", "c"), modality=MODALITY)
    write(x, tmp_path / "x.png", extras)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.width > 150
        assert len(np.unique(np.array(picture.convert("L")))) > 50
