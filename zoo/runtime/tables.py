"""The step tables of a bundle, recomputed and compared: some runtimes run the stored ones."""

from __future__ import annotations

import math
from collections.abc import Mapping

from zoo import weights
from zoo.bundle import TABLES, Bundle
from zoo.bundle.differences import relative_difference
from zoo.errors import BundleError, MissingDependencyError, PluginError, UnknownNameError, UsageError, ZooError
from zoo.paths import absent
from zoo.samplers import SamplerFunction, StepTable
from zoo.samplers.stored import Arrays, stored, table_from, table_named

#: relative to 1 + |value|: tables are computed in float64, and rounded to float32 on use
TOLERANCE = 2.0**-23
_MOST_TABLES = 64
#: rows of all tables together, since recomputing takes time
_MOST_STEPS = 20_000


def compared(bundle: Bundle, samplers: Mapping[str, SamplerFunction]) -> tuple[dict[str, float], dict[str, str]]:
    """The differences of a bundle's tables from those of the samplers in their names.

    Args:
        bundle: an opened bundle.
        samplers: where samplers are looked up by name.

    Returns:
        table -> largest difference, relative to 1 + \\|value\\| (∞ if columns or shapes differ); and
        table -> why it cannot be recomputed here, for samplers of plugins that are not installed.

    Raises:
        BundleError: invalid names, or tables of a model that does not sample in steps.
    """
    if TABLES not in bundle.manifest.files:
        return {}, {}
    program = bundle.manifest.sample
    if program is None or not program.stepped:
        raise _unfit(bundle, "its model samples in one call")
    program = program.stepping("the model")
    groups = _grouped(bundle)
    differences, unmade = {}, {}
    for (sampler, steps), columns in groups.items():
        name = f"{sampler}-{steps}"
        try:
            computed = stored(program, [(sampler, steps)], samplers)
        except (UnknownNameError, MissingDependencyError, PluginError) as error:
            package = absent(program.path)
            unmade[name] = (
                f"{package} brings the path {program.path['name']!r}, and is not installed" if package else str(error)
            )
            continue
        except ZooError as error:
            raise _unfit(bundle, f"table {name} cannot be recomputed: {error}") from error
        differences[name] = _difference(columns, computed)
    return differences, unmade


def read(bundle: Bundle) -> dict[tuple[str, int], StepTable]:
    """The step tables of a bundle, by sampler and steps; none if it has no such file.

    Raises:
        BundleError: they are not step tables.
    """
    if TABLES not in bundle.manifest.files:
        return {}
    tables = {}
    for choice, columns in _grouped(bundle).items():
        try:
            tables[choice] = table_from({name.partition("/")[2]: array for name, array in columns.items()})
        except (ValueError, UsageError) as error:
            raise _unfit(bundle, f"table {choice[0]}-{choice[1]}: {error}") from error
    return tables


def _grouped(bundle: Bundle) -> dict[tuple[str, int], Arrays]:
    """The tensors of each table."""
    groups: dict[tuple[str, int], Arrays] = {}
    for name, array in weights.read(bundle.file(TABLES)).items():
        try:
            choice = table_named(name.partition("/")[0])
        except ValueError as error:
            raise _unfit(bundle, str(error)) from None
        groups.setdefault(choice, {})[name] = array
    if len(groups) > _MOST_TABLES or sum(steps for _, steps in groups) > _MOST_STEPS:
        raise _unfit(bundle, f"it has more than {_MOST_TABLES} tables or {_MOST_STEPS} steps")
    return groups


def _difference(columns: Arrays, computed: Arrays) -> float:
    if columns.keys() != computed.keys():
        return math.inf
    if any(columns[n].shape != computed[n].shape or columns[n].dtype != computed[n].dtype for n in computed):
        return math.inf
    return max(relative_difference(columns[name], computed[name], 1.0) for name in computed)


def _unfit(bundle: Bundle, what: str) -> BundleError:
    return BundleError(f"{bundle.folder / TABLES} does not fit its bundle: {what}")
