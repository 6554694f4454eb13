"""Operators that give their operand as it is.

    flatten of features, concat of one, slice of all channels, pad by 0, 1x1 windows of stride 1

are their operand.
"""

from __future__ import annotations

from cnnext.optimization.graph import Attribute, Graph, Node, Rewritten

#: By operator, the attributes with which it changes nothing.
_IDENTITIES: dict[str, dict[str, Attribute]] = {
    "max_pool2d": {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0)},
    "avg_pool2d": {"kernel": (1, 1), "stride": (1, 1), "padding": (0, 0), "divisor_override": 0},
    "upsample_nearest": {"scale": (1, 1)},
    "upsample_bilinear": {"scale": (1, 1)},
    "pad": {"padding": (0, 0, 0, 0)},
}


def remove_identities(graph: Graph) -> Graph:
    return graph.rewritten(_without)


def _without(node: Node, rewritten: Rewritten) -> Node:
    if node.operator == "input" or not _is_identity(node):
        return node
    return node.operands[0]


def _is_identity(node: Node) -> bool:
    operand = node.operands[0]
    if node.operator == "flatten":
        return operand.rank == 2
    if node.operator == "concat":
        return len(node.operands) == 1
    if node.operator == "slice":
        return (node.attributes["from"], node.attributes["to"]) == (0, operand.channels)
    attributes = _IDENTITIES.get(node.operator)
    return attributes is not None and attributes.items() <= node.attributes.items()
