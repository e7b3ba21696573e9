"""The bundle of an installed model by its name."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import UsageError


def bundle_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder of a bundle, or of the bundle of the installed model of that name if there is no such folder.

    Names need the registry of plugins, which a runtime without them never looks at.

    Raises:
        UnknownNameError: neither a folder nor a model.
        NameConflictError: two plugins claim the name.
        UsageError: a model without a bundle.
    """
    path = Path(folder)
    if not isinstance(folder, str) or path.name != folder or folder.startswith(".") or path.exists():
        return path
    try:
        from zoo.registry import installed
    except ModuleNotFoundError:  # the registry's own requirements are not those of the runtime
        return path
    bundle = installed().model(folder).bundle_path
    if bundle is None:
        raise UsageError(f"{folder} has no bundle", hint=f"Export it: `zoo export {folder} -o DIR`.")
    return bundle
