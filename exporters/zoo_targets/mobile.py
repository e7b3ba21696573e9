"""The target ``mobile``: the graphs in ORT format, for phones and for minimal builds of ONNX Runtime.

::

    <graph>.ort                  each graph including its weights, optimized for any processor
    required_operators.config    the operators and types that a minimal build needs
    manifest.json, tables.safetensors, golden.safetensors, MODEL_CARD.md
                                 as in the bundle
    README.md

The same bundle gives the same files, except that ``.ort`` files list the names of values in an order that depends
on a hash table of ONNX Runtime.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
import warnings
from pathlib import Path

from zoo.bundle import EXAMPLE, GOLDEN, MANIFEST, MODEL_CARD, TABLES, Bundle, read_manifest
from zoo.errors import ExportError, OutputError, ZooError
from zoo.files import copy_file, write_text
from zoo.runtime.ort import onnxruntime
from zoo.runtime.session import Session
from zoo_targets.compare import replay

OPERATORS = "required_operators.config"


def pack(bundle: Bundle, folder: Path) -> None:
    """Convert the graphs of a bundle, and replace the bundle's folder by the converted files.

    Raises:
        ExportError: ONNX Runtime's converter fails.
        OutputError: the folder cannot be written.
    """
    manifest = bundle.manifest
    for name in (MANIFEST, TABLES, GOLDEN, EXAMPLE, MODEL_CARD):
        if (bundle.folder / name).is_file():
            copy_file(bundle.folder / name, folder / name)
    with tempfile.TemporaryDirectory(prefix="genzoo-") as scratch:
        converted = Path(scratch)
        _convert(bundle.folder, converted)
        for name, graph in manifest.graphs.items():
            converted_file = converted / f"{Path(graph.file).stem}.ort"
            if not converted_file.is_file():
                raise ExportError(f"ONNX Runtime's converter wrote no {converted_file.name}")
            copy_file(converted_file, folder / f"{name}.ort")
        write_text(folder / OPERATORS, _operators(converted))
    write_text(folder / "README.md", _readme(str(manifest.model.get("name", "")), list(manifest.graphs)))
    try:
        shutil.rmtree(folder / "bundle")
    except OSError as error:
        raise OutputError(f"cannot replace {folder / 'bundle'}: {error.strerror}") from error


def verify(folder: Path) -> str:
    """Replay the golden inputs of each graph in ORT format.

    Raises:
        ProofError: the outputs differ.
    """
    manifest = read_manifest(folder)
    cases = sum(replay(Session(folder / f"{n}.ort"), n, manifest, folder / GOLDEN) for n in manifest.graphs)
    return f"{cases} golden cases of {len(manifest.graphs)} graphs in ORT format"


def _convert(source: Path, target: Path) -> None:
    onnxruntime()  # with its settings, before its own tools import it
    from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

    logging.getLogger("ort_format_model.utils").setLevel(logging.ERROR)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),  # it leaves files open for the garbage collector to close
        ):
            warnings.simplefilter("ignore", ResourceWarning)
            convert_onnx_models_to_ort(
                source, target, optimization_styles=[OptimizationStyle.Fixed], enable_type_reduction=True
            )
    except ZooError:
        raise
    except Exception as error:  # whatever the converter raises
        raise ExportError(f"ONNX Runtime's converter fails: {type(error).__name__}: {error}") from error


def _operators(converted: Path) -> str:
    configs = list(converted.glob("*.config"))
    if len(configs) != 1:
        raise ExportError("ONNX Runtime's converter wrote no configuration of operators")
    # its comments name local paths
    lines = [line for line in configs[0].read_text("utf-8").splitlines() if not line.startswith("#")]
    return "\n".join(lines).strip() + "\n"


def _readme(name: str, graphs: list[str]) -> str:
    files = ", ".join(f"`{graph}.ort`" for graph in graphs)
    return f"""# {name} in ORT format

{files}: the graphs of the bundle, weights included, for ONNX Runtime on Android and iOS, full or minimal.
`manifest.json` is the bundle's: it describes the graphs' inputs and outputs and the programs (load `<graph>.ort`
where it names `<graph>.onnx`); its digests are of the bundle's files. `tables.safetensors`, where there is one, has the
step tables; `golden.safetensors` has inputs and outputs to test an app with.

`{OPERATORS}` is for a minimal build of ONNX Runtime:

```sh
./build.sh --config MinSizeRel --minimal_build extended --disable_exceptions \\
    --include_ops_by_config {OPERATORS} --enable_reduced_operator_type_support
```

(`{OPERATORS}` names ONNX Runtime's own fused operators too, so the build keeps its contrib operators.)

Without a minimal build, the ready-made packages (`onnxruntime-android`, `onnxruntime-c` and `onnxruntime-objc`,
`onnxruntime-react-native`) run the same files.
"""
