from zoo.samplers import Recorder
from zoo.samplers.moves import toward


def two_step(path, steps, *, spacing="uniform-lambda"):
    run = Recorder(path, steps, spacing)
    x, last = run.start(), None
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        ahead = d if last is None or there.clean else 1.5 * d - 0.5 * last
        x, last = toward(x, ahead, here, there), d
    return run.table(x)
