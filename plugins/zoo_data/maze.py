"""A small environment for policies: mazes of walls with two gaps each, seen as pictures, and their demonstrator.

The square [0, 1]² has three walls across, each with a lower and an upper gap, so that eight ways lead from a start on
the left to a goal on the right. The demonstrator chooses between the two gaps of each wall by a coin. A policy that
predicts the mean of what it was shown goes between them, into the wall; one that samples takes either.

Everything is vectorised over episodes, and a function of its arguments and a NumPy generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Float64Array
from zoo.data import Dataset, Split
from zoo.errors import ConfigError
from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.modality import Heatmap, Trajectory

#: (pictures [n, 3, 32, 32], places [n, 2], seed) -> actions [n, HORIZON, 2]
Policy = Callable[[NDArray[np.uint8], NDArray[np.float32], int], NDArray[np.float32]]

SIDE, HORIZON = 32, 16
#: actions of a chunk that are carried out before the next is asked for, and steps of an episode at most
EXECUTED, STEPS = 8, 120
#: how far an action of 1 moves, along each axis
REACH = 0.04
#: of walls, gaps and the agent
THICK, GAP, RADIUS = 0.015, 0.075, 0.02
_WALLS = np.array([0.27, 0.5, 0.73])
#: an agent that comes so near to the goal has arrived
ARRIVED = 0.04
_SPEED, _INERTIA, _UNSTEADY = 0.03, 0.5, 0.004
#: standard deviation of the spots of goal and agent in a picture
_SPOT = 0.03
#: actions are moves from where the agent is, in the picture's square, whose rows go down
PLAN = Trajectory(REACH, "place", "picture", (0.0, 1.0, 1.0, 0.0), Heatmap(2, _SPOT))
_CHUNKS = 8
TRAIN, VALIDATION, TEST = 6000, 200, 500


@dataclass(frozen=True)
class Mazes:
    """Mazes with a start and a goal each.

    Attributes:
        walls: ``[n, 3]``, where along the first axis.
        gaps: ``[n, 3, 2]``, the middles of the two gaps of each wall, along the second axis.
        starts: ``[n, 2]``.
        goals: ``[n, 2]``.
    """

    walls: Float64Array
    gaps: Float64Array
    starts: Float64Array
    goals: Float64Array

    def __len__(self) -> int:
        return len(self.walls)

    def __getitem__(self, which: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Mazes:
        return Mazes(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True)
class Episodes:
    """What happened in mazes.

    Attributes:
        places: ``[n, steps + 1, 2]``, of the agent before each step, and after the last.
        actions: ``[n, steps, 2]``.
        arrived: ``[n]``.
    """

    places: Float64Array
    actions: Float64Array
    arrived: NDArray[np.bool_]

    @property
    def steps(self) -> NDArray[np.int64]:
        """How many steps each agent took ``[n]``: one that has arrived does not move any more."""
        return np.asarray((self.places[:, 1:] != self.places[:, :-1]).any(2).cumsum(1).argmax(1) + 1)


def random_mazes(rng: np.random.Generator, n: int) -> Mazes:
    """``n`` mazes."""
    walls = _WALLS + rng.uniform(-0.05, 0.05, (n, 3))
    gaps = np.stack([rng.uniform(0.12, 0.42, (n, 3)), rng.uniform(0.58, 0.88, (n, 3))], 2)
    starts = np.stack([rng.uniform(0.05, 0.12, n), rng.uniform(0.1, 0.9, n)], 1)
    goals = np.stack([rng.uniform(0.88, 0.95, n), rng.uniform(0.1, 0.9, n)], 1)
    return Mazes(walls, gaps, starts, goals)


def pictures(mazes: Mazes, places: Float64Array) -> NDArray[np.uint8]:
    """What a policy sees: ``[n, 3, 32, 32]``, walls in red, the goal in green and the agent in blue.

    A column of pixels is a stripe along the first axis of the maze, a row one along the second. Walls are drawn by the
    share of each pixel that they cover.

    Args:
        mazes: ``n`` of them.
        places: of the agents ``[n, 2]``.
    """
    across = _covered(mazes.walls, THICK)
    open_rows = _covered(mazes.gaps, GAP).sum(2).clip(max=1.0)
    walls = (across[:, :, None, :] * (1.0 - open_rows)[:, :, :, None]).sum(1)
    centres = (np.arange(SIDE) + 0.5) / SIDE

    def blob(at: Float64Array) -> Float64Array:
        squared = (centres[None, None] - at[:, 0, None, None]) ** 2 + (
            centres[None, :, None] - at[:, 1, None, None]
        ) ** 2
        return np.asarray(np.exp(-squared / (2 * _SPOT**2)))

    planes = np.stack([walls, blob(mazes.goals), blob(places)], 1)
    return np.asarray(np.rint(255.0 * planes.clip(0.0, 1.0)), np.uint8)


def moved(mazes: Mazes, places: Float64Array, actions: Float64Array) -> Float64Array:
    """Where agents are after an action: where it leads, or where they were if there is a wall.

    Args:
        mazes: ``n`` of them.
        places: ``[n, 2]``.
        actions: ``[n, 2]``, each in [-1, 1]; more is as much as that.
    """
    there = (places + REACH * actions.clip(-1.0, 1.0)).clip(RADIUS, 1.0 - RADIUS)
    # an action is shorter than a wall is thick with the agent's radius on both sides: none leads past it
    at_wall = np.abs(there[:, None, 0] - mazes.walls) < THICK + RADIUS
    in_gap = (np.abs(there[:, None, None, 1] - mazes.gaps) < GAP - RADIUS).any(2)
    blocked = np.any(at_wall & ~in_gap, axis=1, keepdims=True)
    return np.asarray(np.where(blocked, places, there))


def demonstrated(rng: np.random.Generator, mazes: Mazes) -> Episodes:
    """The demonstrator's way through each maze: for each wall one of its gaps by a coin, and not quite steadily."""
    n = len(mazes)
    chosen = np.take_along_axis(mazes.gaps, rng.integers(0, 2, (n, 3, 1)), 2)[:, :, 0]
    heights = chosen + rng.uniform(-0.02, 0.02, (n, 3))
    before, after = (np.stack([mazes.walls + side * 0.06, heights], 2) for side in (-1, 1))
    marks = np.concatenate([np.stack([before, after], 2).reshape(n, 6, 2), mazes.goals[:, None]], 1)
    aim, velocity = np.zeros(n, np.int64), np.zeros((n, 2))

    def act(places: Float64Array, step: int) -> Float64Array:
        nonlocal aim, velocity
        near = np.linalg.norm(marks[np.arange(n), aim] - places, axis=1) < _SPEED
        aim = np.minimum(aim + near, 6)
        towards = marks[np.arange(n), aim] - places
        distance = np.linalg.norm(towards, axis=1, keepdims=True)
        wanted = towards * np.minimum(_SPEED / np.maximum(distance, 1e-9), 1.0)
        velocity = _INERTIA * velocity + (1.0 - _INERTIA) * wanted
        return np.asarray((velocity + rng.normal(0.0, _UNSTEADY, (n, 2))) / REACH)

    return _episodes(mazes, act)


