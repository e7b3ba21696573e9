import numpy as np

from zoo.data import Dataset, Split

TIMES = np.linspace(-1, 1, 5)
DEVIATIONS = np.array([0.1, 0.5])  # of the instruments, fine and coarse


def lines(*, seed=0):
    """Lines, slope and intercept from N(0, 1) each, and five noisy readings of each line."""
    random = np.random.default_rng(seed)

    def some(n):
        x = random.standard_normal((n, 2))
        instrument = random.integers(2, size=n)
        noise = DEVIATIONS[instrument, None] * random.standard_normal((n, len(TIMES)))
        readings = x[:, :1] * TIMES + x[:, 1:] + noise
        condition = {"readings": readings.astype(np.float32), "instrument": instrument.astype(np.int32)}
        return Split(x.astype(np.float32), condition)

    return Dataset("lines", some(20000), some(1000), some(2000))
