"""Tones in the silence of sampled recordings: decibels at multiples of the patches' rate over frequencies around them.

    python scripts/patch_tones.py spoken-digits-speakers

A network over patches of 16 samples has no reason to make a tone at multiples of 8000/16 Hz, unless it cannot tell what
repeats with the patch from nothing. Quiet stretches are 64 ms that are 30 dB below the loudest of their recording;
their spectra are averaged. The test split's recordings stand beside the samples. Needs no torch.
"""

from __future__ import annotations

import click
import numpy as np
from numpy.typing import NDArray

from zoo.runtime import load
from zoo_data.spoken_digits import SAMPLE_RATE, SPEAKERS, spoken_digits

_FRAME, _HOP, _QUIET = 512, 128, 10 ** (-30 / 20)
_TONES = range(500, 4000, 500)

Array = NDArray[np.float64]


@click.command()
@click.argument("name")
@click.option("--samples", default=96, show_default=True, help="Digits and speakers in turn.")
@click.option("--seed", default=0, show_default=True)
def main(name: str, samples: int, seed: int) -> None:
    """Print the tones of the model or bundle NAME, and of recordings."""
    bundle = load(name)
    turns = np.arange(samples)
    condition = {"digit": turns % 10, "speaker": turns // 10 % len(SPEAKERS)}
    click.echo(f"{'Hz':<24}{''.join(f'{each:>6}' for each in _TONES)}  mean")
    for what, x in (
        ("recordings", spoken_digits(4096).test.x),
        (name, bundle.sample(samples, seed=seed, condition=condition)),
    ):
        tones = decibels(quiet(np.asarray(x, np.float64)[:, 0]))
        click.echo(f"{what:<24}{''.join(f'{each:6.1f}' for each in tones)}{tones.mean():6.1f}")


def quiet(recordings: Array) -> Array:
    """The quiet stretches of recordings ``[n, length]``, ``[frames, 512]``, but not the digital silence around them."""
    frames = np.lib.stride_tricks.sliding_window_view(recordings, _FRAME, axis=1)[:, ::_HOP]
    level = np.sqrt((frames**2).mean(axis=2))
    recorded = np.count_nonzero(frames, axis=2) > _FRAME // 2
    stretches: Array = frames[(level < _QUIET * level.max(axis=1, keepdims=True)) & recorded]
    return stretches


def decibels(frames: Array) -> Array:
    """How much louder each tone is than what is 60 to 160 Hz beside it, in the average spectrum of frames."""
    window = np.hanning(_FRAME + 1)[:-1]
    power = (np.abs(np.fft.rfft(frames * window)) ** 2).mean(axis=0)
    over = []
    for tone in _TONES:
        at = tone * _FRAME // SAMPLE_RATE
        around = np.concatenate([power[at - 10 : at - 3], power[at + 4 : at + 11]])
        over.append(10 * np.log10(power[at - 1 : at + 2].max() / around.mean()))
    return np.array(over)


if __name__ == "__main__":
    main()
