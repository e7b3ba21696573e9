"""Emoji of 64×64 pixels in two styles, Noto and Twemoji, with the group that each belongs to."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data import Dataset, Split
from zoo.data.fetch import Remote, fetch
from zoo.errors import ConfigError, DataError
from zoo.files import reason_of

#: pictures of every style by their code points, ``1F600.png``. No host has them as one file: they are drawn from the
#: files of googlefonts/noto-emoji v2.048 and jdecked/twemoji v16.0.1, and are looked for under ZOO_DATA
STYLES = {
    "noto": Remote("noto-64.zip", (), sha256="efc9dd1fc85479f05061e97ed3ae7087f74a8618c9eb2e009ae9cd78fce1c540"),
    "twemoji": Remote("twemoji-64.zip", (), sha256="d4420f5d222f5f4473552106d11aeda1e4bd13a80c7668f0ec8360e309658d61"),
}
_DESCRIBED = Remote("emoji.json", (), sha256="7cc6f62eccfda1de0973c412fec2427cdf69179a4d3efd688c86469fc98ed384")
_SIDE, _MOST_BYTES = 64, 1 << 20
_SPLIT_SEED = 0
#: variation selector, joiner, and the signs of women and men
_IGNORED = frozenset({"FE0F", "200D", "2640", "2642"})
#: codes that differ in gender alone, by what they share
_PERSON = {
    **dict.fromkeys(("1F468", "1F469", "1F9D1"), "PERSON"),
    **dict.fromkeys(("1F466", "1F467", "1F9D2"), "CHILD"),
    **dict.fromkeys(("1F474", "1F475", "1F9D3"), "OLDER"),
    **dict.fromkeys(("1F46B", "1F46C", "1F46D"), "HANDS"),
    **dict.fromkeys(("1F934", "1F478", "1FAC5"), "ROYAL"),
    **dict.fromkeys(("1F385", "1F936"), "CLAUS"),
    **dict.fromkeys(("1F57A", "1F483"), "DANCER"),
    "1F46A": "FAMILY",
    "1F491": "HEART",
    "1F48F": "KISS",
}
#: two persons with a sign between them
_PAIRS = {"1F91D": "HANDS", "2764": "HEART", "1F48B": "KISS"}
_VALIDATION, _TEST = 0.05, 0.1


def emoji(*, style: str = "noto", size: int = 64, skin_tones: bool = False) -> Dataset:
    """Emoji laid on white, uint8 ``[n, 3, size, size]`` with levels 0 … 255; the class is the group.

    An emoji is in one split only, drawn once and for all, and with all its skin tones and genders in the same.

    Args:
        style: ``"noto"`` or ``"twemoji"``.
        size: side in pixels, 64 or a half, a quarter or an eighth of it, of which each pixel is the mean of a square.
        skin_tones: whether the variants of other skin tones are among them.

    Raises:
        DataError: the files cannot be had, or are not the published ones.
        ConfigError: no such style or size.
    """
    if style not in STYLES:
        raise ConfigError(f"the emoji have the styles {' and '.join(STYLES)}, not {style!r}")
    check_size(size)
    listed = [each for each in described() if skin_tones or not each.get("tone")]
    labels = tuple(sorted({str(each["group"]) for each in listed}))
    pictures = drawn(style, listed, size)
    classes = np.array([labels.index(str(each["group"])) for each in listed], np.int32)
    splits = [Split(pictures[rows], classes[rows]) for rows in splits_of(listed)]
    return Dataset("emoji", *splits, levels=256, labels=labels, extra={"style": style})  # type: ignore[misc, arg-type]


def check_size(size: object) -> None:
    """Refuse a side in pixels that the emoji are not shrunk to.

    Raises:
        ConfigError: it is none of 64, 32, 16 and 8.
    """
    if size not in (8, 16, 32, 64):
        raise ConfigError(f"the emoji have sides of 64, 32, 16 or 8 pixels, not {size!r}")


def described() -> list[dict[str, Any]]:
    """What is known of every emoji: ``code``, ``label``, ``tags``, ``group``, ``subgroup`` and, of some, ``tone``.

    Raises:
        DataError: the file cannot be had, or is not the published one.
    """
    return _listed(fetch("emoji", _DESCRIBED))


def drawn(style: str, listed: Sequence[Mapping[str, Any]], size: int) -> NDArray[np.uint8]:
    """Emoji of a style laid on white, ``[n, 3, size, size]``.

    Raises:
        DataError: the files cannot be had, or are not the published ones.
    """
    return _pictures(fetch("emoji", STYLES[style]), [str(each["code"]) for each in listed], size)


def splits_of(listed: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which emoji are for training, validation and testing: all that share a base code in the same."""
    # what all variants of skin tone and gender share
    bases = [base_of(str(each["code"])) for each in listed]
    kinds, which = np.unique(bases, return_inverse=True)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(kinds))
    rank = np.empty(len(kinds), np.int64)
    rank[order] = np.arange(len(kinds))
    share = rank[which] / len(kinds)
    test, validation = share < _TEST, (share >= _TEST) & (share < _TEST + _VALIDATION)
    return ~(test | validation), validation, test


def base_of(code: str) -> str:
    """What the codes of an emoji, such as ``1F3C3-1F3FB-200D-2640``, share over all skin tones and genders."""
    points = [point.upper() for point in code.replace("_", "-").split("-")]
    plain = [_PERSON.get(p, p) for p in points if not "1F3FB" <= p <= "1F3FF" and p not in _IGNORED]
    people = [p for p in plain if p in ("PERSON", "CHILD")]
    if len(people) == len(plain) > 1:
        return "FAMILY"
    signs = [p for p in plain if p not in people]
    # a pair drawn of two persons is the same picture as the code of its own
    if len(people) > 1 and signs:
        return _PAIRS.get(signs[-1], "-".join(plain))
    return "-".join(plain)


def _listed(path: Path) -> list[dict[str, Any]]:
    try:
        listed = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {reason_of(error)}") from error
    if not isinstance(listed, list) or not all(isinstance(e, dict) and {"code", "group"} <= e.keys() for e in listed):
        raise DataError(f"{path} is not a list of emoji with code and group")
    return listed


def _pictures(path: Path, codes: list[str], size: int) -> NDArray[np.uint8]:
    from PIL import Image

    pictures = np.empty((len(codes), 3, size, size), np.uint8)
    try:
        with zipfile.ZipFile(path) as archive:
            for place, code in enumerate(codes):
                with archive.open(f"{code}.png") as file, Image.open(io.BytesIO(file.read(_MOST_BYTES))) as opened:
                    coloured = opened.convert("RGBA")
                    white = Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
                if white.size != (_SIDE, _SIDE):
                    raise DataError(f"{code}.png in {path} is not of {_SIDE}×{_SIDE} pixels")
                whole = np.asarray(white.convert("RGB")).transpose(2, 0, 1)
                pictures[place] = shrunk(whole, _SIDE // size)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not an archive of emoji that can be read: {reason_of(error)}") from error
    return pictures


def shrunk(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Pictures ``[..., height, width]`` of a ``factor``-th of the sides: each pixel is the mean of a square."""
    *others, height, width = pixels.shape
    squares = pixels.reshape(*others, height // factor, factor, width // factor, factor)
    return np.asarray(np.rint(squares.mean((-3, -1))), np.uint8)
