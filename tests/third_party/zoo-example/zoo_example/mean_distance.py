import numpy as np


def mean_distance(evaluation):
    if evaluation.drawn is None:
        return {}
    difference = evaluation.drawn.x.mean(0) - evaluation.data.test.x.mean(0)
    value = round(float(np.linalg.norm(difference.ravel())), 4)
    return {"mean_distance": {"value": value, "samples": evaluation.samples, "of": "the means of samples and data"}}
