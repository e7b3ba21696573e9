import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import zoo
from zoo.bundle import open_bundle
from zoo.files import write_text
from zoo.runtime import load

SCRIPT = '''\
"""python sample.py NOISE.npy OUT.npy: noise [n, ...] to samples [n, ...]; needs numpy and onnxruntime."""

import os
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported
import onnxruntime

session = onnxruntime.InferenceSession(Path(__file__).parent / "bundle" / "{file}", providers=["CPUExecutionProvider"])
(x, *_) = session.run(None, {{"{noise}": np.load(sys.argv[1]).astype(np.float32)}})
np.save(sys.argv[2], x)
'''


def pack(bundle, folder):
    """Writes sample.py beside the bundle, which is in folder/bundle already."""
    graph, noise = graph_and_noise(bundle)
    write_text(folder / "sample.py", SCRIPT.format(file=bundle.manifest.graphs[graph].file, noise=noise))


def graph_and_noise(bundle):
    sample, condition = bundle.manifest.sample, bundle.manifest.condition
    if sample is None or sample.kind != "direct" or condition is not None or sample.noise_port is None:
        raise zoo.ExportError("the target script takes models that sample in one call, of one noise and no condition")
    return sample.graph, sample.noise_port


def verify(folder):
    """Runs sample.py by itself, and compares its samples with those of genzoo's runtime."""
    model = load(folder / "bundle", "cpu")
    graph, noise = graph_and_noise(open_bundle(folder / "bundle"))
    z = np.random.default_rng(0).standard_normal((5, *model.noise_shape)).astype(np.float32)
    (expected, *_) = model.session(graph).run({noise: z}).values()
    with tempfile.TemporaryDirectory() as scratch:
        given, made = Path(scratch) / "z.npy", Path(scratch) / "x.npy"
        np.save(given, z)
        command = [sys.executable, "-I", str(folder / "sample.py"), str(given), str(made)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not np.allclose(np.load(made), expected, atol=1e-5):
            raise zoo.ProofError(f"sample.py does not give the samples of the bundle: {done.stderr[-500:]}")
    return "5 samples of sample.py are those of the bundle"
