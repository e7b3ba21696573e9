import numpy as np

NEIGHBOURS = 5


def coverage(evaluation):
    """Share of held-out data that have a sample nearer than their fifth neighbour (Naeem et al. 2020, eq. 4)."""
    if evaluation.data.modality is not None or evaluation.drawn is None:
        return {}
    drawn = evaluation.drawn.x.reshape(evaluation.samples, -1)
    real = evaluation.data.test.x[: evaluation.samples].reshape(-1, drawn.shape[1]).astype(np.float32)
    reach = np.sort(distances(real, real), axis=1)[:, NEIGHBOURS]  # the nearest is the sample itself
    covered = distances(real, drawn).min(1) < reach
    return {
        "coverage": {
            "value": round(float(covered.mean()), 4),
            "samples": evaluation.samples,
            "of": f"held-out data with a sample nearer than their neighbour number {NEIGHBOURS}",
        }
    }


def distances(a, b):
    square = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return np.sqrt(square.clip(min=0))
