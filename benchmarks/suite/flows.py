"""Flows of the same size by other libraries, both ways: samples and densities.

Each peer has as many transforms, hidden layers and bins, and hidden layers so wide that it has as many parameters,
within 5 % (without a ratio where no width gives that), with fresh weights, and standard normal noise that is drawn
beforehand or is a small part of the time. Libraries differ in what stands between the couplings (permutations of
theirs, matrices of ours), and a shipped flow of digits takes the class besides.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import autoregressive
import torch
from suite import models
from suite.goals import SAME_SIZE
from suite.results import LEAST_TURNS, compared
from suite.worker import Settings
from torch import Tensor, nn

from zoo.exporting import export
from zoo.models import building
from zoo.models.sources import resolve
from zoo.registry import installed
from zoo.runtime import load

Way = Callable[[], object]
Call = Callable[[Any], object]
#: a module, how it samples a number of events, and how it scores events
Peer = tuple[nn.Module, Call, Call]
#: tries to find the width at which a peer has as many parameters
_TRIES = 8


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        size: of an event.
        transforms: their number.
        hidden: units of a hidden layer.
        layers: hidden layers of a conditioner.
        shipped: the model of ours, or none for the flow of ``autoregressive.py``.
        bins: of splines; 0 for affine couplings.
    """

    size: int
    transforms: int
    hidden: int
    layers: int
    shipped: str | None
    bins: int = 0


COMPARISONS = {
    # a residual block has two layers, behind the first and before the last
    "nsf-coupling-64": Comparison(64, 8, 96, 5, "digits-nsf", 8),
    "nsf-coupling-2": Comparison(2, 8, 56, 5, "moons-nsf", 8),
    "realnvp-2": Comparison(2, 12, 64, 5, "pinwheel-realnvp"),
    "maf-64": Comparison(64, 5, 512, 2, None),
}


def measure(settings: Settings, kind: str, way: str, batch: int) -> dict[str, Any]:
    """Seconds a call of samples or densities."""
    flow = COMPARISONS[kind]
    calls, unavailable = dict[str, Way](), dict[str, str]()
    for name in PEERS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                calls[name] = _peer(name, kind, way, batch)
                calls[name]()
        except ImportError as error:
            unavailable[name] = f"is not installed: {error}"
        except NotImplementedError as error:
            unavailable[name] = str(error)
        except Exception as error:  # of any library: the others can be measured
            unavailable[name] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        if name in unavailable:
            calls.pop(name, None)
    calls |= _ours(settings, kind, way, batch)
    own = parameters(_model(kind))
    counts = {name: _built(name, kind)[2] if name in PEERS else own for name in calls}
    unequal = [name for name, count in counts.items() if abs(count / own - 1) > SAME_SIZE]
    base = next((name for name in ("zuko", "nflows") if name in calls and name not in unequal), None)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        numbers = {"batch": batch, "dimension": flow.size, **{f"parameters of {k}": n for k, n in counts.items()}}
        return compared(
            calls,
            settings.seconds,
            base=base,
            unit="s a call",
            unavailable=unavailable,
            numbers=numbers,
            unequal=unequal,
            least=1 if settings.quick else LEAST_TURNS,
        )


def parameters(module: nn.Module) -> int:
    """How many numbers a module has learned."""
    return sum(each.numel() for each in module.parameters() if each.requires_grad)


def sized(build: Callable[[Comparison], Peer], kind: Comparison, wanted: int) -> tuple[Peer, int]:
    """A peer whose hidden layers are as wide as brings its number of parameters closest to ``wanted``, and the number.

    The number grows between linearly and with the square of the width, so the root of the ratio never goes too far.
    """
    best: tuple[Peer, int] | None = None
    tried = set[int]()
    for _ in range(_TRIES):
        torch.manual_seed(0)
        peer = build(kind)
        count = parameters(peer[0])
        if best is None or abs(count - wanted) < abs(best[1] - wanted):
            best = peer, count
        tried.add(kind.hidden)
        width = max(1, round(kind.hidden * (wanted / count) ** 0.5))
        if width in tried or abs(count / wanted - 1) <= SAME_SIZE / 5:
            break
        kind = dataclasses.replace(kind, hidden=width)
    assert best is not None
    return best


def _peer(name: str, kind: str, way: str, batch: int) -> Way:
    sample, score, _ = _built(name, kind)
    x = torch.randn(batch, COMPARISONS[kind].size, generator=torch.Generator().manual_seed(0))

    def call() -> object:
        with torch.no_grad():
            return sample(batch) if way == "samples" else score(x)

    return call


@lru_cache(maxsize=8)
def _built(name: str, kind: str) -> tuple[Call, Call, int]:
    """How a peer samples and scores, and its number of parameters."""
    (_, sample, score), count = sized(PEERS[name], COMPARISONS[kind], parameters(_model(kind)))
    return sample, score, count


def _model(kind: str) -> Any:
    """Ours in PyTorch."""
    shipped = COMPARISONS[kind].shipped
    return _maf()[0] if shipped is None else building.load(installed(), resolve(installed(), shipped))


