"""A max-pool of 2x2 windows, stride 2, in the convolution that it takes the maxima of.

    conv2d[relu] -> max_pool2d(2)         becomes      conv2d[relu, pool]
    conv2d -> max_pool2d(2) -> relu                    conv2d[relu, pool]

The second since a maximum and an activation that is monotonic may change places.
"""

from __future__ import annotations

import dataclasses

from cnnext.optimization.graph import Graph, Node, Rewritten

_WINDOW = {
    "kernel": (2, 2),
    "stride": (2, 2),
    "padding": (0, 0),
    "dilation": (1, 1),
    "ceil_mode": False,
}
_MONOTONIC = frozenset({"relu", "clamp", "sigmoid", "tanh", "hardsigmoid"})


def fuse_pool(graph: Graph) -> Graph:
    return graph.rewritten(_fuse)


def _fuse(node: Node, rewritten: Rewritten) -> Node:
    if not (_is_pool(node) or _is_monotonic(node)):
        return node
    (producer,) = node.operands
    if producer.operator != "conv2d" or not rewritten.is_used_once(producer):
        return node
    follows = producer.attributes.keys() & {"activation", "residual", "pool"}
    if _is_pool(node) and follows <= {"activation"}:
        pooled = producer.changed(attributes={"pool": 2}, layers=node.layers)
        return dataclasses.replace(pooled, shape=node.shape)
    if _is_monotonic(node) and follows == {"pool"}:
        return producer.changed(attributes=node.attributes, layers=node.layers)
    return node


def _is_pool(node: Node) -> bool:
    return node.operator == "max_pool2d" and dict(node.attributes) == _WINDOW


def _is_monotonic(node: Node) -> bool:
    words = node.attributes.get("activation")
    return node.operator == "activation" and isinstance(words, tuple) and words[0] in _MONOTONIC
