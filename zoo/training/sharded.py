"""A model of which every process keeps a part: parameters, gradients and optimizer by torch's ``fully_shard`` (FSDP2).

Its checkpoints are kept in parts too: each process writes a safetensors file of what it has, by
``torch.distributed.checkpoint``, and a small JSON file names them, with their digests. Any number of processes goes on
from them, one included. No file holds a pickle.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from zoo import weights
from zoo.errors import ConfigError, OutputError, WeightsError, ZooError
from zoo.files import reason_of, sha256
from zoo.models.interface import GenerativeModel
from zoo.overriding import override
from zoo.training import kept
from zoo.training.parallel import Replicas
from zoo.training.processes import Processes

#: methods of models that compute with parameters, which each gathers before it begins
_COMPUTING = ("loss", "log_prob", "sample")


class Shards(Replicas):
    """A model of which every process has a part of each parameter; they are gathered while they are needed.

    Args:
        model: the model, which is changed.
        processes: those of the run.

    Raises:
        ConfigError: a model that cannot be kept in parts.
    """

    def __init__(self, model: GenerativeModel, processes: Processes) -> None:
        objectives = model.objectives()
        if len(objectives) > 1 or objectives[0].loss != model.loss:
            raise ConfigError("training.shard: a model with objectives of its own cannot be kept in parts")
        super().__init__(model, processes)
        self.take(model)

    @override
    def take(self, module: GenerativeModel) -> None:
        if self.processes.size == 1:
            return
        whole = [name for name, each in module.named_parameters() if each.ndim == 0]
        if whole:
            raise ConfigError(f"training.shard: parameters of no dimension cannot be kept in parts, such as {whole[0]}")
        try:
            for block in module.blocks():
                fully_shard(block, reshard_after_forward=True)
            fully_shard(module, reshard_after_forward=True)
        except (AssertionError, RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            raise ConfigError(f"training.shard: torch cannot keep this model in parts: {_first_line(error)}") from error
        for name in _COMPUTING:
            register_fsdp_forward_method(module, name)

    @override
    def loss(self, index: int, objective: Any) -> Any:
        return objective.loss

    @override
    def backward(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        # the parameters of a step are parts, and what has the gradient is what was gathered
        loss.backward()  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    @override
    def adding_up(self, *, last: bool) -> Iterator[None]:
        if self.processes.size > 1:
            assert isinstance(self.model, FSDPModule)
            self.model.set_requires_gradient_sync(last)
        yield

    @override
    def arrays(self, module: nn.Module) -> weights.Arrays:
        arrays = {}
        for name, tensor in module.state_dict().items():
            whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self.processes.leads:
                arrays[name] = whole.detach().cpu().numpy()
        return arrays


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], processes: Processes, step: int) -> None:
    """Write a checkpoint: its parts into a folder beside ``path``, then ``path`` itself, which makes them valid.

    Args:
        path: of the JSON file.
        tensors: of this process, whole ones or its parts.
        metadata: as of a safetensors file.
        processes: those that write it together.
        step: of the run, for the name of the folder.

    Raises:
        OutputError: it cannot be written; the checkpoint of before is kept.
    """
    folder = path.with_name(f"{path.stem}-{step:07d}")
    before = kept.parts_of(path)
    with _told(f"cannot write {folder}"):
        with processes.leader_first():
            if processes.leads:
                shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed while it wrote
                folder.mkdir()
        writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
        with _alone_or_not():
            save(tensors, storage_writer=writer, no_dist=processes.size == 1)
        if processes.leads:
            shards = {each.name: _digest(each) for each in sorted(folder.iterdir())}
            kept.write_record(path, {"folder": folder.name, "shards": shards, "metadata": metadata})
            kept.drop(before)
        processes.wait()


def read(path: Path, like: Callable[[str, torch.Size], Tensor | None], processes: Processes) -> dict[str, Tensor]:
    """Read a checkpoint that any number of processes wrote.

    Args:
        path: of the JSON file.
        like: name and shape to a tensor that is kept as that one is to be, whole or in parts; None for whole.
        processes: those that read it together.

    Raises:
        WeightsError: it is damaged.
    """
    record = kept.record(path)
    folder = path.with_name(record["folder"])
    if processes.leads:
        for name, digest in record["shards"].items():
            weights.check_digest(folder / name, digest)
    processes.wait()
    with _told(f"cannot read {folder}", WeightsError):
        reader = HuggingFaceStorageReader(str(folder))
        stored: dict[str, Any] = dict(reader.read_metadata().state_dict_metadata)
        tensors = {}
        for name, each in stored.items():
            known, dtype = like(name, each.size), each.properties.dtype
            if known is None or known.shape != each.size:  # which is refused with all others where it is used
                known = torch.empty(each.size)
            tensors[name] = torch.empty_like(known, dtype=dtype)
        with _alone_or_not():
            load(tensors, storage_reader=reader, no_dist=processes.size == 1)
    return tensors


def _digest(path: Path) -> str:
    """The SHA-256 of a file, which is on the disk when this returns."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    return sha256(path)


@contextlib.contextmanager
def _told(what: str, kind: type[ZooError] = OutputError) -> Iterator[None]:
    """A block whose errors of the disk, and those of torch in its place, are one sentence."""
    try:
        yield
    except ZooError:
        raise
    except (OSError, CheckpointException) as error:
        causes = getattr(error, "failures", {}).values()
        cause: Any = next((each[0] for each in causes), error)
        raise kind(f"{what}: {reason_of(cause)}") from error


@contextlib.contextmanager
def _alone_or_not() -> Iterator[None]:
    """A block in which torch does not warn that a process is alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
