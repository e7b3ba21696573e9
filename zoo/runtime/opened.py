"""A bundle with its graphs loaded on demand: the common part of sampling and scoring."""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.bundle import Bundle
from zoo.conditions import Condition, ConditionLike
from zoo.counts import checked_count
from zoo.errors import ConditionError, RuntimeFailure, UsageError
from zoo.noise import check_seed
from zoo.runtime import tables
from zoo.runtime.attempts import Attempt
from zoo.runtime.codec import BundledCodec
from zoo.runtime.conditioning import ConditionRows, Conditions, encoded
from zoo.runtime.device import Device, choose_provider
from zoo.runtime.graph_checks import latent_shape
from zoo.runtime.session import Session, Sessions
from zoo.samplers import BUILTIN, SamplerFunction, StepTable
from zoo.samplers.state import pad

#: the sample's index is one 32-bit word of the noise's counter
LARGEST_COUNT = 1 << 32
#: numbers in one batch of states: networks need about a hundred times as many for intermediate values (100 MB at this
#: size)
_BATCH_NUMBERS = {"cpu": 1 << 16, "gpu": 1 << 20}
_LARGEST_BATCH = 4096


class OpenBundle:
    """An opened bundle and its sessions: what the runners of programs see of a :class:`zoo.runtime.BundledModel`.

    Args:
        bundle: an opened bundle.
        device: where it runs: a :class:`~zoo.runtime.device.Device`, or the name of a provider.
        threads: CPU threads, or None for ONNX Runtime's choice.
        samplers: where samplers are looked up by name.

    Attributes:
        bundle: the bundle.
        manifest: its manifest.
        name: the model's name.
        event_shape: shape of one sample.
        condition: what samples are conditioned on, or None.
        levels: number of values of discrete data, or None.
        modality: the meaning of a sample's numbers, where its shape does not tell.
        device: where its graphs run.
        samplers: where samplers are looked up by name.
        session: gives the session of a graph, see :meth:`zoo.runtime.session.Sessions.__call__`.
        codec: between data and latents.
        tables_made: step tables of runs so far, by :attr:`zoo.samplers.SamplingOptions.table_key`.
    """

    def __init__(
        self,
        bundle: Bundle,
        device: Device | str = "auto",
        threads: int | None = None,
        *,
        samplers: Mapping[str, SamplerFunction] = BUILTIN,
    ) -> None:
        self.device = Device.of(device, threads)
        choose_provider(self.device.provider)
        self.bundle, self.manifest, self.name = bundle, bundle.manifest, bundle.name
        self.event_shape, self.condition = self.manifest.event_shape, self.manifest.condition
        self.levels, self.modality = self.manifest.levels, self.manifest.modality
        self.samplers = samplers
        self.session = Sessions(bundle, self.device)
        self.tables_made: dict[str, StepTable] = {}
        self.codec = BundledCodec(self.name, self.manifest.main, self.run)

    @cached_property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of one state of a model that samples in steps."""
        return latent_shape(self.manifest)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise of one sample, for ``sample(noise=...)``."""
        return self.manifest.sampling.noise_shape(self.manifest.graphs)

    def stored_tables(self) -> Mapping[tuple[str, int], StepTable]:
        """The step tables of the bundle by sampler and steps, read when they are first needed.

        Raises:
            BundleError: they are damaged.
        """
        return self._tables

    @cached_property
    def _tables(self) -> Mapping[tuple[str, int], StepTable]:
        return tables.read(self.bundle)

    @property
    def provider(self) -> str:
        """The provider in use, ``"cpu"``, ``"cuda"`` or another."""
        return self.session().provider

    @property
    def fallback(self) -> str | None:
        """Why ``"auto"`` uses the CPU although ONNX Runtime was built with CUDA, or None."""
        return self.session().fallback

    def run(self, graph: str, port: str, values: Array) -> dict[str, Array]:
        """The outputs of a graph of one input, batch by batch.

        Raises:
            RuntimeFailure: ONNX Runtime failed, or a value is not finite.
        """
        session = self.session(graph)
        parts = []
        for attempt in self.attempts(self.batches(len(values), None, session), None, session):
            with attempt as part:
                batch = np.ascontiguousarray(self.filled(values[part]), np.float32)
                results = session.run({port: batch})
                parts.append({name: array[: part.stop - part.start] for name, array in results.items()})
        outputs = {name: np.concatenate([results[name] for results in parts]) for name in parts[0]}
        if not all(np.isfinite(array).all() for array in outputs.values()):
            raise RuntimeFailure(f"graph {graph} gives values that are not finite")
        return outputs

    def sampling_condition(self, condition: ConditionLike, n: int, *, encoded: bool = True) -> Conditions:
        """The condition of ``n`` samples, ``[n]`` or ``[n, d]``, or of named parts; None for a model without any.

        Where they are not to be ``encoded``, named parts stay as they are: a fused graph encodes them itself.

        Raises:
            ConditionError: one that the model cannot take.
        """
        described, encoder = self.condition, self.manifest.main.condition_encoder if encoded else None
        if described is None:
            if condition is not None:
                raise ConditionError(f"{self.name} takes no condition")
            return None
        if described.plain and encoder is None:
            return described.array(condition, n)
        parts, index = described.distinct(condition, n)
        return self._rows(described, parts, index, encoder)

    def null_condition(self, n: int, lengths: Mapping[int | str, int]) -> ConditionRows | None:
        """The null condition of ``n`` samples, as one row; None for a model without named parts.

        Raises:
            UsageError: a part without a null.
        """
        described, encoder = self.condition, self.manifest.main.condition_encoder
        if described is None or described.plain:
            return None
        return self._rows(described, described.nulls(lengths), np.zeros(n, np.intp), encoder)

    def _rows(
        self, described: Condition, parts: Mapping[str, Array], index: NDArray[np.intp], encoder: str | None
    ) -> ConditionRows:
        def make(lengths: Mapping[int | str, int]) -> Mapping[str, Array]:
            even = described.longer(parts, lengths)
            return even if encoder is None else self._encoded(encoder, even)

        return ConditionRows(make, index, described.lengths(parts))

    def _encoded(self, encoder: str, parts: Mapping[str, Array]) -> dict[str, Array]:
        session = self.session(encoder)
        return encoded(session, parts, _BATCH_NUMBERS["cpu" if session.provider == "cpu" else "gpu"])

    def batches(self, n: int, batch_size: int | None, session: Session, work: int = 1) -> list[slice]:
        """Slices of nearly equal size that cover ``n`` samples; smaller ones if a call does more work for each."""
        if batch_size is None:
            numbers = _BATCH_NUMBERS["cpu" if session.provider == "cpu" else "gpu"]
            size = numbers // max(math.prod(self.event_shape) * work, 1)
            size = min(max(size, 1), _LARGEST_BATCH, session.largest_batch or _LARGEST_BATCH)
        else:
            size = checked_count("samples in a batch", batch_size)
        if self.manifest.batch is not None:
            size = min(size, self.manifest.batch)
        parts = -(-n // size)
        edges = [n * i // parts for i in range(parts + 1)]
        return [slice(a, b) for a, b in itertools.pairwise(edges)]

    def attempts(self, batches: Iterable[slice], batch_size: int | None, session: Session) -> Iterator[Attempt]:
        """Each batch in order, to be run in its ``with`` block; if it does not fit into memory, its halves come next.

        Later batches of its size are halved too. What a block has done is done again if it fails.

        Args:
            batches: of :meth:`batches`.
            batch_size: as there: a size that was asked for is not changed.
            session: of the graph that takes them; remembers what fits.

        Raises:
            DeviceMemoryError: from the block, if a single sample does not fit, or a size that was asked for, or a
                graph's fixed one.
        """
        waiting = list(batches)[::-1]
        while waiting:
            part = waiting.pop()
            n = part.stop - part.start
            fits = session.largest_batch
            if batch_size is None and fits is not None and n > fits:
                waiting += _halves(part)
                continue
            attempt = Attempt(part, final=n == 1 or batch_size is not None or self.manifest.batch is not None)
            yield attempt
            if attempt.failed:
                session.largest_batch = (n + 1) // 2
                waiting.append(part)

    @overload
    def filled(self, array: Array) -> Array: ...
    @overload
    def filled(self, array: Conditions) -> Conditions: ...
    def filled(self, array: Conditions) -> Conditions:
        """A batch padded to the fixed batch size of the graphs, if any; to be truncated afterwards."""
        if array is None or self.manifest.batch is None:
            return array
        if isinstance(array, ConditionRows):
            return array.padded(self.manifest.batch)
        return pad(array, self.manifest.batch)

    def scoring_condition(self, condition: ConditionLike, n: int) -> Conditions:
        """The condition of data: the given one, or the null class, or the nulls of the parts."""
        described, program = self.condition, self.manifest.log_prob
        if described is None or condition is not None:
            return self.sampling_condition(condition, n)
        null = None if program is None else program.null_class
        if null is not None:
            return np.full(n, null, np.int32)
        if described.plain or described.required:
            raise ConditionError(f"scoring with {self.name} needs {described.told} of the data")
        return self.sampling_condition({}, n)


def _halves(part: slice) -> tuple[slice, slice]:
    """The two halves of a batch, the later one first."""
    middle = (part.start + part.stop) // 2
    return slice(middle, part.stop), slice(part.start, middle)


def fresh_seed() -> int:
    """A seed from the system, short enough to write down."""
    return secrets.randbits(32)


def settled_part(part: slice | None, n: int) -> tuple[int, int]:
    """The first of some of ``n`` samples, and how many they are; all of them for None.

    Raises:
        UsageError: none of them, or not one after another.
    """
    first, last, step = slice(None).indices(n) if part is None else part.indices(n)
    if step != 1 or last <= first:
        raise UsageError(f"a part of {n} samples is some of them, one after another, not {part}")
    return first, last - first


def settled(n: int, seed: int | None) -> tuple[int, int]:
    """Number of samples and seed, checked; a seed from the system where there is none."""
    return checked_count("samples", n, LARGEST_COUNT), fresh_seed() if seed is None else check_seed(seed)
