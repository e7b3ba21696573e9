"""Write the bundles of this folder again; see README.md for the commands. Run from a checkout's root.

Usage: python make.py before-parts|parts FOLDER
"""

import importlib.util
import sys
from pathlib import Path


def loaded(path):
    """A file of the checkout's tests as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def before_parts(root):
    """Models of one class, of one vector, of nothing: as at the last commit without named parts."""
    small = loaded(root / "tests" / "onnx" / "conftest.py")
    labels = {"kind": "classes", "size": 3, "labels": ["a", "b", "c"], "required": False}
    guided = {"sampler": "ddim", "steps": 3, "guidance": 2.0, "options": {"eta": 0.5}}
    return {
        "classes": (small.unet(condition=labels), {"fused": guided}),
        "vector": (small.Gaussian(conditional=True), {}),
        "nothing": (small.Gaussian(), {}),
    }


def parts(root):
    """Models of named parts."""
    small = loaded(root / "tests" / "small_parts.py")
    guided = {"sampler": "ddpm", "steps": 3, "guidance": 2.0}
    return {
        "posterior": (small.posterior(), {}),
        "policy": (small.policy(), {}),
        "fused": (small.policy(small.Acting), {"fused": guided}),
        "everything": (small.everything(), {}),
    }


def main(kind, folder):
    """Export the models of a kind into a folder."""
    try:
        from zoo.exporting import export
    except ModuleNotFoundError:  # its name before
        from zoo.export import export
    for name, (model, options) in {"before-parts": before_parts, "parts": parts}[kind](Path.cwd()).items():
        export(model, Path(folder) / name, **options)


if __name__ == "__main__":
    main(*sys.argv[1:])
