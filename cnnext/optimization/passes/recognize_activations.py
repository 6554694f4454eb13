"""Activations that are spelled out as products.

x -> sigmoid -> multiply(x)          becomes      x -> silu
x -> hardsigmoid -> multiply(x)                   x -> hardswish
"""

from __future__ import annotations

from cnnext.optimization.graph import Graph, Node, Rewritten

_PRODUCTS = {"sigmoid": "silu", "hardsigmoid": "hardswish"}


def recognize_activations(graph: Graph) -> Graph:
    return graph.rewritten(_recognize)


def _recognize(product: Node, rewritten: Rewritten) -> Node:
    if product.operator != "multiply":
        return product
    for x, gate in (product.operands, product.operands[::-1]):
        is_gate = gate.operator == "activation" and gate.operands == (x,)
        if is_gate and rewritten.is_used_once(gate):
            words = gate.attributes["activation"]
            assert isinstance(words, tuple)
            if (name := _PRODUCTS.get(str(words[0]))) is not None:
                return gate.changed(attributes={"activation": (name,)}, layers=product.layers)
    return product
