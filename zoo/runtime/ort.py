"""ONNX Runtime itself: the only module that imports ``onnxruntime``, and only on use."""

from __future__ import annotations

import os
from typing import Any

from zoo.errors import MissingDependencyError, RuntimeFailure

#: ONNX Runtime's log severity; whatever matters is raised as an error too
FATAL = 4

#: ONNX Runtime 1.32 on Linux reports its use to its makers, unless this is 1 when it is imported
_TELEMETRY = "ORT_DISABLE_TELEMETRY"

_REPAIR = "`zoo doctor` shows what is installed and how to fix it."


def onnxruntime() -> Any:
    """The module ``onnxruntime``, quiet, and without telemetry unless the environment asks for it.

    Raises:
        MissingDependencyError: it is not installed.
        RuntimeFailure: it is installed but broken.
    """
    os.environ.setdefault(_TELEMETRY, "1")
    try:
        import onnxruntime as ort
    except ModuleNotFoundError as error:
        missing = MissingDependencyError("ONNX Runtime", "run a bundle", extra="cpu")
        missing.hint = "pip install 'genzoo[cpu]', or 'genzoo[gpu]' on a machine with CUDA"
        raise missing from error
    except ImportError as error:
        # what a module in C makes of Ctrl-C while it is imported
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise (error.__cause__ or error.__context__) from None  # type: ignore[misc]
        raise RuntimeFailure(f"ONNX Runtime is installed but cannot be imported: {error}", hint=_REPAIR) from error
    # uninstalling one of the two packages leaves the other's folder without its modules
    if not hasattr(ort, "InferenceSession"):
        raise RuntimeFailure("ONNX Runtime is only half installed: it has no InferenceSession", hint=_REPAIR)
    ort.set_default_logger_severity(FATAL)
    return ort
