"""Flows of other libraries, as scripts/adapters and tests/adapters export them. Imports torch and one library, no zoo.

Each is tiny (four numbers, two layers, sixteen hidden units). Its weights are moved by normals of deviation 0.3, so
that no layer is the identity that it begins as; or trained, where moved ones give a flow that its library cannot
invert, which is refused (:data:`REFUSED`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

D, CONTEXT, HIDDEN, LAYERS, DEVIATION = 4, 3, 16, 2, 0.3
#: of a training
STEPS, BATCH, LEARNING_RATE = 300, 128, 1e-2


@dataclass(frozen=True)
class Case:
    """One flow.

    Attributes:
        library: its name.
        name: of the class, or of the layer.
        build: from the length of a context, 0 for none, to the library's model.
        contexts: whether it takes contexts: (False,), or with True.
        sample: from (model, noise [n, D], context or None) to data, by the library's own functions; None if it
            cannot, or takes other noise.
        score: from (model, data, context or None) to log-densities, likewise.
        uniform: whether its noise is uniform in (0, 1).
        one_way: whether the library cannot go back: ``score`` then takes noise, and gives data and their log-densities.
        trained: with contexts or without them, whether its weights are trained rather than moved.
        precise: whether the reference is the library's own function in float64, which its float32 is far from.
        draw: from (model, count, context [CONTEXT] or None) to samples of a library that takes no noise; None for
            others.
    """

    library: str
    name: str
    build: Callable[[int], nn.Module]
    contexts: tuple[bool, ...]
    sample: Callable[[Any, Tensor, Tensor | None], Tensor] | None
    score: Callable[[Any, Tensor, Tensor | None], Any] | None
    uniform: bool = False
    one_way: bool = False
    trained: tuple[bool, ...] = ()
    precise: bool = False
    draw: Callable[[Any, int, Tensor | None], Tensor] | None = None

    def model(self, context: bool) -> nn.Module:
        """The model with its weights moved or trained, in evaluation mode."""
        return self.fitted(context) if context in self.trained else self.moved(context)

    def fresh(self, context: bool) -> nn.Module:
        """The model as the library begins it."""
        torch.manual_seed(0)
        np.random.seed(0)  # FrEIA draws its permutations by NumPy
        return self.build(CONTEXT if context else 0)

    def fitted(self, context: bool) -> nn.Module:
        """The model trained for a few seconds, in evaluation mode."""
        assert self.score is not None
        model, generator = self.fresh(context).train(), torch.Generator().manual_seed(1)
        optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
        for _ in range(STEPS):
            x, c = _bent(BATCH, context, generator)
            loss = -self.score(model, x, c).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model.eval()

    def moved(self, context: bool) -> nn.Module:
        """The model with its weights moved, in evaluation mode."""
        model = self.fresh(context)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter += DEVIATION * torch.randn(parameter.shape, generator=generator)
        return model.eval()

    def inputs(self, context: bool) -> dict[str, Tensor]:
        """Noise, data and contexts: ordinary, times 3 and times 10 of those that are not uniform."""
        generator = torch.Generator().manual_seed(2)
        factors = torch.tensor([1.0, 3.0, 10.0]).repeat_interleave(8).unsqueeze(1)
        data = torch.randn(24, D, generator=generator)
        if self.uniform:
            z = (torch.randint(1 << 23, (24, D), generator=generator) + 0.5) * 2.0**-23
            angles = (2 * torch.rand(24, D, generator=generator) - 1) * math.pi * 0.999
            inputs = {"z": z, "x": angles}
        else:
            inputs = {"z": torch.randn(24, D, generator=generator) * factors, "x": data * factors}
        if context:
            inputs["c"] = torch.randn(24, CONTEXT, generator=generator)
        return inputs


def _bent(n: int, context: bool, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """Data ``[n, D]`` that no linear map makes normal, and contexts that shift them."""
    z = torch.randn(n, D, generator=generator)
    first = z[:, :1]
    bent = [0.5 * first.square() - 0.5 + 0.5 * z[:, 1:2], torch.sin(2 * first) + 0.4 * z[:, 2:3], 0.7 * z[:, 3:]]
    x = torch.cat([first, *bent], 1)
    if not context:
        return x, None
    c = torch.randn(n, CONTEXT, generator=generator)
    return x + 0.5 * torch.tanh(c).repeat(1, 2)[:, :D], c


# -- zuko -----------------------------------------------------------------------------------------------------------


def _zuko(name: str, **more: Any) -> Callable[[int], nn.Module]:
    def build(context: int) -> nn.Module:
        import zuko

        cls = getattr(zuko.flows, name.partition("-")[0])
        flow: nn.Module = cls(D, context, **more)
        return flow

    return build


def _zuko_linear(name: str) -> Callable[[int], nn.Module]:
    def build(context: int) -> nn.Module:
        import zuko

        layers = [
            zuko.lazy.UnconditionalTransform(getattr(zuko.transforms, name), torch.eye(D) + torch.randn(D, D) / 4)
            for _ in range(LAYERS)
        ]
        base = zuko.lazy.UnconditionalDistribution(
            zuko.distributions.DiagNormal, loc=torch.zeros(D), scale=torch.ones(D), buffer=True
        )
        flow: nn.Module = zuko.lazy.Flow(layers, base)
        return flow

    return build


def _zuko_sample(flow: Any, z: Tensor, c: Tensor | None) -> Tensor:
    base = flow.base(None).base_dist
    start = base.low + (base.high - base.low) * z if hasattr(base, "low") else base.loc + base.scale * z
    x: Tensor = flow(c).transform.inv(start)
    return x


def _zuko_score(flow: Any, x: Tensor, c: Tensor | None) -> Tensor:
    density: Tensor = flow(c).log_prob(x)
    return density


_TWO = {"transforms": LAYERS, "hidden_features": (HIDDEN, HIDDEN)}
_NET = {"network": {"hidden_features": (HIDDEN, HIDDEN)}}
_BOTH = (False, True)
_CLASSES: dict[str, dict[str, Any]] = {
    "NICE": _TWO,
    "RealNVP": _TWO,
    "MAF": _TWO,
    "MAF-coupling": {**_TWO, "passes": 2},
    "NSF": _TWO,
    "NSF-coupling": {**_TWO, "passes": 2},
    "NCSF": _TWO,
    "SOSPF": _TWO,
    "BPF": _TWO,
    "NAF": {**_TWO, **_NET},
    "UNAF": {**_TWO, **_NET},
    "GF": {"transforms": LAYERS},
    "CNF": {"hidden_features": (HIDDEN, HIDDEN)},
}
#: moved, some of their values lie beyond the bounds that zuko's bisections look within
_TRAINED: dict[str, tuple[bool, ...]] = {"SOSPF": (False,), "NAF": (True,), "UNAF": _BOTH, "GF": _BOTH}
ZUKO = (
    *(
        Case(
            "zuko",
            name,
            _zuko(name, **options),
            _BOTH,
            _zuko_sample,
            _zuko_score,
            uniform=name == "NCSF",
            trained=_TRAINED.get(name, ()),
            precise=name == "GF",
        )
        for name, options in _CLASSES.items()
    ),
    Case(
        "zuko",
        "GMM",
        _zuko("GMM", components=3, hidden_features=(HIDDEN,)),
        _BOTH,
        None,
        _zuko_score,
        draw=lambda flow, n, c: flow(c).sample((n,)),
    ),
    *(
        Case("zuko", name, _zuko_linear(name), (False,), _zuko_sample, _zuko_score)
        for name in ("LULinearTransform", "RotationTransform")
    ),
)


# -- nflows ---------------------------------------------------------------------------------------------------------


def _nflows(layers: Callable[[Any, int, int], list[nn.Module]], embeds: bool = False) -> Callable[[int], nn.Module]:
    def build(context: int) -> nn.Module:
        from nflows import transforms
        from nflows.distributions import StandardNormal
        from nflows.flows import Flow

        inner = 2 if embeds else context
        parts = [each for i in range(LAYERS) for each in layers(transforms, i, inner)]
        network = nn.Sequential(nn.Linear(context, inner), nn.Tanh()) if embeds else None
        flow: nn.Module = Flow(transforms.CompositeTransform(parts), StandardNormal([D]), embedding_net=network)
        return flow

    return build


def _resnet(context: int) -> Callable[[int, int], nn.Module]:
    def net(inputs: int, outputs: int) -> nn.Module:
        from nflows.nn.nets import ResidualNet

        network: nn.Module = ResidualNet(
            inputs, outputs, hidden_features=HIDDEN, context_features=context or None, num_blocks=1
        )
        return network

    return net


def _mask(i: int) -> list[int]:
    return [i % 2, (i + 1) % 2] * (D // 2)


_SPLINE = {"num_bins": 5, "tails": "linear", "tail_bound": 3.0}


def _autoregressive(cls: str, **more: Any) -> Callable[[Any, int, int], list[nn.Module]]:
    def layers(transforms: Any, i: int, context: int) -> list[nn.Module]:
        transform = getattr(transforms, cls)(
            features=D, hidden_features=HIDDEN, context_features=context or None, num_blocks=1, **more
        )
        return [transforms.ReversePermutation(D), transform]

    return layers


def _coupling(cls: str, **more: Any) -> Callable[[Any, int, int], list[nn.Module]]:
    return lambda transforms, i, context: [getattr(transforms, cls)(_mask(i), _resnet(context), **more)]


def _plain(cls: str, *arguments: Any, **more: Any) -> Callable[[Any, int, int], list[nn.Module]]:
    return lambda transforms, i, context: [getattr(transforms, cls)(D, *arguments, **more)]


def _initialised(transforms: Any, i: int, context: int) -> list[nn.Module]:
    layer = transforms.ActNorm(D).train()
    layer(torch.randn(64, D))
    return [layer]


def _nflows_sample(flow: Any, z: Tensor, c: Tensor | None) -> Tensor:
    x: Tensor = flow._transform.inverse(z, context=flow._embedding_net(c))[0]
    return x


def _nflows_score(flow: Any, x: Tensor, c: Tensor | None) -> Tensor:
    density: Tensor = flow.log_prob(x, c)
    return density


NFLOWS = tuple(
    # NaiveLinear's inverse calls a function that torch no longer has
    Case(
        "nflows",
        name,
        build,
        contexts,
        None if name == "NaiveLinear" else _nflows_sample,
        _nflows_score,
        trained=(True,) if name == "MAF" else (),
    )
    for name, build, contexts in (
        ("AffineCoupling", _nflows(_coupling("AffineCouplingTransform")), _BOTH),
        ("AdditiveCoupling", _nflows(_coupling("AdditiveCouplingTransform")), _BOTH),
        ("RQ-coupling", _nflows(_coupling("PiecewiseRationalQuadraticCouplingTransform", **_SPLINE)), _BOTH),
        ("Quadratic-coupling", _nflows(_coupling("PiecewiseQuadraticCouplingTransform", **_SPLINE)), _BOTH),
        ("MAF", _nflows(_autoregressive("MaskedAffineAutoregressiveTransform")), _BOTH),
        ("MAF, embedded", _nflows(_autoregressive("MaskedAffineAutoregressiveTransform"), True), (True,)),
        (
            "RQ-autoregressive",
            _nflows(_autoregressive("MaskedPiecewiseRationalQuadraticAutoregressiveTransform", **_SPLINE)),
            _BOTH,
        ),
        ("LULinear", _nflows(_plain("LULinear")), (False,)),
        ("LULinear, cached", _nflows(_plain("LULinear", using_cache=True)), (False,)),
        ("QRLinear", _nflows(_plain("QRLinear", 2)), (False,)),
        ("SVDLinear", _nflows(_plain("SVDLinear", 2)), (False,)),
        ("NaiveLinear", _nflows(_plain("NaiveLinear")), (False,)),
        ("ActNorm", _nflows(_initialised), (False,)),
    )
)


# -- normflows ------------------------------------------------------------------------------------------------------


def _normflows(layers: Callable[[Any, int, int], list[nn.Module]]) -> Callable[[int], nn.Module]:
    def build(context: int) -> nn.Module:
        import normflows

        parts = [each for i in range(LAYERS) for each in layers(normflows, i, context)]
        cls = normflows.ConditionalNormalizingFlow if context else normflows.NormalizingFlow
        flow: nn.Module = cls(normflows.distributions.DiagGaussian(D), parts)
        return flow

    return build


def _of(cls: str, *arguments: Any, **more: Any) -> Callable[[Any, int, int], list[nn.Module]]:
    return lambda normflows, i, context: [getattr(normflows.flows, cls)(*arguments, **more)]


def _with_context(cls: str, *arguments: Any, context_name: str, **more: Any) -> Any:
    def layers(normflows: Any, i: int, context: int) -> list[nn.Module]:
        return [getattr(normflows.flows, cls)(*arguments, **{context_name: context or None}, **more)]

    return layers


def _affine(normflows: Any, i: int, context: int) -> list[nn.Module]:
    network = normflows.nets.MLP([D // 2, HIDDEN, D])
    return [normflows.flows.AffineCouplingBlock(network), normflows.flows.Permute(D, "shuffle")]


def _residual(normflows: Any, i: int, context: int) -> list[nn.Module]:
    network = normflows.nets.LipschitzMLP([D, HIDDEN, D], lipschitz_const=0.9, max_lipschitz_iter=5)
    return [normflows.flows.Residual(network, reduce_memory=False)]


def _normflows_sample(flow: Any, z: Tensor, c: Tensor | None) -> Tensor:
    start = flow.q0.loc + torch.exp(flow.q0.log_scale) * z
    x: Tensor = flow(start) if c is None else flow(start, context=c)
    return x


def _normflows_score(flow: Any, x: Tensor, c: Tensor | None) -> Tensor:
    density: Tensor = flow.log_prob(x) if c is None else flow.log_prob(x, context=c)
    return density


def _normflows_forwards(flow: Any, z: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
    """Data, and their log-densities by the library's way from noise to them."""
    x, volume = flow.forward_and_log_det(z)
    return x, flow.q0.log_prob(z) - volume