def rolled_out(policy: Policy, mazes: Mazes, *, seed: int = 0, executed: int = EXECUTED) -> Episodes:
    """What a policy does: it sees picture and place, and of the actions it plans the first ones are carried out.

    Args:
        policy: see :data:`Policy`.
        mazes: one for each episode.
        seed: of the first plan; the k-th one has the seed plus k.
        executed: actions of each plan that are carried out.
    """
    plan = np.zeros((len(mazes), HORIZON, 2))

    def act(places: Float64Array, step: int) -> Float64Array:
        nonlocal plan
        turn, place = divmod(step, executed)
        if place == 0:
            plan = np.asarray(policy(pictures(mazes, places), places.astype(np.float32), seed + turn), np.float64)
        return plan[:, place]

    return _episodes(mazes, act)


def maze(
    *, train: int = TRAIN, validation: int = VALIDATION, test: int = TEST, seed: int = 0, chunks: int = _CHUNKS
) -> Dataset:
    """What the demonstrator does next: ``[n, 16, 2]`` actions in [-1, 1], given the parts ``picture`` and ``place``.

    Args:
        train: episodes to train on, each in a maze of its own.
        validation: episodes to validate on.
        test: episodes to measure on.
        seed: of the mazes and the demonstrator.
        chunks: how many times of each episode, evenly spread over it from a random first one.

    Raises:
        ConfigError: a number out of range.
    """
    if min(train, validation, test, chunks) < 1 or seed < 0:
        raise ConfigError(
            f"mazes need 1 episode of 1 chunk or more in each split and a seed of 0 or more, not {train}, "
            f"{validation}, {test}, {chunks} and {seed}"
        )
    shown, checked, tested = (
        _chunks(np.random.default_rng([seed, i]), n, chunks) for i, n in enumerate((train, validation, test))
    )
    return Dataset("maze", shown, checked, tested, modality=PLAN)


