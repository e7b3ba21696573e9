"""A policy in mazes with eight ways to the goal, by its exported bundle: how often it arrives, how fast, and a picture.

    python scripts/maze_policy.py                            # the table, with the demonstrator, in a few minutes
    python scripts/maze_policy.py --gif docs/images/models/maze-policy.gif
    python scripts/maze_policy.py --picture docs/images/maze.png    # what a policy sees of a maze; its place is printed
    python scripts/maze_policy.py --model regression.bundle --steps 1    # any other policy in the same mazes

Needs no torch. The policy that averages, beside which a diffusion is to be seen, has the same network and is trained to
predict the actions from nothing but the condition, by their mean squared error: at the end of the path, where there is
only noise, the target of ``x0`` is that of a regression, and one step is all that sampling takes::

    zoo train recipes/maze-policy.toml -o runs/maze-regression --set name=maze-regression \\
        --set model.config.prediction=x0 --set model.config.objective.times=noise-level \\
        --set model.config.objective.mean=20.0 --set model.config.objective.std=0.01 \\
        --set model.config.sampling.steps=1
    zoo export runs/maze-regression -o regression.bundle
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from zoo.models.sources import resolve
from zoo.registry import Registry
from zoo.runtime import BundledModel, load
from zoo_data import maze
from zoo_data.maze import Episodes, Mazes, Policy

#: pixels of a maze in the picture, and mazes in a row
_SIZE, _COLUMNS, _AGENTS = 176, 3, 8
_COLOURS = ["#d1495b", "#00798c", "#edae49", "#30638e", "#66a182", "#8d6a9f", "#c97b63", "#4f6d7a"]


@click.command()
@click.option("--model", "name", default="maze-policy", show_default=True, help="Name of a model, or path of a bundle.")
@click.option("--episodes", default=500, show_default=True, help="Mazes, each seen by all policies.")
@click.option("--steps", multiple=True, type=int, default=(1, 2, 5, 10, 20), show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--gif", type=click.Path(path_type=Path), help="Picture of eight agents in each of six mazes.")
@click.option("--picture", type=click.Path(path_type=Path), help="What a policy sees at the start of the first maze.")
def main(name: str, episodes: int, steps: tuple[int, ...], seed: int, gif: Path | None, picture: Path | None) -> None:
    """Print a row for the demonstrator, and one for each number of steps."""
    mazes = maze.random_mazes(np.random.default_rng([seed, 3]), episodes)
    if picture is not None:
        seen = maze.pictures(mazes, mazes.starts)[0]
        Image.fromarray(seen.transpose(1, 2, 0)).save(picture)
        click.echo(f"wrote {picture}, of place={','.join(f'{number:.3f}' for number in mazes.starts[0])}")
        return
    bundle = load(_folder(name))
    if gif is not None:
        film(policy_of(bundle, None), mazes[np.arange(6)], gif, seed=seed)
        click.echo(f"wrote {gif}")
        return
    click.echo(row("demonstrator", maze.demonstrated(np.random.default_rng([seed, 4]), mazes), mazes))
    for count in steps:
        ran = maze.rolled_out(policy_of(bundle, count), mazes, seed=seed + 1)
        plans = fastest(bundle, count, mazes)
        rate = f"{plans:.0f} plans a second, {plans * maze.EXECUTED:.0f} moves"
        click.echo(f"{row(f'{name}, {count} steps', ran, mazes)}; {rate}")


def policy_of(bundle: BundledModel, steps: int | None) -> Policy:
    """Plans of a bundle, of so many steps of its sampler."""

    def policy(seen: NDArray[np.uint8], places: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
        condition = {"picture": seen, "place": places}
        return np.asarray(bundle.sample(len(seen), condition=condition, seed=seed, steps=steps))

    return policy


def row(what: str, ran: Episodes, mazes: Mazes) -> str:
    """How often agents arrived, with the standard error, in how many moves, and by how many ways."""
    share = float(ran.arrived.mean())
    error = math.sqrt(share * (1.0 - share) / len(mazes))
    taken = ran.steps[ran.arrived]
    moves = f", {taken.mean():.1f} moves" if len(taken) else ""
    lower = lower_gaps(ran, mazes)
    return f"{what}: {share:.1%} ± {error:.1%} of {len(mazes)} arrive{moves}; lower gaps {np.nanmean(lower):.0%}"


def lower_gaps(ran: Episodes, mazes: Mazes) -> NDArray[np.float64]:
    """Which of the walls that an agent passed it passed by the gap of the smaller number: 1, 0, or NaN ``[n, 3]``."""
    across, along = ran.places[:, :, 0], ran.places[:, :, 1]
    beyond = across[:, :, None] > mazes.walls[:, None]
    height = np.take_along_axis(along, beyond.argmax(1), 1)
    nearest = np.abs(height[:, :, None] - mazes.gaps).argmin(2)
    return np.where(beyond.any(1), 1.0 - nearest, np.nan)


def fastest(bundle: BundledModel, steps: int, mazes: Mazes, seconds: float = 2.0) -> float:
    """Plans a second for one agent, by processor time, of one call after another."""
    policy = policy_of(bundle, steps)
    seen, places = maze.pictures(mazes, mazes.starts), mazes.starts.astype(np.float32)
    policy(seen[:1], places[:1], 0)
    begun, done = time.process_time(), 0
    while time.process_time() - begun < seconds:
        k = done % len(mazes)
        policy(seen[k : k + 1], places[k : k + 1], done)
        done += 1
    return done / (time.process_time() - begun)


def film(policy: Policy, mazes: Mazes, path: Path, *, seed: int) -> None:
    """A .gif of several agents that begin at the same place of each maze, and take what way they sample."""
    many = mazes[np.repeat(np.arange(len(mazes)), _AGENTS)]
    ran = maze.rolled_out(policy, many, seed=seed + 1)
    places = ran.places.reshape(len(mazes), _AGENTS, -1, 2)
    frames = [frame(mazes, places[:, :, : step + 1]) for step in range(0, places.shape[2], 2)]
    frames += [frames[-1]] * 12
    palette = frames[-1].quantize(64)
    pictures = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=80, loop=0, optimize=True)


def frame(mazes: Mazes, places: NDArray[np.float64]) -> Image.Image:
    """One picture of mazes with the ways of agents so far ``[mazes, agents, steps, 2]``."""
    rows = -(-len(mazes) // _COLUMNS)
    # drawn at twice the size, for smooth lines
    size, border = 2 * _SIZE, 16
    image = Image.new("RGB", (_COLUMNS * size, rows * size), "white")
    draw = ImageDraw.Draw(image)
    for number in range(len(mazes)):
        left, top = (number % _COLUMNS) * size + border, (number // _COLUMNS) * size + border
        side = size - 2 * border

        def at(point: NDArray[np.float64], corner: tuple[int, int] = (left, top), side: int = side) -> tuple[int, int]:
            return round(corner[0] + point[0] * side), round(corner[1] + point[1] * side)

        _draw_maze(draw, mazes, number, at)
        for agent in range(places.shape[1]):
            colour = _COLOURS[agent % len(_COLOURS)]
            way = [at(point) for point in places[number, agent]]
            if len(way) > 1:
                draw.line(way, fill=colour, width=3, joint="curve")
            _dot(draw, way[-1], 7, colour)
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)


def _draw_maze(draw: ImageDraw.ImageDraw, mazes: Mazes, number: int, at: object) -> None:
    assert callable(at)
    draw.rectangle([*at(np.zeros(2)), *at(np.ones(2))], outline="#1f2933", width=3)
    for wall, gaps in zip(mazes.walls[number], mazes.gaps[number], strict=True):
        ends = [0.0, gaps[0] - maze.GAP, gaps[0] + maze.GAP, gaps[1] - maze.GAP, gaps[1] + maze.GAP, 1.0]
        for low, high in zip(ends[::2], ends[1::2], strict=True):
            corners = [*at(np.array([wall - maze.THICK, low])), *at(np.array([wall + maze.THICK, high]))]
            draw.rectangle(corners, fill="#1f2933")
    _dot(draw, at(mazes.goals[number]), 13, "#2a9d3a")


def _dot(draw: ImageDraw.ImageDraw, place: tuple[int, int], radius: int, colour: str) -> None:
    x, y = place
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def _folder(name: str) -> Path:
    """The bundle of a model."""
    source = resolve(Registry.discover(), name)
    if source.bundle is None:
        raise click.UsageError(f"{name} has no bundle: zoo export {name} -o {Path(name).name}.bundle")
    return source.bundle


if __name__ == "__main__":
    main()
