"""Gaussian paths x_t = α(t)·x₀ + σ(t)·ε in float64 NumPy, one per file.

A path describes how data turns into noise: t = 0 is (nearly) data, t = 1 (nearly) noise. Sampling, training and
scoring use a path only through α, σ and the noise level σ/α, in which all Gaussian paths have the same
probability-flow ODE (Karras et al. 2022, "Elucidating the design space", eq. 1 with s(t) = 1)::

    d(x/α) / d(σ/α) = (x/α - D(x, t)) / (σ/α)

====================  ==================  =======================================  ================================
name                  class               α, σ                                     the network is given
====================  ==================  =======================================  ================================
cosine-log-snr        CosineLogSNR        cosine between two log-SNRs              1000·t
vp-linear             LinearBeta          VP SDE, β(t) linear                      1000·t
sub-vp                SubVP               sub-VP SDE, β(t) linear                  1000·t
ddpm-linear           DDPMLinear          discrete, β linear                       the timestep 0 … T-1
ddpm-scaled-linear    DDPMScaledLinear    discrete, √β linear                      the timestep
ddpm-cosine           DDPMCosine          discrete, ᾱ cosine (Nichol & Dhariwal)   the timestep
ddpm-sigmoid          DDPMSigmoid         discrete, ᾱ sigmoid (Jabri et al.)       the timestep
ddpm-table            DDPMTable           discrete, any table of β                 the timestep
ve                    VE                  α = 1, σ geometric                       σ
edm                   EDM                 α = 1, σ^(1/ρ) linear                    ln σ / 4
rectified-flow        RectifiedFlow       α = 1 - u, σ = u, u = t shifted          time_scale·u
trigonometric         Trigonometric       α = cos(π·t/2), σ = sin(π·t/2)           1000·t
tabulated             Tabulated           by a table of log-SNRs over t            time_scale·t
====================  ==================  =======================================  ================================

There is also ``masking`` (:class:`Masking`), which hides symbols of a text and adds no noise.

Networks that count time in another way have a key ``clock`` in the description of any of them (:class:`Retimed`).

A path is data too: a manifest stores ``path.describe()``, and :func:`path_from` reads it back. A named path never
changes after release; an improved one gets a new name. Plugins bring others by the hook ``zoo_paths``, through which
the built-in ones are registered, too.
"""

from __future__ import annotations

from collections.abc import Mapping

from zoo.arrays import Float64Array as Array
from zoo.errors import ConfigError, MissingDependencyError, PluginError, UnknownNameError, ZooError
from zoo.paths.base import (
    CorruptionPath,
    GaussianPath,
    VarianceExploding,
    VariancePreserving,
    require_gaussian,
)
from zoo.paths.checking import checked
from zoo.paths.cosine_log_snr import CosineLogSNR
from zoo.paths.ddpm_cosine import DDPMCosine
from zoo.paths.ddpm_linear import DDPMLinear
from zoo.paths.ddpm_scaled_linear import DDPMScaledLinear
from zoo.paths.ddpm_sigmoid import DDPMSigmoid
from zoo.paths.ddpm_table import DDPMTable
from zoo.paths.discrete import Discrete
from zoo.paths.edm import EDM
from zoo.paths.masking import Masking
from zoo.paths.rectified_flow import RectifiedFlow
from zoo.paths.retimed import Retimed
from zoo.paths.sub_vp import SubVP
from zoo.paths.tabulated import Tabulated
from zoo.paths.trigonometric import Trigonometric
from zoo.paths.ve import VE
from zoo.paths.vp_linear import LinearBeta
from zoo.printable import shortened
from zoo.registry import extensions

__all__ = [
    "BUILTIN",
    "EDM",
    "PATHS",
    "VE",
    "Array",
    "CorruptionPath",
    "CosineLogSNR",
    "DDPMCosine",
    "DDPMLinear",
    "DDPMScaledLinear",
    "DDPMSigmoid",
    "DDPMTable",
    "Discrete",
    "GaussianPath",
    "LinearBeta",
    "Masking",
    "RectifiedFlow",
    "Retimed",
    "SubVP",
    "Tabulated",
    "Trigonometric",
    "VarianceExploding",
    "VariancePreserving",
    "absent",
    "is_gaussian",
    "lacking",
    "needed",
    "path_from",
    "require_gaussian",
]

