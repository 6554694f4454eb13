"""A traced model without in-place calls, so that the order of its calls no longer matters.

    y = relu_(x); z = f(x)      becomes      y = relu(x); z = f(y)

since x and y are one tensor.
"""

from __future__ import annotations

import copy
import inspect
import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch._ops import OpOverload
from torch.nn import Module
from torch.utils import _pytree as pytree

from cnnext.optimization import aten
from cnnext.optimization.graph import Node
from cnnext.optimization.layers import is_layer
from cnnext.optimization.lowering import Lowering
from cnnext.optimization.tracing import IN_PLACE_OPERATORS, Untraceable

#: In `meta` of a node: the memory that its value lies in, by address or number; missing where that
#: is not known.
STORAGES = "cnnext_storages"

#: Operators whose value may lie in the memory of their operand.
_VIEWS = frozenset({"input", "flatten", "slice", "rows", "transpose", "step"})

_FRESH_FUNCTIONS = frozenset(
    {*IN_PLACE_OPERATORS.values(), operator.neg, torch.matmul, torch.bmm, torch.stack}
    | {F.layer_norm, F.group_norm, F.linear, F.interpolate, F.scaled_dot_product_attention}
)
_FRESH_LAYERS = frozenset(
    f"torch.nn.modules.{file}"
    for file in ("conv", "batchnorm", "normalization", "pooling", "linear", "upsampling")
)
_SHARED_LAYERS = (nn.Identity,)

#: Methods that give sizes, not tensors.
_SIZES = frozenset({"size", "dim", "numel"})


def functionalize(traced: fx.GraphModule, model: Module) -> None:
    """Lets what follows an in-place call use the call's value instead of what it overwrote.

    Raises:
        Untraceable: another name for what it overwrites is used afterwards, or it is the model's.
    """
    nodes = list(traced.graph.nodes)
    in_place = [node for node in nodes if _is_in_place(node, model)]
    if not in_place:
        return
    lowering = Lowering(traced.graph, model)
    memory: dict[fx.Node, set[fx.Node]] = {}  # by node, those whose value may lie in its memory
    for node in nodes[:-1]:  # that values are returned together makes them no names of each other
        names = {node}
        if node in in_place:
            names |= memory[node.all_input_nodes[0]]
        elif isinstance(node.target, OpOverload) and "val" in node.meta:
            names = names.union(*(memory[each] for each in _operands_at_the_same_place(node)))
        elif node.op != "output" and not _is_fresh(node, lowering, model):
            names = names.union(*(memory[each] for each in node.all_input_nodes))
        for name in names:
            memory[name] = names
    position = {node: i for i, node in enumerate(nodes)}
    for node in in_place:
        target = node.all_input_nodes[0]
        if _is_only_use(node, target, model):
            continue
        for name in memory[node]:
            if position[name] > position[node]:
                continue
            if name.op in ("placeholder", "get_attr"):
                raise Untraceable(f"{node} overwrites an argument or a tensor of the model")
            used_later = any(position[user] > position[node] for user in name.users)
            if name not in (node, target) and used_later:
                raise Untraceable(f"{node} overwrites what is used by another name, too")
        target.replace_all_uses_with(
            node, delete_user_cb=lambda user, at=position[node]: position[user] > at
        )
        _write_elsewhere(node, traced, model)


def _is_only_use(node: fx.Node, target: fx.Node, model: Module) -> bool:
    """Whether the call overwrites a tensor of the model that the graph does not read."""
    if target.op != "get_attr" or node.users or len(target.users) > 1:
        return False
    read = [each for each in node.graph.find_nodes(op="get_attr") if each is not target]
    tensors = [_held(model, str(each.target)) for each in read]
    for each in node.graph.find_nodes(op="call_module"):
        layer = model.get_submodule(str(each.target))
        tensors += (*layer.parameters(), *layer.buffers())
    memory = _memory(_held(model, str(target.target)))
    return memory is not None and memory not in map(_memory, tensors)


def _held(model: Module, path: str) -> Any:
    """What the model has there, None for what only the graph has."""
    held: Any = model
    for name in path.split("."):
        held = getattr(held, name, None)
    return held


def _memory(tensor: Any) -> int | None:
    return tensor.untyped_storage().data_ptr() if isinstance(tensor, torch.Tensor) else None


