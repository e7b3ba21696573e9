"""Write the bundles of this folder again; see README.md for the commands. Run from a checkout's root.

Usage: python make.py before-parts|parts|columns FOLDER
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


def columns(root):
    """A diffusion of three numbers whose own tables have a column for D before it is clipped."""
    import torch

    from zoo_diffusion.mlp import MLPDiffusion

    options = {"epsilon": "unclipped", "eta": 0.3}
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = MLPDiffusion(
            event_shape=[3],
            hidden=16,
            blocks=1,
            condition={"kind": "classes", "size": 2, "labels": [], "required": False},
            data_min=-1.0,
            data_max=1.0,
            sampling={"sampler": "ddim", "steps": 4, "options": options},
        )
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return {
        "unclipped": (model.eval(), {"fused": {"sampler": "ddim", "steps": 3, "guidance": 2.0, "options": options}})
    }


def main(kind, folder):
    """Export the models of a kind into a folder."""
    try:
        from zoo.exporting import export
    except ModuleNotFoundError:  # its name before
        from zoo.export import export
    for name, (model, options) in KINDS[kind](Path.cwd()).items():
        export(model, Path(folder) / name, **options)


KINDS = {"before-parts": before_parts, "parts": parts, "columns": columns}

if __name__ == "__main__":
    main(*sys.argv[1:])