NORMFLOWS = tuple(
    Case(
        "normflows", name, _normflows(layers), contexts, _normflows_sample, score, one_way=score is _normflows_forwards
    )
    for name, layers, contexts, score in (
        ("AffineCouplingBlock", _affine, (False,), _normflows_score),
        (
            "MaskedAffineAutoregressive",
            _with_context("MaskedAffineAutoregressive", D, HIDDEN, num_blocks=1, context_name="context_features"),
            _BOTH,
            _normflows_score,
        ),
        (
            "AutoregressiveRationalQuadraticSpline",
            _with_context("AutoregressiveRationalQuadraticSpline", D, 1, HIDDEN, context_name="num_context_channels"),
            _BOTH,
            _normflows_score,
        ),
        (
            "CoupledRationalQuadraticSpline",
            _with_context("CoupledRationalQuadraticSpline", D, 1, HIDDEN, context_name="num_context_channels"),
            _BOTH,
            _normflows_score,
        ),
        (
            "CircularAutoregressiveRationalQuadraticSpline",
            _of("CircularAutoregressiveRationalQuadraticSpline", D, 1, HIDDEN, ind_circ=[0, 2]),
            (False,),
            _normflows_score,
        ),
        ("LULinearPermute", _of("LULinearPermute", D), (False,), _normflows_score),
        ("InvertibleAffine", _of("InvertibleAffine", D), (False,), _normflows_score),
        ("Planar", _of("Planar", (D,)), (False,), _normflows_forwards),
        ("Planar, leaky ReLU", _of("Planar", (D,), act="leaky_relu"), (False,), _normflows_score),
        ("Radial", _of("Radial", (D,)), (False,), _normflows_forwards),
        # the library estimates its log-density by random directions
        ("Residual", _residual, (False,), None),
    )
)


