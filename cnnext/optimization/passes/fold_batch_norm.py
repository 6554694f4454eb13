"""A batch normalization in the weights of what it normalizes.

    conv2d(w, b) -> scale_shift(s, t)      becomes      conv2d(w s, b s + t)

Likewise for linear and conv_transpose2d, and for another scale_shift. Where the value of the first
is used elsewhere, too, the two stay apart.
"""

from __future__ import annotations

from cnnext.optimization.graph import Graph, Node, Rewritten
from cnnext.optimization.weights import Scaled, ScaledBias, Weight

_PRODUCERS = frozenset({"conv2d", "linear", "conv_transpose2d"})


def fold_batch_norm(graph: Graph) -> Graph:
    return graph.rewritten(_fold)


def _fold(norm: Node, rewritten: Rewritten) -> Node:
    if norm.operator != "scale_shift" or norm.attributes:
        return norm
    (producer,) = norm.operands
    if (
        producer.operator not in _PRODUCERS
        and producer.operator != "scale_shift"
        or not rewritten.is_used_once(producer)
        or producer.attributes.keys() & {"activation", "residual", "pool"}
    ):
        return norm
    scale, shift = norm.weights["scale"], norm.weights["shift"]
    if producer.operator == "scale_shift":
        first, term = producer.weights["scale"], producer.weights["shift"]
        both = {"scale": Scaled(first, scale), "shift": ScaledBias(term, scale, shift)}
        return producer.changed(weights=both, layers=norm.layers)
    groups = producer.attributes["groups"] if producer.operator == "conv_transpose2d" else 0
    assert isinstance(groups, int)
    bias: Weight = shift
    if "bias" in producer.weights:
        bias = ScaledBias(producer.weights["bias"], scale, shift)
    weights = {"weight": Scaled(producer.weights["weight"], scale, groups), "bias": bias}
    return producer.changed(weights=weights, layers=norm.layers)
