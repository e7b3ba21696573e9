"""Where graphs run, and how: a provider of ONNX Runtime, its device, threads and precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.errors import ProviderError, UnknownNameError, UsageError
from zoo.runtime.ort import FATAL, onnxruntime

_SUFFIX = "ExecutionProvider"
#: providers that are always known by name: if missing from a build, the message differs from that for a misspelling
_USUAL = ("cpu", "cuda")
#: sends tensors to a server on the internet
_REMOTE = ("azure",)
#: providers whose graphs take and give values in CUDA's memory
_ON_CUDA = ("cuda", "tensorrt")
_RECORDING, _RECORDING_ELSEWHERE = "enable_cuda_graph", "trt_cuda_graph_enable"


@dataclass(frozen=True)
class Device:
    """The device of a session.

    Attributes:
        provider: ``"cpu"``, ``"cuda"``, ``"auto"`` for CUDA where it works and the CPU elsewhere, or another one that
            the installed ONNX Runtime was built with, by its name in lower case: ``"coreml"``, ``"openvino"``, …
        threads: CPU threads for one operator; None leaves the choice to ONNX Runtime.
        index: which GPU, where the provider numbers them.
        tf32: whether CUDA may round the factors of products to 10 bits (TF32): faster, but beyond the tolerance of an
            export's proof.
        options: options of the provider, see ONNX Runtime's documentation. With ``enable_cuda_graph`` of CUDA, calls of
            a graph are recorded and replayed, see :mod:`zoo.runtime.recording`.

    Raises:
        UsageError: an invalid number of threads or device index.
    """

    provider: str = "auto"
    threads: int | None = None
    index: int = 0
    tf32: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.threads is not None and (not _whole(self.threads) or self.threads < 1):
            raise UsageError(f"the number of threads is a whole number, 1 or more, not {self.threads!r}")
        if not _whole(self.index) or self.index < 0:
            raise UsageError(f"devices are numbered from 0, not {self.index!r}")
        if _is_on(self.options, _RECORDING_ELSEWHERE):
            # a replay would read the arrays of the call that was recorded
            raise UsageError(
                f"{_RECORDING_ELSEWHERE} is not supported: CUDA graphs are recorded by the provider cuda alone",
                hint=f"Leave it out, or use the provider cuda with {_RECORDING}.",
            )

    @classmethod
    def of(cls, device: Device | str, threads: int | None = None) -> Device:
        """A device, or that of a provider's name.

        Raises:
            UsageError: threads given besides a device, which has its own number of threads.
        """
        if isinstance(device, str):
            return cls(device, threads)
        if threads is not None:
            raise UsageError("a device has its own number of threads")
        return device

    def session_options(self) -> Any:
        """ONNX Runtime's ``SessionOptions``."""
        ort = onnxruntime()
        options = ort.SessionOptions()
        options.log_severity_level = FATAL
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        # spinning idle threads would take the processor from everything else, including torch's pool in this process
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.inter_op_num_threads = 1
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        return options

    def providers(self, chosen: str) -> list[Any]:
        """ONNX Runtime's ``providers``: the chosen one with its options, and the CPU for what it cannot do."""
        own = dict(self.options)
        if chosen == "cuda":
            own = {**self._cuda(), **own}
        elif self.index:
            own = {"device_id": str(self.index), **own}
        first = execution_provider(chosen)
        behind: list[Any] = [] if chosen == "cpu" else [execution_provider("cpu")]
        if chosen == "tensorrt" and "cuda" in available():  # for what it cannot do, before the CPU
            behind = [(execution_provider("cuda"), self._cuda()), *behind]
        return [(first, own) if own else first, *behind]

    def _cuda(self) -> dict[str, str]:
        return {"device_id": str(self.index), "use_tf32": str(int(self.tf32))}

    def place(self, chosen: str) -> tuple[str, int]:
        """ONNX Runtime's device of the values that stay beside a provider's graphs: its name and index."""
        return ("cuda", self.index) if chosen in _ON_CUDA else ("cpu", 0)

    def records(self, chosen: str) -> bool:
        """Whether a provider is asked to record the calls of graphs as CUDA graphs."""
        return chosen == "cuda" and _is_on(self.options, _RECORDING)


def available() -> dict[str, str]:
    """Names of the providers that the installed ONNX Runtime was built with, each with ONNX Runtime's own name.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
    """
    providers = {name.removesuffix(_SUFFIX).lower(): name for name in onnxruntime().get_available_providers()}
    return {name: own for name, own in providers.items() if name not in _REMOTE}


def execution_provider(name: str) -> str:
    """ONNX Runtime's name of a provider."""
    return available().get(name, f"{name.upper()}{_SUFFIX}")


def choose_provider(provider: str) -> str:
    """The provider to try for a name or ``"auto"``.

    Raises:
        UnknownNameError: no such provider.
        MissingDependencyError: ONNX Runtime is not installed.
        ProviderError: CUDA was requested, but this ONNX Runtime was built without it.
    """
    providers = available()
    if provider == "auto":
        return "cuda" if "cuda" in providers else "cpu"
    if provider in providers or provider == "cpu":
        return provider
    if provider not in _USUAL:
        raise UnknownNameError("provider", str(provider), sorted({"auto", *_USUAL, *providers}))
    raise ProviderError(
        f"CUDA was requested, but the installed ONNX Runtime {onnxruntime().__version__} was built without it",
        hint="pip uninstall onnxruntime, then pip install 'genzoo[gpu]'; `zoo doctor` shows what is installed.",
    )


def _is_on(options: Mapping[str, str], name: str) -> bool:
    return str(options.get(name, "0")).lower() in ("1", "true")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
