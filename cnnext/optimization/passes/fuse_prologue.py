"""What precedes a convolution, in the convolution that takes its value.

    scale_shift(s, t)[relu] -> conv2d      becomes      conv2d[x_scale=s, x_shift=t, x_relu]
    relu -> conv2d                                      conv2d[x_scale=1, x_relu]
    multiply(f) -> conv2d                               conv2d(f)[x_scale=f]

where f has one pixel, and nothing but convolutions take the value. By their extents the executor
decides which of them prepare it while they copy it, and which share what a step has prepared.
"""

from __future__ import annotations

from collections.abc import Mapping

from cnnext.optimization.graph import Attribute, Graph, Node, Rewritten, Use
from cnnext.optimization.weights import Ones, Weight


def fuse_prologue(graph: Graph) -> Graph:
    return graph.rewritten(_fuse)


def _fuse(conv: Node, rewritten: Rewritten) -> Node:
    if conv.operator != "conv2d":
        return conv
    value, *residual = conv.operands
    if any(use != Use("conv2d", 0) for use in rewritten.uses(value)):
        return conv
    attributes: dict[str, Attribute] = {}
    weights: Mapping[str, Weight] = {}
    activation = value.attributes.get("activation")
    if activation not in (None, ("relu",)):
        return conv
    if activation is not None:
        attributes["x_activation"] = "relu"
    if value.operator == "scale_shift":
        weights = {f"x_{role}": weight for role, weight in value.weights.items()}
    elif value.operator == "activation":
        weights = {"x_scale": Ones(_input_channels(conv))}
    elif value.operator == "multiply" and _has_one_pixel(value.operands[1]):
        attributes["x_scale"] = "f"
    else:
        return conv
    operands = (*value.operands, *residual)
    return conv.changed(operands, attributes=attributes, weights=weights, layers=value.layers)


def _input_channels(conv: Node) -> int:
    groups = conv.attributes["groups"]
    assert isinstance(groups, int)
    return conv.weights["weight"].size()[1] * groups


def _has_one_pixel(value: Node) -> bool:
    return value.shape is not None and value.shape[2:] == (1, 1)
