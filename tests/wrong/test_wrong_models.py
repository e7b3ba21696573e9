"""Wrong models are refused by a sentence that names what is wrong with them, and right ones like them are exported.

Every pair is a row of :data:`PAIRS`: a model with one fault, the same without it, and what the refusal says. The quick
tier has those that are found early, and of the others one of each kind.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from zoo.conditions import Condition, Part  # noqa: E402 - after the checks for what they need
from zoo.errors import ExportError, ProofError  # noqa: E402
from zoo.exporting import export  # noqa: E402
from zoo.lengths import Length  # noqa: E402
from zoo.models.encoders import ConditionEncoder  # noqa: E402
from zoo.models.encoding import EMBEDDING, Plan  # noqa: E402
from zoo.models.interface import DirectModel, Noise, largest  # noqa: E402
from zoo.programs.ports import Port  # noqa: E402
from zoo_diffusion.codec import LatentCodec  # noqa: E402
from zoo_diffusion.diffusion import Diffusion  # noqa: E402
from zoo_diffusion.graphs import DivergenceModule, GaussianStep  # noqa: E402
from zoo_diffusion.networks.mlp import ResidualMLP  # noqa: E402

# -- right ones -------------------------------------------------------------------------------------------------------


class Flow(DirectModel):
    """x = m + s(z)·z with a scale that depends on z, so that its determinant does too."""

    family = "flow"

    def __init__(self):
        super().__init__()
        self.event_shape = (3,)
        self.mean = torch.nn.Parameter(torch.tensor([0.5, -1.0, 2.0]))
        self.log_scale = torch.nn.Parameter(torch.tensor([0.3, -0.2, 0.4]))

    def inverse(self, z, condition=None):
        # a coupling: the first number says how far the others are stretched
        first, others = z[:, :1], z[:, 1:]
        return self.mean + self.log_scale.exp() * torch.cat([first, others * torch.exp(0.5 * torch.tanh(first))], 1)

    def parts(self, x):
        y = (x - self.mean) * torch.exp(-self.log_scale)
        stretch = 0.5 * torch.tanh(y[:, :1])
        z = torch.cat([y[:, :1], y[:, 1:] * torch.exp(-stretch)], 1)
        return z, -self.log_scale.sum() - 2 * stretch[:, 0]

    def log_density(self, x, condition=None):
        z, log_det = self.parts(x)
        return -0.5 * (z * z).sum(1) - 1.5 * math.log(2 * math.pi) + log_det


class Image(DirectModel):
    """Images of three channels, each with its own mean and scale."""

    family = "flow"

    def __init__(self):
        super().__init__()
        self.event_shape = (3, 2, 2)
        self.mean = torch.nn.Parameter(torch.tensor([0.0, 1.0, 3.0]).reshape(3, 1, 1))
        self.log_scale = torch.nn.Parameter(torch.tensor([0.0, 0.5, 1.0]).reshape(3, 1, 1))

    def inverse(self, z, condition=None):
        return self.mean + self.log_scale.exp() * z

    def log_density(self, x, condition=None):
        z = ((x - self.mean) * torch.exp(-self.log_scale)).flatten(1)
        return -0.5 * (z * z).sum(1) - 6 * math.log(2 * math.pi) - 4 * self.log_scale.sum()


class Bound(DirectModel):
    """x = z₁ + s·z₂ in one dimension, and Jensen's bound of its density with q(z₁ | x) = N(x/2, ¼)."""

    family = "autoencoder"
    density = "bound"

    def __init__(self):
        super().__init__()
        self.event_shape = (1,)
        self.deviation = torch.nn.Parameter(torch.tensor(0.7))

    @property
    def noise_shape(self):
        return (2,)

    def inverse(self, z, condition=None):
        return z[:, :1] + self.deviation * z[:, 1:]

    def log_density(self, x, condition=None):
        x, variance = x[:, 0], self.deviation**2
        prior = -0.5 * (x * x / 4 + 0.25) - 0.5 * math.log(2 * math.pi)
        likelihood = -0.5 * (x * x / 4 + 0.25) / variance - 0.5 * torch.log(2 * math.pi * variance)
        entropy = 0.5 * math.log(2 * math.pi * math.e * 0.25)
        return prior + likelihood + entropy


class Mixed(Bound):
    """The same with its exact density, N(0, 1 + s²), of which noise has one number more than data."""

    density = "exact"

    def log_density(self, x, condition=None):
        variance = 1 + self.deviation**2
        return -0.5 * x[:, 0] ** 2 / variance - 0.5 * torch.log(2 * math.pi * variance)


class Scores(Mixed):
    """That density alone: it does not sample."""

    samples = False

    def inverse(self, z, condition=None):
        raise NotImplementedError

    def examples(self, n):
        return 1.2 * self.noise(0, n, (1,))


class Generator(Flow):
    """The same map of fewer numbers of noise than data, without a density."""

    density = "none"

    @property
    def noise_shape(self):
        return (2,)

    def inverse(self, z, condition=None):
        return super().inverse(torch.cat([z, z[:, :1] * z[:, 1:]], 1))


