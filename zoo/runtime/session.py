"""ONNX graphs in ONNX Runtime: one as a :class:`Session`, those of a bundle as :class:`Sessions`.

ONNX Runtime silently falls back to the CPU if a provider is unavailable, prints to stdout when it retries, and raises
a dozen unrelated exception classes. Here it is an error if a requested provider is not in use, nothing is
printed, and every failure is a :class:`~zoo.errors.ZooError` that names the graph.
"""

from __future__ import annotations

import contextlib
import io
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.arrays import Array
from zoo.bundle import Bundle
from zoo.errors import (
    BundleError,
    DataError,
    DeviceMemoryError,
    ProviderError,
    RuntimeFailure,
    UsageError,
    ZooError,
)
from zoo.programs.ports import Port
from zoo.runtime.bindings import Bindings
from zoo.runtime.device import Device, choose_provider, execution_provider
from zoo.runtime.ort import onnxruntime
from zoo.runtime.recording import Recorder, Shaped

_DTYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(int64)": "int64", "tensor(double)": "float64"}
_NUMPY = {name: np.dtype(name) for name in _DTYPES.values()}
#: what ONNX Runtime, cuBLAS, cuDNN and CUDA say when there is no memory left
_NO_MEMORY = ("failed to allocate", "out of memory", "alloc_failed", "bad_alloc", "bad allocation")
#: a place in ONNX Runtime's own source, and the signature of the function there
_LOCATION = re.compile(r"[\w/.-]+\.(?:h|cc|cpp|cu):\d+ (?:[\w:<>,&*~ ]*\([^()]*\) )?")
#: characters of a reason
_LONGEST = 400
_DAMAGED = ("InvalidProtobuf", "InvalidGraph", "NoSuchFile", "NoModel")


