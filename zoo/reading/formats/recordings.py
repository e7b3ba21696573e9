"""Folders of recordings of any rate, mono or stereo, as events of one rate and length: in memory if they fit."""

from __future__ import annotations

import contextlib
import math
import wave
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.data.lazy import Lazy
from zoo.errors import ConfigError, DataError, MissingDependencyError
from zoo.files import reason_of
from zoo.modality import Audio
from zoo.reading.content import Samples
from zoo.reading.formats import folders
from zoo.render.audio import GRAIN

WAV = frozenset({".wav"})
#: what the package soundfile reads besides
OTHERS = frozenset({".flac", ".ogg", ".mp3", ".aif", ".aiff"})
SUFFIXES = WAV | OTHERS
#: recordings that take more bytes than this are read as they are needed
IN_MEMORY = 1 << 29
_LONGEST = 1 << 24


def recognises(folder: Path) -> bool:
    """Whether a folder holds recordings."""
    return folders.has(folder, SUFFIXES)


def read(folder: Path, *, rate: int = 0, seconds: float = 0.0, classes: bool = True) -> Samples:
    """Recordings of a folder, in one channel; its subfolders are their classes.

    Args:
        folder: the folder.
        rate: samples per second, to which others are resampled; 0 for recordings that all have one rate.
        seconds: length of an event: longer recordings are cut at the end, shorter ones followed by silence; 0 for
            recordings that all have one length.
        classes: whether folders are classes.

    Raises:
        DataError: no recordings, one that cannot be read, or different rates or lengths where none is
            stated.
        MissingDependencyError: a file that needs soundfile, or a rate that needs scipy.
    """
    if rate < 0 or seconds < 0:
        raise ConfigError(f"rate and seconds are 0 or more, not {rate} and {seconds}")
    listed = folders.listing(folder, SUFFIXES, classes=classes)
    heads = [_looked_at(path) for path in listed.files]
    rates = Counter(head.rate for head in heads)
    if not rate and len(rates) > 1:
        common = ", ".join(f"{each} Hz ({count:,})" for each, count in rates.most_common(3))
        raise DataError(f"the recordings of {folder} have different rates: {common}", hint="Give one: -D rate=16000.")
    rate = rate or next(iter(rates))
    notes = []
    if stereo := sum(head.channels > 1 for head in heads):
        notes.append(f"{stereo:,} recordings with several channels are mixed down to one")
    if other := sum(head.rate != rate for head in heads):
        notes.append(f"{other:,} recordings are resampled to {rate} Hz")
    lengths = [head.at(rate) for head in heads]
    sizes = Counter(lengths)
    if not seconds and len(sizes) > 1:
        raise DataError(
            f"the recordings of {folder} last from {min(sizes) / rate:.3g} to {max(sizes) / rate:.3g} seconds",
            hint=f"Give them one length: -D seconds={max(sizes) / rate:.2g}.",
        )
    length = round(seconds * rate) if seconds else next(iter(sizes))
    if not 1 <= length <= _LONGEST:
        raise DataError(f"recordings have 1 to {_LONGEST:,} samples, not {length:,}")
    if cut := sum(each > length for each in lengths):
        notes.append(f"{cut:,} recordings are cut to {length / rate:g} seconds")
    if short := sum(each < length for each in lengths):
        notes.append(f"{short:,} recordings are padded with silence")
    recordings = Recordings(listed.files, rate, length, exact=not seconds)
    size = len(listed.files) * length * recordings.dtype.itemsize
    if size > IN_MEMORY:
        notes.append(f"the recordings would take {size >> 20:,} MB, and are read as they are needed")
    return Samples(
        np.asarray(recordings) if size <= IN_MEMORY else recordings,
        condition=listed.classes,
        labels=listed.labels,
        modality=Audio(rate),
        grain=GRAIN,
        splits=listed.splits,
        notes=tuple(notes),
    )


class Recordings(Lazy):
    """Recordings ``[n, 1, length]`` in one channel at one rate, which are read as they are asked for.

    Args:
        sources: their files.
        rate: samples per second.
        length: of each, in samples.
        exact: whether each has this length; others are cut at the end, or followed by silence.
    """

    def __init__(self, sources: Sequence[Path], rate: int, length: int, *, exact: bool) -> None:
        self.sources, self.rate, self.length, self.exact = list(sources), rate, length, exact
        self.shape, self.dtype = (len(self.sources), 1, length), np.dtype(np.float32)

    def rows(self, indices: NDArray[np.int64]) -> Array:
        """The recordings at these places."""
        waves = np.zeros((len(indices), *self.shape[1:]), np.float32)
        for row, place in zip(waves, indices.tolist(), strict=True):
            path = self.sources[place]
            loaded, rate, _ = _loaded(path)
            x = resampled(loaded, rate, self.rate)
            if self.exact and len(x) != self.length:
                raise DataError(f"{path} has {len(x):,} samples, and says that it has {self.length:,}")
            x = x[: self.length]
            # files of 16 bits hold multiples of this, and so will those that samples are written to
            row[0, : len(x)] = np.rint(x / GRAIN).clip(-32_768, 32_767) * GRAIN
        return waves


