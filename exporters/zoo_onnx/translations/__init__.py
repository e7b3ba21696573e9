"""Operators that torch's exporter lacks, or translates inaccurately in float32."""

from __future__ import annotations

from zoo_onnx.translations import exponentials, linear_algebra, search, simple, special
from zoo_onnx.translations.parts import Table

TRANSLATIONS: Table = {**simple.TABLE, **exponentials.TABLE, **special.TABLE, **search.TABLE, **linear_algebra.TABLE}
