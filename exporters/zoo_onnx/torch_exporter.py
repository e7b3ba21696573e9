"""torch's exporter without the passes that take most of its time and change nothing here.

It traces a program a second time, to decompose operators that it cannot translate. A program without such operators
stays as it is: :func:`_plain` rewrites the few that ordinary networks have, and tells whether that was enough. A third
time it runs every operator on symbolic sizes to promote types, where the values of the first time are still known
(:func:`_recalling`). And it tries some sixty rewrite rules on each node, which runtimes also apply when they load a
graph; what is left here is the folding of constants and of sizes, and the removal of unused or duplicate nodes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes import common
from onnxscript import optimizer
from torch import fx

from zoo.errors import ExportError
from zoo_onnx import in_place
from zoo_onnx.translations import TRANSLATIONS

aten = torch.ops.aten
#: operators whose output is their input
_SAME = frozenset({aten.detach.default, aten.detach_.default, aten.alias.default, aten.lift_fresh_copy.default})
_CONVERSIONS = frozenset({aten.to.dtype, aten.to.device, aten.to.dtype_layout})
_ASSERTIONS = frozenset({aten._assert_tensor_metadata.default, aten._assert_scalar.default})
#: other names of operators
_SYNONYMS = {
    aten.__or__.Tensor: aten.bitwise_or.Tensor,
    aten.__and__.Tensor: aten.bitwise_and.Tensor,
    aten.__xor__.Tensor: aten.bitwise_xor.Tensor,
    aten.max.other: aten.maximum.default,
    aten.min.other: aten.minimum.default,
}


def to_onnx(program: torch.export.ExportedProgram, opset: int) -> ir.Model:
    """The ONNX graph of a traced program.

    Raises:
        ExportError: torch's exporter returned nothing. It raises exceptions of all kinds itself.
    """
    registry = _registry(opset)
    with (
        contextlib.nullcontext() if registry is None else _shortcuts(registry, decompose=not _plain(program, registry))
    ):
        table = TRANSLATIONS if registry is None else None
        result = torch.onnx.export(
            program, dynamo=True, optimize=False, opset_version=opset, custom_translation_table=table
        )
    if result is None:
        raise ExportError("torch's exporter returned nothing")
    model: ir.Model = result.model
    tidied(model)
    return model


@cache
def _registry(opset: int) -> Any:
    """torch's translations and ours, which take seconds to collect, or None: another version of torch may differ here,
    where nothing is public, and gets by without the shortcuts.
    """
    try:
        from torch.onnx._internal.exporter import _fx_passes, _registration

        with _lazily():
            registry = _registration.ONNXRegistry.from_torchlib(opset_version=opset)
        for target, function in TRANSLATIONS.items():
            registry.register_op(target, function)
    except (ImportError, AttributeError, TypeError):
        return None
    return registry if hasattr(_fx_passes, "decompose_with_registry") and hasattr(registry, "is_registered") else None


@contextlib.contextmanager
def _lazily() -> Iterator[None]:
    """A block in which torch's translations are registered without their signatures, which are read when needed.

    A program needs a few dozen of some six hundred; reading the source code of all takes longer than tracing it.
    """
    import onnxscript
    from torch.onnx._internal.exporter import _registration

    with (
        _replaced(onnxscript, "script", _scripted_lazily(onnxscript)),
        _replaced(onnxscript.values, "TracedOnnxFunction", _made_lazily(onnxscript.values.TracedOnnxFunction)),
    ):
        from onnxscript.function_libs.torch_lib import ops, registration

    del ops  # imported for what it registers
    original = _registration.OnnxDecompMeta

    class Lazy(original):  # type: ignore[misc, valid-type]
        """A translation whose signature is read when it is asked for."""

        def __post_init__(self) -> None:
            if self.signature is None and not self.skip_signature_inference:
                del self.signature

        def __getattr__(self, name: str) -> Any:
            if name != "signature":
                raise AttributeError(name)
            self.signature = None
            original.__post_init__(self)
            return self.signature

    def every() -> list[Any]:
        return [
            SimpleNamespace(qualified_name=name, function=function, is_complex=is_complex)
            for name, overloads in registration.default_registry.items()
            if not name.startswith("internal::")
            for is_complex, functions in ((False, overloads.overloads), (True, overloads.complex))
            for function in functions
        ]

    with (
        _replaced(_registration, "OnnxDecompMeta", Lazy),
        _replaced(_registration, "onnxscript_apis", SimpleNamespace(get_torchlib_ops=every)),
    ):
        yield


def _made_lazily(original: Any, make: Callable[..., Any] | None = None) -> Any:
    """A class like the original whose objects are made when something of them is needed: by ``make``, or themselves."""

    class Lazy(original):  # type: ignore[misc]
        """An object that is yet to be made."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.__dict__["_arguments"] = args, kwargs

        def __getattr__(self, name: str) -> Any:
            if "_arguments" not in self.__dict__:
                raise AttributeError(name)
            args, kwargs = self.__dict__.pop("_arguments")
            if make is None:
                original.__init__(self, *args, **kwargs)
            else:
                self.__dict__.update(vars(make(*args, **kwargs)))
            return getattr(self, name)

    return Lazy