class Network(torch.nn.Module):
    """What a diffusion's network is at least: it sees state, time and class, and mixes the numbers of a state."""

    def __init__(self, size, classes):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = torch.nn.Parameter(0.5 * torch.randn(size, 8, generator=generator))
        self.last = torch.nn.Parameter(0.5 * torch.randn(8, size, generator=generator))
        self.classes = torch.nn.Parameter(torch.randn(classes, 8, generator=generator))

    def forward(self, x, time, condition=None):
        hidden = x.flatten(1) @ self.first + torch.sin(0.01 * time)[:, None]
        if condition is not None:
            hidden = hidden + self.classes[condition.long()]
        return (torch.tanh(hidden) @ self.last).reshape(x.shape)


class Denoising(Diffusion):
    """A diffusion of three numbers, of two classes and none."""

    event = (3,)

    def __init__(self):
        condition = Condition.classes(2, required=False)
        super().__init__(
            Network(math.prod(self.event), 3),
            self.event,
            condition=condition,
            sampling={"steps": 3},
        )


class Channels(LatentCodec):
    """Latents are images of three channels, each brought to another scale: a bijection."""

    latent_shape = (3, 2, 2)
    reversible = True

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor([0.5, 1.0, 2.0]).reshape(3, 1, 1))

    def encode(self, x):
        log_det = 4 * self.scale.log().sum()
        return x * self.scale, log_det.expand(x.shape[0])

    def decode(self, latent):
        return latent / self.scale


class Latent(Denoising):
    """A diffusion of those latents."""

    event = (3, 2, 2)
    codec_class = Channels

    def __init__(self):
        condition = Condition.classes(2, required=False)
        super(Denoising, self).__init__(
            Network(12, 3), self.event, condition=condition, sampling={"steps": 3}, codec=self.codec_class()
        )


class Lossy(Channels):
    """An autoencoder of whose latents no density follows."""

    reversible = False

    def encode(self, x):
        return x * self.scale, torch.zeros_like(x[:, 0, 0, 0])


class LossyLatent(Latent):
    codec_class = Lossy


class Streams(DirectModel):
    """Three numbers from normals and from uniforms, each a stream of its own, without a density."""

    family = "streams"
    density = "none"

    def __init__(self):
        super().__init__()
        self.event_shape = (3,)
        self.scale = torch.nn.Parameter(torch.tensor([0.5, 1.0, 2.0]))

    @property
    def noises(self):
        return (Noise("z", (3,)), Noise("w", (3,)), Noise("u", (2,), "uniform"))

    def draw(self, noise, condition=None):
        return self.scale * noise["z"] * torch.exp(0.3 * noise["w"]) + 3 * noise["u"][:, :1] * noise["u"][:, 1:]


class Letters(DirectModel):
    """Texts of at most three of the letters 1 to 3, each drawn alone; 0 ends a text."""

    family = "letters"
    draws_symbols = True
    length = Length(end=0)

    def __init__(self):
        super().__init__()
        self.event_shape = (3,)
        self.logits = torch.nn.Parameter(
            torch.tensor([[0.2, 1.0, 0.0, 0.3], [0.5, 0.0, 0.7, 0.1], [1.0, 0.0, 0.0, 0.0]])
        )

    @property
    def noises(self):
        return (Noise("g", (3, 4), "gumbel"),)

    def draw(self, noise, condition=None):
        symbols, margins = largest(self.logits + noise["g"])
        within = self.within(symbols)
        return symbols * within, torch.where(within > 0, margins, 1e9)

    def within(self, symbols):
        """1 up to the end, the end included."""
        going = (symbols != 0).to(symbols.dtype).cumprod(1)
        return torch.cat([torch.ones_like(going[:, :1]), going[:, :-1]], 1)

    def log_density(self, x, condition=None):
        whole = x.floor()
        places = whole.clamp(0, 3).unsqueeze(2)
        chosen = (places == torch.arange(4, dtype=x.dtype)).to(x.dtype)
        each = (torch.log_softmax(self.logits, 1) * chosen).sum(2)
        each = torch.where((whole < 0) | (whole > 3), each.new_full((), -math.inf), each)
        return torch.where(self.within(whole) > 0, each, 0.0).sum(1)


class LettersAlone(Letters):
    """The same without a density."""

    density = "none"


class Ties(LettersAlone):
    """Two letters are equally good once in 150 places; there the graph that is written has one :attr:`ahead`."""

    length = None
    ahead = 2e-5

    def __init__(self):
        super().__init__()
        self.event_shape = (200,)

    @property
    def noises(self):
        return (Noise("g", (200, 4), "gumbel"),)

    def scores(self, g, ahead):
        first, second = g[:, :, :1], g[:, :, 1:2]
        tied = (g[:, :, 2:3] > 5.0).to(g.dtype)
        return torch.cat([first, tied * (first + ahead) + (1 - tied) * second], 2)

    def draw(self, noise, condition=None):
        return largest(self.scores(noise["g"] + self.logits[0], 0.0))

    def programs(self):
        programs = super().programs()
        (graph,) = programs.graphs
        return replace(programs, graphs=(replace(graph, written={"ahead": self.write}),))

    def write(self, builder, inputs):
        logits = self.logits[0].detach()
        return builder.call(lambda g: largest(self.scores(g + logits, self.ahead)), (inputs[0], ("batch", 200, 4)))


