"""Checks of plugins: what each hook promises, tried out. ``zoo check-plugin NAME`` runs them, and so does pytest::

    from zoo.testing import parametrize_with_checks


    @parametrize_with_checks("my-plugin")
    def test_my_plugin(check):
        check()

A model is checked in PyTorch (seeds, training, saving, types, devices, its density) and in ONNX Runtime (every graph);
of an architecture whose config has required keywords, the description's ``example`` says which small model that is.
"""

from __future__ import annotations

from zoo.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__)
