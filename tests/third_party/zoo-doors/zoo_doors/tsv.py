import numpy as np


def write(samples, extras):
    rows = samples.reshape(len(samples), -1).astype(float)
    return "".join("\t".join(map(repr, row)) + "\n" for row in rows.tolist()).encode()


def read(path, event_shape, modality):
    rows = np.loadtxt(path, delimiter="\t", ndmin=2)
    return {"samples": rows if event_shape is None else rows.reshape(-1, *event_shape)}
