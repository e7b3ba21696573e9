"""Modules of libraries as they are installed, unmodified, without the packages that nothing here uses of them."""

import importlib
import importlib.util
import sys
import types
import warnings

import pytest


def module_of(package, name, *absent):
    """A module of a package that is not run as a whole; ``absent`` are stood in for by empty modules."""
    if package not in sys.modules:
        spec = importlib.util.find_spec(package)
        if spec is None:
            pytest.skip(f"{package}, which is compared, is not installed")
        shell = types.ModuleType(package)
        shell.__path__ = list(spec.submodule_search_locations)
        sys.modules[package] = shell
        if f"{package}.utils" in sys.modules:
            shell.utils = sys.modules[f"{package}.utils"]
    for other in absent:
        if other not in sys.modules and importlib.util.find_spec(other) is None:
            sys.modules[other] = types.ModuleType(other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"{package}.{name}")


def torchcfm():
    """Its flow matchers; the optimal transport plan of its other file is not needed."""
    return module_of("torchcfm", "conditional_flow_matching", "ot")


def _k_utils():
    """The one function of its ``utils`` that wrappers and loops use; the rest wants torchvision."""
    if "k_diffusion.utils" not in sys.modules:
        utils = types.ModuleType("k_diffusion.utils")
        utils.append_dims = lambda x, n: x[(...,) + (None,) * (n - x.ndim)]
        sys.modules["k_diffusion.utils"] = utils


def k_diffusion(name):
    """A module of k-diffusion: ``external`` with VDenoiser and Discrete..., ``layers`` with Denoiser, or ``sampling``.

    What ``layers`` makes losses and blocks with is not needed.
    """
    stand_ins = []
    for other, attributes in {"dctorch": ("functional",), "einops": ("rearrange", "repeat")}.items():
        if other not in sys.modules and importlib.util.find_spec(other) is None:
            sys.modules[other] = types.ModuleType(other)
            stand_ins.append(other)
            for attribute in attributes:
                setattr(sys.modules[other], attribute, None)
    _k_utils()
    try:
        return module_of("k_diffusion", name)
    finally:
        # other libraries ask whether they are installed
        for other in stand_ins:
            del sys.modules[other]
