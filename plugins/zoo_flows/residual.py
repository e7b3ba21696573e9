"""Architecture ``residual``: i-ResNet (Behrmann et al. 2019) and residual flow (Chen et al. 2019)."""

from __future__ import annotations

from typing import Any

from zoo.errors import ConfigError
from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import ActNorm, LipschitzCNN, LipschitzMLP, MultiScale, Residual, Squeeze, Transform
from zoo_flows.transforms.lipschitz import ACTIVATIONS


class ResidualFlow(Flow):
    """Contractive residual blocks x + g(x), whose networks see the whole vector and move all of it.

    Densities take a pass and a determinant of d rows a block; samples a fixed point, of as many passes as the Lipschitz
    constant needs, 132 at most with the default. The remaining error of the fixed point is 1e-6 of the block's
    displacement.

    With ``scales`` the networks are convolutions of images, with a squeeze of 2×2 pixels into channels between scales.
    All components stay to the end, unlike in multi-scale flows of couplings.

    Args:
        shared: see :class:`~zoo_flows.config.Shared`.
        event_shape: shape of one sample, flattened inside; with scales ``[channels, height, width]``, where height and
            width are multiples of 2^(scales - 1).
        scales: 0 for vectors, or how many scales of images.
        transforms: how many blocks; with scales, on each.
        hidden: width, or channels, of their networks' hidden layers.
        layers: how many hidden layers.
        lipschitz: bound of the networks' Lipschitz constants, in (0, 1): the range of a block, and how slowly its
            inverse converges.
        activation: ``"lipswish"`` (Chen et al. 2019) or ``"elu"`` (Behrmann et al. 2019).
        exact: the largest number of components whose log-determinants are exact in training; above it they are
            estimated without bias, and a training loss has noise. Evaluation is exact.
        actnorm: whether activation normalisation precedes every block.
    """

    @config.shared("logit", "base")
    def __init__(
        self,
        shared: config.Shared,
        *,
        scales: int = 0,
        transforms: int = 8,
        hidden: int = 64,
        layers: int = 2,
        lipschitz: float = 0.9,
        activation: str = "lipswish",
        exact: int = 64,
        actnorm: bool = True,
    ) -> None:
        size, context = shared.size, shared.context
        config.at_least(
            scales=(scales, 0), transforms=(transforms, 1), hidden=(hidden, 1), layers=(layers, 1), exact=(exact, 0)
        )
        config.one_of("activation", activation, ACTIVATIONS)
        if not 0.0 < lipschitz < 1.0:
            raise ConfigError(f"lipschitz must be between 0 and 1, not {lipschitz}")
        settings: dict[str, Any] = {
            "context": context,
            "hidden": hidden,
            "layers": layers,
            "bound": lipschitz,
            "activation": activation,
        }
        stack: list[Transform] = []
        if scales:
            shape = config.image_shape(shared.event_shape, scales, halvings=scales - 1)
            for scale in range(scales):
                if scale:
                    stack.append(MultiScale(shape, [[Squeeze()]]))
                    shape = (4 * shape[0], shape[1] // 2, shape[2] // 2)
                for _ in range(transforms):
                    stack += [MultiScale(shape, [[ActNorm(shape)]])] if actnorm else []
                    stack.append(Residual(LipschitzCNN(shape, **settings), size, exact=exact))
        else:
            for _ in range(transforms):
                stack += [ActNorm([size])] if actnorm else []
                stack.append(Residual(LipschitzMLP(size, **settings), size, exact=exact))
        super().__init__(
            transforms=stack,
            **shared.parts(),
        )