#: every built-in path by name
BUILTIN: dict[str, type[CorruptionPath]] = {
    cls.name: cls
    for cls in (
        CosineLogSNR,
        LinearBeta,
        SubVP,
        DDPMLinear,
        DDPMScaledLinear,
        DDPMCosine,
        DDPMSigmoid,
        DDPMTable,
        VE,
        EDM,
        RectifiedFlow,
        Trigonometric,
        Tabulated,
        Masking,
    )
}
#: the Gaussian ones, where a name alone is a path
PATHS: dict[str, type[GaussianPath]] = {
    name: cls for name, cls in BUILTIN.items() if issubclass(cls, GaussianPath) and cls not in (DDPMTable, Tabulated)
}


def path_from(description: Mapping[str, object] | str) -> CorruptionPath:
    """The path of a description by ``describe()``, or of a name with default parameters.

    Raises:
        UnknownNameError: no path has that name; a description of a plugin's path names the plugin's package.
        ConfigError: a parameter that the path does not have.
        NameConflictError, PluginError: a name that two plugins claim, or a plugin's path that is not valid.
    """
    fields: dict[str, object] = {"name": description} if isinstance(description, str) else dict(description)
    name = str(fields.pop("name", None))
    clock = fields.pop("clock", None)
    path = _named(name, fields)
    return path if clock is None else Retimed(require_gaussian(path), clock)  # type: ignore[arg-type]


def _named(name: str, fields: dict[str, object]) -> CorruptionPath:
    """The path of a name, with its own parameters."""
    cls = BUILTIN.get(name)
    if cls is None:
        return _brought(name, fields)
    try:
        return cls(**fields)
    except TypeError as error:
        raise ConfigError(f"path {name!r}: {error}") from None


def is_gaussian(description: Mapping[str, object]) -> bool:
    """Whether it describes a Gaussian path, as all paths of plugins are, installed or not."""
    return issubclass(BUILTIN.get(str(description.get("name")), GaussianPath), GaussianPath)


def absent(description: Mapping[str, object]) -> str | None:
    """The package that a description says brings its path, quoted, if no plugin here does; else None."""
    name, package = str(description.get("name")), description.get("package")
    if not isinstance(package, str) or name in BUILTIN or name in extensions.claimed("path"):
        return None
    return shortened(repr(package), 80)


def needed(description: Mapping[str, object], purpose: str) -> CorruptionPath:
    """:func:`path_from`, for a purpose that needs the path's functions: to ``"score data"``.

    Raises:
        MissingDependencyError: it is of a plugin that is not installed here, which the message names.
        UnknownNameError, ConfigError, NameConflictError, PluginError: as :func:`path_from`.
    """
    if absent(description) is not None:
        raise lacking(description, purpose)
    return path_from(description)


def lacking(description: Mapping[str, object], purpose: str) -> MissingDependencyError:
    """The error of a path that is :func:`absent`, for a purpose as of :func:`needed`."""
    error = MissingDependencyError(
        absent(description) or "a plugin", f"{purpose} with the path {description['name']!r}", extra=""
    )
    error.hint = "The path's description says that this package brings it as a plugin."
    return error


def _brought(name: str, fields: dict[str, object]) -> GaussianPath:
    """The path of a plugin."""
    package = fields.pop("package", None)
    claims = extensions.claimed("path")
    if name not in claims:
        unknown = UnknownNameError("path", name, {*BUILTIN, *claims})
        if isinstance(package, str):
            unknown.hint = (
                f"Its description says that the package {shortened(repr(package), 80)} brings it as a plugin."
            )
        elif unknown.hint is None or not unknown.hint.startswith("Did"):
            unknown.hint = "A plugin may bring it: see `zoo plugins`."
        raise unknown
    _, plugin = extensions.claim_of("path", name)
    what = f"path {name!r} of {plugin.origin}"
    cls = extensions.loaded("path", name)
    if not (isinstance(cls, type) and issubclass(cls, GaussianPath) and cls.name == name):
        raise PluginError(f"{what} is not a GaussianPath of that name")
    cls.package = plugin.distribution
    try:
        path = cls(**fields)
    except ZooError:
        raise
    except TypeError as error:
        raise ConfigError(f"{what}: {error}") from error
    except Exception as error:
        raise PluginError(f"{what} cannot be built: {type(error).__name__}: {error}") from error
    return checked(path, what)
