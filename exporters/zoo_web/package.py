"""The target ``node``: an npm package.

::

    package.json, README.md     what npm and people read
    index.mjs                   opens the bundle with the ONNX Runtime that is installed
    sample.mjs                  the command
    genzoo.mjs, ...             the runtime
    bundle/                     the proven bundle
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import zoo
from zoo.cards import ModelCard
from zoo.files import write_text
from zoo.manifest import Manifest
from zoo.model import GenerativeModel
from zoo_web.onnxruntime_web import VERSION
from zoo_web.parts import FILES, RUNTIME, Progress, copy_files, write_bundle

PACKAGE = ("index.mjs", "sample.mjs")


def export(
    model: GenerativeModel, card: ModelCard, folder: Path, *, progress: Progress | None = None, **options: Any
) -> None:
    """Write an npm package into an empty folder.

    Args:
        model: the model.
        card: what is known of it.
        folder: exists, and is empty.
        progress: called before each part.
        options: those of the target ``onnx``.

    Raises:
        UsageError, ExportError, ProofError, OutputError: as the target ``onnx`` does.
    """
    write_package(write_bundle(model, card, folder, progress=progress, options=options), folder)


def write_package(manifest: Manifest, folder: Path) -> None:
    """Write everything but the bundle.

    Raises:
        OutputError: the folder cannot be written.
    """
    copy_files(FILES, RUNTIME, folder)
    copy_files(FILES / "node", PACKAGE, folder)
    write_text(folder / "package.json", json.dumps(describe(manifest), indent=2, ensure_ascii=False) + "\n")
    write_text(folder / "README.md", readme(manifest))


def describe(manifest: Manifest) -> dict[str, Any]:
    """The content of ``package.json``."""
    name, licenses = package_name(manifest), [manifest.licenses.get(of) for of in ("code", "weights")]
    spdx = " AND ".join(dict.fromkeys(str(license) for license in licenses)) if all(licenses) else ""
    return {
        "name": name,
        "version": zoo.__version__,
        "description": str(manifest.model.get("summary", "")),
        "type": "module",
        "license": spdx or "SEE LICENSE IN README.md",
        "exports": {".": "./index.mjs", "./genzoo.mjs": "./genzoo.mjs", "./bundle/*": "./bundle/*"},
        "bin": {name: "sample.mjs"},
        "files": [*RUNTIME, *PACKAGE, "bundle"],
        "engines": {"node": ">=18"},
        "dependencies": {"onnxruntime-node": VERSION},
    }


def package_name(manifest: Manifest) -> str:
    """The model's name as npm takes it: lower-case letters, digits and hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", str(manifest.model.get("name", "")).lower()).strip("-")
    return name[:200] or "genzoo-model"


def readme(manifest: Manifest) -> str:
    """The content of ``README.md``."""
    name, known = package_name(manifest), manifest.model
    classes = manifest.condition is not None and manifest.condition.kind == "classes"
    chosen = " --class 0" if classes else ""
    shape = ", ".join(map(str, manifest.event_shape))
    licenses = ", ".join(f"{of}: {spdx}" for of, spdx in manifest.licenses.items() if spdx) or "not stated"
    return f"""# {name}

{known.get("summary", "")}

```sh
npm install
node sample.mjs -n 4 --seed 0{chosen} -o samples.npy
```

On machines that reach nothing but an npm registry, `npm install --ignore-scripts`: the install script of
onnxruntime-node fetches CUDA libraries from elsewhere, and the CPU needs none.

```js
import {{ open }} from "{name}";

const model = await open();
const {{ data, shape }} = await model.sample(4, {{ seed: 0 }}); // Float32Array, [4, {shape}]
```

The same seed gives the same samples in PyTorch, in Python's ONNX Runtime and here. `genzoo.mjs` says what else a model
can do. With `onnxruntime-web` installed instead of `onnxruntime-node`, it runs on WebAssembly.

Licences: {licenses}. Made by {manifest.created_by}; `bundle/MODEL_CARD.md` says more of the model.
"""
