"""In-place calls of a traced graph, such that the order of calls no longer matters.

    y = relu_(x); z = f(x)      becomes      y = relu_(x); z = f(y)

since x and y are one tensor. What is left are the names: a call that is lowered writes to memory of
its own.
"""

from __future__ import annotations

import inspect
import operator
from typing import Any

from torch import fx
from torch.nn import Module

from cnnext.optimization.graph import Node
from cnnext.optimization.lowering import Lowering
from cnnext.optimization.tracing import Untraceable

_IN_PLACE_OPERATORS = frozenset(
    (operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv)
    + (operator.imod, operator.ipow, operator.iand, operator.ior, operator.ixor, operator.imatmul)
)

#: Operators of ours whose value may be memory of their operand's.
_VIEWS = frozenset({"input", "flatten", "slice"})


def functionalize(graph: fx.Graph, model: Module) -> None:
    """Lets what follows an in-place call use the call's value instead of what it overwrote.

    Raises:
        Untraceable: another name for what it overwrites is used afterwards, or it is the model's.
    """
    nodes = list(graph.nodes)
    in_place = [node for node in nodes if _is_in_place(node, model)]
    if not in_place:
        return
    lowering = Lowering(graph, model)
    memory: dict[fx.Node, set[fx.Node]] = {}  # by node, those whose value may lie in its memory
    for node in nodes:
        names = {node}
        if node in in_place or not _is_fresh(node, lowering):
            names = names.union(*(memory[each] for each in node.all_input_nodes))
        for name in names:
            memory[name] = names
    position = {node: i for i, node in enumerate(nodes)}
    for node in in_place:
        target = node.all_input_nodes[0] if node.all_input_nodes else node
        for name in memory[node]:
            if name.op in ("placeholder", "get_attr"):
                raise Untraceable(f"{node} overwrites an argument or a tensor of the model")
            is_older = position[name] < position[node] and name is not target
            if is_older and any(position[user] > position[node] for user in name.users):
                raise Untraceable(f"{node} overwrites what is used by another name, too")
        target.replace_all_uses_with(
            node, delete_user_cb=lambda user, at=position[node]: position[user] > at
        )


def _is_fresh(node: fx.Node, lowering: Lowering) -> bool:
    """Whether the value surely lies in memory of its own."""
    value = lowering.values.get(node)
    operands = (lowering.values.get(each) for each in node.all_input_nodes)
    return (
        isinstance(value, Node)
        and value.operator not in _VIEWS
        and all(value is not operand for operand in operands)
    )


def _is_in_place(node: fx.Node, model: Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(model.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        name = str(node.target)
    elif node.op == "call_function":
        function: Any = node.target
        if function in _IN_PLACE_OPERATORS or "out" in node.kwargs:
            return True
        if _argument(node, "inplace"):
            return True
        name = getattr(function, "__name__", "")
    else:
        return False
    return name.endswith("_") and not name.endswith("__")


def _argument(node: fx.Node, name: str) -> Any:
    """The value that a function's argument has in this call, None without such an argument."""
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # functions that are compiled have no signature
        return node.kwargs.get(name)
    return bound.arguments.get(name)
