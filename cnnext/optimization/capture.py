"""A model as a module of which the supported parts are graphs of ours.

The model is traced, and its calls are lowered one by one. Those that have no place in a graph stay
calls of PyTorch, and the longest runs of the others between them become parts: submodules that can
be replaced by what computes the same faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.passes.utils.fuser_utils import fuse_by_partitions
from torch.nn import Module

from cnnext.optimization.functionalization import functionalize
from cnnext.optimization.functions import Size, Sizes
from cnnext.optimization.graph import Graph, Node
from cnnext.optimization.lowering import Lowering, layer_of
from cnnext.optimization.tracing import Untraceable, traced

#: Operators that only say where values are: a part of nothing else is not worth a graph.
_FREE = frozenset({"input", "flatten", "slice"})

_VIEWS = frozenset({"view", "reshape", torch.reshape})


@dataclass(frozen=True)
class NativeCall:
    """A call that stays PyTorch's.

    Attributes:
        layer: the qualified name of the module that is called, or in which the call stands.
        call: what is called.
        reason: why it is in no graph.
    """

    layer: str
    call: str
    reason: str


@dataclass(frozen=True)
class Part:
    """A part of the captured module, `getattr(owner, name)`, and the graph of what it computes.

    It takes the graph's inputs in their order, and returns the one output or a tuple of several.
    """

    owner: Module
    name: str
    graph: Graph


@dataclass(frozen=True)
class Captured:
    """A model with parts.

    Attributes:
        module: computes what the model does. It shares the model's layers and parameters.
        parts: in the order of their calls.
        native: what is called outside of them.
    """

    module: Module
    parts: tuple[Part, ...]
    native: tuple[NativeCall, ...]


def captured(model: Module, example_input: Tensor | tuple[Any, ...] | None = None) -> Captured:
    """Captures a model in evaluation mode, which is not changed.

    Args:
        model: any module.
        example_input: what it could be called with: the tensor, or a tuple of all arguments. By
            that it is known which operands are broadcast, and which have another dtype.
    """
    example = example_input if isinstance(example_input, tuple | None) else (example_input,)
    try:
        module, untraceable = traced(model, example)
        functionalize(module.graph, model)
    except Untraceable as why:
        return Captured(model, (), (NativeCall("", type(model).__name__, str(why)),))
    lowering, supported = _supported(module.graph, model)
    _spell_out_views(module.graph, supported, lowering)
    partitions = _partitions(module.graph, supported, lowering)
    native = _native_calls(module.graph, set().union(*partitions), lowering, untraceable)
    fuse_by_partitions(module, [dict.fromkeys(nodes) for nodes in partitions], prefix="part_")
    module.recompile()
    parts = []
    for i in range(len(partitions)):
        part = module.get_submodule(f"part_{i}")
        assert isinstance(part, fx.GraphModule)
        lowered = Lowering(part.graph, model)
        assert not lowered.reasons, lowered.reasons
        parts.append(Part(module, f"part_{i}", lowered.graph()))
    return Captured(module, tuple(parts), native)


def _supported(graph: fx.Graph, model: Module) -> tuple[Lowering, set[fx.Node]]:
    """The lowering of the graph, and the nodes that may be in a part."""
    refused: dict[fx.Node, str] = {}
    while True:
        lowering = Lowering(graph, model, refused)
        supported = {node for node, value in lowering.values.items() if lowering.is_lowered(node)}
        pieces = [node for node in supported if isinstance(lowering.values[node], tuple)]
        for node in pieces:
            if not supported.issuperset(node.users):
                refused[node] = "its pieces are used by calls of PyTorch"
        for node in supported.difference(refused):
            if _asserts_features(node) and not _is_multiplied(node, lowering):
                refused[node] = "another size of image would have another batch"
        if refused.keys() <= lowering.reasons.keys():
            return lowering, supported


def _asserts_features(node: fx.Node) -> bool:
    """Whether it is x.view(-1, features), which is no flattening if x has other features."""
    if node.target not in _VIEWS:
        return False
    first: Any = node.args[1]
    return bool((first[0] if isinstance(first, list | tuple) else first) == -1)


def _is_multiplied(node: fx.Node, lowering: Lowering) -> bool:
    """Whether only linear layers take the value, which have to have that number of features."""
    value = lowering.values[node]
    for user in node.users:
        result = lowering.values.get(user)
        is_linear = isinstance(result, Node) and result.operator == "linear"
        if not (is_linear or result is value and _is_multiplied(user, lowering)):
            return False
    return True


def _spell_out_views(graph: fx.Graph, supported: set[fx.Node], lowering: Lowering) -> None:
    """Makes flattenings of views, so that no sizes have to be handed to a part."""
    for node in supported:
        if node.target in _VIEWS:
            node.op, node.target = "call_function", torch.flatten
            node.args, node.kwargs = (node.args[0], 1), {}
    for node in reversed(graph.nodes):
        if isinstance(lowering.values.get(node), Size | Sizes) and not node.users:
            graph.erase_node(node)


def _partitions(
    graph: fx.Graph, supported: set[fx.Node], lowering: Lowering
) -> list[list[fx.Node]]:
    """The nodes of each part, so that no value leaves a part and comes back to it.

    The number of a node's part is that of the ways through PyTorch that lie before it.
    """
    level: dict[fx.Node, int] = {}
    members: dict[int, list[fx.Node]] = {}
    for node in graph.nodes:
        sources = [each for each in node.all_input_nodes if each.op != "get_attr"]
        if node not in supported:
            level[node] = max((level[each] for each in sources), default=0)
            continue
        level[node] = max((level[each] + (each not in supported) for each in sources), default=0)
        attributes = [each for each in node.all_input_nodes if each.op == "get_attr"]
        members.setdefault(level[node], []).extend([*attributes, node])
    return [nodes for nodes in members.values() if _computes(nodes, lowering)]


def _computes(nodes: list[fx.Node], lowering: Lowering) -> bool:
    values = [lowering.values[node] for node in nodes]
    return any(isinstance(value, Node) and value.operator not in _FREE for value in values)


def _native_calls(
    graph: fx.Graph, fused: set[fx.Node], lowering: Lowering, untraceable: dict[str, str]
) -> tuple[NativeCall, ...]:
    calls = []
    for node in graph.nodes:
        reason = lowering.reasons.get(node)
        if node in fused or reason is None:
            continue
        target: Any = node.target
        if node.op == "call_module":
            target, reason = (
                type(lowering.model.get_submodule(target)).__name__,
                untraceable.get(target, reason),
            )
        name = getattr(target, "__name__", str(target))
        calls.append(NativeCall(layer_of(node), name, reason))
    return tuple(calls)