class MarginOfNone(LettersAlone):
    """Says of every symbol that it is equal to the second best, so that any symbol would do."""

    def draw(self, noise, condition=None):
        symbols, margins = super().draw(noise)
        return symbols, torch.zeros_like(margins)


class MarginOfOnePlace(LettersAlone):
    """Says so of the last letter, and passes a margin that is right for the others."""

    def draw(self, noise, condition=None):
        symbols, margins = super().draw(noise)
        return symbols, torch.cat([margins[:, :-1], 1e-6 * margins[:, -1:].clamp(max=1.0)], 1)


class Posterior(DirectModel):
    """x = m(c) + z, where c is a text and numbers, which an embedding network looks at."""

    family = "flow"

    def __init__(self):
        super().__init__()
        self.event_shape = (2,)
        self.condition_on(
            Condition((Part("text", "tokens", ("length",), size=4, padding=0), Part("where", "numbers", (2,))))
        )
        generator = torch.Generator().manual_seed(0)
        self.words = torch.nn.Parameter(torch.randn(4, 2, generator=generator))
        self.scale = torch.nn.Parameter(torch.tensor([0.5, 1.5]))

    def encode_condition(self, parts):
        mask = parts["text_mask"][:, :, None]
        read = (self.words[parts["text"].long()] * mask).sum(1) / mask.sum(1)
        return {"seen": torch.tanh(read + self.scale * parts["where"])}

    def encoded_ports(self):
        return (Port("seen", "float32", ("rows", 2)),)

    def inverse(self, z, condition):
        return condition["seen"] + z

    def log_density(self, x, condition):
        z = x - condition["seen"]
        return -0.5 * (z * z).sum(1) - math.log(2 * math.pi)


class Attending(Posterior):
    """The same, of which the text is looked at in every step, and not in the encoder."""

    def encode_condition(self, parts):
        return {"read": self.words[parts["text"].long()], "there": parts["text_mask"] * 1.0}

    def encoded_ports(self):
        return (Port("read", "float32", ("rows", "length", 2)), Port("there", "float32", ("rows", "length")))

    def mean(self, condition):
        scores = condition["read"].sum(2) - 1e4 * (1 - condition["there"])
        return (torch.softmax(scores, 1)[:, :, None] * condition["read"]).sum(1)

    def inverse(self, z, condition):
        return super().inverse(z, {"seen": self.mean(condition)})

    def log_density(self, x, condition):
        return super().log_density(x, {"seen": self.mean(condition)})


class Prompted(Diffusion):
    """A diffusion of three numbers given two, which it is guided by."""

    def __init__(self):
        plan = Plan.of(Condition((Part("where", "numbers", (2,), null=0.0),)), None, (EMBEDDING,))
        super().__init__(
            ResidualMLP(3, hidden=8, blocks=1, vector=2),
            (3,),
            condition=plan.condition,
            encoder=ConditionEncoder(plan),
            likelihood=False,
            sampling={"steps": 3},
        )
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)


# -- noise and seeds --------------------------------------------------------------------------------------------------


class IgnoredSeed(Flow):
    def sample(self, n, *, condition=None, seed=None, **options):
        return self.inverse(torch.randn(n, 3))


class IgnoredSeedWithoutDensity(Generator):
    def sample(self, n, *, condition=None, seed=None, **options):
        return self.inverse(torch.randn(n, 2))


class ScaledSampleWithoutDensity(Generator):
    def sample(self, n, **options):
        return 2 * super().sample(n, **options) + 1


class NeighbourWithoutDensity(Generator):
    def inverse(self, z, condition=None):
        return super().inverse(z) + 0.1 * z[:, :1].roll(1, 0)


class StreamTwice(Streams):
    def drawn_noises(self, noises, seed, n):
        drawn = super().drawn_noises(noises, seed, n)
        return {**drawn, "w": drawn["z"]}


class UniformsForNormals(Streams):
    def drawn_noises(self, noises, seed, n):
        first, *others = noises
        return super().drawn_noises([replace(first, distribution="uniform"), *others], seed, n)


class StreamThatIsIgnored(Streams):
    def draw(self, noise, condition=None):
        return super().draw({**noise, "w": 0 * noise["z"]})


class NormalsForGumbel(LettersAlone):
    def drawn_noises(self, noises, seed, n):
        return super().drawn_noises([replace(each, distribution="normal") for each in noises], seed, n)


class FarAhead(Ties):
    ahead = 1e-2


class GoesOnAfterTheEnd(LettersAlone):
    def within(self, symbols):
        return torch.ones_like(symbols)