@dataclass(frozen=True)
class _Head:
    """What a file says of its recording before this is read: samples of each channel, their rate, and channels."""

    frames: int
    rate: int
    channels: int

    def at(self, rate: int) -> int:
        """The number of samples at another rate, as :func:`resampled` has it."""
        common = math.gcd(rate, self.rate)
        return -(-self.frames * (rate // common) // (self.rate // common))


def _looked_at(path: Path) -> _Head:
    """The head of a recording; one that does not say, or is cut off, is read."""
    if path.suffix.lower() in WAV:
        with contextlib.suppress(OSError, EOFError, wave.Error), wave.open(str(path)) as file:
            head = _Head(file.getnframes(), file.getframerate(), file.getnchannels())
            size = head.frames * head.channels * file.getsampwidth()
            if 0 < size <= path.stat().st_size:
                return head
    x, rate, channels = _loaded(path)
    return _Head(len(x), rate, channels)


def resampled(x: NDArray[np.float64], rate: int, wanted: int) -> NDArray[np.float64]:
    """A recording at another rate, by a polyphase filter that keeps frequencies below half of either rate.

    Raises:
        MissingDependencyError: scipy is not installed.
    """
    if rate == wanted:
        return x
    try:
        from scipy.signal import resample_poly
    except ImportError as error:
        raise MissingDependencyError("scipy", f"resample recordings to {wanted} Hz", extra="data") from error
    common = math.gcd(rate, wanted)
    return np.asarray(resample_poly(x, wanted // common, rate // common), np.float64)


def _loaded(path: Path) -> tuple[NDArray[np.float64], int, int]:
    """A recording ``[length]`` in [-1, 1], mixed down to one channel, its rate, and how many channels it had."""
    if path.suffix.lower() in OTHERS:
        return _by_soundfile(path)
    try:
        with wave.open(str(path)) as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            content = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        if "unknown format" in str(error):  # numbers with a fraction, or compressed
            return _by_soundfile(path)
        raise DataError(f"{path} is not a readable .wav file: {str(error) or 'it ends too early'}") from error
    whole = len(content) // (width * channels)
    if not whole:
        raise DataError(f"{path} has no samples")
    x = _numbers(np.frombuffer(content[: whole * width * channels], np.uint8), width, path)
    return x.reshape(whole, channels).mean(1), rate, channels


def _numbers(content: NDArray[np.uint8], width: int, path: Path) -> NDArray[np.float64]:
    """PCM of 8 (unsigned), 16, 24 or 32 bits as numbers in [-1, 1)."""
    if width == 1:
        return (content.astype(np.float64) - 128) / 128
    if width not in (2, 3, 4):
        raise DataError(f"{path} has {8 * width} bits per sample")
    filled = np.zeros((len(content) // width, 4), np.uint8)
    filled[:, 4 - width :] = content.reshape(-1, width)
    return np.asarray(filled.view("<i4")[:, 0] / 2**31, np.float64)


def _by_soundfile(path: Path) -> tuple[NDArray[np.float64], int, int]:
    if path.suffix.lower() in WAV:
        try:
            from scipy.io import wavfile
        except ImportError as error:
            raise MissingDependencyError("scipy", f"read {path.name}", extra="data") from error
        try:
            rate, x = wavfile.read(path)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {path}: {reason_of(error)}") from error
        if x.dtype.kind != "f":
            raise DataError(f"{path} is a .wav file of an unsupported kind", hint="Convert it to PCM.")
        x = np.asarray(x, np.float64)
        return (x, rate, 1) if x.ndim == 1 else (x.mean(1), rate, x.shape[1])
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: the package is there, but its library is not
        raise MissingDependencyError("soundfile", f"read {path.name}", extra="audio") from error
    try:
        x, rate = soundfile.read(str(path), always_2d=True)
    except Exception as error:  # soundfile's own
        raise DataError(f"cannot read {path}: {error}") from error
    return x.mean(1), rate, x.shape[1]
