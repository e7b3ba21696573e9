"""What is timed: a function that takes so many steps of a model, by ONNX Runtime or by PyTorch.

Each engine is made for one model in one precision, and gives for a batch a function from a number of steps, which
returns when they are done and their result is on the host.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpu_run import halves
from gpu_run.cells import COMPILED, OURS_RECORDED, RECORDED, TENSORRT, Cell
from gpu_run.models import Model, feeds, sampling_graph

#: steps of the longest run; a run takes its first ones
STEPS = 200
#: options of ``torch.compile``
COMPILING: Mapping[str, Any] = {"mode": "max-autotune", "dynamic": False}
Steps = Callable[[int], Any]


@dataclass
class Timed:
    """Something to time.

    Attributes:
        steps: takes so many steps.
        single: whether each step is a whole call, with its inputs copied to the device and its result back.
        notes: what to say of the cell, by name.
    """

    steps: Steps
    single: bool
    notes: dict[str, Any]


class OnnxRuntime:
    """A bundle in ONNX Runtime.

    Args:
        model: which.
        folder: its bundle, which may be written to.
        cell: engine and precision.
        provider: ``"cuda"`` or ``"cpu"``.
    """

    def __init__(self, model: Model, folder: Path, cell: Cell, provider: str) -> None:
        from zoo.runtime import Device, Session, load

        self._model = model
        own: dict[str, str] = {}
        if cell.engine == OURS_RECORDED:
            own["enable_cuda_graph"] = "1"
        if cell.engine == TENSORRT:
            provider, own = "tensorrt", {"trt_fp16_enable": str(int(cell.precision == "float16"))}
        device = Device(provider, tf32=cell.precision == "tf32", options=own)
        self.bundle = load(folder, device)
        info = self.bundle.manifest.graphs[model.graph]
        if cell.precision in ("float16", "bfloat16") and cell.engine != TENSORRT:
            graph = halves.write(folder / info.file, cell.precision)
            self.bundle.sessions[model.graph] = Session(graph, device, inputs=info.inputs, outputs=info.outputs)
        self.provider = self.bundle.session(model.graph).provider

    def timed(self, batch: int) -> Timed:
        """The loop of a sampler, or calls of a flow."""
        session, notes = self.bundle.session(self._model.graph), {"provider": self.provider}
        if self.bundle.manifest.sampling.stepped:
            guidance = {} if self.bundle.condition is None else {"guidance": 1.0}
            state = self.bundle.begin(batch, seed=0, sampler="ddim", steps=STEPS, **guidance)
            return Timed(lambda rows: self.bundle.advance(state, rows, batch_size=batch), False, notes)
        given = feeds(self.bundle.manifest.graphs[self._model.graph], batch)
        output = session.outputs[0].name
        return Timed(lambda calls: [session.run(given, [output]) for _ in range(calls)], True, notes)


class PyTorch:
    """The module that a bundle's graph is traced from.

    Args:
        built: the model, in evaluation mode.
        model: which.
        cell: engine and precision.
        device: ``"cuda"`` or ``"cpu"``.
        compiling: options of ``torch.compile``, for its cells.
    """

    def __init__(
        self,
        built: Any,
        model: Model,
        cell: Cell,
        device: str,
        compiling: Mapping[str, Any] = COMPILING,
    ) -> None:
        import torch

        self._torch, self._cell, self._device = torch, cell, torch.device(device)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = cell.precision == "tf32"
        torch.backends.cudnn.benchmark = True
        self._half = {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(cell.precision)
        self._graph = sampling_graph(built.to(self._device), model)
        self._built, self._whole = built, False
        if cell.engine == COMPILED:
            self._module = torch.compile(self._graph.module, **compiling)
        else:
            self._module = self._graph.module

    def timed(self, batch: int) -> Timed:
        """The loop over rows that are on the device, or calls of a flow."""
        arrays = feeds(self._graph, batch)
        notes: dict[str, Any] = {"device": str(self._device)}
        if self._half is not None:
            self._whole = self._runs_whole(arrays)
            notes["arithmetic"] = "whole network" if self._whole else "autocast"
        if "matrix" in arrays:
            return Timed(self._loop(arrays), False, notes)
        return Timed(self._calls(arrays), True, notes)

    def _runs_whole(self, arrays: dict[str, np.ndarray]) -> bool:
        """Convert the network to the format, if it runs in it."""
        torch = self._torch
        self._built.to(self._half)
        try:
            with torch.no_grad():
                results = _first(self._graph.module(*self._tensors(arrays, self._half).values()))
            if bool(torch.isfinite(results).all()):
                return True
        except (RuntimeError, TypeError, ValueError):
            pass  # a part of it insists on float32
        self._built.float()
        return False

    def _tensors(self, arrays: dict[str, np.ndarray], half: Any) -> dict[str, Any]:
        placed = {name: self._torch.from_numpy(array).to(self._device) for name, array in arrays.items()}
        return {n: t.to(half) if half is not None and t.is_floating_point() else t for n, t in placed.items()}

    @contextlib.contextmanager
    def _mode(self) -> Iterator[None]:
        torch = self._torch
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            if self._half is not None and not self._whole:
                stack.enter_context(torch.autocast(self._device.type, self._half))
            yield

    def _loop(self, arrays: dict[str, np.ndarray]) -> Steps:
        """Steps whose state stays on the device; each reads its row of a table there."""
        torch, names = self._torch, list(arrays)
        given = self._tensors(arrays, self._half if self._whole else None)
        row = torch.zeros(5, device=self._device, dtype=given["matrix"].dtype)
        # a network that reveals symbols takes no time
        own = {name: row[index] for index, name in enumerate(("time", "alpha", "sigma")) if name in arrays}
        given |= {**own, "matrix": row[3:5].reshape(1, 2)}
        numbers = [*(float(arrays.get(name, 0.0)) for name in ("time", "alpha", "sigma")), *arrays["matrix"][0]]
        table = torch.tensor([numbers] * STEPS, device=self._device, dtype=row.dtype)
        state, first = given["state"], given["state"].clone()

        def step() -> None:
            if self._cell.engine == COMPILED:
                torch.compiler.cudagraph_mark_step_begin()
            state.copy_(_first(self._module(*(given[name] for name in names))))

        taken = self._recorded(step) if self._cell.engine == RECORDED else step

        def steps(rows: int) -> Any:
            with self._mode():
                state.copy_(first)
                for index in range(rows):
                    row.copy_(table[index])
                    taken()
                return state.cpu()

        return steps

    def _calls(self, arrays: dict[str, np.ndarray]) -> Steps:
        """Calls of a flow: noise to the device, samples back."""
        torch = self._torch
        given = self._tensors(arrays, self._half if self._whole else None)
        host = {name: torch.from_numpy(array) for name, array in arrays.items()}
        result: list[Any] = [None]

        def call() -> None:
            if self._cell.engine == COMPILED:
                torch.compiler.cudagraph_mark_step_begin()
            result[0] = _first(self._module(*given.values()))

        taken = self._recorded(call) if self._cell.engine == RECORDED else call

        def steps(calls: int) -> Any:
            with self._mode():
                for _ in range(calls):
                    for name, tensor in given.items():
                        tensor.copy_(host[name])
                    taken()
                    done = result[0].cpu()
                return done

        return steps

    def _recorded(self, call: Callable[[], None]) -> Callable[[], None]:
        """A call as a CUDA graph, recorded after a few calls on a stream of their own, as PyTorch asks for."""
        torch = self._torch
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), self._mode():
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with self._mode(), torch.cuda.graph(graph):
            call()
        self._kept = graph
        replay: Callable[[], None] = graph.replay
        return replay


def _first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, tuple | list) else outputs


def product(cell: Cell, device: str) -> tuple[Callable[[], Any], float]:
    """A large matrix product and its floating-point operations."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = cell.precision == "tf32"
    size = 8192 if device == "cuda" else 1024
    dtype = {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(cell.precision, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)

    def call() -> None:
        torch.mm(a, b, out=out)
        if device == "cuda":
            torch.cuda.synchronize()

    return call, 2.0 * size**3