def _scripted_lazily(onnxscript: Any) -> Callable[..., Any]:
    """``onnxscript.script``, which translates a function when it is first needed."""
    script = onnxscript.script
    function = _made_lazily(onnxscript.OnnxFunction, lambda python, args, options: script(*args, **options)(python))
    return lambda *args, **options: lambda python: function(python, args, options)


@contextlib.contextmanager
def _shortcuts(registry: Any, *, decompose: bool) -> Iterator[None]:
    """A block in which torch's exporter takes the registry that is there, and a program as it is."""
    from torch.onnx._internal.exporter import _fx_passes, _registration

    with contextlib.ExitStack() as stack:
        stack.enter_context(_replaced(_registration.ONNXRegistry, "from_torchlib", lambda *_, **__: registry))
        if (recalling := _recalling()) is not None:
            stack.enter_context(_replaced(_fx_passes, "insert_type_promotion_nodes", recalling))
        if not decompose:
            stack.enter_context(_replaced(_fx_passes, "decompose_with_registry", lambda program, _: program))
        yield


@cache
def _recalling() -> Any:
    """torch's pass that promotes types, running only what it changes; None where another version of torch differs.

    Its rules look at the types of a node's inputs, which the trace has noted. The values of a node that stays as it is
    are those noted there, so running it again would find nothing new.
    """
    try:
        from torch.onnx._internal.exporter import _fx_passes
        from torch.onnx._internal.fx.passes import type_promotion

        original = type_promotion._TypePromotionInterpreter
        needed = (_fx_passes.insert_type_promotion_nodes, original._maybe_promote_node, original._set_current_node)
        rule_of, table = type_promotion.get_type_promotion_rule, type_promotion.TypePromotionTable()
    except (ImportError, AttributeError, TypeError):
        return None
    assert all(needed)

    class Recalling(original):  # type: ignore[misc, valid-type]
        """Runs the nodes whose inputs were promoted."""

        def run_node(self, node: fx.Node) -> Any:
            if node.op != "call_function" or "val" not in node.meta:
                return super().run_node(node)
            before = node.target, node.args, node.kwargs
            if (rule := rule_of(node, self.type_promotion_table)) is not None:
                with self._set_current_node(node):
                    self._maybe_promote_node(node, rule)
            if (node.target, node.args, node.kwargs) == before:
                return node.meta["val"]
            return fx.Interpreter.run_node(self, node)

    def promoted(module: fx.GraphModule) -> None:
        for each in module.modules():
            assert isinstance(each, fx.GraphModule)
            insertion = type_promotion.InsertTypePromotion(each)
            insertion.interpreter = Recalling(each, table)
            insertion.run()

    return promoted


@contextlib.contextmanager
def _replaced(owner: object, name: str, value: object) -> Iterator[None]:
    original = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def tidied(model: ir.Model) -> None:
    """Fold constants and sizes; remove nodes that do nothing, are unused, or are duplicates."""
    common.InlinePass()(model)
    optimizer.fold_constants(model, onnx_shape_inference=True)
    passes: tuple[Any, ...] = (
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.LiftSubgraphInitializersToMainGraphPass(),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )
    for tidy in passes:
        tidy(model)


def _plain(program: torch.export.ExportedProgram, registry: Any) -> bool:
    """Whether each operator of a program has a translation and changes nothing in place, simple ones rewritten."""
    graph = program.graph_module.graph
    in_place.rewritten(graph)
    for node in list(graph.nodes):
        _rewrite(node)
    # what is returned may be an operator that is gone
    for spec, value in zip(program.graph_signature.output_specs, graph.output_node().args[0], strict=True):
        if isinstance(value, fx.Node):
            spec.arg.name = value.name
    operators = {node.target for node in graph.nodes if isinstance(node.target, torch._ops.OperatorBase)}
    return all(
        isinstance(each, torch._ops.OpOverload) and registry.is_registered(each) and not each._schema.is_mutable
        for each in operators
    )


def _rewrite(node: fx.Node) -> None:
    """Remove a node that does nothing in a graph; write all conversions as one operator."""
    if node.target in _ASSERTIONS:
        node.graph.erase_node(node)
    elif node.target in _SAME or (node.target in _CONVERSIONS and _dtype(node) == _dtype(node.args[0])):
        node.replace_all_uses_with(node.all_input_nodes[0])
        node.graph.erase_node(node)
    elif node.target in _CONVERSIONS:
        node.target, node.args, node.kwargs = aten._to_copy.default, node.args[:1], {"dtype": _dtype(node)}
    elif node.target in _SYNONYMS:
        node.target = _SYNONYMS[node.target]
    elif node.target == aten.broadcast_tensors.default:
        _unbroadcast(node)


def _unbroadcast(node: fx.Node) -> None:
    """Remove a broadcast of tensors whose shapes are already those of the results."""
    tensors, results = node.args[0], node.meta["val"]
    if any(_shape(tensor.meta["val"]) != _shape(result) for tensor, result in zip(tensors, results, strict=True)):  # type: ignore[arg-type]
        return
    for user in list(node.users):
        user.replace_all_uses_with(tensors[user.args[1]])  # type: ignore[index, arg-type]
        node.graph.erase_node(user)
    node.graph.erase_node(node)


def _shape(value: Any) -> tuple[str, ...]:
    return tuple(str(size) for size in value.shape)


def _dtype(node: Any) -> Any:
    return node.meta["val"].dtype if isinstance(node, fx.Node) and "val" in node.meta else node
