"""Architecture ``tarflow``: the transformer autoregressive flow of Zhai et al. 2024, arXiv:2412.06329."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ConfigError, UsageError
from zoo.models.contexts import TensorCondition, needs_gradient
from zoo.overriding import override
from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import (
    AffineMap,
    ElementwiseSpline,
    Map,
    NoiseAugmentation,
    Patchwise,
    Permutation,
    Transform,
)

MAPS = ("affine", "spline")


class TarFlow(Flow):
    """Autoregressive transforms over patches, with parameters from causal transformers, in alternating order.

    Densities take one pass; samples pass the patches through each transformer one after the other, with the keys and
    values of earlier patches kept.

    Args:
        splines: see :class:`~zoo_flows.config.Splines`; they are of ``map = "spline"``, and of the marginals.
        shared: see :class:`~zoo_flows.config.Shared`.
        event_shape: shape of one sample: a vector is a sequence of patches of ``patch`` components, an image
            ``[channels, height, width]`` one of ``patch`` × ``patch`` pixels.
        transforms: how many; every second one takes the sequence from its end.
        patch: see ``event_shape``; None takes 1 for vectors, and for images the largest of 4, 2 and 1 that fits.
        width: of the transformers' tokens.
        layers: of each transformer.
        heads: of attention; None takes one for each 64 of width.
        noise: deviation of the noise that training adds to data, in standard deviations (after a logit, of the logits).
        map: of each component: ``"affine"``, as in the paper, or ``"spline"``, rational-quadratic (Durkan et al. 2019,
            arXiv:1906.04032).
        inner: width of a hidden layer by which a component sees those before it in its own patch; 0 as in the paper,
            where those of a patch are independent of each other given the patches before. With it one
            transform alone is a full autoregressive model.
        window: how far the patches reach that a token sees beside the attention: this many before it, and in an image
            as many rows above it and to both sides; 0 as in the paper, for the one before it.
        marginal_bins: bins of a first spline for each component, which models the marginals; 0 for none. A dequantised
            constant background is far from normal.
        per_channel: of images: each channel has one mean, deviation and first spline, not each component, so that equal
            values mean the same everywhere, which transformers learn from sooner.
    """

    @config.shared("logit", "base", "dequantisation")
    @config.splines()
    def __init__(
        self,
        splines: config.Splines,
        shared: config.Shared,
        *,
        transforms: int = 4,
        patch: int | None = None,
        width: int = 64,
        layers: int = 2,
        heads: int | None = None,
        noise: float = 0.0,
        map: str = "affine",
        inner: int = 0,
        window: int = 0,
        per_channel: bool = False,
        marginal_bins: int = 0,
    ) -> None:
        size, context = shared.size, shared.context
        config.at_least(
            transforms=(transforms, 1),
            layers=(layers, 1),
            width=(width, 1),
            noise=(noise, 0.0),
            inner=(inner, 0),
            window=(window, 0),
            marginal_bins=(marginal_bins, 0),
        )
        maps: dict[str, Map] = dict(zip(MAPS, (AffineMap(), splines.map()), strict=True))
        splines.needed(maps=map == "spline", marginals=marginal_bins > 0)
        of_components = config.one_of("map", map, maps)
        order, length, row = _patches(shared.event_shape, patch)
        if per_channel and order is None:
            raise ConfigError(f"per_channel is for images, and an event of shape {list(shared.event_shape)} is none")
        channels = shared.event_shape[0] if per_channel else None
        layout: list[Transform] = []
        if marginal_bins:
            layout.append(ElementwiseSpline(size, bins=marginal_bins, bound=splines.bound, channels=channels))
        layout += [] if order is None else [Permutation(size, order)]
        for index in range(transforms):
            layout += config.mixing("reverse", size) if index else []
            layout.append(
                Patchwise(
                    size,
                    of_components,
                    patch=length,
                    context=context,
                    width=width,
                    layers=layers,
                    heads=max(1, width // 64) if heads is None else heads,
                    inner=inner,
                    window=_window(window, row),
                )
            )
        parts = shared.parts(channels=channels)
        super().__init__(
            **{**parts, "preprocessing": [*parts["preprocessing"], *([NoiseAugmentation(noise)] if noise else [])]},
            transforms=layout,
        )
        self.deviation = noise

    @torch.no_grad()
    @override
    def prepare(self, x: Tensor, condition: Tensor | None = None) -> None:
        """The first splines begin with the marginal distribution of all components; the others get its result."""
        super().prepare(x, condition)
        z = x.flatten(1)
        for transform in (*self.preprocessing, *self.transforms):
            if isinstance(transform, Patchwise):
                transform.begin(z)
                break
            z, _ = transform(z)

    @override
    def sample(
        self,
        n: int,
        *,
        condition: TensorCondition = None,
        seed: int | None = None,
        denoise: bool = False,
        **options: Any,
    ) -> Tensor:
        """With ``denoise``, the noise of training is removed."""
        x = super().sample(n, condition=condition, seed=seed, **options)
        return self.denoised(x, condition) if denoise else x

    def denoised(self, x: Tensor, condition: TensorCondition = None) -> Tensor:
        """The mean of samples before the noise of training was added (Tweedie's formula)::

            E[u | u + σε] = u + σε + σ²·∇log p(u + σε)        u the standardised data

        Args:
            x: samples ``[n, *event]``.
            condition: that they were drawn with.

        Raises:
            UsageError: the model was trained without noise.
        """
        if not self.deviation:
            raise UsageError("this model was trained without noise, so there is no noise to remove")
        wanted = needs_gradient(condition, x)
        with torch.set_grad_enabled(wanted):
            context = self.context(self.received_condition(condition, x.shape[0]))
            preprocessing = [t for t in self.preprocessing if isinstance(t, Transform)]
            u = x.flatten(1)
            for transform in preprocessing:
                u, _ = transform(u)
            with torch.enable_grad():
                at = u if u.requires_grad else u.detach().requires_grad_()
                z, density = at, torch.zeros_like(at[:, 0])
                for layer in self.transforms:
                    z, log_det = layer(z, context)
                    density = density + log_det
                density = density + self.base.log_prob(z, context)
                (score,) = torch.autograd.grad(density.sum(), at, create_graph=wanted)
            u = u + self.deviation**2 * score
            for transform in reversed(preprocessing):
                u, _ = transform.inverse(u)
            return u.view_as(x)


def _window(reach: int, row: int | None) -> list[int]:
    """How far before a patch those of its window are, in rows of so many patches, or in one."""
    if reach == 0:
        return [1]
    rows = [0] if row is None else range(0, reach * row + 1, row)
    sides = range(1, reach + 1) if row is None else range(-reach, reach + 1)
    return sorted({above + side for above in rows for side in sides if above + side > 0})


def _patches(event_shape: Sequence[int], patch: int | None) -> tuple[Tensor | None, int, int | None]:
    """The order that puts an image's patches side by side, or None for vectors; their length; how many make a row."""
    if len(event_shape) != 3:
        return None, 1 if patch is None else patch, None
    channels, height, width = event_shape
    if patch is None:
        patch = next(p for p in (4, 2, 1) if height % p == 0 and width % p == 0 and height * width > p * p)
    if patch < 1 or height % patch or width % patch:
        raise ConfigError(f"images of {height}×{width} pixels do not divide into patches of {patch}×{patch}")
    index = torch.arange(channels * height * width).view(channels, height // patch, patch, width // patch, patch)
    return index.permute(1, 3, 0, 2, 4).flatten(), channels * patch * patch, width // patch
