"""An average pool in front of the 1x1 convolution whose values it averages.

    conv2d(1x1) -> avg_pool2d(2)      becomes      avg_pool2d(2) -> conv2d(1x1)

Likewise for adaptive_avg_pool2d. Both are linear, and one mixes channels, the other pixels, so that
they may change places; a bias stays what it is, since the factors of every window add up to 1. The
convolution then has fewer pixels. DenseNet's transitions are written the other way round.
"""

from __future__ import annotations

import dataclasses

from cnnext.optimization.graph import Attribute, Graph, Node, Rewritten

#: Below, the convolution saves less than the pool of more channels costs.
_MIN_CHANNELS = 32

_WHOLE_WINDOWS: dict[str, Attribute] = {
    "padding": (0, 0),
    "ceil_mode": False,
    "divisor_override": 0,
}
_POINTWISE: dict[str, Attribute] = {"stride": (1, 1), "padding": (0, 0)}


def average_first(graph: Graph) -> Graph:
    return graph.rewritten(_swap)


def _swap(pool: Node, rewritten: Rewritten) -> Node:
    if not _shrinks(pool):
        return pool
    (conv,) = pool.operands
    if conv.operator != "conv2d" or not rewritten.is_used_once(conv) or not _is_pointwise(conv):
        return pool
    pooled = pool.changed(conv.operands)
    if pool.shape is not None:
        channels = conv.operands[0].channels
        pooled = dataclasses.replace(pooled, shape=(None, channels, *pool.shape[2:]))
    return dataclasses.replace(conv.changed((pooled,)), shape=pool.shape)


def _shrinks(node: Node) -> bool:
    if node.operator == "adaptive_avg_pool2d":
        return node.attributes["size"] == (1, 1)
    return (
        node.operator == "avg_pool2d"
        and _WHOLE_WINDOWS.items() <= node.attributes.items()
        and node.attributes["stride"] != (1, 1)
    )


def _is_pointwise(conv: Node) -> bool:
    channels, _, *kernel = conv.weights["weight"].size()
    return (
        kernel == [1, 1]
        and channels >= _MIN_CHANNELS
        and _POINTWISE.items() <= conv.attributes.items()
        and not conv.attributes.keys() & {"activation", "residual", "pool"}
    )
