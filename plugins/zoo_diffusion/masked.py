"""Architecture ``masked``: diffusion that hides symbols, for texts and other sequences of integers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.conditions import Condition
from zoo.errors import ConditionError, ConfigError, UsageError
from zoo.models.contexts import TensorCondition
from zoo.models.interface import condition_ports, finite_part
from zoo.models.sharing import of_batch
from zoo.overriding import override
from zoo.paths import Masking
from zoo.programs import Direct, Graph, Iterate, Programs
from zoo.programs.ports import Port
from zoo_diffusion.conditioning import Embedded
from zoo_diffusion.graphs import StepModule, step_graph
from zoo_diffusion.networks.bidirectional import Bidirectional
from zoo_diffusion.objectives import drop_condition
from zoo_diffusion.stepped import SteppedModel

#: state of a hidden position; that of a known one is its symbol's number
HIDDEN = -1.0
_ORDER_SEED = 0


class MaskedDiffusion(SteppedModel):
    """Absorbing-state diffusion (Austin et al. 2021, arXiv:2107.03006; Sahoo et al. 2024, arXiv:2406.07524).

    Symbols are hidden one by one until none is left, and a network that sees the others predicts them. It needs no
    time input, since the share of hidden symbols is visible (Zheng et al. 2024, arXiv:2409.02908). Sampling reveals
    positions at random, a few at a step. If it is one at a step, this is an autoregressive model in a random order
    (Hoogeboom et al. 2022, arXiv:2110.02037), whose loss bounds the negative log-likelihood.

    A state holds the number of the symbol at each known position and -1 at hidden ones; samples are numbers plus 1/2,
    the middle of their bins.

    Args:
        event_shape: ``[length]``.
        levels: number of symbols.
        width: of the network's tokens.
        layers: of the network.
        heads: of its attention.
        dropout: in its blocks.
        orders: K, of the likelihood; see :meth:`log_prob`.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        class_dropout: probability that training hides the class, if it is not required.
        sampling: defaults of ``steps``, ``guidance`` and the sampler's ``options``.
    """

    family: ClassVar[str] = "diffusion"

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        levels: int,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        dropout: float = 0.0,
        orders: int = 4,
        condition: Mapping[str, object] | None = None,
        class_dropout: float = 0.1,
        sampling: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if len(event_shape) != 1 or event_shape[0] < 1:
            raise ConfigError(f"a sequence must have the shape [length], not {list(event_shape)}")
        if levels < 2 or orders < 1 or layers < 1:
            raise ConfigError(
                f"a masked model needs at least 2 levels, 1 layer and 1 order, not {levels}, {layers} and {orders}"
            )
        if heads < 1 or width < 1 or width % heads:
            raise ConfigError(f"the width of tokens ({width}) must be divisible by the number of heads ({heads})")
        if unknown := (sampling or {}).keys() - {"steps", "guidance", "options"}:
            raise ConfigError(f"sampling takes steps, guidance and options, not {', '.join(sorted(unknown))}")
        self.event_shape = self.state_shape = (int(event_shape[0]),)
        self.levels, self.orders, self.class_dropout = levels, orders, class_dropout
        self.condition_on(None if condition is None else Condition.from_description(condition))
        self.network = Bidirectional(
            self.event_shape[0],
            levels,
            width=width,
            layers=layers,
            heads=heads,
            dropout=dropout,
            **Embedded.of(self.condition)._asdict(),
        )
        settings = {"steps": 2 * self.event_shape[0], "guidance": 1.0, "options": {}, **(sampling or {})}
        self.sampling = Iterate(
            "step",
            path=Masking().describe(),
            shift=0.5,
            data_min=0.0,
            data_max=float(levels),
            null_class=self.null_class,
            sampler="unmasking",
            steps=int(settings["steps"]),
            guidance=float(settings["guidance"]),
            options=dict(settings["options"]),
        )
        if self.sampling.guidance != 1.0 and self.null_class is None:
            raise ConfigError("guidance needs a null class: classes that are not required")

    def loss(self, x: Tensor, *, condition: Tensor | None = None) -> Tensor:
        """The bound on the negative log-likelihood, in nats a sequence, from one random set of hidden positions each.

        Every number of hidden positions is equally likely, and the mean loss over the hidden ones counts for all
        positions (Hoogeboom et al. 2022, eq. 5): the integral over time of the continuous bound, done exactly.

        Args:
            x: ``[n, length]``, whole numbers, or with uniform noise in [0, 1) added.
            condition: int ``[n]`` or float ``[n, d]``, or None.
        """
        tokens = self.tokens(self.check_data(x))
        n, length = tokens.shape
        condition = drop_condition(self.condition_tensor(condition, n), self.null_class, self.class_dropout)
        # the bound is an average over how many are hidden: even steps over the batch vary less than draws
        count = of_batch(n, lambda n: _counts(n, length, x.device))[:, None]
        hidden = torch.rand(n, length, device=x.device).argsort(1).argsort(1) < count
        logits = self.network(
            torch.where(hidden, torch.full_like(tokens, self.levels), tokens), self.context(condition)
        )
        errors = F.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten(), reduction="none").reshape(n, length)
        return ((errors * hidden).sum(1) * length / count[:, 0]).mean()

    def tokens(self, x: Tensor) -> Tensor:
        """Data ``[n, length]`` as the numbers of symbols, int64; what lies outside the levels as the nearest."""
        return torch.floor(x).clamp(0, self.levels - 1).long()

    def log_prob(self, x: Tensor, *, condition: TensorCondition = None, **options: Any) -> Tensor:
        """Log-probability of sequences, in nats, under the network's autoregressive models in K fixed orders, mixed.

        Each order of revealing positions is a model with exact probabilities, and sampling one position at a step picks
        one of all orders. Their mixture over K of them, drawn once for all, is a distribution too: its
        probabilities sum to 1, and their logarithm is exact, not a bound.

        Args:
            x: ``[n, length]``, whole numbers, or with uniform noise in [0, 1) added.
            condition: classes or vectors, of a model that has such.
            options: none are accepted.

        Returns:
            ``[n]``; the density of numbers with their noise, which is -∞ outside [0, levels).
        """
        if options:
            raise UsageError(f"this model has no option {', '.join(sorted(options))}")
        n = len(self.check_data(x))
        if self.condition is not None and condition is None:
            raise ConditionError(f"scoring needs the {self.condition.kind} that the data is conditioned on")
        condition = self.condition_tensor(condition, n)
        result: Tensor = OrderedScore(self)(x, *([] if condition is None else [condition]))
        return result

    @override
    def step_module(self) -> StepModule:
        return RevealingStep(self)

    def programs(self) -> Programs:
        """Graphs ``step``, for sampling, and ``log_prob``."""
        x = Port("x", "float32", ("batch", *self.event_shape), "numbers of symbols")
        density = Port("log_prob", "float32", ("batch",), "log-probability of x in nats")
        score = Graph("log_prob", OrderedScore(self), (x, *condition_ports(self.condition)), (density,))
        return Programs(
            graphs=(step_graph(self, self.step_module()), score),
            sample=self.sampling,
            log_prob=Direct("log_prob", work=self.orders * self.event_shape[0]),
        )


def _counts(n: int, length: int, device: torch.device) -> Tensor:
    """How many positions are hidden in each of ``n`` sequences, 1 to ``length``, evenly spread over them."""
    count = 1 + ((torch.arange(n, device=device) + torch.rand((), device=device)) * length / n).long()
    return count.clamp(max=length)[torch.randperm(n, device=device)]


class RevealingStep(StepModule):
    """One step of :func:`~zoo.samplers.unmasking.unmasking`: the inputs of a Gaussian step, read as probabilities.

    The matrix (s/t, 1 - s/t) holds the probabilities of staying hidden and of being revealed. One uniform number u,
    made of the step's normal one, decides both: below 1 - s/t a position is revealed, and u/(1 - s/t), uniform again,
    picks its symbol. The scale of the noise is the temperature of that choice.
    """

    def __init__(self, model: MaskedDiffusion) -> None:
        super().__init__()
        self.model = model
        self.names = ("alpha", "noise_scale", "matrix", "noise", "weights", "known", "mask")
        self.names += ("condition",) if model.condition is not None else ()

    def forward(
        self,
        state: Tensor,
        alpha: Tensor,
        noise_scale: Tensor,
        matrix: Tensor,
        noise: Tensor,
        weights: Tensor,
        known: Tensor,
        mask: Tensor,
        *rest: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """State ``[1, n, length]`` to the next state and, for previews, the likeliest symbols where they are hidden."""
        x = state[0]
        symbols = self.model.levels
        # at α = 0 nothing is known, whatever noise the state begins with
        hidden = ((x <= HIDDEN / 2) | (alpha <= 0)) & (mask > 0.5)
        there = torch.where(mask > 0.5, x, known)
        tokens = torch.floor(there + 0.5).clamp(0, symbols - 1)
        shown = torch.where(hidden, torch.full_like(tokens, symbols), tokens).long()
        repeated = shown[None].expand(weights.shape[0], *shown.shape).reshape(-1, *self.model.event_shape)
        logits = self.model.network(repeated, *(self.model.context(part.flatten(0, 1)) for part in rest))
        logits = logits.reshape(-1, *shown.shape, symbols)
        guided = (logits * weights.reshape(-1, 1, 1, 1)).sum(0)
        share = matrix[0, 1]
        u = 0.5 * (1 + torch.erf(noise * math.sqrt(0.5)))
        below = torch.softmax(guided / noise_scale, dim=-1).cumsum(-1) <= (u / share)[..., None]
        drawn = below[..., :-1].to(x.dtype).sum(-1)
        revealed = hidden & (u < share)
        still = torch.full_like(tokens, HIDDEN)
        following = torch.where(hidden, torch.where(revealed, drawn, still), tokens)
        likeliest = torch.where(hidden, guided.argmax(-1).to(x.dtype), tokens)
        # in the last row everything is revealed, though u may be 1 after rounding
        following = torch.where((share >= 1) & hidden, drawn, following)
        return torch.cat([following[None], state[1:]]), likeliest


class OrderedScore(nn.Module):
    """log (1/K) Σ_k Π_i p(x at the i-th position of order k | x at those before it)."""

    def __init__(self, model: MaskedDiffusion) -> None:
        super().__init__()
        self.model = model
        length = model.event_shape[0]
        generator = torch.Generator().manual_seed(_ORDER_SEED)
        orders = torch.stack([torch.randperm(length, generator=generator) for _ in range(model.orders)])
        # rank[k, position] of the position in order k; what comes before step i is shown in it
        rank = orders.argsort(1)
        steps = torch.arange(length)[None, :, None]
        shape = (model.orders * length, length)
        device, dtype = model.device, model.dtype
        self.register_buffer("shown", (rank[:, None] < steps).reshape(shape).to(device), persistent=False)
        self.register_buffer("asked", (rank[:, None] == steps).reshape(shape).to(device, dtype), persistent=False)
        self.shown: Tensor
        self.asked: Tensor

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """``[n, length]`` to ``[n]``."""
        model = self.model
        x, beyond = finite_part(x)
        tokens = model.tokens(x)
        each, length = self.shown.shape
        seen = torch.where(self.shown, tokens[:, None], torch.full_like(tokens, model.levels)[:, None])
        context = model.context(condition)
        contexts = [] if context is None else [context.repeat_interleave(each, dim=0)]
        logits = model.network(seen.reshape(-1, length), *contexts).reshape(-1, each, length, model.levels)
        # one position of each masked sequence is predicted
        chosen = (logits * self.asked[..., None]).sum(2)
        truth = (tokens[:, None] * self.asked.long()).sum(2)
        log_p = torch.log_softmax(chosen, -1).gather(-1, truth[..., None])[..., 0]
        total = torch.logsumexp(log_p.reshape(-1, model.orders, length).sum(2), dim=1) - math.log(model.orders)
        outside = ((x < 0) | (x >= model.levels)).to(x.dtype).sum(1) > 0
        return torch.where(outside, torch.full_like(total, -math.inf), total) + beyond