class CountsAfterTheEnd(Letters):
    def log_density(self, x, condition=None):
        return super().log_density(x) - 0.1 * (x.floor() != 0).to(x.dtype).sum(1)


class ForgetsTheEnd(Letters):
    def log_density(self, x, condition=None):
        whole = x.floor()
        ends = torch.log_softmax(self.logits, 1)[:, 0] * self.within(whole) * (whole == 0).to(x.dtype)
        return super().log_density(x) - ends.sum(1)


class OtherLetters(Letters):
    def log_density(self, x, condition=None):
        places = torch.tensor([0.0, 2.0, 1.0, 3.0], dtype=x.dtype)
        whole = x.floor()
        known = (whole >= 0) & (whole <= 3)
        swapped = ((whole.unsqueeze(2) == torch.arange(4, dtype=x.dtype)).to(x.dtype) * places).sum(2)
        return super().log_density(torch.where(known, swapped, whole))


class DensityThatIsNone(Generator):
    density = "exact"

    def programs(self):
        return replace(super().programs(), log_prob=None)


class NumbersOfNumPy(Flow):
    def sample(self, n, *, condition=None, seed=None, **options):
        return self.inverse(torch.from_numpy(np.random.standard_normal((n, 3))).to(self.dtype))


class OneSeed(Flow):
    def sample(self, n, *, condition=None, seed=None, **options):
        return super().sample(n, seed=0)


class NextSeed(Flow):
    def sample(self, n, *, condition=None, seed=None, **options):
        return super().sample(n, seed=seed + 1)


class SeedOf16Bits(Flow):
    def sample(self, n=1, *, seed=0, **options):
        return super().sample(n, seed=seed & 0xFFFF, **options)


class OneConditionIsTheFirst(Denoising):
    """Takes the condition of all samples for class 0."""

    def sample(self, n=1, *, condition=None, **options):
        one = condition is not None and np.ndim(condition) == 0
        return super().sample(n, condition=0 * condition if one else condition, **options)


class NoiseOfAnotherShape(Flow):
    def sample(self, n, *, condition=None, seed=None, **options):
        return self.inverse(self.noise(seed, 1, (n, 3))[0])


class NoiseInDensity(Flow):
    def log_density(self, x, condition=None):
        return super().log_density(x + 0.1 * torch.rand_like(x))


class IgnoredSeedOfDiffusion(Denoising):
    def begin(self, n, **options):
        return super().begin(n, **{**options, "noise": torch.randn(n, 3)})


# -- the batch --------------------------------------------------------------------------------------------------------


class MeanOfTheBatch(Flow):
    def inverse(self, z, condition=None):
        return super().inverse(z) - z.mean(0)


class Neighbour(Flow):
    def inverse(self, z, condition=None):
        return super().inverse(z) + 0.5 * z.roll(1, 0)


class FirstOfTheBatch(Flow):
    def inverse(self, z, condition=None):
        return super().inverse(z) + 0.5 * z[:1]


class DensityOfTheBatch(Flow):
    def log_density(self, x, condition=None):
        single = super().log_density(x)
        return single - single.mean() + 1


class BatchNormInTraining(Flow):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3, affine=False)

    def train(self, mode=True):
        super().train(mode)
        self.norm.train()
        return self

    def log_density(self, x, condition=None):
        return super().log_density(self.norm(x)) if x.shape[0] > 1 else super().log_density(x)


class BakedBatch(Flow):
    def inverse(self, z, condition=None):
        return super().inverse(z) + torch.zeros(len(z), 3)


class ManyAreDifferent(Flow):
    def inverse(self, z, condition=None):
        return super().inverse(z) + (0.1 if z.shape[0] > 100 else 0.0)


class FoursAreDifferent(Flow):
    def log_density(self, x, condition=None):
        return super().log_density(x) + (0.1 if x.shape[0] % 4 == 0 else 0.0)


class MeanInNetwork(Denoising):
    def predict(self, x, time, alpha, sigma, condition):
        output, where = super().predict(x, time, alpha, sigma, condition)
        return output - output.mean(0), where


# -- training, state and caches ---------------------------------------------------------------------------------------


class Dropout(Flow):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def train(self, mode=True):
        return super().train(True)

    def inverse(self, z, condition=None):
        return super().inverse(self.drop(z))


class FunctionalDropout(Flow):
    def inverse(self, z, condition=None):
        return super().inverse(torch.nn.functional.dropout(z, 0.2))


class DropoutInNetwork(Denoising):
    def predict(self, x, time, alpha, sigma, condition):
        output, where = super().predict(x, time, alpha, sigma, condition)
        return torch.nn.functional.dropout(output, 0.2), where


class StaleCache(Flow):
    def __init__(self):
        super().__init__()
        self.cache = {}

    def parts(self, x):
        if x.shape not in self.cache:
            self.cache[x.shape] = super().parts(x)[1]
        return super().parts(x)[0], self.cache[x.shape]


class StateBetweenCalls(Flow):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def inverse(self, z, condition=None):
        self.calls.add_(1)
        return super().inverse(z) + self.calls


