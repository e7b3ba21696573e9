"""Sequences as lines: those of pairs as paths in the plane, over a picture of it where there is one; others over time.

A sample ``[length, numbers]`` or ``[numbers, length]`` without its mask. Pairs are ``[length, 2]``; of any other shape
the longer axis is time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.modality import Trajectory
from zoo.render.figures import INK, extent_of, new_figure, saved

if TYPE_CHECKING:
    from zoo.lengths import Length
    from zoo.render.files import Extras

#: panels that can still be distinguished: of groups of paths, and of numbers over time
_MOST, _NUMBERS = 16, 8
#: lines of a panel, beyond which there is nothing more to see
_LINES = 500
_COLOURS = (
    "#2f6f77",
    "#d1495b",
    "#8a6d1b",
    "#5b5ea6",
    "#3d7f46",
    "#b5541c",
    "#7a4b8c",
    "#4a5560",
    "#1f77b4",
    "#a8447f",
)
#: of lines over a picture, whose colours are unknown: light ones with a dark edge
_LIGHT, _EDGE = "#ffffff", "#111111"


@dataclass
class _Group:
    """Samples that are drawn in one panel.

    Attributes:
        title: of the panel.
        picture: ``[height, width]`` or ``[height, width, 3]`` in [0, 1], or None.
        paths: ``[length, 2]`` each.
    """

    title: str
    picture: Array | None
    paths: list[NDArray[np.float64]] = field(default_factory=list)


def draw_sequences(samples: Array, extras: Extras) -> bytes:
    """A PNG of sequences ``[n, length, numbers]`` or ``[n, numbers, length]``.

    Paths of different classes, or with different starts or pictures of the plane, have panels of their own. A ring
    marks where a path begins, and a dot where it ends.

    Args:
        samples: the sequences.
        extras: of which the condition, its labels, the modality and the length are used.
    """
    each = sequences_of(samples[: _LINES * _MOST], extras.length)
    if each[0].shape[1] == 2 and in_the_plane(samples.shape[1:], extras.length):
        return _paths(each, extras)
    return _over_time(each, extras)


def in_the_plane(event_shape: tuple[int, ...], length: Length | None = None) -> bool:
    """Whether such sequences are paths in the plane: ``[length, 2]``, without their mask."""
    axis = None if length is None or length.mask is None else length.axis
    content = event_shape if length is None else length.content_shape(event_shape)
    return len(content) == 2 and content[1] == 2 and axis in (None, 0)


def sequences_of(samples: Array, length: Length | None = None) -> list[NDArray[np.float64]]:
    """Sequences as arrays ``[length, numbers]``, each up to its end, without its mask."""
    if length is not None and length.mask is not None:
        content, axis = length.content(samples), length.axis
        ends: list[int] | None = [int(end) for end in length.lengths(samples)]
    else:
        content, ends = samples, None
        axis = 0 if in_the_plane(samples.shape[1:]) or samples.shape[1] >= samples.shape[2] else 1
    rows = np.asarray(content if axis == 0 else content.swapaxes(1, 2), np.float64)
    return [row if ends is None else row[: ends[i]] for i, row in enumerate(rows)]


# -- paths ------------------------------------------------------------------------------------------------------------


def places(sequence: NDArray[np.float64], trajectory: Trajectory | None, start: Array | None) -> NDArray[np.float64]:
    """Where a sequence ``[length, 2]`` leads, with its start ``[2]`` if it has one: ``[length, 2]`` or one more."""
    if trajectory is None:
        return sequence
    begin = np.zeros((1, 2)) if start is None else np.asarray(start, np.float64).reshape(1, 2)
    if trajectory.step is not None:
        return np.concatenate([begin, begin + trajectory.step * sequence.cumsum(0)])
    return sequence if start is None else np.concatenate([begin, sequence])


def _paths(each: list[NDArray[np.float64]], extras: Extras) -> bytes:
    trajectory = extras.modality if isinstance(extras.modality, Trajectory) else None
    groups = _grouped(each, trajectory, extras)
    shown = groups[:_MOST]
    columns = min(len(shown), 4)
    rows = -(-len(shown) // columns)
    side = 6.0 if len(shown) == 1 else 3.2
    figure, grid = new_figure(side * columns, side * rows, rows, columns)
    for axes in grid.flat:
        axes.set_axis_off()
    points = np.concatenate([np.zeros((0, 2)), *(path for group in shown for path in group.paths)])
    low, high = extent_of(points if len(points) else np.zeros((1, 2)))
    for axes, group in zip(grid.flat, shown, strict=False):
        _draw_group(axes, group, trajectory)
        if trajectory is None or not trajectory.extent:
            axes.set_xlim(low[0], high[0])
            axes.set_ylim(low[1], high[1])
    if len(groups) > len(shown):
        figure.suptitle(f"{len(shown)} of {len(groups)} conditions", fontsize=9, color=INK)
    return saved(figure)


def _draw_group(axes: Any, group: _Group, trajectory: Trajectory | None) -> None:
    """The paths of one panel."""
    from matplotlib.patheffects import Normal, Stroke

    axes.set_axis_on()
    axes.set_aspect("equal")
    axes.set_title(group.title, fontsize=9, color=INK)
    for side in axes.spines.values():
        side.set_visible(False)
    if trajectory is not None and trajectory.extent:
        left, right, bottom, top = trajectory.extent
        if group.picture is not None:
            axes.imshow(group.picture, extent=trajectory.extent, origin="upper", cmap="gray", vmin=0, vmax=1, zorder=0)
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
    alpha = float(np.clip(8.0 / np.sqrt(max(len(group.paths), 1)), 0.15, 0.9))
    dark = group.picture is not None
    for i, path in enumerate(group.paths[:_LINES]):
        if not len(path):
            continue
        colour = _LIGHT if dark else _COLOURS[i % len(_COLOURS)]
        effects = [Stroke(linewidth=3.2, foreground=_EDGE), Normal()] if dark else None
        axes.plot(*path.T, color=colour, linewidth=1.6, alpha=alpha, path_effects=effects, solid_capstyle="round")
        edge = _EDGE if dark else "white"
        axes.plot(*path[-1], "o", color=colour, markersize=4.5, markeredgecolor=edge, markeredgewidth=0.8)
        axes.plot(*path[0], "o", markersize=8, markerfacecolor="none", markeredgecolor=_EDGE, markeredgewidth=2.6)
        axes.plot(*path[0], "o", markersize=8, markerfacecolor="none", markeredgecolor="white", markeredgewidth=1.2)


def _grouped(each: list[NDArray[np.float64]], trajectory: Trajectory | None, extras: Extras) -> list[_Group]:
    """Paths by their class, or by their start and picture, in the order in which these come."""
    n = len(each)
    starts, pictures = (
        _part(extras.condition, "" if trajectory is None else name, n)
        for name in (trajectory.start if trajectory else "", trajectory.picture if trajectory else "")
    )
    plain = extras.condition if not isinstance(extras.condition, Mapping) else None
    classes = plain if plain is not None and np.ndim(plain) == 1 else None
    groups: dict[Any, _Group] = {}
    for i, sequence in enumerate(each):
        start = None if starts is None else starts[i]
        if starts is not None or pictures is not None:
            key: Any = tuple(b"" if values is None else values[i].tobytes() for values in (starts, pictures))
        else:
            key = None if classes is None else int(classes[i])
        if key not in groups:
            title = "" if classes is None else extras.labels[key] if extras.labels else str(key)
            groups[key] = _Group(title, None if pictures is None else _shades(pictures[i]))
        groups[key].paths.append(places(sequence, trajectory, start))
    return list(groups.values())


def _part(condition: object, name: str, n: int) -> Array | None:
    """The values ``[n, ...]`` of a part of a condition; None where it is not given."""
    if not name or not isinstance(condition, Mapping) or condition.get(name) is None:
        return None
    values = np.asarray(condition[name])
    return values if len(values) == n else np.broadcast_to(values, (n, *values.shape[1:]))


def _shades(picture: Array) -> Array | None:
    """A picture ``[channels, height, width]`` as Matplotlib takes it, from its darkest to its lightest number."""
    shades = np.asarray(picture, np.float64)
    low = min(float(shades.min()), 0.0)
    high = float(shades.max())
    shades = (shades - low) / (high - low) if high > low else np.zeros_like(shades)
    if len(shades) == 1:
        return np.asarray(shades[0])
    rgb = shades[:3] if len(shades) >= 3 else np.concatenate([shades, np.zeros_like(shades[:1])])
    return np.ascontiguousarray(rgb.transpose(1, 2, 0))


# -- over time --------------------------------------------------------------------------------------------------------


def _over_time(each: list[NDArray[np.float64]], extras: Extras) -> bytes:
    """A panel for each of the first numbers, with all samples over each other."""
    numbers = each[0].shape[1]
    shown = min(numbers, _NUMBERS)
    longest = max((len(sequence) for sequence in each), default=1)
    figure, grid = new_figure(7.0, 3.6 if shown == 1 else 1.2 + 1.5 * shown, shown, 1, sharex=True)
    plain = extras.condition if not isinstance(extras.condition, Mapping) else None
    classes = np.zeros(len(each), np.int64) if plain is None or np.ndim(plain) != 1 else np.asarray(plain, np.int64)
    alpha = float(np.clip(5.0 / np.sqrt(max(len(each), 1)), 0.1, 0.9))
    for k, axes in enumerate(grid[:, 0]):
        values = np.concatenate([sequence[:, k] for sequence in each])
        low, high = extent_of(values[:, None] if len(values) else np.zeros((1, 1)))
        axes.set_ylim(low[0], high[0])
        for i, sequence in enumerate(each[:_LINES]):
            number = int(classes[i]) if plain is not None else i
            marker = "o" if longest == 1 else None
            axes.plot(sequence[:, k], color=_COLOURS[number % len(_COLOURS)], linewidth=1.1, alpha=alpha, marker=marker)
        if numbers > 1:
            axes.set_ylabel(f"number {k}", fontsize=9)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    last = grid[-1, 0]
    last.set_xlim(-0.5 if longest == 1 else 0, max(longest - 1, 0.5))
    last.set_xlabel("position" if shown == numbers else f"position; the first {shown} of {numbers} numbers", fontsize=9)
    _legend(figure, grid[0, 0], plain, extras)
    return saved(figure)


def _legend(figure: Any, axes: Any, plain: object, extras: Extras) -> None:
    """What colours mean, where they mean few classes."""
    if plain is None or np.ndim(plain) != 1:  # type: ignore[arg-type]
        return
    present = sorted({int(value) for value in np.asarray(plain)})
    if len(present) > len(_COLOURS):
        return
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=_COLOURS[value % len(_COLOURS)]) for value in present]
    names = [extras.labels[value] if extras.labels else str(value) for value in present]
    figure.legend(lines, names, loc="outside upper center", ncols=len(names), fontsize=8, frameon=False)
