"""The target ``python``: a bundle and one file that runs it.

::

    sample.py       about 400 lines; needs numpy and onnxruntime
    bundle/         the proven bundle
    example/        of named parts of a condition, a value each
    README.md
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from zoo.bundle import Bundle, open_bundle
from zoo.errors import ProofError
from zoo.files import copy_file, write_text
from zoo.runtime import BundledModel
from zoo_targets.compare import SAMPLES, SEED, agree, agree_on_densities, chosen, last_line, options_shown, write_parts

RUNTIME = Path(__file__).parent / "files" / "sample.py"


def pack(bundle: Bundle, folder: Path) -> None:
    """Add the runtime to a folder that has the bundle.

    Raises:
        OutputError: the folder cannot be written.
    """
    copy_file(RUNTIME, folder / RUNTIME.name)
    name = bundle.manifest.model.get("name", "this model")
    chosen = options_shown(bundle)
    write_parts(bundle, folder)
    draws = f"-n 4 --seed 0{chosen} -o samples.npy"
    text = f"""# {name}

```sh
pip install numpy onnxruntime
python sample.py {f"--score data.npy{chosen}" if bundle.manifest.sample is None else draws}
```

`sample.py` is the whole runtime, to be read and copied; see `python sample.py --help`. The same seed
gives the same samples in PyTorch and in every other runtime of the bundle. `bundle/MODEL_CARD.md` describes the
model.
"""
    write_text(folder / "README.md", text)


def verify(folder: Path) -> str:
    """Run ``sample.py`` in isolation, and compare its samples with those of :mod:`zoo.runtime`.

    Raises:
        ProofError: it fails, or gives different samples.
    """
    model = BundledModel(open_bundle(folder / "bundle"), "cpu")
    if model.manifest.sample is None:
        return agree_on_densities(RUNTIME.name, [sys.executable, "-I", str(folder / RUNTIME.name)], model)
    with tempfile.TemporaryDirectory(prefix="genzoo-") as scratch:
        condition, arguments = chosen(model, Path(scratch))
        output = Path(scratch) / "x.npy"
        command = [
            sys.executable,
            "-I",
            str(folder / RUNTIME.name),
            "-n",
            str(SAMPLES),
            "--seed",
            str(SEED),
            *arguments,
        ]
        done = subprocess.run([*command, "-o", str(output)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ProofError(f"{RUNTIME.name} fails: {last_line(done.stderr)}")
        samples = np.load(output)
    agree(RUNTIME.name, samples, model.sample(SAMPLES, seed=SEED, condition=condition), model)
    return f"{SAMPLES} samples by {RUNTIME.name}"