class SilentState(Flow):
    def __init__(self):
        super().__init__()
        self.register_buffer("largest", torch.zeros(()))

    def log_density(self, x, condition=None):
        self.largest.copy_(torch.maximum(self.largest, x.abs().max()))
        return super().log_density(x)


class HiddenState(Flow):
    calls = 0

    def sample(self, n, *, condition=None, seed=None, **options):
        self.calls += 1
        return super().sample(n, seed=seed) + self.calls


# -- arithmetic -------------------------------------------------------------------------------------------------------


class Float64Constant(Flow):
    def inverse(self, z, condition=None):
        return super().inverse(z) + torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)


class Float64Density(Flow):
    def log_density(self, x, condition=None):
        return super().log_density(x) + torch.zeros(1, dtype=torch.float64)


class InPlace(Flow):
    def inverse(self, z, condition=None):
        return super().inverse(z.mul_(1.0))


class InPlaceOnData(Flow):
    def log_prob(self, x, *, condition=None, **options):
        return super().log_prob(x.clamp_(-1e6, 1e6))


class Branch(Flow):
    def inverse(self, z, condition=None):
        return super().inverse(z) if z.abs().max() < 100 else z


class ScaledSample(Flow):
    def sample(self, n, *, condition=None, seed=None, **options):
        return 2 * super().sample(n, seed=seed) + 1


# -- densities --------------------------------------------------------------------------------------------------------


class WrongSign(Flow):
    def parts(self, x):
        z, log_det = super().parts(x)
        return z, -log_det


class NoDeterminant(Flow):
    def parts(self, x):
        z, log_det = super().parts(x)
        return z, torch.zeros_like(log_det)


class NoConstant(Flow):
    def log_density(self, x, condition=None):
        return super().log_density(x) + 1.5 * math.log(2 * math.pi)


class OffByAConstant(Flow):
    def log_density(self, x, condition=None):
        return super().log_density(x) + 0.3


class AnotherInverse(Flow):
    def inverse(self, z, condition=None):
        return super().inverse(z) + 0.2 * z.flip(1)


class DensityOfARegion(Flow):
    """Is wrong where one in ten samples is."""

    def log_density(self, x, condition=None):
        return super().log_density(x) + (x[:, 0] > 2.0)


class Folded(Flow):
    """Noise below -1.2, one number in nine, gives the samples of noise above 1.2."""

    def inverse(self, z, condition=None):
        return super().inverse(torch.where(z < -1.2, -z, z))


class UnnormalisedBound(Bound):
    def log_density(self, x, condition=None):
        return super().log_density(x) + 2


class UnnormalisedDensity(Mixed):
    def log_density(self, x, condition=None):
        return super().log_density(x) + 0.5 * math.log(2 * math.pi)


class TooLittleMass(Mixed):
    def log_density(self, x, condition=None):
        return super().log_density(x) - 1


class TooLittleMassOfScores(Scores):
    def log_density(self, x, condition=None):
        return super().log_density(x) - 1


# -- diffusions -------------------------------------------------------------------------------------------------------


class LateStep(GaussianStep):
    def forward(self, state, time, *rest):
        return super().forward(state, time + 1, *rest)


class OffByOneInSampling(Denoising):
    def advance(self, state, rows=None, **watching):
        self.late = True
        try:
            return super().advance(state, rows, **watching)
        finally:
            self.late = False

    def step_module(self):
        return LateStep(self) if getattr(self, "late", False) else GaussianStep(self)


class OffByOneInScoring(Denoising):
    def denoise(self, x, time, alpha, sigma, condition):
        return super().denoise(x, time + 1, alpha, sigma, condition)


class NullClassOfSomething(Denoising):
    def __init__(self):
        super().__init__()
        self.sampling = replace(self.sampling, null_class=0)


class GuidedByAClass(Denoising):
    def begin(self, n, **options):
        return super().begin(n, **{**options, "negative": 1})


class AnotherPath(Denoising):
    def programs(self):
        programs = super().programs()
        return replace(programs, log_prob=replace(programs.log_prob, path={"name": "rectified-flow"}))


class Mirrored(DivergenceModule):
    def forward(self, *inputs):
        d, trace = super().forward(*inputs)
        return d, -trace


class TraceOfTheWrongSign(Denoising):
    def programs(self):
        programs = super().programs()
        step, divergence = programs.graphs
        return replace(programs, graphs=(step, replace(divergence, module=Mirrored(self))))


class QuietStep(GaussianStep):
    def forward(self, state, *row):
        noise = self.names.index("noise")
        return super().forward(state, *row[:noise], torch.zeros_like(row[noise]), *row[noise + 1 :])


class NoNoiseInSteps(Denoising):
    def step_module(self):
        return QuietStep(self)


class ClippedStep(GaussianStep):
    """What it gives for D before the bound is D after it."""

    def forward(self, state, *row):
        matrix = self.names.index("matrix")
        narrow = state.shape[0] + 1
        both = torch.cat([row[matrix][:, : narrow - 1], row[matrix][:, narrow - 1 :].sum(1, keepdim=True)], 1)
        return super().forward(state, *row[:matrix], both, *row[matrix + 1 :])


