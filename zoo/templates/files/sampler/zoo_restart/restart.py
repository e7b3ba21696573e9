from math import sqrt

import zoo
from zoo.samplers import Recorder
from zoo.samplers.moves import toward


def restart(path, steps, *, repeats=1, spacing="trailing"):
    """Euler's steps; the middle half of them is repeated, each time from noise that is added (algorithm 1)."""
    if not isinstance(repeats, int) or repeats < 0:
        raise zoo.UsageError(f"repeats is a whole number, 0 or more, not {repeats!r}")
    run = Recorder(path, steps, spacing)
    moves = list(run.grid)
    begin, end = steps // 4, 3 * steps // 4
    x = run.start()
    for here, there in moves[:end]:
        x = step(run, x, here, there)
    for _ in range(repeats if begin < end else 0):
        x = noisier(run, x, moves[end][0], moves[begin][0])
        for here, there in moves[begin:end]:
            x = step(run, x, here, there)
    for here, there in moves[end:]:
        x = step(run, x, here, there)
    return run.table(x)


def step(run, x, here, there):
    x, d = run.denoise(x, here)
    return toward(x, d, here, there)


def noisier(run, x, here, there):
    ratio = there.alpha / here.alpha
    return ratio * x + sqrt(there.sigma**2 - (ratio * here.sigma) ** 2) * run.noise()
