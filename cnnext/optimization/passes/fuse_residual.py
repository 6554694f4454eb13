"""An addition in the convolution or linear layer that gives one of its operands.

    conv2d -> add(r) -> relu      becomes      conv2d[r, relu]      r before the activation
    conv2d[silu] -> add(r)                     conv2d[silu, r]      r after it

The addition has its activation in it already. Where either operand could take it, the later one
does, so that the other exists by then.
"""

from __future__ import annotations

from cnnext.optimization.graph import Graph, Node, Rewritten

_PRODUCERS = frozenset({"conv2d", "linear"})


def fuse_residual(graph: Graph) -> Graph:
    return graph.rewritten(_fuse)


def _fuse(add: Node, rewritten: Rewritten) -> Node:
    if add.operator != "add":
        return add
    producers = [
        operand
        for operand in add.operands
        if operand.operator in _PRODUCERS
        and rewritten.is_used_once(operand)
        and not operand.attributes.keys() & {"residual", "pool"}
        and not (add.attributes and operand.attributes.keys() & {"activation"})
    ]
    if not producers:
        return add
    producer = max(producers, key=rewritten.position)
    (residual,) = (operand for operand in add.operands if operand is not producer)
    place = "after" if "activation" in producer.attributes else "before"
    return producer.changed(
        (*producer.operands, residual),
        attributes={**add.attributes, "residual": place},
        layers=add.layers,
    )
