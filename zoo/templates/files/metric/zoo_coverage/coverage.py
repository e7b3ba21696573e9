import numpy as np


def coverage(evaluation, *, neighbour=5):
    """Share of held-out data that have a sample nearer than that neighbour of theirs (Naeem et al. 2020, eq. 4)."""
    if evaluation.data.modality is not None or evaluation.drawn is None:
        return {}
    drawn = evaluation.drawn.x.reshape(evaluation.samples, -1)
    real = evaluation.data.test.x[: evaluation.samples].reshape(-1, drawn.shape[1]).astype(np.float32)
    reach = np.sort(distances(real, real), axis=1)[:, neighbour]  # the nearest is the sample itself
    covered = distances(real, drawn).min(1) < reach
    return {
        "coverage": {
            "value": round(float(covered.mean()), 4),
            "samples": evaluation.samples,
            "of": f"held-out data with a sample nearer than their neighbour number {neighbour}",
        }
    }


def distances(a, b):
    square = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return np.sqrt(square.clip(min=0))
