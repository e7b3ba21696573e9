"""What models are conditioned on, as tensors: checked, standardised, and encoded once for each different condition.

This module needs torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from zoo.arrays import Array
from zoo.conditions import Condition
from zoo.errors import ConditionError, ConfigError
from zoo.models.contexts import (
    StandardizedContext,
    TensorCondition,
    checked_condition,
    checked_mask,
    checked_part,
    filled_up,
    has_tensor,
    is_standardized,
    mask_of,
)
from zoo.models.encoders import ConditionEncoder
from zoo.parts import ONLY, Part
from zoo.programs import Graph
from zoo.programs.conditioning import RESERVED, ROWS, led_by, part_ports
from zoo.programs.ports import Port

#: name of the graph that encodes conditions
ENCODER = "condition"


class PartTensors(dict[str, Tensor]):
    """Parts and masks ``[n, ...]`` of a model's conditions that are checked, and on its device."""


class Conditioned(nn.Module):
    """A module that may be conditioned on something: the base class of every model.

    A model of one class or one vector gets it as a tensor, a model of named parts as a mapping: of the parts, or of
    what :meth:`encode_condition` makes of them, if :meth:`encoded_ports` says what that is. Numbers among the parts are
    standardised before, and so are the rows of sequences whose range is not stated.

    Attributes:
        condition: what samples are conditioned on, or None.
    """

    condition: Condition | None = None

    @property
    def device(self) -> torch.device:
        """The device of the parameters, or of the buffers of a model without any; the CPU without both."""
        tensor = self._any_tensor()
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def dtype(self) -> torch.dtype:
        """The parameters' floating-point type, or that of the buffers of a model without any; float32 without both."""
        tensor = self._any_tensor()
        return torch.float32 if tensor is None else tensor.dtype

    def _any_tensor(self) -> Tensor | None:
        """A tensor of numbers that go with the model."""
        tensors = itertools.chain(self.parameters(), self.buffers())
        return next((each for each in tensors if each.is_floating_point()), None)

    def condition_on(self, condition: Condition | None, encoder: ConditionEncoder | None = None) -> None:
        """Set :attr:`condition`, with submodules that standardise vectors and numbers; for constructors.

        Args:
            condition: what samples are conditioned on, or None.
            encoder: does what :meth:`encode_condition` documents, for named parts; None leaves it to a subclass.

        Raises:
            ConfigError: an encoder of other parts.
        """
        self.condition = condition
        if encoder is not None:
            if condition is None or condition.plain or encoder.plan.condition != condition:
                raise ConfigError("an encoder of conditions needs the condition of named parts that it was built for")
            self.condition_encoder = encoder
        if condition is not None and condition.kind == "vector":
            self.contexts = StandardizedContext(condition.size)
        elif condition is not None and not condition.plain:
            standard = (part for part in condition.parts if is_standardized(part))
            self.part_contexts = nn.ModuleDict(
                {f"part_{part.name}": StandardizedContext(int(part.shape[-1])) for part in standard}
            )

    @property
    def encoder_module(self) -> ConditionEncoder | None:
        """The submodule that encodes named parts as a config says, or None."""
        part = self._modules.get("condition_encoder")
        return part if isinstance(part, ConditionEncoder) else None

    @property
    def part_dropout(self) -> Mapping[str, float]:
        """The probability with which training replaces each part alone by its null."""
        return {} if self.encoder_module is None else self.encoder_module.plan.dropout

    @property
    def standardized_context(self) -> StandardizedContext | None:
        """The submodule that standardises context vectors, or None."""
        part = self._modules.get("contexts")
        return part if isinstance(part, StandardizedContext) else None

    def context(self, condition: Tensor | None) -> Tensor | None:
        """A condition as networks receive it: standardised vectors ``[..., d]``, or unchanged classes."""
        standardize = self.standardized_context
        if standardize is None or condition is None or self.takes_parts:
            return condition
        return standardize(condition).to(self.dtype)  # type: ignore[no-any-return]

    def context_of(self, part: Part) -> StandardizedContext | None:
        """What standardises one part of the condition, or None."""
        own = self._modules.get("part_contexts")
        module = own[f"part_{part.name}"] if isinstance(own, nn.ModuleDict) and f"part_{part.name}" in own else None
        if module is None and part.name == ONLY:
            return self.standardized_context
        return module if isinstance(module, StandardizedContext) else None

    def typical_context(self, part: Part, standard: Array) -> NDArray[np.float32]:
        """Values of a part ``[..., d]`` as they were in training, of standard normals: an export proves with them."""
        context = self.context_of(part)
        return np.asarray(standard, np.float32) if context is None else context.raw(standard)

    def prepare_contexts(self, condition: Tensor | Mapping[str, Tensor]) -> None:
        """Fit what standardises vectors, numbers and sequences to the conditions of training data.

        Rows of sequences that are filled up do not count.

        Args:
            condition: a tensor, or those of parts and masks by name.

        Raises:
            DataError: a value that is not finite, with its row and column.
        """
        for part in () if self.condition is None else self.condition.parts:
            context = self.context_of(part)
            values = condition.get(part.name) if isinstance(condition, Mapping) else condition
            if context is None or values is None:
                continue
            mask = condition.get(part.mask) if isinstance(condition, Mapping) and part.mask is not None else None
            context.prepare(values.flatten(0, -2) if mask is None else values[mask > 0])

    def condition_array(self, condition: TensorCondition, n: int) -> Array | None:
        """The condition of ``n`` samples as the array that graphs take: int32 ``[n]`` or float32 ``[n, d]``.

        Raises:
            ConditionError: a condition that the model does not accept.
        """
        if self.condition is None:
            if condition is not None:
                raise ConditionError("this model takes no condition")
            return None
        if isinstance(condition, Tensor):
            condition = condition.detach().cpu().numpy()
        return self.condition.array(condition, n)

    def condition_tensor(self, condition: TensorCondition, n: int) -> Tensor | None:
        """The condition of ``n`` samples as a tensor on the model's device, or None for an unconditional model.

        A tensor is passed through, with its gradient. In training mode the values of a tensor on an
        accelerator are not checked, since that would synchronise every step; training checks all of its data
        beforehand.

        Raises:
            ConditionError: a condition that the model does not accept.
        """
        if isinstance(condition, Tensor) and self.condition is not None:
            look = condition.device.type == "cpu" or not self.training
            return self._placed(checked_condition(condition, self.condition, n, look=look), self.standardized_context)
        array = self.condition_array(condition, n)
        return None if array is None else self.as_condition(array)

    def as_condition(self, array: Array) -> Tensor:
        """A condition array as a tensor on the model's device; vectors in its dtype, or float32 if that is wider."""
        return self._placed(torch.from_numpy(np.ascontiguousarray(array)), self.standardized_context)

    def _placed(self, value: Tensor, context: StandardizedContext | None) -> Tensor:
        if not value.is_floating_point():
            return value.to(self.device)
        # raw contexts need not fit into float16: they are standardised first
        dtype = self.dtype if context is None else torch.promote_types(self.dtype, torch.float32)
        return value.to(self.device, dtype)

    # -- named parts ------------------------------------------------------------------------------------------------

    def encode_condition(self, parts: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The parts of conditions, encoded: what :meth:`encoded_ports` describes, by name.

        An embedding network, say. It is differentiable, and trained through the model's loss; a runtime calls its graph
        once a call, on each different condition, whatever the number of samples and of steps.

        Args:
            parts: by name, each ``[rows, *shape]``, numbers, and sequences without a range, standardised; and the masks
                of tokens and sequences.

        Returns:
            tensors ``[rows, ...]``; the parts themselves unless overridden, or given an encoder.
        """
        return parts if self.encoder_module is None else self.encoder_module(parts)

    def encoded_ports(self) -> tuple[Port, ...]:
        """What :meth:`encode_condition` gives: ports of shape ``("rows", ...)``; none if there is no encoder."""
        return () if self.encoder_module is None else self.encoder_module.ports

    @property
    def encodes(self) -> bool:
        """Whether it has an encoder of conditions.

        Raises:
            ConfigError: an encoder whose outputs it does not describe, or that no graph could take.
        """
        ports = self.encoded_ports()
        if self.condition is None or (not ports and type(self).encode_condition is Conditioned.encode_condition):
            return False
        if not ports:
            raise ConfigError(
                f"{type(self).__name__} has encode_condition, but no encoded_ports that describe its outputs"
            )
        for port in ports:
            if port.shape[:1] != (ROWS,) or port.name in RESERVED:
                raise ConfigError(
                    f"{type(self).__name__}: an encoder of conditions cannot give {port.name} {list(port.shape)}: its "
                    f"first size must be {ROWS!r}, and its name must not be that of another input or output of graphs"
                )
        taken = {port.name for port in part_ports(self.condition, ROWS)}
        if same := [port.name for port in ports if port.name in taken]:
            raise ConfigError(
                f"{type(self).__name__}: the encoder of conditions gives {same[0]}, which is the name of a part or mask"
            )
        return True

    @property
    def takes_parts(self) -> bool:
        """Whether the model gets its condition as a mapping, of parts or of their encodings."""
        return self.condition is not None and (not self.condition.plain or self.encodes)

    def condition_inputs(self, *leading: str) -> tuple[Port, ...]:
        """The inputs by which graphs take the condition of their samples, with these leading dimensions.

        Raises:
            ConfigError: a part has the name of another input of graphs, and there is no encoder.
        """
        if self.condition is None:
            return ()
        if self.encodes:
            return led_by(self.encoded_ports(), *leading)
        ports = part_ports(self.condition, *leading)
        if taken := [port.name for port in ports if port.name in RESERVED]:
            raise ConfigError(
                f"{type(self).__name__} is conditioned on a part {taken[0]!r}, which is the name of another input of "
                "graphs",
                hint="Give the part another name, or the model an encode_condition whose outputs are named otherwise.",
            )
        return ports

    def condition_graph(self) -> Graph | None:
        """The graph that encodes conditions, for :meth:`programs`; None for a model without an encoder."""
        if self.condition is None or not self.encodes:
            return None
        return Graph(ENCODER, _Encoder(self), part_ports(self.condition, ROWS), self.encoded_ports())

    def condition_tensors(self, condition: TensorCondition, n: int) -> dict[str, Tensor]:
        """The parts of the conditions of ``n`` samples, checked, on the model's device: ``[n, *shape]`` by name.

        Tensors are passed through, with their gradients; masks of tokens and sequences come along. A tensor of
        sequences, or of tokens without padding, may be given with its mask ``[n, length]``, under the mask's name; else
        nothing of it is filled up. What this gives, or :meth:`hidden`, is returned as it is.

        Raises:
            ConditionError: a condition that the model does not accept; the part is named.
        """
        described = self.condition
        if described is None:
            raise ConditionError("this model takes no condition")
        if isinstance(condition, PartTensors):
            return condition
        if not has_tensor(condition):
            return PartTensors(self._parts_of(described.arrays(condition, n)))
        values: Mapping[str, Tensor | ArrayLike | None] = (
            condition if isinstance(condition, Mapping) else {described.names[0]: condition}
        )
        tensors = {part: value for part in described.parts if isinstance(value := values.get(part.name), Tensor)}
        rest = tuple(part for part in described.parts if part not in tensors)
        masks = {str(part.mask): values[str(part.mask)] for part in tensors if part.mask in values}
        own = {part.name for part in tensors} | masks.keys()
        others = {name: value for name, value in values.items() if name not in own}
        if others and not rest:
            described.arrays(others, n)  # raises: the condition has no such parts
        parts = self._parts_of(Condition(rest).arrays(others, n)) if rest else {}
        for part, tensor in tensors.items():
            look = tensor.device.type == "cpu" or not self.training
            parts[part.name] = self._placed(checked_part(tensor, part, n, look=look), self.context_of(part))
            if part.mask is not None:
                mask = checked_mask(masks[part.mask], part, parts[part.name]) if part.mask in masks else None
                parts[part.mask] = (mask_of(part, parts[part.name]) if mask is None else mask).to(
                    self.device, self.dtype
                )
        return PartTensors({port.name: parts[port.name] for port in part_ports(described, ROWS)})

    def received_condition(
        self, condition: TensorCondition, n: int, lengths: Mapping[int | str, int] | None = None
    ) -> Any:
        """What the model gets of the condition of ``n`` samples: None, a tensor ``[n]`` or ``[n, d]``, or a mapping.

        An encoder runs once, and on each different condition only, unless the condition is tensors. Tokens and
        sequences are filled up to the given lengths, by their names.

        Raises:
            ConditionError: a condition that the model does not accept.
        """
        if not self.takes_parts:
            return self.condition_tensor(condition, n)
        assert self.condition is not None
        if has_tensor(condition):
            return self._encoded(self._longer(self.condition_tensors(condition, n), lengths or {}))
        arrays, index = self.condition.distinct(condition, n)
        rows = self._encoded(self._parts_of(self.condition.longer(arrays, lengths or {})))
        if np.array_equal(index, np.arange(len(next(iter(arrays.values()))))):
            return rows
        where = torch.from_numpy(index).to(self.device)
        return {name: value.index_select(0, where) for name, value in rows.items()}

    def graph_condition(
        self, condition: TensorCondition, n: int, lengths: Mapping[int | str, int] | None = None
    ) -> Any:
        """What graphs take of the condition of ``n`` samples: None, a tensor, or :meth:`condition_inputs` by name."""
        if self.takes_parts and not self.encodes:
            return self._longer(self.condition_tensors(condition, n), lengths or {})
        return self.received_condition(condition, n, lengths)

    def _longer(self, tensors: Mapping[str, Tensor], lengths: Mapping[int | str, int]) -> dict[str, Tensor]:
        """Tensors of parts and masks, with tokens and sequences filled up to some lengths."""
        filled = dict(tensors)
        for part in () if self.condition is None else self.condition.parts:
            for name, filler in ((part.name, part.padding or 0), (part.mask, 0)) if part.mask is not None else ():
                filled[name] = filled_up(tensors[name], lengths.get(part.shape[0], 0), filler)
        return filled

    def null_condition(self, n: int, lengths: Mapping[int | str, int]) -> dict[str, Tensor] | None:
        """What graphs take of no condition for ``n`` samples, for guidance; None for a model without named parts.

        Args:
            n: number of samples.
            lengths: of tokens and sequences, see :meth:`zoo.conditions.Condition.lengths`.

        Raises:
            UsageError: a part without a null.
        """
        if self.condition is None or self.condition.plain:
            return None
        parts = self._parts_of(self.condition.nulls(lengths))
        rows = self._encoded(parts) if self.encodes else parts
        return {name: each.expand(n, *each.shape[1:]) for name, each in rows.items()}

    def hidden(self, parts: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
        """Parts of conditions ``[n, ...]``, random ones replaced by their nulls, for guidance to be learned.

        With the probability ``share`` all of a sample's parts at once, as guidance evaluates them (Ho & Salimans 2022),
        if every part has a null; and each part that :attr:`part_dropout` names with the probability there, whatever the
        others are, so that conditions are learned in which some parts are missing (Brooks et al. 2023, section 3.2.1).
        """
        described = self.condition
        able = () if described is None else tuple(part for part in described.parts if part.null is not None)
        if described is None or not able:
            return PartTensors(parts)
        nulls = self._parts_of(Condition(able).nulls(described.lengths(parts)))
        n = len(next(iter(parts.values())))
        together = None
        if len(able) == len(described.parts):
            together = torch.rand(n, device=self.device) < share
        # the null of tokens may be longer than any of the batch
        longest = {part.shape[0]: nulls[part.name].shape[1] for part in able if part.mask is not None}
        chosen = {}
        for part in described.parts:
            hide, alone = together, self.part_dropout.get(part.name, 0.0)
            if alone and part in able:
                by_itself = torch.rand(n, device=self.device) < alone
                hide = by_itself if hide is None else hide | by_itself
            for name, filler in ((part.name, part.padding or 0), (part.mask, 0)):
                if name is None:
                    continue
                value = parts[name]
                if part.mask is not None:
                    value = filled_up(value, longest.get(part.shape[0], 0), filler)
                chosen[name] = value
                if hide is not None and part in able:
                    chosen[name] = torch.where(hide.reshape(-1, *[1] * (value.ndim - 1)), nulls[name], value)
        return PartTensors({name: chosen[name] for name in parts})

    def received_by_graph(self, inputs: tuple[Tensor, ...]) -> tuple[Any, ...]:
        """What the model gets where a graph has :meth:`condition_inputs`: nothing, a tensor, or a mapping."""
        if not inputs or not self.takes_parts:
            return inputs
        named = dict(zip((port.name for port in self.condition_inputs("batch")), inputs, strict=True))
        return (named if self.encodes else self._encoded(named),)

    def encoded_parts(self, parts: Mapping[str, Any]) -> dict[str, Tensor]:
        """What the model gets of parts and masks ``[n, ...]``, as arrays or as tensors that are checked, by name."""
        tensors = {name: each for name, each in parts.items() if isinstance(each, Tensor)}
        arrays = {name: each for name, each in parts.items() if name not in tensors}
        return self._encoded({**tensors, **self._parts_of(arrays)})

    def _encoded(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parts as the model gets them: standardised, and encoded if it has an encoder."""
        assert self.condition is not None
        standard = dict(parts)
        for part in self.condition.parts:
            context = self.context_of(part)
            if context is not None:
                value = context(parts[part.name]).to(self.dtype)
                # what is filled up stays 0
                standard[part.name] = value if part.mask is None else value * parts[part.mask].unsqueeze(2)
        encoded = self.encode_condition(standard)
        if not self.encodes:
            return dict(encoded)
        names = [port.name for port in self.encoded_ports()]
        if set(names) != set(encoded):
            stated, gives = ", ".join(names), ", ".join(encoded)
            raise ConfigError(f"{type(self).__name__}.encode_condition gives {gives}, and encoded_ports says {stated}")
        return {name: encoded[name] for name in names}

    def _parts_of(self, arrays: Mapping[str, Array]) -> dict[str, Tensor]:
        """Arrays of parts and masks as tensors on the model's device."""
        contexts = {part.name: self.context_of(part) for part in (self.condition.parts if self.condition else ())}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        return {name: self._placed(tensor, contexts.get(name)) for name, tensor in tensors.items()}


class _Encoder(nn.Module):
    """A model's encoder of conditions as a module of its parts in order, for exporters to trace."""

    def __init__(self, model: Conditioned) -> None:
        super().__init__()
        self.model = model
        assert model.condition is not None
        self.names = [port.name for port in part_ports(model.condition, ROWS)]

    def forward(self, *parts: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model._encoded(dict(zip(self.names, parts, strict=True))).values())
