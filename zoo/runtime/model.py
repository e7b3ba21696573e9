"""A bundle as a model: :class:`BundledModel` samples and scores with ONNX Runtime and NumPy alone."""

from __future__ import annotations

from zoo.runtime.scoring import Scoring
from zoo.runtime.streaming import Streaming


class BundledModel(Streaming, Scoring):
    """What :func:`zoo.runtime.load` returns. The same seed gives the same samples, whatever the batch size.

    Threads may share one: sessions are loaded once, and nothing else changes after that.

    Args:
        bundle: an opened bundle.
        device: where it runs: a :class:`~zoo.runtime.device.Device`, or the name of a provider.
        threads: CPU threads, or None for ONNX Runtime's choice.
        samplers: where samplers are looked up by name.

    Raises:
        BundleError: the manifest's programs and graphs do not fit together.
        MissingDependencyError: ONNX Runtime is not installed.
        UnknownNameError, ProviderError: see :class:`~zoo.runtime.session.Session`.
    """
