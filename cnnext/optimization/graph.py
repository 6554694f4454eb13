"""The graph that a part of a model is captured as, and that the passes simplify.

Its operators and their attributes are those of the program that the executor takes, a line a node:

    <operator> <result> <operands...> <key=value ...>

csrc/plan/graph.h says what a program is, csrc/plan/operators.h what operators there are.

No sizes of images stand in it, so that a graph holds for all. Nodes are immutable: a pass returns a
graph of its own.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cnnext.optimization.weights import Weight

#: A number, a word, or several of them. A bool is written as 0 or 1.
Attribute = int | float | str | bool | tuple[int | float | str, ...]

#: What is known of a value's sizes without an image: None for a size or a rank that is not.
Shape = tuple[int | None, ...] | None


@dataclass(frozen=True, eq=False)
class Node:
    """One operator and the value that it gives.

    Attributes:
        operator: its name in the program; `"input"` for what the graph is given.
        operands: the nodes whose values it takes, factors of the first second, a residual last.
        attributes: in the program's order.
        weights: recipes, by the attribute that names them in the program.
        layers: the qualified names of the modules that it stands for.
        shape: what is known of the value's sizes, the batch never.
    """

    operator: str
    operands: tuple[Node, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    weights: Mapping[str, Weight] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    shape: Shape = None

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    @property
    def channels(self) -> int | None:
        """The size along dimension 1, of a sequence along its last, if that is known."""
        return None if self.shape is None else self.shape[-1 if len(self.shape) == 3 else 1]

    def changed(
        self,
        operands: tuple[Node, ...] | None = None,
        *,
        attributes: Mapping[str, Attribute] | None = None,
        weights: Mapping[str, Weight] | None = None,
        layers: tuple[str, ...] = (),
    ) -> Node:
        """The node with these operands in place of its own, and all else in addition to its own."""
        return dataclasses.replace(
            self,
            operands=self.operands if operands is None else operands,
            attributes={**self.attributes, **(attributes or {})},
            weights={**self.weights, **(weights or {})},
            layers=tuple(dict.fromkeys(self.layers + layers)),
        )


class Use(NamedTuple):
    """What takes a value, and as which of its operands; `"output"` for the graph itself."""

    operator: str
    position: int


class Rewritten:
    """The nodes that a rewriting of a graph has got to, as they are now."""

    def __init__(self) -> None:
        self._uses: defaultdict[Node, list[Use]] = defaultdict(list)
        self._position: dict[Node, int] = {}

    def add(self, node: Node, uses: list[Use]) -> None:
        self._uses[node] += uses
        self._position.setdefault(node, len(self._position))

    def uses(self, node: Node) -> list[Use]:
        """Those of the node whose place it has taken."""
        return self._uses[node]

    def is_used_once(self, node: Node) -> bool:
        return len(self._uses[node]) == 1

    def position(self, node: Node) -> int:
        return self._position[node]


#: What a node becomes, whose operands are rewritten already.
Rule = Callable[[Node, Rewritten], Node]


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in an order in which values exist before they are used.

    Attributes:
        nodes: inputs are first.
        outputs: the values that it returns.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[Node, ...]

    @property
    def inputs(self) -> tuple[Node, ...]:
        return tuple(node for node in self.nodes if node.operator == "input")

    def weights(self) -> list[Weight]:
        """The weights in the order in which the program refers to them, equal ones once."""
        every = (weight for node in self.nodes for weight in node.weights.values())
        return list(dict.fromkeys(every))

    def uses(self) -> defaultdict[Node, list[Use]]:
        """Where each value is an operand or an output."""
        uses: defaultdict[Node, list[Use]] = defaultdict(list)
        for node in self.nodes:
            for position, operand in enumerate(node.operands):
                uses[operand].append(Use(node.operator, position))
        for position, output in enumerate(self.outputs):
            uses[output].append(Use("output", position))
        return uses

    def rewritten(self, rule: Rule) -> Graph:
        """The graph with what `rule` gives in each node's place, without what is no longer used.

        The operands of what a rule gives may be new nodes, too.
        """
        uses, rewritten = self.uses(), Rewritten()
        become: dict[Node, Node] = {}
        for node in self.nodes:
            operands = tuple(become[operand] for operand in node.operands)
            same = operands == node.operands
            new = rule(node if same else node.changed(operands), rewritten)
            become[node] = new
            rewritten.add(new, uses[node])
        nodes: dict[Node, None] = {}

        def enter(node: Node) -> None:
            if node not in nodes:
                for operand in node.operands:
                    enter(operand)
                nodes[node] = None

        for node in become.values():
            enter(node)
        return Graph(tuple(nodes), tuple(become[node] for node in self.outputs)).pruned()

    def pruned(self) -> Graph:
        """The graph without nodes that nothing uses, except inputs."""
        used = set(self.outputs)
        for node in reversed(self.nodes):
            if node in used:
                used.update(node.operands)
        kept = (node for node in self.nodes if node in used or node.operator == "input")
        return Graph(tuple(kept), self.outputs)

    def __str__(self) -> str:
        """The program."""
        values = {node: i for i, node in enumerate(self.nodes)}
        weights = {weight: i for i, weight in enumerate(self.weights())}

        def line(node: Node) -> str:
            words: list[Any] = [
                node.operator,
                values[node],
                *map(values.__getitem__, node.operands),
            ]
            words += (f"{key}={weights[weight]}" for key, weight in node.weights.items())
            words += (f"{key}={_text(value)}" for key, value in node.attributes.items())
            return " ".join(map(str, words))

        outputs = " ".join(str(values[node]) for node in self.outputs)
        return "\n".join([*map(line, self.nodes), f"output {outputs}"]) + "\n"


def _text(value: Attribute) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return str(int(value)) if isinstance(value, bool) else str(value)
