"""The target ``node``: an npm package.

::

    package.json, README.md     for npm and for people
    index.mjs                   opens the bundle with the installed ONNX Runtime
    given.mjs                   what `--condition` stands for
    sample.mjs                  the command
    genzoo/                     the runtime
    bundle/                     the proven bundle
    example/                    of named parts of a condition, a value each
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import zoo
from zoo.bundle import Bundle, open_bundle
from zoo.bundle.manifest import Manifest
from zoo.errors import ProofError
from zoo.files import reason_of, write_text
from zoo.runtime import BundledModel
from zoo_targets.compare import (
    EXAMPLES,
    agree,
    class_shown,
    example,
    refuse_scoring_alone,
    values_shown,
    write_parts,
)
from zoo_web.onnxruntime_web import VARIABLE, VERSION
from zoo_web.parts import FILES, RUNTIME, copy_folder, make_folder, missing, refuse_unknown, some_condition

#: packages that can run the graphs in Node
RUNTIMES = ("onnxruntime-node", "onnxruntime-web")
_SEED, _SAMPLES = 5, 3
_SECONDS = 600


def pack(bundle: Bundle, folder: Path, **unknown: object) -> None:
    """Add an npm package to a folder that has the bundle.

    Raises:
        UsageError: any option, since it has none.
        OutputError: the folder cannot be written.
    """
    refuse_unknown("node", unknown)
    refuse_scoring_alone(bundle.manifest, "node")
    manifest = bundle.manifest
    copy_folder(FILES / "node", folder)
    copy_folder(FILES / RUNTIME, make_folder(folder / RUNTIME))
    write_text(folder / "package.json", json.dumps(describe(manifest), indent=2, ensure_ascii=False) + "\n")
    write_parts(bundle, folder)
    write_text(folder / "README.md", readme(bundle))


def verify(folder: Path) -> str:
    """Run the package's command in Node, and compare its samples with those of :mod:`zoo.runtime`.

    Raises:
        MissingDependencyError: Node or its ONNX Runtime is missing.
        ProofError: the command fails, or gives different samples.
    """
    node, modules = shutil.which("node"), os.environ.get(VARIABLE)
    if node is None:
        raise missing("Node", "run the package", "Install Node 18 or newer.")
    places = [folder.resolve() / "node_modules", *(parent / "node_modules" for parent in folder.resolve().parents)]
    if not any(
        (place / name).is_dir() for place in (*places, *([Path(modules)] if modules else [])) for name in RUNTIMES
    ):
        hint = f"`npm install` in {folder}, or name a folder of npm packages that has it in {VARIABLE}."
        raise missing("onnxruntime-node", "run the package", hint)
    model = BundledModel(open_bundle(folder / "bundle"), "cpu")
    condition = some_condition(model.bundle)
    with tempfile.TemporaryDirectory(prefix="genzoo-") as scratch:
        output = Path(scratch) / "x.npy"
        command = [node, str(folder / "sample.mjs"), "-n", str(_SAMPLES), "--seed", str(_SEED), "-o", str(output)]
        if isinstance(condition, dict):
            (Path(scratch) / "condition.json").write_text(json.dumps(condition), "utf-8")
            command.append(f"--condition={Path(scratch) / 'condition.json'}")
        elif condition is not None:
            # as one word, since a leading minus sign would be taken for an option
            command.append(f"--vector={','.join(map(str, condition))}")
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProofError(f"the package of {model.name} cannot be run in Node: {reason_of(error)}") from error
        if done.returncode or not output.is_file():
            said = next(
                (line for line in done.stderr.splitlines() if line.startswith("Error: ")), "it does not say why"
            )
            raise ProofError(f"the package of {model.name} fails in Node: {said.removeprefix('Error: ')}")
        actual = np.load(output, allow_pickle=False)
    agree("sample.mjs", actual, model.sample(_SAMPLES, seed=_SEED, condition=condition), model)
    return f"{_SAMPLES} samples by sample.mjs in Node"


def _places(folder: Path) -> list[Path]:
    """Folders of npm packages in which Node looks, as index.mjs does."""
    modules, whole = os.environ.get(VARIABLE), folder.resolve()
    return [place / "node_modules" for place in (whole, *whole.parents)] + ([Path(modules)] if modules else [])


def describe(manifest: Manifest) -> dict[str, object]:
    """The content of ``package.json``."""
    name, licenses = package_name(manifest), [manifest.licenses.get(of) for of in ("code", "weights")]
    parts = manifest.condition is not None and not manifest.condition.plain
    spdx = " AND ".join(dict.fromkeys(str(license) for license in licenses)) if all(licenses) else ""
    return {
        "name": name,
        "version": zoo.__version__,
        "description": str(manifest.model.get("summary", "")),
        "type": "module",
        "license": spdx or "SEE LICENSE IN README.md",
        "exports": {".": "./index.mjs", "./genzoo/*": "./genzoo/*", "./bundle/*": "./bundle/*"},
        "bin": {name: "sample.mjs"},
        "files": ["index.mjs", "sample.mjs", "given.mjs", RUNTIME, "bundle", *([EXAMPLES] if parts else [])],
        "engines": {"node": ">=18"},
        "dependencies": {"onnxruntime-node": VERSION},
    }


def package_name(manifest: Manifest) -> str:
    """The model's name in the form npm accepts: lower-case letters, digits and hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", str(manifest.model.get("name", "")).lower()).strip("-")
    return name[:200] or "genzoo-model"


def readme(bundle: Bundle) -> str:
    """The content of ``README.md``."""
    manifest = bundle.manifest
    name, known = package_name(manifest), manifest.model
    chosen, argument = "", ""
    if manifest.condition is not None and manifest.condition.kind == "classes":
        label = class_shown(bundle)
        word = label if label.isdecimal() else json.dumps(label, ensure_ascii=False)
        chosen, argument = f" --class {shlex.quote(label)}", f", condition: {word}"
    elif isinstance(condition := some_condition(bundle), dict) and manifest.condition is not None:
        texts, chosen = values_shown(bundle), example(bundle)
        shapes = {part.name: f"/* {list(part.shape)} */" for part in manifest.condition.parts}
        values = {n: shapes[n] if texts[n].endswith(".npy") else json.dumps(condition[n]) for n in texts}
        argument = ", condition: { " + ", ".join(f"{name}: {value}" for name, value in values.items()) + " }"
    elif condition is not None:
        vector = ", ".join(map(str, condition))
        chosen, argument = f" --vector={vector.replace(' ', '')}", f", condition: [{vector}]"
    shape = ", ".join(map(str, manifest.event_shape))
    licenses = ", ".join(f"{of}: {spdx}" for of, spdx in manifest.licenses.items() if spdx) or "not stated"
    return f"""# {name}

{known.get("summary", "")}

```sh
npm install
node sample.mjs -n 4 --seed 0{chosen} -o samples.npy
```

On machines that can reach only an npm registry, use `npm install --ignore-scripts`: the install script of
onnxruntime-node fetches CUDA libraries from elsewhere, which the CPU does not need.

```js
import {{ open }} from "{name}";

const model = await open();
const {{ data, shape }} = await model.sample(4, {{ seed: 0{argument} }}); // Float32Array, [4, {shape}]
```

The same seed gives the same samples in PyTorch, in Python's ONNX Runtime and here. `genzoo/genzoo.mjs` documents what
else a model can do. With `onnxruntime-web` installed instead of `onnxruntime-node`, it runs on WebAssembly.

Licences: {licenses}. Made by {manifest.created_by}; `bundle/MODEL_CARD.md` describes the model.
"""
