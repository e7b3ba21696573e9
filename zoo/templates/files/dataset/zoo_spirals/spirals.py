import numpy as np

import zoo


def spirals(*, turns: float = 1.0, noise: float = 0.05, train: int = 20_000, seed: int = 0):
    """Two arms from the centre outwards, each the other turned by half a circle; the class is the arm."""
    if not turns > 0:
        raise zoo.ConfigError(f"the number of turns is above 0, not {turns!r}")
    random = np.random.default_rng(seed)

    def some(n):
        arm = random.integers(2, size=n)
        place = np.sqrt(random.random(n))
        angle = 2 * np.pi * turns * place + np.pi * arm
        x = 2 * place[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
        x += noise * random.standard_normal((n, 2))
        return zoo.Split(x.astype(np.float32), arm.astype(np.int32))

    return zoo.Dataset("spirals", some(train), some(2_000), some(5_000), labels=("first", "second"))
