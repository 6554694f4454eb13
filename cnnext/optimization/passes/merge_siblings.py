"""1x1 convolutions that take the same value, as one.

         conv2d(w1) -> f                                 slice -> f
    x <                        becomes      x -> conv2d <
         conv2d(w2) -> g                                 slice -> g

x is then read once, and few output channels fill the registers no worse than many. A slice costs
nothing where its user reads it in place. Where it is concatenated or returned it would have to be
copied, while the convolution alone writes there at once: such convolutions stay apart.
"""

from __future__ import annotations

import dataclasses

from cnnext.optimization.graph import Graph, Node, Shape
from cnnext.optimization.weights import Concatenated

#: What would have to copy a slice.
_COPYING = frozenset({"concat", "flatten", "output"})


def merge_siblings(graph: Graph) -> Graph:
    for siblings in reversed(_siblings(graph)):  # what lies before the last is not rewritten by it
        graph = _merged(graph, siblings)
    return graph


def _siblings(graph: Graph) -> list[list[Node]]:
    """The convolutions to merge, in the order of the first of each."""
    uses = graph.uses()
    families: dict[object, list[Node]] = {}
    for node in graph.nodes:
        if _is_pointwise(node) and not any(use.operator in _COPYING for use in uses[node]):
            attributes = tuple(node.attributes.items())
            family = (node.operands, attributes, "bias" in node.weights)
            families.setdefault(family, []).append(node)
    return [siblings for siblings in families.values() if len(siblings) > 1]


def _is_pointwise(node: Node) -> bool:
    return (
        node.operator == "conv2d"
        and node.weights["weight"].size()[2:] == (1, 1)
        and (node.attributes["groups"], node.attributes["padding"]) == (1, (0, 0))
        and not node.attributes.keys() & {"residual", "pool"}
    )


def _merged(graph: Graph, siblings: list[Node]) -> Graph:
    channels = [each.weights["weight"].size()[0] for each in siblings]
    stops = [sum(channels[: i + 1]) for i in range(len(channels))]
    weights = {
        role: Concatenated(tuple(each.weights[role] for each in siblings))
        for role in siblings[0].weights
    }
    layers = tuple(layer for each in siblings for layer in each.layers)
    first = siblings[0].changed(weights=weights, layers=layers)
    conv = dataclasses.replace(first, shape=_with_channels(first, stops[-1]))
    slices = {}
    for each, n, stop in zip(siblings, channels, stops, strict=True):
        channel_range = {"from": stop - n, "to": stop}
        slices[each] = Node("slice", (conv,), channel_range, layers=each.layers, shape=each.shape)
    return graph.rewritten(lambda node, _: slices.get(node, node))


def _with_channels(conv: Node, channels: int) -> Shape:
    return None if conv.shape is None else (None, channels, *conv.shape[2:])
