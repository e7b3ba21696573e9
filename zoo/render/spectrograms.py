"""Recordings as a picture: the waveform of each above its spectrogram."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.render.images import grid_columns

_MOST = 60  # panels that can still be distinguished
_WINDOW_SECONDS, _HOP_SECONDS = 0.016, 0.002  # short enough to show the pulses of a voice
_RANGE_DB = 50.0  # more shows what cannot be heard beside the voice
_DPI = 110
_INK, _WAVE = "#1f2933", "#2f6690"


def draw_recordings(
    samples: Array,
    sample_rate: int,
    *,
    classes: Array | None = None,
    labels: Sequence[str] = (),
    columns: int | None = None,
) -> bytes:
    """A PNG of recordings ``[n, 1, length]``, the first 60 of them.

    Args:
        samples: in [-1, 1].
        sample_rate: samples per second.
        classes: ``[n]``, shown above each.
        labels: names of the classes.
        columns: None chooses automatically.
    """
    # Figure and its own canvas: no pyplot, which keeps global state and may want a display
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = np.asarray(samples, np.float64)[:_MOST, 0]
    classes = None if classes is None else classes[:_MOST]
    columns = min(columns or min(grid_columns(len(shown), classes, 1.0), 10), len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(1.9 * columns + 0.5, 2.1 * rows + 0.3), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    seconds = shown.shape[1] / sample_rate
    peak = max(float(np.abs(shown).max()), 1e-6)
    # one grid for all, in which every spectrogram has the same size whatever stands beside it
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=(1, 2) * rows)
    for axes in grid.flat[: 2 * rows * columns]:
        axes.set_visible(False)
    for i, x in enumerate(shown):
        above, below = grid[2 * (i // columns), i % columns], grid[2 * (i // columns) + 1, i % columns]
        above.set_visible(True)
        below.set_visible(True)
        above.set_xlim(0.0, seconds)
        above.tick_params(labelbottom=False, length=0)
        above.plot(np.arange(len(x)) / sample_rate, x, color=_WAVE, linewidth=0.5)
        above.set_ylim(-peak, peak)
        above.set_yticks([])
        box = (0.0, seconds, 0.0, sample_rate / 2000)
        picture = spectrogram(x, sample_rate)
        top = picture.max()
        below.imshow(picture, origin="lower", aspect="auto", extent=box, cmap="magma", vmin=top - _RANGE_DB, vmax=top)
        below.set_xlim(0.0, seconds)
        if classes is not None:
            above.set_title(labels[int(classes[i])] if labels else str(classes[i]), fontsize=9, color=_INK, pad=2)
        first, last = i % columns == 0, i + columns >= len(shown)
        below.tick_params(colors=_INK, labelsize=7, length=2, labelleft=first, labelbottom=last)
        if first and last:
            below.set_xlabel("s", fontsize=7, color=_INK)
            below.set_ylabel("kHz", fontsize=7, color=_INK)
        for axes in (above, below):
            for side in axes.spines.values():
                side.set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def spectrogram(x: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Power in dB, ``[frequencies, times]``, of a recording ``[length]``, from 0 Hz to half the sample rate.

    Windows are Hann windows of 16 ms every 2 ms, centred, with silence beyond the ends, of the recording without its
    mean: with it, the ends would look like clicks.
    """
    size = max(2 * round(_WINDOW_SECONDS * sample_rate / 2), 4)
    hop = max(round(_HOP_SECONDS * sample_rate), 1)
    padded = np.pad(x - x.mean(), size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2
    return np.asarray(10 * np.log10(power + 1e-12).T)
