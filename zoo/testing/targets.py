"""Checks of targets, on a model or a bundle of two normal numbers."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from zoo.errors import CheckError, NotApplicable
from zoo.exporting import BUNDLE, export, pack
from zoo.files import sha256
from zoo.registry import Item, Registry
from zoo.registry.cards import Exporter
from zoo.testing.check import Checks


def of_exporter(registry: Registry, item: Item, subject: Any) -> Checks:
    """What is promised of a target."""
    checked = _Target(registry, cast(Exporter, item.description))
    return {"writes": checked.writes, "repeatable": checked.repeatable, "verifies": checked.verifies}


@dataclass(frozen=True)
class _Target:
    """A target, and where it is looked up."""

    registry: Registry
    described: Exporter

    def _written(self, folder: Path) -> dict[str, str]:
        """The digests of the files of an export into ``folder/out``."""
        from zoo.bundle import open_bundle
        from zoo.testing import toys

        out, name = folder / "out", self.described.name
        if self.described.packs:
            pack(open_bundle(toys.bundle()), out, target=name, registry=self.registry)
        else:
            export(toys.Normal(), out, target=name, registry=self.registry)
        return {path.relative_to(out).as_posix(): sha256(path) for path in sorted(out.rglob("*")) if path.is_file()}

    def writes(self) -> None:
        """It fills the folder, and leaves the bundle in it as it is."""
        with tempfile.TemporaryDirectory(prefix="zoo-checks-") as folder:
            files = self._written(Path(folder))
        if self.described.packs:
            self._left_alone(files)
            files = {name: digest for name, digest in files.items() if not name.startswith(f"{BUNDLE}/")}
        if not files:
            raise CheckError("it writes no file into the folder that it is given")

    def _left_alone(self, files: dict[str, str]) -> None:
        from zoo.testing import toys

        for path in sorted(toys.bundle().rglob("*")):
            name = f"{BUNDLE}/{path.relative_to(toys.bundle()).as_posix()}"
            if path.is_file() and files.get(name) != sha256(path):
                raise CheckError(f"it changes or removes {name}, which its code is to read")
        inner = {f"{BUNDLE}/{path.relative_to(toys.bundle()).as_posix()}" for path in toys.bundle().rglob("*")}
        if added := sorted(name for name in files if name.startswith(f"{BUNDLE}/") and name not in inner):
            raise CheckError(f"it writes {added[0]}, where only the bundle's own files are to be; write beside them")

    def repeatable(self) -> None:
        """The same bundle gives the same bytes."""
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            first, second = self._written(Path(one)), self._written(Path(two))
        if other := sorted(name for name in first | second if first.get(name) != second.get(name)):
            raise CheckError(f"{other[0]} differs the second time", hint="Leave out times, paths and random names.")

    def verifies(self) -> None:
        """What it wrote is run by its ``verify``."""
        if not self.described.verify:
            raise NotApplicable("it has no verify")
        verify = self.registry.load_entry(self.described, "verify")
        with tempfile.TemporaryDirectory(prefix="zoo-checks-") as folder:
            self._written(Path(folder))
            told = verify(Path(folder) / "out")
        if not isinstance(told, str) or not told:
            raise CheckError(f"verify returns {told!r}, where a text was expected that says what was run")
