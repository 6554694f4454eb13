"""Which calls of a traced model become a part together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx
from torch.nn import Module

from cnnext.optimization import aten
from cnnext.optimization.assertions import Known
from cnnext.optimization.graph import Node
from cnnext.optimization.lowering import SHAPE, Lowering
from cnnext.optimization.operands import Size, Sizes
from cnnext.optimization.sequences import Columns
from cnnext.optimization.structure import resized_like

#: A part has one of these: all others together gain less than it costs to enter and leave it.
_PRODUCTS = frozenset({"conv2d", "linear", "conv_transpose2d", "recurrence"})

#: Whose first operand has the height and width of the result.
_ELEMENTWISE = frozenset({"activation", "add", "scale_shift"})

_VIEWS = frozenset({"view", "reshape", torch.reshape, *aten.VIEWS})


def supported_nodes(
    graph: fx.Graph, model: Module, path: str, refused: Mapping[fx.Node, str] | None = None
) -> tuple[Lowering, set[fx.Node]]:
    """The lowering of the graph, and the nodes that may be in a part: none of the refused."""
    refused = dict(refused or {})
    while True:
        lowering = Lowering(graph, model, path, refused)
        supported = {node for node, value in lowering.values.items() if lowering.is_lowered(node)}
        pieces = [node for node in supported if isinstance(lowering.values[node], tuple | Columns)]
        for node in pieces:
            if not supported.issuperset(node.users):
                refused[node] = "its pieces are used by calls of PyTorch"
        for node in supported.difference(refused):
            if _asserts_features(node) and not _is_multiplied(node, lowering):
                refused[node] = "another size of image would have another batch"
            if _is_of_unknown_rank(node, lowering):
                refused[node] = "the number of dimensions is not known"
        if refused.keys() <= lowering.reasons.keys():
            for node, value in lowering.values.items():
                node.meta[SHAPE] = getattr(value, "shape", None)
            return lowering, supported


def _is_of_unknown_rank(node: fx.Node, lowering: Lowering) -> bool:
    """Whether it is a linear layer of what may be a sequence."""
    value, source = lowering.values[node], next(iter(node.all_input_nodes))
    if not isinstance(value, Node) or value.operator != "linear" or source.op == "placeholder":
        return False
    return value.operands[0].operator == "input" and value.operands[0].rank is None


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


def spell_out_sizes(graph: fx.Graph, supported: set[fx.Node], lowering: Lowering) -> None:
    """Takes from calls the sizes that they are given, so that none has to be handed to a part:
    makes flattenings of views, and lets `resized_like` ask another value for its size.

    What only asserts sizes that are known goes with them.
    """
    values = reversed(lowering.values.items())
    traced = {value: node for node, value in values if isinstance(value, Node)}
    for node in supported:
        value = lowering.values[node]
        if node.target in _VIEWS and not _asserts_features(node):
            node.op, node.target = "call_function", torch.flatten
            node.args, node.kwargs = (node.args[0], 1), {}
        elif _is_resized_like(value) and traced[value] is node:
            input, like = value.operands
            corners = value.attributes.get("align_corners")
            node.op, node.target = "call_function", resized_like
            node.args = (
                *(traced[input], traced[_as_large(like, traced)]),
                *(value.operator.removeprefix("upsample_"), corners),
            )
            node.kwargs = {}
    for node in reversed(graph.nodes):
        if _is_of_sizes(lowering.values.get(node)) and not node.users:
            graph.erase_node(node)


def _is_resized_like(value: Any) -> bool:
    if not isinstance(value, Node) or len(value.operands) < 2:
        return False
    return value.operator in ("upsample_nearest", "upsample_bilinear")


def _as_large(value: Node, traced: Mapping[Node, fx.Node]) -> Node:
    """What a convolution takes that gives the value's height and width, if there is such a one.

    That exists in any case, while a layer whose result is used by one more call may not be fused.
    """
    source = value
    while source.operator in _ELEMENTWISE:
        source = source.operands[0]
    if source.operator != "conv2d":
        return value
    geometry: Any = [source.attributes[name] for name in ("stride", "padding", "dilation")]
    window = zip(source.weights["weight"].size()[2:], *geometry, strict=True)
    keeps = all(s == 1 and 2 * p == d * (k - 1) for k, s, p, d in window)
    return source.operands[0] if keeps and source.operands[0] in traced else value


def _is_of_sizes(value: Any) -> bool:
    pieces = value if isinstance(value, tuple) else (value,)
    return all(isinstance(each, Size | Sizes | Known) for each in pieces)


def partitions(graph: fx.Graph, supported: set[fx.Node], lowering: Lowering) -> list[list[fx.Node]]:
    """The nodes of each part, so that no value leaves a part and comes back to it.

    The number of a node's part is how often, at most, a path to it enters a part.
    """
    level: dict[fx.Node, int] = {}
    members: dict[int, list[fx.Node]] = {}
    for node in graph.nodes:
        sources = [each for each in node.all_input_nodes if not lowering.is_constant(each)]
        if node not in supported:
            level[node] = max((level[each] for each in sources), default=0)
            continue
        level[node] = max((level[each] + (each not in supported) for each in sources), default=0)
        members.setdefault(level[node], []).extend([*_constants(node, lowering), node])
    return [nodes for nodes in members.values() if _is_worth_it(nodes, lowering)]


def give_own_constants(graph: fx.Graph, supported: set[fx.Node], lowering: Lowering) -> None:
    """Computes the constants of each supported node for it alone, so that they can go with it."""
    for node in supported:
        copies: dict[fx.Node, fx.Node] = {}
        for each in _constants(node, lowering):
            with graph.inserting_before(node):
                copies[each] = graph.node_copy(each, copies.__getitem__)
            lowering.values[copies[each]] = lowering.values[each]
        for each in node.all_input_nodes:
            if each in copies:
                node.replace_input_with(each, copies[each])
    for node in reversed(graph.nodes):
        if lowering.is_constant(node) and not node.users:
            graph.erase_node(node)


def _constants(node: fx.Node, lowering: Lowering) -> list[fx.Node]:
    """The constants that a node takes, and what those follow from, in the order of the graph."""
    found: dict[fx.Node, None] = {}
    for each in node.all_input_nodes:
        if lowering.is_constant(each):
            found.update(dict.fromkeys([*_constants(each, lowering), each]))
    return list(found)


def _is_worth_it(nodes: list[fx.Node], lowering: Lowering) -> bool:
    return any(_is_product(lowering.values[node]) for node in nodes)


def _is_product(value: Any) -> bool:
    if isinstance(value, tuple) and value:  # of a recurrent layer, its output is first
        value = value[0]
    if isinstance(value, Node) and value.operator == "transpose":
        (value,) = value.operands
    return isinstance(value, Node) and value.operator in _PRODUCTS