def success(evaluation: Evaluation) -> Metrics:
    """``maze_success``: in how many of as many new mazes as the evaluation has samples, at most 500, a policy arrives.

    Beside it stands the demonstrator in the same mazes. Empty for other data sets.
    """
    model, n = evaluation.model, min(evaluation.samples, 500)
    if evaluation.data.name != "maze" or model.manifest.sample is None or n < 1:
        return {}
    mazes = random_mazes(np.random.default_rng([evaluation.seed, 3]), n)

    def policy(seen: NDArray[np.uint8], places: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        return np.asarray(model.sample(len(seen), condition={"picture": seen, "place": places}, seed=seed))

    arrived = rolled_out(policy, mazes, seed=evaluation.seed + 1).arrived
    shown = demonstrated(np.random.default_rng([evaluation.seed, 4]), mazes).arrived
    share = float(arrived.mean())
    return {
        "maze_success": {
            "value": round(share, 4),
            "standard_error": round(math.sqrt(share * (1.0 - share) / n), 4),
            "of_the_demonstrator": round(float(shown.mean()), 4),
            "of": f"new mazes whose goal is reached within {STEPS} steps, {EXECUTED} of each plan",
            "samples": n,
        }
    }


def _episodes(mazes: Mazes, act: Callable[[Float64Array, int], Float64Array]) -> Episodes:
    """Episodes of agents that act on where they are, until they arrive."""
    places, actions = [mazes.starts], []
    arrived = np.zeros(len(mazes), np.bool_)
    for step in range(STEPS):
        arrived |= np.linalg.norm(places[-1] - mazes.goals, axis=1) < ARRIVED
        if arrived.all():
            break
        action = np.where(arrived[:, None], 0.0, act(places[-1], step).clip(-1.0, 1.0))
        actions.append(action)
        places.append(moved(mazes, places[-1], action))
    arrived |= np.linalg.norm(places[-1] - mazes.goals, axis=1) < ARRIVED
    shape = (len(mazes), -1, 2)
    return Episodes(np.stack(places, 1), np.stack(actions, 1).reshape(shape) if actions else np.zeros(shape), arrived)


def _chunks(rng: np.random.Generator, n: int, chunks: int) -> Split:
    """Chunks of demonstrations in ``n`` mazes, with what is seen before each."""
    mazes = random_mazes(rng, n)
    shown = demonstrated(rng, mazes)
    # an agent that has arrived stays
    padded = np.concatenate([shown.actions, np.zeros((n, HORIZON, 2))], 1)
    times = ((np.arange(chunks) + rng.random((n, 1))) * (shown.steps[:, None] / chunks)).astype(np.int64)
    rows = np.arange(n)[:, None]
    x = padded[rows[:, :, None], times[:, :, None] + np.arange(HORIZON)]
    places = shown.places[rows, times]
    seen = np.concatenate([pictures(mazes, places[:, i])[:, None] for i in range(chunks)], 1)
    return Split(
        x.reshape(-1, HORIZON, 2).astype(np.float32),
        {"picture": seen.reshape(-1, 3, SIDE, SIDE), "place": places.reshape(-1, 2).astype(np.float32)},
    )


def _covered(centres: Float64Array, half: float) -> Float64Array:
    """Which share of each of 32 pixels intervals ``centres ± half`` cover: ``[..., 32]`` for ``[...]``, axis last."""
    edges = np.arange(SIDE + 1) / SIDE
    low = np.maximum(edges[:-1], centres[..., None] - half)
    high = np.minimum(edges[1:], centres[..., None] + half)
    return np.asarray((high - low).clip(min=0.0) * SIDE)
