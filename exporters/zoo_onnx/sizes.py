"""Values of the symbolic sizes of ports, for tracing and for proving a graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from zoo.programs import WIDE_COLUMNS
from zoo.programs.conditioning import ROWS
from zoo.programs.ports import Port

#: names of the dimension along which samples, or conditions, lie
LEADING = ("batch", ROWS)
#: sizes with a fixed meaning in programs; ``columns`` is ``slots`` + 1 in a step table, and a graph that takes one more
#: is traced with it
_TRACED = {"slots": 3, "columns": 4, WIDE_COLUMNS: 5}
#: those of a row of a step table without history, with one evaluation
ONE_ROW = {"slots": 1, "columns": 2, WIDE_COLUMNS: 2, "evaluations": 1}
_GUARDED = (4, 5, 6, 7, 8, 15, 16, 31, 64, 100, 255, 1000, 1024, 4096, 99_999, 1 << 20)


def traced_sizes(ports: Iterable[Port]) -> dict[str, int]:
    """A size for each symbolic dimension, all distinct and different from any fixed size of a port.

    A tracer identifies equal sizes, and treats sizes 0 and 1 as constants; primes also keep products of sizes
    distinct.
    """
    ports = tuple(ports)
    names = dict.fromkeys(d for p in ports for d in p.shape if isinstance(d, str))
    taken = {d for p in ports for d in p.shape if isinstance(d, int)}
    taken |= {size for name, size in _TRACED.items() if name in names}
    free = (prime for prime in _primes(5) if prime not in taken)
    return {name: _TRACED[name] if name in _TRACED else next(free) for name in names}


def proven_sizes(
    ports: Iterable[Port], fixed: int | None = None, batches: Sequence[int] = (1, 2, 3, 17)
) -> list[dict[str, int]]:
    """Sizes to prove a graph at: some batches of samples, and other dimensions of 1, 2 and 3.

    Args:
        ports: of the graph.
        fixed: the fixed batch size of the graph, or None.
        batches: the sizes of batches.
    """
    names = dict.fromkeys(d for p in ports for d in p.shape if isinstance(d, str))
    sizes = []
    for i, batch in enumerate(batches):
        # two evaluations in the largest batch would cost twice; whole runs with guidance have them
        slots, evaluations, more = i % 3 + 1, 2 - i % 2, i % 2
        size = batch if fixed is None else fixed
        known = {"batch": size, **row_sizes(slots, more=more), "evaluations": evaluations}
        # an encoder of conditions takes one at a time then
        known[ROWS] = batch if fixed is None else 1
        sizes.append({name: known.get(name, slots) for name in names})
    return sizes


def row_sizes(slots: int, *, more: int) -> dict[str, int]:
    """The sizes of a row's matrix, with ``more`` (0 or 1) columns beyond D where the graph takes them."""
    return {"slots": slots, "columns": slots + 1, WIDE_COLUMNS: slots + 1 + more}


def at_sizes(sizes: Mapping[str, int]) -> str:
    """Sizes in words."""
    return ", ".join(f"{name} {size}" for name, size in sizes.items())


def guarded_sizes(ports: Iterable[Port]) -> list[dict[str, int]]:
    """Batches beyond those that a graph is proven at, small and large, even and odd, at which it may not branch.

    Other sizes are those of tracing: a network may have a greatest length of sequences.
    """
    traced = traced_sizes(ports)
    return [
        {name: size + i if name in LEADING else other for i, (name, other) in enumerate(traced.items())}
        for size in _GUARDED
    ]


def _primes(first: int) -> Iterator[int]:
    number = first
    while True:
        if all(number % d for d in range(2, int(number**0.5) + 1)):
            yield number
        number += 1
