"""Activations that are spelled out as products.

x -> sigmoid -> multiply(x)              becomes      x -> silu
x -> hardsigmoid -> multiply(x)                       x -> hardswish
x -> + 3 -> clamp(0, 6) -> / 6                        x -> hardsigmoid
x -> + 3 -> clamp(0, 6) -> multiply(x) -> / 6         x -> hardswish
"""

from __future__ import annotations

from cnnext.optimization.graph import Graph, Node, Rewritten
from cnnext.optimization.weights import Filled

_PRODUCTS = {"sigmoid": "silu", "hardsigmoid": "hardswish"}


def recognize_activations(graph: Graph) -> Graph:
    return graph.rewritten(_recognize)


def _recognize(product: Node, rewritten: Rewritten) -> Node:
    if _is_affine(product, 1 / 6, 0) and rewritten.is_used_once(product.operands[0]):
        return _recognize_sixth(product, rewritten)
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


def _recognize_sixth(sixth: Node, rewritten: Rewritten) -> Node:
    (value,) = sixth.operands
    name = "hardsigmoid"
    clamps: list[tuple[Node, Node | None]] = [(value, None)]
    if value.operator == "multiply":
        (a, b), name = value.operands, "hardswish"
        clamps = [(a, b), (b, a)]
    for clamp, x in clamps:
        if (
            clamp.operator == "activation"
            and clamp.attributes["activation"] == ("clamp", 0.0, 6.0)
            and _is_affine(clamp.operands[0], 1, 3)
            and x in (None, clamp.operands[0].operands[0])
            and rewritten.is_used_once(clamp)
            and rewritten.is_used_once(clamp.operands[0])
        ):
            operands = clamp.operands[0].operands
            layers = (*clamp.layers, *sixth.layers)
            return clamp.changed(operands, attributes={"activation": (name,)}, layers=layers)
    return sixth


def _is_affine(node: Node, scale: float, shift: float) -> bool:
    """Whether it is x * scale + shift, of these numbers."""
    given = [node.weights.get(name) for name in ("scale", "shift")]
    return node.operator == "scale_shift" and all(
        isinstance(weight, Filled) and weight.number == number
        for weight, number in zip(given, (scale, shift), strict=True)
    )
