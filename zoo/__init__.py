"""genzoo: a zoo of flow and diffusion models that leave PyTorch. The public names, loaded when they are first used.

>>> import zoo
>>> zoo.Architecture(name="gaussian", family="flow", entry="my_plugin.model:Gaussian").requires
('torch',)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.conditions import Condition
    from zoo.data import Dataset, Split
    from zoo.errors import (
        BundleError,
        ConditionError,
        ConfigError,
        DataError,
        ExportError,
        MissingDependencyError,
        NameConflictError,
        OutputError,
        PluginError,
        ProofError,
        ProviderError,
        RuntimeFailure,
        UnknownNameError,
        UsageError,
        WeightsError,
        ZooError,
    )
    from zoo.models.interface import DirectModel, GenerativeModel
    from zoo.models.loading import load
    from zoo.registry import Registry, installed
    from zoo.registry.cards import (
        Architecture,
        Check,
        DataSource,
        DistillationMethod,
        Exporter,
        Finding,
        Importer,
        Metric,
        ModelCard,
        ProgramKind,
        Sampler,
        WeightsFile,
    )
    from zoo.registry.hookspecs import hookimpl
    from zoo.samplers import Step, StepTable

    __version__: str

# Importing zoo costs nothing and needs neither torch nor NumPy: plugins' modules import it each time `zoo list` runs.
_MODULES = {
    "zoo.registry.cards": [
        "Architecture",
        "Check",
        "DataSource",
        "DistillationMethod",
        "Exporter",
        "Finding",
        "Importer",
        "Metric",
        "ModelCard",
        "ProgramKind",
        "Sampler",
        "WeightsFile",
    ],
    "zoo.conditions": ["Condition"],
    "zoo.data": ["Dataset", "Split"],
    "zoo.errors": [
        "BundleError",
        "ConditionError",
        "ConfigError",
        "DataError",
        "ExportError",
        "MissingDependencyError",
        "NameConflictError",
        "OutputError",
        "PluginError",
        "ProofError",
        "ProviderError",
        "RuntimeFailure",
        "UnknownNameError",
        "UsageError",
        "WeightsError",
        "ZooError",
    ],
    "zoo.registry.hookspecs": ["hookimpl"],
    "zoo.models.loading": ["load"],
    "zoo.models.interface": ["DirectModel", "GenerativeModel"],
    "zoo.registry": ["Registry", "installed"],
    "zoo.samplers": ["Step", "StepTable"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [  # noqa: RUF022 - in the order of their modules, as above
    "Architecture",
    "Check",
    "DataSource",
    "DistillationMethod",
    "Exporter",
    "Finding",
    "Importer",
    "Metric",
    "ModelCard",
    "ProgramKind",
    "Sampler",
    "WeightsFile",
    "Condition",
    "Dataset",
    "Split",
    "BundleError",
    "ConditionError",
    "ConfigError",
    "DataError",
    "ExportError",
    "MissingDependencyError",
    "NameConflictError",
    "OutputError",
    "PluginError",
    "ProofError",
    "ProviderError",
    "RuntimeFailure",
    "UnknownNameError",
    "UsageError",
    "WeightsError",
    "ZooError",
    "hookimpl",
    "load",
    "DirectModel",
    "GenerativeModel",
    "Registry",
    "installed",
    "Step",
    "StepTable",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        try:
            value: Any = metadata.version("genzoo")
        except metadata.PackageNotFoundError:  # a checkout on the path without an installation
            value = "0+unknown"
    elif name in _HOME:
        value = _attribute(_HOME[name], name)
    else:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    globals()[name] = value
    return value


def _attribute(module: str, name: str) -> Any:
    from zoo.errors import MissingDependencyError

    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError("torch", f"use zoo.{name}", extra="torch") from error


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