class ClippedBeforeItIs(Denoising):
    def step_module(self):
        return ClippedStep(self)


# -- conditions of named parts ----------------------------------------------------------------------------------------


class IgnoredMask(Posterior):
    def encode_condition(self, parts):
        return super().encode_condition({**parts, "text_mask": torch.ones_like(parts["text_mask"])})


class IgnoredMaskOfAttention(Attending):
    def mean(self, condition):
        return super().mean({**condition, "there": torch.ones_like(condition["there"])})


class LongestOfTheBatch(Posterior):
    """Divides by the length to which texts are filled up."""

    def encode_condition(self, parts):
        mask = parts["text_mask"][:, :, None]
        read = (self.words[parts["text"].long()] * mask).mean(1)
        return {"seen": torch.tanh(read + self.scale * parts["where"])}


class MixedRows(Posterior):
    def encode_condition(self, parts):
        seen = super().encode_condition(parts)["seen"]
        return {"seen": seen - 0.1 * seen.mean(0)}


class DropoutInEncoder(Posterior):
    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def eval(self):
        super().eval()
        self.drop.train()
        return self

    def encode_condition(self, parts):
        return {"seen": self.drop(super().encode_condition(parts)["seen"])}


class RememberedCondition(Posterior):
    """Its first condition serves all later calls."""

    def encode_condition(self, parts):
        seen = super().encode_condition(parts)["seen"]
        self.first = getattr(self, "first", seen)
        return {"seen": seen * 0 + self.first[:1]}


class NullOfOnes(Prompted):
    def null_condition(self, n, lengths):
        return {name: torch.ones_like(each) for name, each in super().null_condition(n, lengths).items()}


class NullWithoutStandardising(Prompted):
    """Takes a null of zeros after contexts are standardised, where the part says before."""

    def __init__(self):
        super().__init__()
        self.prepare(torch.zeros(8, 3), {"where": 5 + torch.arange(16.0).reshape(8, 2)})

    def null_condition(self, n, lengths):
        return {name: torch.zeros_like(each) for name, each in super().null_condition(n, lengths).items()}


class NegativeThatIsIgnored(Prompted):
    """Guides away from the null, whatever it is told."""

    def begin(self, n, **options):
        return super().begin(n, **{**options, "negative": None})


class CompositionOfItsFirst(Prompted):
    def begin(self, n, **options):
        return super().begin(n, **{**options, "compose": options.get("compose") and options["compose"][:1]})


class FirstObservationForAll(Posterior):
    """Every sample is drawn, and scored, given the condition of the first."""

    density = "none"

    def received_condition(self, condition, n, lengths=None):
        rows = super().received_condition(condition, n, lengths)
        return {name: each[:1].expand_as(each) for name, each in rows.items()}


class PosteriorAlone(Posterior):
    """The right one without a density."""

    density = "none"


class ObservationOfTheNext(PosteriorAlone):
    def inverse(self, z, condition):
        return super().inverse(z, {"seen": condition["seen"].roll(1, 0)})


class NoiseInTheObservation(PosteriorAlone):
    def received_condition(self, condition, n, lengths=None):
        rows = super().received_condition(condition, n, lengths)
        return {name: each + 0.01 * torch.randn_like(each) for name, each in rows.items()}


class ObservationInOtherUnits(PosteriorAlone):
    def sample(self, n, *, condition=None, seed=None, **options):
        scaled = {**condition, "where": 2 * np.asarray(condition["where"])}
        return super().sample(n, condition=scaled, seed=seed)


class DensityWithoutTheObservation(Posterior):
    def log_density(self, x, condition):
        return super().log_density(x, {"seen": 0 * condition["seen"]})


class PromptedLate(Prompted):
    """Off by one in time, of a model that only samples."""

    def advance(self, state, rows=None, **watching):
        self.late = True
        try:
            return super().advance(state, rows, **watching)
        finally:
            self.late = False

    def step_module(self):
        return LateStep(self) if getattr(self, "late", False) else GaussianStep(self)


class UniformsOfTorch(Streams):
    def draw(self, noise, condition=None):
        return super().draw({**noise, "u": torch.rand_like(noise["u"])})


class StreamOfOneSeed(Streams):
    def drawn_noises(self, noises, seed, n):
        return {**super().drawn_noises(noises, seed, n), "u": super().drawn_noises(noises, 0, n)["u"]}


# -- channels ---------------------------------------------------------------------------------------------------------


class SwappedSample(Image):
    def sample(self, n, *, condition=None, seed=None, **options):
        return super().sample(n, seed=seed).flip(1)


class SwappedChannels(Channels):
    def decode(self, latent):
        return super().decode(latent).flip(1)


class SwappedLatent(Latent):
    codec_class = SwappedChannels


class SwappedLossy(Lossy):
    def decode(self, latent):
        return super().decode(latent).flip(1)


class SwappedAutoencoder(Latent):
    codec_class = SwappedLossy


