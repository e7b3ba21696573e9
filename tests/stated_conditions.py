"""Conditions for tests of all shipped models: what is stated where a model needs one."""

import numpy as np


def rising(condition):
    """One value for all samples, of numbers that rise through the range of each part that must be given.

    None where none must; a model of classes takes them in turn by itself.
    """
    required = [part for part in (condition.parts if condition is not None else ()) if part.required]
    if not required or condition.kind == "classes":
        return None
    values = {}
    for part in required:
        low, high = (-0.5, 0.5) if part.minimum is None else (part.minimum, part.maximum)
        values[part.name] = np.linspace(low, high, int(np.prod(part.shape))).reshape(part.shape)
    return values if condition.kind == "parts" else next(iter(values.values()))
