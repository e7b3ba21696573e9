"""Architecture ``iaf``: the inverse autoregressive flow of Kingma et al. 2016, arXiv:1606.04934."""

from __future__ import annotations

from zoo_flows.maf import MAF
from zoo_flows.transforms import Autoregressive, Inverted, Transform


class IAF(MAF):
    """A :class:`~zoo_flows.maf.MAF` with its directions swapped: samples in one pass, densities in d small steps.

    For where sampling must be fastest, and for distilling other models. The config is that of ``maf``.
    """

    def autoregressive(self, transform: Autoregressive) -> Transform:
        """The transform in the direction in which the architecture uses it: samples in one pass."""
        return Inverted(transform)