def _is_fresh(node: fx.Node, lowering: Lowering, model: Module) -> bool:
    """Whether the value surely lies in memory of its own."""
    if (memory := node.meta.get(STORAGES)) is not None:
        return not any(memory & each.meta.get(STORAGES, memory) for each in node.all_input_nodes)
    if node.target in _FRESH_FUNCTIONS or _gives_sizes(node):
        return True
    if node.op == "call_module":
        layer = type(model.get_submodule(str(node.target)))
        in_files = any(base.__module__ in _FRESH_LAYERS for base in layer.__mro__)
        if in_files and not issubclass(layer, _SHARED_LAYERS):
            return True
    value = lowering.values.get(node)
    operands = (lowering.values.get(each) for each in node.all_input_nodes)
    return (
        isinstance(value, Node)
        and value.operator not in _VIEWS
        and all(value is not operand for operand in operands)
    )


def _gives_sizes(node: fx.Node) -> bool:
    if node.target is getattr:
        return node.args[1] in ("shape", "ndim", "dtype", "device")
    return node.op == "call_method" and node.target in _SIZES


def _operands_at_the_same_place(node: fx.Node) -> list[fx.Node]:
    """Those in whose memory torch.export had the value when it recorded the call."""
    memory = _memory_of(node)
    return [each for each in node.all_input_nodes if not memory.isdisjoint(_memory_of(each))]


def _memory_of(node: fx.Node) -> set[int]:
    leaves = pytree.tree_leaves(node.meta["val"])
    return {each.untyped_storage()._cdata for each in leaves if isinstance(each, torch.Tensor)}


def _is_in_place(node: fx.Node, model: Module) -> bool:
    if node.op == "call_module":
        layer = model.get_submodule(str(node.target))
        return is_layer(layer) and bool(getattr(layer, "inplace", False))
    if node.op == "call_method":
        return _is_name_in_place(str(node.target))
    if node.op != "call_function":
        return False
    if isinstance(node.target, OpOverload):
        return aten.is_in_place(node.target)
    return (
        node.target in IN_PLACE_OPERATORS
        or node.kwargs.get("out") is not None
        or (not _is_operator(node.target))
        and _is_name_in_place(getattr(node.target, "__name__", ""))
        or bool(_arguments(node).get("inplace"))
    )


def _is_operator(function: Any) -> bool:
    """Whether it is Python's: `and_` and `or_` write to nothing."""
    return getattr(operator, getattr(function, "__name__", ""), None) is function


def _is_name_in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def _arguments(node: fx.Node) -> dict[str, Any]:
    """The arguments of a function's call by name."""
    try:
        signature = inspect.signature(node.target)  # type: ignore[arg-type]
        return signature.bind(*node.args, **node.kwargs).arguments
    except (TypeError, ValueError):  # compiled functions have no signature
        return dict(node.kwargs)


def _write_elsewhere(node: fx.Node, traced: fx.GraphModule, model: Module) -> None:
    """Makes an in-place call the one that writes to memory of its own."""
    target: Any = node.target
    if node.op == "call_module":
        parent, _, name = target.rpartition(".")
        owner = traced.get_submodule(parent)
        if owner in model.modules():
            raise Untraceable(f"{node} is a call of a module within one that is called")
        layer = copy.copy(owner.get_submodule(name))
        vars(layer)["inplace"] = False
        setattr(owner, name, layer)
    elif node.op == "call_method":
        if not hasattr(torch.Tensor, target[:-1]):
            raise Untraceable(f"{target} has no counterpart that writes elsewhere")
        node.target = target[:-1]
    elif isinstance(target, OpOverload):
        other = aten.out_of_place(target)
        if other is None:
            raise Untraceable(f"{target} has no counterpart that writes elsewhere")
        node.target = other
    elif target in IN_PLACE_OPERATORS:
        node.target = IN_PLACE_OPERATORS[target]
    elif _arguments(node).get("inplace"):
        given = _arguments(node)
        first, *rest = given
        node.args = (given[first],)
        node.kwargs = {name: given[name] for name in rest if name != "inplace"}
    else:
        name = getattr(target, "__name__", "")
        homes = (home for home in (torch, F) if getattr(home, name, None) is target)
        function = next((getattr(home, name[:-1], None) for home in homes), None)
        if function is None or node.kwargs.get("out") is not None:
            raise Untraceable(f"{name} has no counterpart that writes elsewhere")
        node.target = function