# -- FrEIA ----------------------------------------------------------------------------------------------------------


def _freia(block: str, **more: Any) -> Callable[[int], nn.Module]:
    def build(context: int) -> nn.Module:
        from FrEIA import framework, modules

        def subnet(inputs: int, outputs: int) -> nn.Module:
            return nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))

        network = framework.SequenceINN(D)
        conditioning = {"cond": 0, "cond_shape": (context,)} if context else {}
        for _ in range(LAYERS):
            network.append(getattr(modules, block), subnet_constructor=subnet, **conditioning, **more)
        flow: nn.Module = network
        return flow

    return build


def _freia_sample(flow: Any, z: Tensor, c: Tensor | None) -> Tensor:
    x: Tensor = flow(z, c=None if c is None else [c], rev=True)[0]
    return x


def _freia_score(flow: Any, x: Tensor, c: Tensor | None) -> Tensor:
    z, volume = flow(x, c=None if c is None else [c])
    density: Tensor = volume - 0.5 * z.square().sum(1) - 0.5 * D * math.log(2 * math.pi)
    return density


FREIA = tuple(
    Case("FrEIA", name, _freia(block, **more), _BOTH, _freia_sample, _freia_score)
    for name, block, more in (
        ("AllInOneBlock", "AllInOneBlock", {}),
        ("AllInOneBlock, soft", "AllInOneBlock", {"permute_soft": True}),
        ("NICECouplingBlock", "NICECouplingBlock", {}),
        ("RNVPCouplingBlock", "RNVPCouplingBlock", {}),
        ("GLOWCouplingBlock", "GLOWCouplingBlock", {}),
        ("GINCouplingBlock", "GINCouplingBlock", {}),
    )
)

CASES = {
    f"{case.library} {case.name}{' | c' if context else ''}": (case, context)
    for case in (*ZUKO, *NFLOWS, *NORMFLOWS, *FREIA)
    for context in case.contexts
}

#: moved weights that the proof refuses, and what it says is behind it
REFUSED = {
    **dict.fromkeys(
        ("zuko SOSPF", "zuko NAF | c", "zuko UNAF", "zuko UNAF | c", "zuko GF", "zuko GF | c"),
        r"`MonotonicTransform\._inverse` \(`bisection`, transforms\.py:\d+ of zuko\) looks within ±10 only, and "
        r"\d+\.\d% of the values of a layer lie beyond",
    ),
    "nflows MAF | c": r"float32 has no digits for `aten\.\w+` \(MaskedAffineAutoregressiveTransform, "
    r"autoregressive\.py:\d+ of nflows\)",
}
