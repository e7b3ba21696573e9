"""Pushing: a model's files and its card for the Hub, checked, in one commit."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zoo.bundle import MODEL_CARD, FileInfo, Manifest, file_info, is_bundle, read_manifest
from zoo.errors import UsageError
from zoo.files import atomic_folder, copy_file, write_text
from zoo.hub.addresses import HubAddress
from zoo.hub.contents import FolderFiles, check, choose
from zoo.hub.hugging_face import commit
from zoo.hub.readme import README, REPORT, readme
from zoo.registry.cards import CARD_FILE, ModelCard


@dataclass(frozen=True)
class Pushed:
    """What was pushed.

    Attributes:
        address: of the commit.
        name: the model's name.
        files: size and digest of each file, by its name in the repository.
    """

    address: HubAddress
    name: str
    files: Mapping[str, FileInfo] = field(default_factory=dict)


def stage(folder: Path, address: HubAddress, output: Path, *, card: bool = True) -> str:
    """Write what the repository is to hold into a folder that exists; returns the model's name.

    Args:
        folder: a model's folder or a bundle.
        address: of the repository, which the card tells how to use.
        output: the folder to write.
        card: whether README.md is written.

    Raises:
        MissingDependencyError: huggingface_hub, which writes the card's metadata, is not installed.
        UsageError: there is no model.
        BundleError, ConfigError: a file that is missing or altered.
    """
    files = FolderFiles(folder)
    chosen = choose(files)
    if chosen.prefix:
        raise UsageError(f"{folder} is not a model", hint=f"There is one in it: {folder / chosen.prefix}.")
    chosen.write(files, output, None)
    name = check(output)
    if card:
        report = _report(folder, output)
        write_text(output / README, _readme(output, address, report))
    return name


def _report(folder: Path, output: Path) -> str:
    """The page that `zoo eval --card` has written into a model's folder, whose pictures are copied; or nothing."""
    page = folder / REPORT
    if not page.is_file():
        return ""
    pictures = Path(f"{page.stem}-pictures")
    for each in sorted((folder / pictures).glob("*.png")):
        (output / pictures).mkdir(exist_ok=True)
        copy_file(each, output / pictures / each.name)
    return page.read_text("utf-8")


def push(
    folder: Path, address: HubAddress, *, message: str = "", private: bool | None = None, card: bool = True
) -> Pushed:
    """Put a model into a repository of the Hub, in one commit.

    Args:
        folder: a model's folder or a bundle, of which only the model's own files are taken.
        address: the repository, and the branch if it is not main.
        message: of the commit.
        private: whether a new repository is private; None for the account's choice.
        card: whether README.md is written; a repository's own is then replaced.

    Raises:
        UsageError: a commit, which cannot be pushed to.
        HubError: no access, or no network; the repository is as it was.
        BundleError, ConfigError, MissingDependencyError: see :func:`stage`.
    """
    if address.exact:
        raise UsageError(f"{address} is a commit, and a push makes one", hint="Name a branch, or none for main.")
    with tempfile.TemporaryDirectory(prefix="zoo-push-") as scratch:
        staged = Path(scratch) / "staged"
        staged.mkdir()
        name = stage(folder, address, staged, card=card)
        files = {each.relative_to(staged).as_posix(): file_info(each) for each in sorted(_files(staged))}
        oid = commit(address, files, staged, message=message or f"{name}, pushed by genzoo", private=private)
    return Pushed(address.at(oid), name, files)


def write_staged(folder: Path, address: HubAddress, output: Path, *, force: bool = False, card: bool = True) -> str:
    """Write what :func:`push` would push into a new folder; returns the model's name."""
    with atomic_folder(output, replace=force) as temporary:
        return stage(folder, address, temporary, card=card)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _readme(folder: Path, address: HubAddress, report: str) -> str:
    card = ModelCard.from_folder(folder) if (folder / CARD_FILE).is_file() else None
    bundle = folder if card is None else card.bundle_path
    manifest: Manifest | None = None
    described = ""
    if bundle is not None and is_bundle(bundle):
        manifest = read_manifest(bundle)
        if MODEL_CARD in manifest.files:
            described = (bundle / MODEL_CARD).read_text("utf-8")
    return readme(str(address), card, manifest, described, report)