class Session:
    """A loaded graph.

    Args:
        graph: the ONNX file.
        device: where it runs; the name of a provider means its first device.
        inputs: the inputs stated by a manifest; checked against the graph itself.
        outputs: likewise.

    Attributes:
        provider: the provider in use, ``"cpu"``, ``"cuda"`` or another.
        fallback: why ``"auto"`` uses the CPU although this ONNX Runtime was built with CUDA, or None.
        inputs: what the graph takes.
        outputs: the output ports.
        largest_batch: the largest batch that is known to fit into memory, after a larger one did not; or None.

    Raises:
        UnknownNameError: no such provider.
        MissingDependencyError: ONNX Runtime is not installed.
        ProviderError: the requested provider is not in use.
        BundleError: the file is not an ONNX graph, or not the one that the manifest describes.
        RuntimeFailure: this version of ONNX Runtime cannot load it.
    """

    def __init__(
        self,
        graph: Path,
        device: Device | str = "cpu",
        *,
        inputs: Sequence[Port] | None = None,
        outputs: Sequence[Port] | None = None,
    ) -> None:
        self.graph = Path(graph)
        self.fallback: str | None = None
        self.device = Device.of(device)
        chosen = choose_provider(self.device.provider)
        #: the device of ``value``
        self._place = self.device.place(chosen)
        session = None if chosen == "cpu" else self._accelerated(chosen, required=self.device.provider != "auto")
        if session is None:
            with self._told("load"):
                options, providers = self.device.session_options(), self.device.providers("cpu")
                session = onnxruntime().InferenceSession(
                    str(self.graph), options, providers=providers, enable_fallback=0
                )
        self._session = session
        in_use = self._session.get_providers()[0]
        self.provider = chosen if in_use == execution_provider(chosen) else "cpu"
        self.largest_batch: int | None = None
        #: of runs that have ended, for the next ones
        self._idle: list[Bindings] = []
        self._place = self.device.place(self.provider)
        records = self.device.records(self.provider)
        self._recorder = Recorder(self._session, self._place, self.graph.name) if records else None
        self.inputs = self._ports("input", self._session.get_inputs(), inputs)
        self.outputs = self._ports("output", self._session.get_outputs(), outputs)

    def run(
        self,
        feeds: Mapping[str, Array],
        outputs: Sequence[str] | None = None,
        held: Mapping[str, Any] | None = None,
    ) -> dict[str, Array]:
        """Run the graph once.

        Args:
            feeds: one array for each input, of exactly its dtype, rank and fixed sizes.
            outputs: names of the outputs to compute, or None for all.
            held: the inputs of :meth:`holding`, in place of arrays.

        Raises:
            DataError: an input is missing, unknown or does not fit.
            DeviceMemoryError: the batch does not fit into the device's memory.
            RuntimeFailure: ONNX Runtime failed.
        """
        names = [port.name for port in self.outputs] if outputs is None else list(outputs)
        if held and self._is_host:
            feeds, held = {**feeds, **held}, None
        arrays = self._check(feeds, elsewhere=held or ())
        with self._told("run"):
            if self._recorder is not None:
                return self._recorder.run(arrays, self._shapes(names, arrays, held or {}), held or {})
            if not held:
                return dict(zip(names, self._session.run(names, arrays), strict=True))
            binding = self._session.io_binding()
            for name, array in arrays.items():
                binding.bind_cpu_input(name, array)
            for name, value in held.items():
                binding.bind_ortvalue_input(name, value)
            for name in names:
                binding.bind_output(name)
            self._session.run_with_iobinding(binding)
            return dict(zip(names, binding.copy_outputs_to_cpu(), strict=True))

    @contextlib.contextmanager
    def holding(self, arrays: Mapping[str, Array]) -> Iterator[Mapping[str, Any]]:
        """Inputs that are the same in many calls of :meth:`run`, copied to the device once; on the CPU, as they are."""
        if self._is_host:
            yield arrays
        elif self._recorder is None:
            yield {name: self.value(array) for name, array in arrays.items()}
        else:
            with self._recorder.lending() as lend:
                with self._told("take its inputs"):
                    values = {name: lend(f"held {name}", array) for name, array in arrays.items()}
                yield values

    @property
    def _is_host(self) -> bool:
        """Whether calls read the arrays that they are given."""
        return self.provider == "cpu" and self._recorder is None

    def value(self, array: Array) -> Any:
        """A copy of an array on the graph's device, for :meth:`run_on`; :meth:`fetch` copies it back."""
        with self._told("take its inputs"):
            return onnxruntime().OrtValue.ortvalue_from_numpy(np.array(array, order="C"), *self._place)

    def replace(self, value: Any, array: Array) -> None:
        """Give a :meth:`value` the content of another array of its shape and dtype."""
        with self._told("take its inputs"):
            value.update_inplace(np.array(array, order="C"))

    @contextlib.contextmanager
    def placing(self) -> Iterator[tuple[Callable[[str, Array], Any], Bindings | None]]:
        """For one run of many calls: a function from a role and an array to a :meth:`value`, and :meth:`bindings`.

        Where calls are recorded as CUDA graphs, and on the CPU, the values belong to the session, and are lent to the
        run.
        """
        if self._recorder is not None:
            with self._recorder.lending() as lend:

                def placed(role: str, array: Array) -> Any:
                    with self._told("take its inputs"):
                        return lend(role, array)

                yield placed, None
            return
        bindings: Bindings | None
        try:
            bindings = self._idle.pop()
        except IndexError:  # the first run, or others are under way
            bindings = self.bindings()
        if bindings is None:
            yield (lambda _, array: self.value(array)), None
            return
        yield bindings.placed, bindings
        if bindings.small:
            self._idle.append(bindings)

    def fetch(self, value: Any) -> Array:
        """A copy of a :meth:`value` as an array."""
        # on the CPU `numpy()` is a view of the value's memory, which the next run overwrites and its deletion frees
        return np.array(value.numpy())

    def bindings(self) -> Bindings | None:
        """What :meth:`run_on` keeps for one run of many calls, where it helps: on the CPU."""
        return Bindings(self._session, self.value) if self._is_host else None

    def is_finite(self, value: Any) -> bool:
        """Whether all numbers of a :meth:`value` are finite, without a copy where it is in the host's memory."""
        return bool(np.isfinite(value.numpy()).all())

    def run_on(
        self,
        feeds: Mapping[str, Array],
        resident: Mapping[str, object],
        results: Mapping[str, object],
        bindings: Bindings | None = None,
    ) -> None:
        """Run the graph once on values that stay on its device.

        A loop that swaps ``resident`` and ``results`` copies no state between host and device, and allocates nothing.

        Args:
            feeds: inputs given as arrays.
            resident: inputs given as :meth:`value`.
            results: outputs, written into these values; outputs not named are not computed.
            bindings: of :meth:`placing` or :meth:`bindings`, for one of many calls of a run.

        Raises:
            DataError, DeviceMemoryError, RuntimeFailure: as for :meth:`run`.
        """
        if bindings is not None:
            try:  # a context manager would take as long as the rest of this function
                bound = bindings.bound(feeds, resident, results, lambda: self._check(feeds, elsewhere=resident))
                self._session.run_with_iobinding(bound)
            except ZooError:
                raise
            except Exception as error:
                raise self._failure("run", error) from error
            return
        arrays = self._check(feeds, elsewhere=resident)
        with self._told("run"):
            if self._recorder is not None:
                self._recorder.run_on(arrays, resident, results)
                return
            binding = self._session.io_binding()
            for name, array in arrays.items():
                binding.bind_cpu_input(name, array)
            for name, value in resident.items():
                binding.bind_ortvalue_input(name, value)
            for name, value in results.items():
                binding.bind_ortvalue_output(name, value)
            self._session.run_with_iobinding(binding)

    # -- loading ----------------------------------------------------------------------------------------------------

    def _accelerated(self, chosen: str, *, required: bool) -> Any:
        """The session of a provider other than the CPU's; None, and a reason to fall back, where it does not work.

        Raises:
            ProviderError: it does not work, and is required.
            BundleError: the graph cannot be loaded.
        """
        name = {"cuda": "CUDA"}.get(chosen, chosen)
        reason = f"ONNX Runtime could not load its {name} libraries, or found no device"
        try:
            ort = onnxruntime()
            if chosen in ("cuda", "tensorrt") and hasattr(ort, "preload_dlls"):
                with contextlib.redirect_stdout(io.StringIO()):  # it prints missing libraries
                    ort.preload_dlls()
            with self._told("load"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it only warns of a missing provider; the outcome is checked below
                options, providers = self.device.session_options(), self.device.providers(chosen)
                session = ort.InferenceSession(str(self.graph), options, providers=providers, enable_fallback=0)
            if session.get_providers()[0] == execution_provider(chosen):
                return session
        except BundleError:
            raise
        except (ZooError, OSError, RuntimeError) as error:
            reason = str(error)
        if required:
            raise ProviderError(
                f"{name} was requested but is not in use for {self.graph.name}: {reason}",
                hint="`zoo doctor` looks for the cause; --provider auto falls back to the CPU.",
            )
        self.fallback = reason
        return None

    def _ports(self, what: str, nodes: Iterable[Any], stated: Sequence[Port] | None) -> tuple[Port, ...]:
        actual = tuple(
            Port(
                node.name,
                _DTYPES.get(node.type, node.type),
                tuple("?" if size is None else size for size in node.shape),
            )
            for node in nodes
        )
        if stated is None:
            return actual
        if [_signature(p) for p in actual] != [_signature(p) for p in stated]:
            raise BundleError(
                f"{self.graph} is not the graph that the manifest describes: its {what}s are {_list(actual)}, "
                f"not {_list(stated)}"
            )
        return tuple(stated)

    # -- running ----------------------------------------------------------------------------------------------------

    def _shapes(
        self, names: Sequence[str], arrays: Mapping[str, Array], held: Mapping[str, Any]
    ) -> dict[str, Shaped | None]:
        """Shape and dtype of outputs, as the sizes of inputs determine them; None where they do not."""
        inputs = {name: array.shape for name, array in arrays.items()} | {k: v.shape() for k, v in held.items()}
        sizes = {dim: size for port in self.inputs for dim, size in zip(port.shape, inputs[port.name], strict=True)}
        ports = {port.name: port for port in self.outputs}
        shapes: dict[str, Shaped | None] = {}
        for name in names:
            shape = [sizes.get(dim, dim) for dim in ports[name].shape]
            known = all(isinstance(size, int) for size in shape) and ports[name].dtype in _NUMPY
            shapes[name] = (tuple(map(int, shape)), _NUMPY[ports[name].dtype]) if known else None
        return shapes

    def _check(self, feeds: Mapping[str, object], elsewhere: Iterable[str] = ()) -> dict[str, Array]:
        """The arrays to feed, made contiguous, after checking that they are exactly what the graph takes."""
        elsewhere = set(elsewhere)
        wanted = {port.name: port for port in self.inputs if port.name not in elsewhere}
        if unknown := feeds.keys() - wanted.keys():
            raise DataError(f"graph {self.graph.name} has no input {', '.join(sorted(unknown))}")
        if missing := wanted.keys() - feeds.keys():
            raise DataError(f"graph {self.graph.name} lacks its input {', '.join(sorted(missing))}")
        sizes: dict[str, int] = {}
        arrays = {}
        for name, port in wanted.items():
            array = np.asarray(feeds[name])
            fits = array.dtype == _NUMPY.get(port.dtype) and array.ndim == len(port.shape)
            for size, dim in zip(array.shape, port.shape, strict=False):
                fits = fits and size == (sizes.setdefault(dim, size) if isinstance(dim, str) and dim != "?" else dim)
            if not fits:
                known = f" where {', '.join(f'{k} = {v}' for k, v in sizes.items())}" if sizes else ""
                raise DataError(
                    f"graph {self.graph.name}: input {name} is {array.dtype}{list(array.shape)}, "
                    f"expected {_list([port])}{known}"
                )
            # `ascontiguousarray` would turn a scalar into a vector
            arrays[name] = array if array.flags.c_contiguous else np.ascontiguousarray(array)
        return arrays

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """Raises the errors of ONNX Runtime, whose classes have no common base, as ours."""
        try:
            yield
        except ZooError:
            raise
        except Exception as error:
            raise self._failure(doing, error) from error

    def _failure(self, doing: str, error: Exception) -> ZooError:
        text = " ".join(str(error).split())
        # "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from x.onnx failed: ..." says it all in its last part
        reason = text.split(" : ", 3)[-1] if text.startswith("[ONNXRuntimeError]") else text or type(error).__name__
        reason = _LOCATION.sub("", reason)
        if len(reason) > _LONGEST:  # cuDNN's describe the whole operator
            reason = f"{reason[:_LONGEST]}…"
        if not self.graph.is_file():
            return BundleError(f"the graph {self.graph} does not exist")
        if doing == "load" and type(error).__name__ in _DAMAGED:
            return BundleError(
                f"{self.graph} is not a valid ONNX graph: {reason}", hint="Copy or export the bundle again."
            )
        if any(said in text.lower() for said in _NO_MEMORY):
            asked = re.search(r"buffer of size (\d+)", text)
            more = f": {int(asked[1]) / 1e6:,.1f} MB more were asked for" if asked else ""
            where = {"cuda": "GPU"}.get(self._place[0], "host")
            return DeviceMemoryError(
                f"the {where}'s memory does not suffice to {doing} {self.graph.name}{more}",
                hint=None if doing == "load" else "Try a smaller batch size.",
            )
        hint = None
        if "IR version" in text or "opset" in text.lower():
            hint = "The graph may be newer than this ONNX Runtime: pip install --upgrade onnxruntime"
        return RuntimeFailure(f"ONNX Runtime cannot {doing} {self.graph.name}: {reason}", hint=hint)


class Sessions:
    """The graphs of a bundle in ONNX Runtime, each loaded on first use.

    Args:
        bundle: an opened bundle.
        device: where its graphs run.

    Attributes:
        loaded: those that are, by graph.
    """

    def __init__(self, bundle: Bundle, device: Device) -> None:
        self._bundle, self._device = bundle, device
        self._loading = threading.Lock()
        self.loaded: dict[str, Session] = {}

    def __call__(self, graph: str | None = None) -> Session:
        """One of the graphs.

        Args:
            graph: its name; None is any that is loaded, or else the one that samples, or scores if none does.

        Raises:
            UsageError: the bundle has no such graph.
            BundleError, RuntimeFailure: it cannot be loaded.
        """
        manifest = self._bundle.manifest
        if graph is None:
            graph = next(iter(self.loaded), manifest.main.graph)
        if graph not in manifest.graphs:
            raise UsageError(
                f"{self._bundle.name} has no graph {graph}", hint=f"There are: {', '.join(manifest.graphs)}."
            )
        with self._loading:  # a single session, even if several threads need it at once
            if graph not in self.loaded:
                info = manifest.graphs[graph]
                file = self._bundle.file(info.file)
                self.loaded[graph] = Session(file, self._device, inputs=info.inputs, outputs=info.outputs)
        return self.loaded[graph]


def _signature(port: Port) -> tuple[str, str, tuple[int | None, ...]]:
    return port.name, port.dtype, tuple(d if isinstance(d, int) else None for d in port.shape)


def _list(ports: Iterable[Port]) -> str:
    return ", ".join(f"{p.name} {p.dtype}[{', '.join(map(str, p.shape))}]" for p in ports) or "none"
