"""What an open bundle is, beside what it does: the base of :class:`zoo.runtime.BundledModel`."""

from __future__ import annotations

from zoo.bundle import Bundle
from zoo.bundle.example import example_of
from zoo.conditions import Condition, ConditionLike
from zoo.runtime.opened import OpenBundle


class DescribedBundle:
    """Facts of an open bundle that are asked for now and then.

    Attributes:
        opened: the open bundle.
        bundle: its files.
        condition: what its model is conditioned on, or None.
    """

    opened: OpenBundle
    bundle: Bundle
    condition: Condition | None

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of one state of a model that samples in steps."""
        return self.opened.state_shape

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise of one sample, for ``sample(noise=...)``."""
        return self.opened.noise_shape

    @property
    def example(self) -> ConditionLike:
        """A condition to begin with, as :meth:`sample` takes it; None if the bundle has no example.

        Raises:
            BundleError: the example is damaged, or does not fit the model.
        """
        parts = example_of(self.bundle)
        plain = parts is not None and self.condition is not None and self.condition.plain
        return next(iter(parts.values())) if parts is not None and plain else parts

    @property
    def provider(self) -> str:
        """The provider in use, ``"cpu"``, ``"cuda"`` or another."""
        return self.opened.provider

    @property
    def fallback(self) -> str | None:
        """Why ``"auto"`` uses the CPU although ONNX Runtime was built with CUDA, or None."""
        return self.opened.fallback
