"""Recordings as mono .wav files of 16-bit PCM, written and read. Other formats are refused, not converted.

Several recordings become one file with :data:`SILENCE` seconds of silence between them, which reads back as the same
recordings.
"""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.errors import DataError
from zoo.modality import Audio

#: seconds between two recordings in a file
SILENCE = 0.25
#: the quantization step of 16 bits
GRAIN = 1 / 32_768
_LARGEST = 1 << 28  # largest file in bytes: over four hours at 8 kHz


def encoded(samples: Array, modality: Audio, lengths: NDArray[np.int64] | None = None) -> bytes:
    """A .wav file of recordings ``[n, 1, length]`` in [-1, 1), one after another.

    Recordings of variable length keep their lengths, and a chunk ``cue`` says where each begins.

    A number x is written as ⌊32768·x⌋, which removes the uniform noise, one step wide, with which models see
    recordings. Numbers are clipped to [-1, 1).
    """
    steps = np.floor(np.asarray(samples, np.float64)[:, 0] / GRAIN).clip(-32_768, 32_767).astype("<i2")
    if lengths is not None:
        return _with_cues([step[:size] for step, size in zip(steps, lengths, strict=True)], modality)
    gap = np.zeros((len(steps), _gap(modality)), "<i2")
    joined = np.concatenate([steps, gap], axis=1).reshape(-1)
    return _file(joined[: max(len(joined) - _gap(modality), 0)], modality)


def _file(frames: NDArray[np.int16], modality: Audio) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(modality.sample_rate)
        file.writeframes(frames.tobytes())
    return buffer.getvalue()


def _with_cues(parts: list[NDArray[np.int16]], modality: Audio) -> bytes:
    """Recordings with silence between them, and a chunk of RIFF that says where they begin.

    A cue point is six words: its number, its place, ``data``, 0, 0 and its place again, in samples.
    """
    silence = np.zeros(_gap(modality), "<i2")
    begins = np.cumsum([0, *(len(part) + len(silence) for part in parts[:-1])])
    frames = np.concatenate([piece for part in parts for piece in (silence, part)][1:])
    whole = _file(frames, modality)
    points = b"".join(struct.pack("<II4sIII", i, b, b"data", 0, 0, b) for i, b in enumerate(begins.tolist()))
    chunk = b"cue " + struct.pack("<II", 4 + len(points), len(parts)) + points
    return whole[:4] + struct.pack("<I", len(whole) - 8 + len(chunk)) + whole[8:] + chunk


def _cues(content: bytes) -> list[int]:
    """Where the recordings of a file begin, in samples; empty for a file that does not say."""
    at = 12
    while at + 8 <= len(content):
        (size,) = struct.unpack_from("<I", content, at + 4)
        if content[at : at + 4] == b"cue " and size >= 4:
            count = min(struct.unpack_from("<I", content, at + 8)[0], (len(content) - at - 12) // 24)
            return [struct.unpack_from("<I", content, at + 12 + 24 * i + 20)[0] for i in range(count)]
        at += 8 + size + size % 2
    return []


def read_lengths(path: Path, modality: Audio, length: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Recordings of variable length, filled up ``[n, 1, length]``, and their lengths ``[n]``.

    Args:
        path: as :func:`encoded` writes it, or one recording.
        modality: states the expected sample rate.
        length: of the longest recording.

    Raises:
        DataError: as for :func:`read`, and for a recording that is longer.
    """
    content = _content(path)
    x = decoded(content, modality, str(path)) * np.float32(GRAIN)
    begins = _cues(content) or [0]
    ends = [*(begin - _gap(modality) for begin in begins[1:]), len(x)]
    sizes = np.array([end - begin for begin, end in zip(begins, ends, strict=True)], np.int64)
    if begins[0] or (sizes < 0).any() or (sizes > length).any():
        raise DataError(f"{path} has a recording of {int(sizes.max())} samples, and at most {length} fit")
    filled = np.zeros((len(sizes), 1, length), np.float32)
    for row, begin, size in zip(filled, begins, sizes.tolist(), strict=True):
        row[0, :size] = x[begin : begin + size]
    return filled, sizes


def read(path: Path, modality: Audio, length: int) -> NDArray[np.float32]:
    """The recordings ``[n, 1, length]`` of a file, in [-1, 1).

    Args:
        path: as :func:`encoded` writes it, or any recording of exactly ``length`` samples.
        modality: states the expected sample rate.
        length: of a recording.

    Raises:
        DataError: missing, not a mono .wav file of 16 bits at this rate, truncated, or of another length.
    """
    x = decoded(_content(path), modality, str(path)) * np.float32(GRAIN)
    n, rest = divmod(len(x) + _gap(modality), length + _gap(modality))
    if rest:
        raise DataError(
            f"{path} has {len(x)} samples, expected {length}",
            hint=f"Several recordings have {_gap(modality)} samples of silence between them.",
        )
    joined = np.pad(x, (0, _gap(modality))).reshape(n, 1, -1)
    return np.ascontiguousarray(joined[:, :, :length])


def recording(path: Path) -> NDArray[np.float32]:
    """One recording ``[length]`` in [-1, 1), whatever its length and its sample rate.

    Raises:
        DataError: missing, not a mono .wav file of 16 bits, or truncated.
    """
    content = _content(path)
    try:
        with wave.open(io.BytesIO(content)) as file:
            rate = file.getframerate()
    except (EOFError, wave.Error) as error:
        raise DataError(f"{path} is not a readable .wav file: {str(error) or 'it ends too early'}") from error
    return decoded(content, Audio(rate), str(path)) * np.float32(GRAIN)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > _LARGEST:
        raise DataError(f"{path} has more than {_LARGEST >> 20} MB")
    return content


def decoded(content: bytes, modality: Audio, where: str) -> NDArray[np.int16]:
    """The numbers in a .wav file, at least one.

    Args:
        content: of the file.
        modality: states the expected sample rate.
        where: its name in messages.

    Raises:
        DataError: not a mono .wav file of 16-bit PCM at this rate, or truncated.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            count = file.getnframes()
            frames = file.readframes(count)
    except (EOFError, wave.Error) as error:
        raise DataError(f"{where} is not a readable .wav file: {str(error) or 'it ends too early'}") from error
    if rate != modality.sample_rate:
        raise DataError(
            f"{where} has a sample rate of {rate} Hz, expected {modality.sample_rate} Hz",
            hint="Resample it to that rate.",
        )
    if channels != 1:
        raise DataError(f"{where} has {channels} channels, expected one", hint="Mix them down to one.")
    if width != 2:
        raise DataError(f"{where} has {8 * width} bits per sample, expected 16", hint="Convert it to 16-bit PCM.")
    if len(frames) < 2 * max(count, 1):
        raise DataError(f"{where} is truncated: it has {len(frames) // 2} of {count} samples")
    return np.frombuffer(frames, "<i2").astype(np.int16)


def rounding(x: Array, modality: Audio, seed: int) -> NDArray[np.float32] | None:
    """Uniform noise in [0, 1/32768) for recordings of 16 bits, or None for data not rounded to 16 bits."""
    steps = np.asarray(x, np.float64) / GRAIN
    if not np.array_equal(steps, np.floor(steps)):
        return None
    return (np.random.default_rng(seed).random(x.shape) * GRAIN).astype(np.float32)


def _gap(modality: Audio) -> int:
    """Samples of silence between recordings."""
    return round(SILENCE * modality.sample_rate)