class SwappedInSampling(Latent):
    def _decoded(self, latents):
        return super()._decoded(latents).flip(1)


class WrongVolume(Channels):
    def encode(self, x):
        latent, log_det = super().encode(x)
        return latent, 0.5 + log_det


class LatentOfWrongVolume(Latent):
    codec_class = WrongVolume


def whole_table(*pair):
    """A pair of a kind that another pair has too, and that costs seconds more: with ``--full`` alone."""
    return pytest.param(*pair, marks=pytest.mark.full)


#: wrong model, right model, what the refusal names
PAIRS = [
    (IgnoredSeed, Flow, "draws from torch's random numbers, and not from the seed"),
    (IgnoredSeedWithoutDensity, Generator, "draws from torch's random numbers, and not from the seed"),
    (ScaledSampleWithoutDensity, Generator, "2 times the bundle's samples, plus 1: shift or scale dif"),
    (NeighbourWithoutDensity, Generator, "graph inverse, output x, .*depends on the other samples"),
    (StreamTwice, Streams, "PyTorch draws the noise w from the stream of z"),
    (StreamThatIsIgnored, Streams, "samples do not depend on the noise w, which the program draws"),
    whole_table(UniformsForNormals, Streams, "PyTorch draws the noise z as uniform, and the program says normal"),
    (NormalsForGumbel, LettersAlone, "PyTorch draws the noise g as normal, and the program says gumbel"),
    (FarAhead, Ties, "graph inverse, output x differs by"),
    (MarginOfNone, LettersAlone, r"the margin of 68 of 68 samples at place \[0\] is at most 0.0001"),
    (MarginOfOnePlace, LettersAlone, r"the margin of .* of 68 samples at place \[2\] is at most 0.0001"),
    (GoesOnAfterTheEnd, LettersAlone, "ends after . positions and has symbols other than 0 after its end"),
    (CountsAfterTheEnd, Letters, "log_prob counts what is after the end of an event"),
    (ForgetsTheEnd, Letters, "too much mass: the .* different events among 4096 samples"),
    (OtherLetters, Letters, "Metropolis steps by it"),
    (DensityThatIsNone, Generator, "says density = 'exact', and its programs that it is 'none'"),
    (NumbersOfNumPy, Flow, "draws from NumPy's random numbers, and not from the seed"),
    whole_table(OneSeed, Flow, "the same samples for every seed"),
    whole_table(NextSeed, Flow, "samples with the seed 8 when 7 is asked for"),
    (SeedOf16Bits, Flow, "sample differs by .* for 2 samples"),
    (OneConditionIsTheFirst, Denoising, "sample differs by .* for 2 samples"),
    whole_table(NoiseOfAnotherShape, Flow, "samples 1 of 2 differ and the others do not: their noise is different"),
    (NoiseInDensity, Flow, "graph log_prob of PyTorch gives different values the second time.*torch's random numbers"),
    (IgnoredSeedOfDiffusion, Denoising, "sample of PyTorch gives different values.*torch's random numbers"),
    (MeanOfTheBatch, Flow, "graph inverse, output x, .*depends on the other samples"),
    (Neighbour, Flow, "depends on the other samples"),
    (FirstOfTheBatch, Flow, "depends on the other samples"),
    (DensityOfTheBatch, Flow, "graph log_prob, output log_prob, .*depends on the other samples"),
    (BatchNormInTraining, Flow, r"norm \(BatchNorm1d\) stays in training mode"),
    (BakedBatch, Flow, "the batch was baked into graph inverse"),
    (ManyAreDifferent, Flow, "graph inverse branches on the size of batch: .* where batch is 255"),
    (FoursAreDifferent, Flow, "graph log_prob branches on the size of batch: .* where batch is 4"),
    (MeanInNetwork, Denoising, "graph step, output next_state, .*depends on the other samples"),
    (Dropout, Flow, r"drop \(Dropout\) stays in training mode after eval"),
    (FunctionalDropout, Flow, "draws from torch's random numbers"),
    (DropoutInNetwork, Denoising, "graph step of PyTorch gives different values the second time"),
    (StaleCache, Flow, "keeps state between calls"),
    (StateBetweenCalls, Flow, "changes its own tensor 'calls'"),
    (SilentState, Flow, "changes its own tensor 'largest' when it is called"),
    (HiddenState, Flow, "sample of PyTorch gives different values the second time.*keeps state between calls"),
    (Float64Constant, Flow, "graph inverse gives its output x in float64 although its inputs are in float32"),
    (Float64Density, Flow, "graph log_prob gives its output log_prob in float64"),
    (InPlace, Flow, "graph inverse changes its input z in place"),
    (InPlaceOnData, Flow, "log_prob of PyTorch changes its data in place"),
    (Branch, Flow, "graph inverse branches on the values of its inputs"),
    (ScaledSample, Flow, "2 times the bundle's samples, plus 1: shift or scale differs"),
    (WrongSign, Flow, "the log-determinant has the wrong sign"),
    (NoDeterminant, Flow, "the log-determinant is missing"),
    (NoConstant, Flow, "the constant 3/2·log 2π of the normal distribution is missing"),
    (OffByAConstant, Flow, "off by a constant, 0.3 nats"),
    (AnotherInverse, Flow, "scores a different distribution than the one sampled"),
    (DensityOfARegion, Flow, "log_prob is not the density of what sample draws"),
    (Folded, Flow, "sampling is not a bijection"),
    (UnnormalisedBound, Bound, "too much mass.*and a bound at most 1"),
    whole_table(UnnormalisedDensity, Mixed, "too much mass.*not normalised"),
    whole_table(TooLittleMass, Mixed, "too little mass"),
    (TooLittleMassOfScores, Scores, "too little mass where its examples lead"),
    whole_table(OffByOneInSampling, Denoising, "off by one in time: the row's and 1"),
    (
        OffByOneInScoring,
        Denoising,
        "graphs of sample and log_prob denoise the same state .*off by one in time, log_prob's is later by 1",
    ),
    (NullClassOfSomething, Denoising, "has the null class 0, which is one of the model's 2 classes"),
    whole_table(GuidedByAClass, Denoising, "uses class 1 as the null class and the program uses 2"),
    (AnotherPath, Denoising, "programs sample and log_prob have different values of path"),
    (TraceOfTheWrongSign, Denoising, "gives a trace of .*its sign is wrong"),
    (NoNoiseInSteps, Denoising, "does not move the state as its row says"),
    (ClippedBeforeItIs, Denoising, "does not move the state as a row with two columns for D says"),
    (IgnoredMask, Posterior, "output x, depends on the padding of part text: .* text_mask marks as absent"),
    (IgnoredMaskOfAttention, Attending, "graph inverse, output x, depends on the padding of part text"),
    (LongestOfTheBatch, Posterior, "graph inverse, output x, depends on the padding of part text"),
    (MixedRows, Posterior, "graph condition, output seen, .*depends on the other samples"),
    (DropoutInEncoder, Posterior, r"drop \(Dropout\) stays in training mode after eval"),
    (RememberedCondition, Posterior, "graph condition of PyTorch gives .*keeps state between calls"),
    (NegativeThatIsIgnored, Prompted, "sample differs by .* guidance 2.0, negative another condition"),
    (CompositionOfItsFirst, Prompted, "sample differs by .* compose two conditions"),
    (FirstObservationForAll, PosteriorAlone, "sample differs by .* for 3 samples"),
    (ObservationOfTheNext, PosteriorAlone, "graph inverse, output x, .*depends on the other samples"),
    (NoiseInTheObservation, PosteriorAlone, "sample of PyTorch gives different values.*torch's random numbers"),
    (ObservationInOtherUnits, PosteriorAlone, "sample differs by .* for 1 samples"),
    (DensityWithoutTheObservation, Posterior, "log_prob is not the density of what sample draws"),
    (PromptedLate, Prompted, "sample differs by .* for 1 samples, sampler ddim"),
    (UniformsOfTorch, Streams, "graph inverse of PyTorch gives different values.*torch's random numbers"),
    (StreamOfOneSeed, Streams, "sample differs by .* for 1 samples"),
    (NullOfOnes, Prompted, "null condition does not consist of the nulls of the part where: embedding differs by"),
    (NullWithoutStandardising, Prompted, "null condition does not consist of the nulls of the part where"),
    whole_table(SwappedSample, Image, "channels are swapped"),
    whole_table(SwappedLatent, Latent, "the decoder does not invert the encoder"),
    (SwappedAutoencoder, LossyLatent, "the channels in another order than graph encoder takes"),
    whole_table(SwappedInSampling, Latent, "channels are swapped"),
    whole_table(LatentOfWrongVolume, Latent, "the encoder gives a log-determinant of"),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Exports a right model, once."""
    folders = {}

    def right(make):
        if make not in folders:
            folders[make] = export(make(), tmp_path_factory.mktemp("right") / "bundle")
        return folders[make]

    return right


@pytest.mark.parametrize(("wrong", "right", "named"), PAIRS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_wrong_model_is_refused_by_name_and_the_right_one_is_exported(wrong, right, named, exported, tmp_path):
    assert exported(right).is_dir()
    with pytest.raises((ProofError, ExportError), match=named):
        export(wrong(), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_the_readme_says_how_many_there_are():
    said = " ".join((Path(__file__).parents[2] / "README.md").read_text("utf-8").split())
    assert said.count(f"{len(PAIRS)} wrong models") == 2


def test_symbols_that_rounding_draws_differently_are_accepted_and_counted(exported):
    folder = exported(Ties)
    counted = json.loads((folder / "manifest.json").read_text("utf-8"))["proof"]["symbols"]
    assert counted["flipped"] > 0
    assert counted["symbols"] > counted["flipped"]
    assert counted["largest_margin"] == pytest.approx(2e-5, rel=0.5)
    assert "samples have another one where the best two are apart by at most" in (folder / "MODEL_CARD.md").read_text()