@lru_cache(maxsize=1)
def _maf() -> tuple[Any, dict[str, Any]]:
    """The flow of ``autoregressive.py``, and where its bundle is once it is written."""
    return autoregressive.flow(64), {}


def _ours(settings: Settings, kind: str, way: str, batch: int) -> dict[str, Way]:
    """In PyTorch and in ONNX Runtime."""
    shipped = COMPARISONS[kind].shipped
    if shipped is not None:
        loaded = models.loaded(shipped)
        model, bundle = loaded.model, loaded.bundle
    else:
        model, kept = _maf()
        if "bundle" not in kept:
            kept["bundle"] = load(export(model, settings.scratch / kind, registry=installed()), "cpu", 1)
        bundle = kept["bundle"]
    if way == "samples":
        return {
            "zoo, PyTorch": lambda: model.sample(batch, seed=0),
            "zoo, ONNX Runtime": lambda: bundle.sample(batch, seed=0, batch_size=batch),
        }
    x = bundle.sample(batch, seed=0)
    condition = None if bundle.condition is None else [0] * batch
    tensor = torch.from_numpy(x)
    return {
        "zoo, PyTorch": lambda: model.log_prob(tensor, condition=condition),
        "zoo, ONNX Runtime": lambda: bundle.log_prob(x, condition=condition, batch_size=batch),
    }


def _zuko(kind: Comparison) -> Peer:
    import zuko

    sizes = {"transforms": kind.transforms, "hidden_features": (kind.hidden,) * kind.layers}
    passes = None if kind.shipped is None else 2
    flow_class: Any = zuko.flows.NSF if kind.bins else zuko.flows.MAF
    flow = flow_class(kind.size, passes=passes, **({"bins": kind.bins} if kind.bins else {}), **sizes).eval()
    return flow, lambda n: flow().sample((n,)), lambda x: flow().log_prob(x)


def _nflows(kind: Comparison) -> Peer:
    from nflows import distributions, flows, transforms
    from nflows.nn import nets

    def network(inputs: int, outputs: int) -> nn.Module:
        if kind.layers > 2:
            net: nn.Module = nets.ResidualNet(inputs, outputs, kind.hidden, num_blocks=2)
            return net
        raise NotImplementedError("has no such network")

    mask = torch.arange(kind.size) % 2
    parts: list[nn.Module] = []
    for _ in range(kind.transforms):
        parts.append(transforms.RandomPermutation(kind.size))
        if kind.shipped is None:
            parts.append(
                transforms.MaskedAffineAutoregressiveTransform(
                    kind.size, kind.hidden, num_blocks=1, use_residual_blocks=False
                )
            )
        elif kind.bins:
            parts.append(
                transforms.PiecewiseRationalQuadraticCouplingTransform(
                    mask, network, num_bins=kind.bins, tails="linear", tail_bound=4.0
                )
            )
        else:
            parts.append(transforms.AffineCouplingTransform(mask, network))
    flow = flows.Flow(transforms.CompositeTransform(parts), distributions.StandardNormal([kind.size])).eval()
    return flow, flow.sample, flow.log_prob


def _normflows(kind: Comparison) -> Peer:
    import normflows

    layers: list[nn.Module] = []
    for _ in range(kind.transforms):
        if kind.shipped is None:
            layers.append(normflows.flows.MaskedAffineAutoregressive(kind.size, kind.hidden, num_blocks=1))
        elif kind.bins:
            layers.append(normflows.flows.CoupledRationalQuadraticSpline(kind.size, 2, kind.hidden, num_bins=kind.bins))
        else:
            half = kind.size // 2
            widths = [half, *[kind.hidden] * kind.layers, 2 * (kind.size - half)]
            layers.append(normflows.flows.AffineCouplingBlock(normflows.nets.MLP(widths)))
        layers.append(normflows.flows.Permute(kind.size, mode="swap"))
    flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(kind.size, trainable=False), layers).eval()
    return flow, lambda n: flow.sample(n)[0], flow.log_prob


def _freia(kind: Comparison) -> Peer:
    from FrEIA import framework, modules

    if kind.shipped is None or kind.bins:
        raise NotImplementedError(f"has no {'couplings by splines' if kind.bins else 'masked autoregressive flow'}")

    def network(inputs: int, outputs: int) -> nn.Module:
        widths = [inputs, *[kind.hidden] * kind.layers, outputs]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    flow = framework.SequenceINN(kind.size)
    for _ in range(kind.transforms):
        flow.append(modules.RNVPCouplingBlock, subnet_constructor=network)
        flow.append(modules.PermuteRandom)
    flow.eval()

    def score(x: Tensor) -> Tensor:
        z, log_det = flow(x)
        density: Tensor = log_det - 0.5 * z.square().sum(1)
        return density

    return flow, lambda n: flow(torch.randn(n, kind.size), rev=True)[0], score


PEERS: dict[str, Callable[[Comparison], Peer]] = {
    "zuko": _zuko,
    "nflows": _nflows,
    "normflows": _normflows,
    "FrEIA": _freia,
}
