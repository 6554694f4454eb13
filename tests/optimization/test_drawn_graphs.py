"""Graphs that are drawn: all passes together change no value."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cnnext.optimization import functions, structure
from cnnext.optimization.graph import Graph, Node
from cnnext.optimization.operands import Constant
from cnnext.optimization.passes import PASSES
from tests.optimization.support import assert_close, run

ACTIVATIONS = (
    *(functions.relu, functions.relu6, functions.silu, functions.tanh, functions.leaky_relu),
    *(functions.gelu, functions.hardswish),
)


class Drawn:
    """A graph that grows by a call at a time, with few channels, so that many values are alike."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw
        self.model = nn.Module()
        self.values: list[tuple[Node, int]] = [(Node("input", shape=(None, 4, None, None)), 8)]
        self.nodes: dict[Node, None] = {self.values[0][0]: None}
        for _ in range(draw(st.integers(1, 14))):
            operator = draw(st.sampled_from(OPERATORS))
            value, size = operator(self, *self.value())
            self._enter(value)
            self.values.append((value, size))

    def _enter(self, value: Node) -> None:
        if value not in self.nodes:
            for operand in value.operands:
                self._enter(operand)
            self.nodes[value] = None

    def value(self) -> tuple[Node, int]:
        """The last, mostly, or any: by chains as well as by trees patterns arise."""
        last = self.values[-1]
        return last if self._draw(st.booleans()) else self._draw(st.sampled_from(self.values))

    def alike(self, value: Node, size: int) -> Node:
        """One of the same shape, itself perhaps."""
        found = [v for v, s in self.values if s == size and v.channels == value.channels]
        return self._draw(st.sampled_from(found))

    def choose(self, *options: Any) -> Any:
        return self._draw(st.sampled_from(options))

    def tensor(self, *shape: int) -> Constant:
        path = f"tensor{len(list(self.model.buffers()))}"
        tensor = torch.rand(shape) + 0.5
        self.model.register_buffer(path, tensor)
        return Constant(tensor, path)

    def graph(self) -> Graph:
        last = self.values[-1][0]
        outputs = dict.fromkeys([last, *(v for v, _ in self.values[1:] if self.choose(0, 0, 0, 1))])
        return Graph(tuple(self.nodes), tuple(outputs)).pruned()


def conv(drawn: Drawn, value: Node, size: int) -> tuple[Node, int]:
    channels, kernel = drawn.choose(4, 4, 6), drawn.choose(1, 1, 3)
    assert value.channels is not None
    weight = drawn.tensor(channels, value.channels, kernel, kernel)
    bias = drawn.tensor(channels) if drawn.choose(False, True) else None
    return functions.conv2d(value, weight, bias, padding=kernel // 2), size


def norm(drawn: Drawn, value: Node, size: int) -> tuple[Node, int]:
    assert value.channels is not None
    tensors = (drawn.tensor(value.channels) for _ in range(4))
    return functions.batch_norm(value, *tensors), size


def activation(drawn: Drawn, value: Node, size: int) -> tuple[Node, int]:
    return drawn.choose(*ACTIVATIONS)(value), size


def add(drawn: Drawn, value: Node, size: int) -> tuple[Node, int]:
    operands = (value, drawn.alike(value, size))
    return functions.add(*operands[:: drawn.choose(1, -1)]), size


def pool(drawn: Drawn, value: Node, size: int) -> tuple[Node, int]:
    if size == 2:
        return functions.max_pool2d(value, 3, 1, 1), size
    return functions.max_pool2d(value, 2), size // 2


def concat(drawn: Drawn, value: Node, size: int) -> tuple[Node, int]:
    return structure.cat([value, drawn.alike(value, size)], 1), size


def channels(drawn: Drawn, value: Node, size: int) -> tuple[Node, int]:
    assert value.channels is not None
    return structure.channel_range(value, 0, drawn.choose(4, value.channels)), size


def excite(drawn: Drawn, value: Node, size: int) -> tuple[Node, int]:
    return functions.multiply(functions.adaptive_avg_pool2d(value, 1), value), size


OPERATORS = (conv, conv, conv, norm, activation, activation, add, pool, concat, channels, excite)


@settings(
    derandomize=True, max_examples=100, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_no_pass_changes_a_value(data: st.DataObject) -> None:
    drawn = Drawn(data.draw)
    graph = drawn.graph()
    x: Tensor = torch.rand(2, 4, 8, 8) - 0.5
    expected = run(graph, drawn.model, x)
    for each in PASSES:
        graph = each(graph)
        assert_close(run(graph, drawn.model, x), expected)
        assert_is_whole(graph)


def assert_is_whole(graph: Graph) -> None:
    """Every value exists before it is used, and is used."""
    seen: set[Node] = set()
    for node in graph.nodes:
        assert seen.issuperset(node.operands)
        seen.add(node)
    uses = graph.uses()
    assert all(uses[node] for node in graph.nodes if node.operator != "input")
