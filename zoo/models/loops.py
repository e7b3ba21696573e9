"""Loops of a constant number of turns that exporters write as one, not turn by turn. This module needs torch.

A bisection of 25 turns in each of 16 passes is 400 copies of a network when it is traced as Python runs it. What
calls :func:`loop` is traced once: an exporter substitutes its own :data:`method`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from zoo.models.substitutes import Substitutable

#: (turns, state, body) -> the state after all turns
State = tuple[Tensor, ...]
Body = Callable[..., State]
Method = Callable[[int, State, Body], State]


def loop(turns: int, state: Sequence[Tensor], body: Body) -> State:
    """The state after ``turns`` calls of ``body``.

    Args:
        turns: a number that does not depend on data.
        state: tensors; each keeps its shape and type.
        body: takes the state as its arguments and returns the next one, a tuple; it uses nothing else that it changes.
    """
    return method.current(turns, tuple(state), body)


def _in_turn(turns: int, state: State, body: Body) -> State:
    for _ in range(turns):
        state = body(*state)
    return state


#: how :func:`loop` is done; ``with method(replacement)`` is a block in which it is done otherwise
method: Substitutable[Method] = Substitutable(_in_turn)
