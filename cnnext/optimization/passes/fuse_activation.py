"""An activation in the operator whose value it takes.

    conv2d -> relu      becomes      conv2d[relu]

Likewise for linear, conv_transpose2d, add and scale_shift, where nothing else uses their value.
"""

from __future__ import annotations

from cnnext.optimization.graph import Graph, Node, Rewritten

_PRODUCERS = frozenset({"conv2d", "linear", "conv_transpose2d", "add", "scale_shift"})


def fuse_activation(graph: Graph) -> Graph:
    return graph.rewritten(_fuse)


def _fuse(node: Node, rewritten: Rewritten) -> Node:
    if node.operator != "activation":
        return node
    (producer,) = node.operands
    if (
        producer.operator not in _PRODUCERS
        or not rewritten.is_used_once(producer)
        or producer.attributes.keys() & {"activation", "residual", "pool"}
    ):
        return node
    return producer.changed(attributes=node.attributes, layers=node.layers)
