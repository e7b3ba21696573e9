"""Spoken digits: the Free Spoken Digit Dataset, 3,000 recordings at 8 kHz of six people (Jackson et al.)."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.data import Dataset, Split
from zoo.data.fetch import Remote, fetch
from zoo.errors import ConfigError, DataError
from zoo.files import reason_of
from zoo.modality import Audio
from zoo.render.audio import GRAIN, decoded

SAMPLE_RATE = 8_000
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
#: loudness of every recording after :func:`prepared`: root mean square, -20 dB of full scale
LOUDNESS = 0.1

_MODALITY = Audio(SAMPLE_RATE)
_REMOTE = Remote(
    "recordings.zip",
    ("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip",),
)
#: of the recordings of version 1.0.10, see :func:`_digest`: archives of them differ, what is in them does not
_DIGEST = "3c980296a2a63acac092901df57686aec84314800b309290c86ec4d588a60efc"
_NAME = re.compile(r"(?:.*/)?(\d)_([a-z]+)_(\d{1,3})\.wav")
_MOST_ENTRIES, _MOST_BYTES = 20_000, 1 << 20
_FRAME, _QUIET = 80, 10 ** (-35 / 20)


@dataclass(frozen=True, order=True)
class Take:
    """Which recording: a digit, who says it, and the how-manieth time."""

    digit: int
    speaker: str
    index: int


def spoken_digits(length: int = 4096, speakers: Sequence[str] = SPEAKERS, *, speaker_part: bool = False) -> Dataset:
    """Recordings of the digits zero to nine, all of one length and loudness; classes are the digits.

    Events are float32 ``[1, length]`` in [-1, 1), multiples of 1/32768, which is their grain. The test set is takes 0-4
    of every speaker and digit, as its authors say; takes 5 and 6 are for validation. See :func:`prepared`.

    Args:
        length: samples of a recording, 1/8000 s each. 4,096 are enough for nine of ten.
        speakers: whose recordings, of :data:`SPEAKERS`.
        speaker_part: whether recordings are conditioned on who speaks, too: then on the parts ``digit`` and
            ``speaker``, classes both, the speakers numbered as in :data:`SPEAKERS`.

    Raises:
        DataError: the recordings cannot be had, or are not the published ones.
        ConfigError: no such length or speaker.
    """
    if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length <= 1 << 16:
        raise ConfigError(f"length must be a whole number of samples from 1 to 65536, not {length!r}")
    if isinstance(speakers, str) or not speakers or any(s not in SPEAKERS for s in speakers):
        raise ConfigError(f"speakers must be a list of some of {', '.join(SPEAKERS)}, not {speakers!r}")
    recordings = read_recordings(fetch("fsdd", _REMOTE), digest=_DIGEST)
    takes = sorted(take for take in recordings if take.speaker in speakers)

    def split(first: int, last: int) -> Split:
        chosen = [take for take in takes if first <= take.index <= last]
        x = np.stack([prepared(recordings[take], length) for take in chosen])
        digits = np.array([take.digit for take in chosen], np.int32)
        if not speaker_part:
            return Split(x[:, None], digits)
        who = np.array([SPEAKERS.index(take.speaker) for take in chosen], np.int32)
        return Split(x[:, None], {"digit": digits, "speaker": who})

    return Dataset(
        "spoken-digits",
        train=split(7, 999),
        validation=split(5, 6),
        test=split(0, 4),
        grain=np.full((1, length), GRAIN, np.float32),
        modality=_MODALITY,
        labels=() if speaker_part else tuple("0123456789"),
        extra={"speakers": sorted(set(speakers))},
    )


def prepared(recording: NDArray[np.int16], length: int) -> NDArray[np.float32]:
    """A recording as an event: its mean taken away, its quiet ends cut, of one length and loudness.

    What at its ends is 35 dB below its loudest hundredth of a second is taken for silence. Of a recording that is still
    too long, the loudest ``length`` samples in a row are kept; one that is shorter is put in the middle of silence. Its
    root mean square, without that silence, becomes :data:`LOUDNESS`, or less where its peak would leave [-1, 1).

    Args:
        recording: ``[any]``, 16 bits.
        length: of the event.

    Returns:
        ``[length]``, multiples of :data:`GRAIN`.
    """
    x = recording.astype(np.float64) * GRAIN
    x = x - x.mean()
    frames = -(-len(x) // _FRAME)
    energy = np.pad(x, (0, frames * _FRAME - len(x))).reshape(frames, _FRAME) ** 2
    loud = np.flatnonzero(np.sqrt(energy.mean(axis=1)) >= _QUIET * np.sqrt(energy.mean(axis=1).max()))
    x = x[loud[0] * _FRAME : (loud[-1] + 1) * _FRAME]
    if len(x) > length:
        total = np.concatenate([[0.0], np.cumsum(x**2)])
        start = int(np.argmax(total[length:] - total[:-length]))
        x = x[start : start + length]
    level = np.sqrt(np.mean(x**2))
    if level > 0:
        x = x * min(LOUDNESS / level, (1 - GRAIN) / np.abs(x).max())
    before = (length - len(x)) // 2
    x = np.pad(x, (before, length - len(x) - before))
    return (np.rint(x / GRAIN) * GRAIN).astype(np.float32)


def read_recordings(path: Path, *, digest: str | None = None) -> dict[Take, NDArray[np.int16]]:
    """All recordings ``{digit}_{speaker}_{take}.wav`` of an archive, in any folder of it. None is unpacked to a disk.

    Args:
        path: a zip archive.
        digest: what :func:`_digest` must say of them; None for anything.

    Raises:
        DataError: no archive, more or larger files than this data set has, not the published recordings, or a
            recording that is not of 16 bits, one channel and 8 kHz.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_ENTRIES:
                raise DataError(f"{path} holds {len(entries)} files, more than {_MOST_ENTRIES}")
            files: dict[Take, bytes] = {}
            for entry in entries:
                if (match := _NAME.fullmatch(entry.filename)) is None:
                    continue
                take = Take(int(match[1]), match[2], int(match[3]))
                if entry.file_size > _MOST_BYTES or take in files:
                    problem = "is there twice" if take in files else f"has more than {_MOST_BYTES} bytes"
                    raise DataError(f"{entry.filename} in {path} {problem}")
                with archive.open(entry) as file:
                    # the size that the archive states is not to be trusted
                    files[take] = file.read(_MOST_BYTES + 1)
                if len(files[take]) > _MOST_BYTES:
                    raise DataError(f"{entry.filename} in {path} has more than {_MOST_BYTES} bytes")
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a zip archive that can be read: {reason_of(error)}") from error
    if not files:
        raise DataError(f"{path} holds no recordings named like 7_jackson_32.wav")
    if digest is not None and _digest(files) != digest:
        raise DataError(
            f"the recordings in {path} are not the published ones: their sha256 differs",
            hint="Remove the file, so that it is fetched again.",
        )
    return {take: decoded(content, _MODALITY, f"{take} in {path}") for take, content in files.items()}


def _digest(files: Mapping[Take, bytes]) -> str:
    """The sha256 of all recordings, each as its digit, speaker, take and own sha256 on a line, in this order."""
    lines = (f"{t.digit} {t.speaker} {t.index} {hashlib.sha256(files[t]).hexdigest()}\n" for t in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
