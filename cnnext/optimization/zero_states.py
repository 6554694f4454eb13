"""Recurrent layers without the zeros that they are given to start from, as they would anyway.

lstm(x, (zeros, zeros))      becomes      lstm(x)
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import fx, nn
from torch.nn import Module

from cnnext.optimization.layers import native_class, watched
from cnnext.optimization.lowering import EXAMPLE

#: What gives zeros where it is given them.
_MOVES = frozenset({"to", "contiguous", "detach", "cpu", "float"})


def forget_zero_states(graph: fx.Graph, model: Module) -> None:
    """Looks at the example of each state: that its size fits, and is no number of the trace."""
    for node in graph.find_nodes(op="call_module"):
        layer = model.get_submodule(str(node.target))
        hx = node.kwargs.get("hx", node.args[1] if len(node.args) == 2 else None)
        if hx is None or not isinstance(layer, nn.RNNBase) or watched(layer) is not None:
            continue
        several = native_class(layer) is nn.LSTM
        states = hx if isinstance(hx, tuple | list) else (hx,)
        nodes = [each for each in states if isinstance(each, fx.Node)]
        if len(nodes) != len(states) or len(states) != (2 if several else 1):
            continue
        if native_class(layer) is not None and all(_is_zero(each, layer) for each in nodes):
            node.args = node.args[:1]
            node.kwargs = {name: each for name, each in node.kwargs.items() if name != "hx"}
            _erase_unused(graph, nodes)


def _is_zero(state: fx.Node, layer: nn.RNNBase) -> bool:
    example = state.meta.get(EXAMPLE)
    while state.op == "call_method" and state.target in _MOVES:
        (state, *_) = state.all_input_nodes
    sizes = state.args[1:] if state.target == "new_zeros" else state.args
    if state.target not in (torch.zeros, "new_zeros") or example is None:
        return False
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    return (
        len(sizes) == 3
        and isinstance(sizes[1], fx.Node)  # another batch will have as many
        and example.dtype == torch.float32
        and (example.shape[0], example.shape[2]) == (count, layer.hidden_size)
    )


def _erase_unused(graph: fx.Graph, nodes: Iterable[fx.Node]) -> None:
    """Erases nodes that nothing uses, and what only they used."""
    for node in dict.fromkeys(nodes):
        if not node.users and node.op != "placeholder":
            operands = node.all_input_nodes
            graph.erase_node(node)
            _erase_unused(graph, operands)
