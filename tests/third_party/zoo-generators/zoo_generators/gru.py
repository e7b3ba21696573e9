"""A recurrent network over symbols (Cho et al. 2014, arXiv:1406.1078): exact probabilities, drawn symbol by symbol."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn

from zoo.lengths import Length
from zoo.models.interface import DirectModel, Noise, largest

#: the margin of a symbol after the end, which nothing can flip
SURE = 1e9


class GRU(DirectModel):
    """Symbols 0 ... symbols - 1 of texts ``[length]``, of which 0 ends a text."""

    family = "autoregressive"
    draws_symbols = True
    length = Length(end=0)

    def __init__(self, *, event_shape, symbols, hidden=64):
        super().__init__()
        self.event_shape, self.symbols, self.hidden = tuple(event_shape), symbols, hidden
        self.step = Step(symbols, hidden)

    @property
    def noises(self):
        return (Noise("gumbel", (*self.event_shape, self.symbols), "gumbel"),)

    def draw(self, noise, condition=None):
        gumbel = noise["gumbel"]
        state, drawn = self.begin(gumbel), []
        for t in range(self.event_shape[0]):
            *state, symbol, margin = self.step.draw(*state, gumbel[:, t])
            drawn.append((symbol, margin))
        return tuple(torch.stack(each, 1) for each in zip(*drawn, strict=True))

    def begin(self, like):
        """Hidden state, last symbol (none) and whether the text has ended."""
        return [like.new_zeros(like.shape[0], size) for size in (self.hidden, self.symbols, 1)]

    def log_density(self, x, condition=None):
        """That of whole numbers with uniform noise, which is the probability of the text up to its end."""
        whole = x.floor()
        known = (whole >= 0) & (whole < self.symbols)
        places = whole.clamp(0, self.symbols - 1)
        hidden, last, ended = self.begin(x)
        total = x.new_zeros(x.shape[0])
        for t in range(self.event_shape[0]):
            hidden, logits = self.step(hidden, last)
            last = self.step.one_hot(places[:, t])
            each = (F.log_softmax(logits, 1) * last).sum(1)
            each = torch.where(known[:, t], each, each.new_full((), -torch.inf))
            total = total + torch.where(ended[:, 0] > 0, torch.zeros_like(each), each)
            ended = torch.maximum(ended, last[:, :1])
        return total

    def programs(self):
        """Samples are drawn by a loop, written; everything else is traced."""
        programs = super().programs()
        graphs = [
            dataclasses.replace(graph, written={"loop": self.write}) if graph.name == "inverse" else graph
            for graph in programs.graphs
        ]
        return dataclasses.replace(programs, graphs=tuple(graphs))

    def write(self, builder, inputs):
        (gumbel,) = inputs
        batch = builder("Slice", builder("Shape", gumbel), builder.integers(0), builder.integers(1))

        def zeros(*sizes):
            return builder("ConstantOfShape", builder("Concat", batch, builder.integers(*sizes), axis=0))

        def turn(builder, t, state):
            x, margins, *state = state
            shapes = (self.hidden, self.symbols, 1)
            taken = [(value, ("batch", size)) for value, size in zip(state, shapes, strict=True)]
            noise = builder("Gather", gumbel, t, axis=1)
            *state, symbol, margin = builder.call(self.step.draw, *taken, (noise, ("batch", self.symbols)))
            one = builder.integers(1)
            x = builder("Concat", x, builder("Unsqueeze", symbol, one), axis=1)
            margins = builder("Concat", margins, builder("Unsqueeze", margin, one), axis=1)
            return [x, margins, *state]

        first = [zeros(0), zeros(0), zeros(self.hidden), zeros(self.symbols), zeros(1)]
        x, margins, *_ = builder.loop(self.event_shape[0], first, turn)
        return [x, margins]


class Step(nn.Module):
    """One symbol: its logits from the hidden state and the symbol before."""

    def __init__(self, symbols, hidden):
        super().__init__()
        self.read, self.keep = nn.Linear(symbols, 3 * hidden), nn.Linear(hidden, 3 * hidden)
        self.head = nn.Linear(hidden, symbols)

    def forward(self, hidden, last):
        reset, update, new = self.read(last).chunk(3, 1)
        reset_, update_, new_ = self.keep(hidden).chunk(3, 1)
        update = torch.sigmoid(update + update_)
        hidden = update * hidden + (1 - update) * torch.tanh(new + torch.sigmoid(reset + reset_) * new_)
        return hidden, self.head(hidden)

    def one_hot(self, symbol):
        places = torch.arange(self.head.out_features, device=symbol.device, dtype=symbol.dtype)
        return (symbol.unsqueeze(1) == places).to(symbol.dtype)

    def draw(self, hidden, last, ended, gumbel):
        """The next state, the symbol, and its margin; 0, for sure, after the end."""
        hidden, logits = self(hidden, last)
        symbol, margin = largest(logits + gumbel)
        over = ended[:, 0] > 0
        symbol = torch.where(over, torch.zeros_like(symbol), symbol)
        margin = torch.where(over, torch.full_like(margin, SURE), margin)
        last = self.one_hot(symbol)
        return hidden, last, torch.maximum(ended, last[:, :1]), symbol, margin
