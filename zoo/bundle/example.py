"""The example of a bundle: a condition to begin with, which web pages show first and ``zoo run --example`` takes.

``example.safetensors`` holds it as files of samples hold conditions: an array ``condition``, or ``condition/<part>`` of
each named part that is given, ``[1, *shape]``. A bundle without this file has no example.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zoo import weights
from zoo.arrays import Array
from zoo.bundle.manifest import Manifest, read_manifest
from zoo.bundle.nearby import MANIFEST
from zoo.bundle.opening import EXAMPLE, MODEL_CARD, Bundle, file_info
from zoo.conditions import Condition, ConditionLike, Part
from zoo.errors import BundleError, ConditionError, UsageError, WeightsError
from zoo.files import write_text
from zoo.printable import printable
from zoo.render.files import condition_in, named

#: the most numbers that are shown as such
_SHORT = 8
_TITLE = "## Example"
#: what stands for the bundle in its own description
FOLDER = "path/to/this/folder"


def has_example(manifest: Manifest) -> bool:
    """Whether a bundle has an example."""
    return EXAMPLE in manifest.files and manifest.condition is not None


def example_of(bundle: Bundle) -> dict[str, Array] | None:
    """The example's value of each part that it gives, by name (``condition`` of one class or one vector).

    Raises:
        BundleError: the file is damaged, or does not fit the model's condition.
    """
    manifest, condition = bundle.manifest, bundle.manifest.condition
    if condition is None or not has_example(manifest):
        return None
    path = bundle.file(EXAMPLE)
    try:
        stored = condition_in(weights.read(path, digest=manifest.files[EXAMPLE].sha256))
        arrays = stored if isinstance(stored, dict) else {} if stored is None else {condition.names[0]: stored}
        condition.arrays(dict(arrays), 1)
        return {name: arrays[name][0] for name in condition.names if name in arrays}
    except (ConditionError, WeightsError, IndexError) as error:
        raise BundleError(f"the example of {bundle.folder} does not fit the model: {error}") from error


def write_example(folder: Path, value: ConditionLike) -> None:
    """Add an example to a bundle, or replace the one that it has; graphs, weights and proof stay.

    Args:
        folder: a bundle that nobody uses yet, such as one that is being written.
        value: one condition, as ``sample`` takes it; parts that need not be given may be left out.

    Raises:
        UsageError: the model takes no condition, or none is given.
        ConditionError: a value that the condition does not take.
        OutputError: the folder cannot be written.
    """
    manifest = read_manifest(folder)
    condition, name = manifest.condition, manifest.model.get("name") or "this model"
    if condition is None:
        raise UsageError(f"{name} takes no condition, so its bundle has no example of one")
    if value is None or (isinstance(value, Mapping) and all(each is None for each in value.values())):
        raise UsageError(f"an example gives {condition.told}, and nothing is given")
    condition.arrays(value, 1)
    arrays = condition.stored(value, 1)
    weights.write(folder / EXAMPLE, named(arrays if not condition.plain else arrays[condition.names[0]], 1))
    changed = [EXAMPLE]
    if MODEL_CARD in manifest.files:
        text = (folder / MODEL_CARD).read_text("utf-8")
        one = {part: array[0] for part, array in arrays.items() if part in condition.names}
        write_text(folder / MODEL_CARD, with_section(text, condition, one))
        changed.append(MODEL_CARD)
    files = {**manifest.files, **{each: file_info(folder / each) for each in changed}}
    write_text(folder / MANIFEST, dataclasses.replace(manifest, files=files).to_json())


def with_section(card: str, condition: Condition, example: Mapping[str, Array]) -> str:
    """The text of ``MODEL_CARD.md`` with a section on the example, instead of the one that it may have."""
    rest = re.sub(rf"\n*^{_TITLE}\n.*?(?=^## |\Z)", "\n\n", card, flags=re.M | re.S).rstrip("\n")
    values = "; ".join(f"{name}: {text}" for name, text in told(condition, example).items())
    safe = re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", printable(values))
    code = "```python\nx = model.sample(4, seed=0, condition=model.example)\n```"
    return f"{rest}\n\n{_TITLE}\n\n{safe}. On the command line, `zoo run {FOLDER} --example`.\n\n{code}\n"


def told(condition: Condition, example: Mapping[str, Array]) -> dict[str, str]:
    """An example in words, by the names of its parts: short values as they are written, else what they are."""
    return {
        part.name: text_of(part, example[part.name])
        or f"{part.modality} {'×'.join(map(str, example[part.name].shape))}"
        for part in condition.parts
        if part.name in example
    }


def text_of(part: Part, value: Array) -> str | None:
    """What to write for a part's value on a command line; None where that is too long."""
    if part.modality == "classes":
        return part.labels[int(value)] if int(value) < len(part.labels) else str(int(value))
    if part.modality == "tokens" and part.alphabet is not None:
        return "".join(part.alphabet[i] for i in value.tolist() if i < len(part.alphabet))
    if part.modality == "tokens" and part.labels:
        return " ".join(filter(None, (part.labels[i] for i in value.tolist() if i < len(part.labels))))
    if part.modality in ("numbers", "tokens") and value.size <= _SHORT:
        return ",".join(_short(number) for number in value)
    return None


def _short(number: Any) -> str:
    """A number in the fewest digits of its type."""
    return str(int(number)) if np.asarray(number).dtype.kind in "iu" else f"{float(str(number)):g}"
