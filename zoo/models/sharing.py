"""A batch that several processes share: each computes some of its rows, with the random numbers of a single process.

Training draws noise from torch's global generator, which every process seeds alike. Within a :class:`Share` a process
draws what one process would draw for the whole batch, and keeps its own rows. So the loss and its gradient do not
depend on how many processes there are, up to rounding, whatever a model draws, where the first dimension of what it
draws is the batch's, or it draws the same for all rows.

What a model computes of a batch as a whole goes through :func:`of_batch`, :func:`gathered` or :func:`var_mean`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from zoo.errors import UsageError


class Group(Protocol):
    """The processes that share a batch."""

    def whole(self, values: Tensor, rows: slice, count: int) -> Tensor:
        """The values of all ``count`` rows, of which this process has ``rows``, without a gradient."""

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all processes, with a gradient."""


#: functions that draw numbers of a size
_SIZED = {torch.rand, torch.randn, torch.randint, torch.normal}
#: functions that draw something for each row of a tensor
_LIKE = {
    *(torch.rand_like, torch.randn_like, torch.randint_like, torch.bernoulli, torch.multinomial, torch.poisson),
    *(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, F.gumbel_softmax),
    *(torch.normal, Tensor.bernoulli, Tensor.multinomial),
}
#: methods that fill a tensor
_FILLING = {
    *(Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_, Tensor.exponential_, Tensor.random_, Tensor.geometric_),
    *(Tensor.cauchy_, Tensor.log_normal_),
}


class Share(TorchFunctionMode):
    """A block in which random numbers are those of a whole batch, of which this process keeps its rows.

    Args:
        rows: of the batch that are computed here.
        count: of all rows.
        group: the processes that compute the others.
    """

    current: Share | None = None

    def __init__(self, rows: slice, count: int, group: Group) -> None:
        super().__init__()
        self.rows, self.count, self.group = rows, count, group
        self.size = rows.stop - rows.start
        self.whole = False

    def __enter__(self) -> Share:
        super().__enter__()  # type: ignore[no-untyped-call]
        Share.current = self
        return self

    def __exit__(self, *exc: Any) -> None:
        Share.current = None
        super().__exit__(*exc)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Draw for all rows, and return those of this process."""
        named = dict(kwargs or {})
        if self.whole:
            return func(*args, **named)
        if func in _FILLING and self._has(args[0]):
            return args[0].copy_(self._own(func(self._grown(args[0]), *args[1:], **named)))
        if func in _LIKE and any(map(self._has, (*args, *named.values()))):
            own = func(*map(self._grown, args), **{name: self._grown(value) for name, value in named.items()})
            return self._own(own)
        if func in _SIZED and (sizes := self._sizes(args, named)) is not None:
            return self._own(func(*sizes[0], **sizes[1]))
        if func is F.batch_norm and (named.get("training") or (len(args) > 5 and args[5])) and self._has(args[0]):
            return _normalised(*args, **named)
        if func is F.scaled_dot_product_attention and (named.get("dropout_p") or (len(args) > 4 and args[4])):
            raise UsageError("attention that drops out weights by itself cannot be shared by several processes")
        return func(*args, **named)

    def _has(self, value: object) -> bool:
        return isinstance(value, Tensor) and value.ndim > 0 and len(value) == self.size

    def _own(self, drawn: Tensor) -> Tensor:
        return drawn[self.rows]

    def _grown(self, value: Any) -> Any:
        """A tensor with other rows before and after its own, of which nothing but their number counts."""
        if not self._has(value):
            return value
        other = value[:1].detach()
        before, after = (other.expand(n, *value.shape[1:]) for n in (self.rows.start, self.count - self.rows.stop))
        return torch.cat([before, value, after])

    def _sizes(self, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Arguments of which a size is that of the whole batch; None if none has its rows."""
        for place, value in [*enumerate(args), *named.items()]:
            if isinstance(value, (tuple, list)) and len(value) > 0 and value[0] == self.size:
                size = (self.count, *value[1:])
                if isinstance(place, int):
                    return (*args[:place], size, *args[place + 1 :]), named
                return args, {**named, str(place): size}
        # torch.rand(n, 3), but not torch.randint(0, n, size)
        if (
            len(args) > 0
            and args[0] == self.size
            and all(isinstance(each, int) for each in args)
            and "size" not in named
        ):
            return (self.count, *args[1:]), named
        return None


def _normalised(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """:func:`torch.nn.functional.batch_norm` in training, by the moments of the whole batch."""
    variance, mean = var_mean(x)
    if running_mean is not None and running_var is not None:
        share = Share.current
        assert share is not None, "it is called within a block"
        count = share.count * (x.numel() // (x.shape[0] * x.shape[1]))
        with torch.no_grad():
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * (count / (count - 1)), momentum)
    return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)


def of_batch(n: int, draw: Callable[[int], Tensor]) -> Tensor:
    """What a function of the size of a batch gives for ``n`` rows of it: those of this process, where it is shared.

    For draws whose rows depend on each other, such as a permutation, or numbers spread evenly over the batch.

    Args:
        n: rows at hand.
        draw: size of a batch to a tensor with as many rows.
    """
    share = Share.current
    if share is None or n != share.size:
        return draw(n)
    share.whole = True
    try:
        return draw(share.count)[share.rows]
    finally:
        share.whole = False


def gathered(values: Tensor) -> tuple[Tensor, slice]:
    """The values of all rows of a batch, without a gradient, and where those at hand are among them.

    Args:
        values: ``[n, ...]``, of the rows at hand.
    """
    share = Share.current
    if share is None or len(values) != share.size:
        return values.detach(), slice(0, len(values))
    return share.group.whole(values, share.rows, share.count), share.rows


def var_mean(values: Tensor) -> tuple[Tensor, Tensor]:
    """Variance, without correction, and mean over a batch and all that it holds besides channels.

    Args:
        values: ``[n, channels, ...]``, of the rows at hand.

    Returns:
        both ``[channels]``, of the whole batch, with a gradient.
    """
    by_channel, share = values.transpose(0, 1).flatten(1), Share.current
    if share is None or len(values) != share.size:
        return torch.var_mean(by_channel, dim=1, correction=0)
    count = share.count * (by_channel.shape[1] // share.size)
    mean = share.group.summed(by_channel.sum(1)) / count
    variance = share.group.summed((by_channel - mean[:, None]).square().sum(1)) / count
    return variance, mean
