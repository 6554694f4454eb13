"""From a traced graph of torch.fx to ours."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import fx
from torch.nn import Module

from cnnext.optimization import arithmetic, assertions, aten, functions
from cnnext.optimization.constants import computed
from cnnext.optimization.graph import Graph, Node, Shape
from cnnext.optimization.layers import lower_layer
from cnnext.optimization.operands import Constant, Size, Sizes, Unsupported
from cnnext.optimization.sequences import Columns
from cnnext.optimization.weights import Held, attribute

#: In `meta` of a traced node: its value in the example as a tensor on the meta device, None for
#: what is not a tensor; missing without an example.
EXAMPLE = "cnnext_example"

#: In the same place: what is known of the value's sizes.
SHAPE = "cnnext_shape"

_FUNCTIONS = functions.FUNCTIONS | arithmetic.FUNCTIONS | assertions.FUNCTIONS
_METHODS = functions.METHODS | arithmetic.METHODS | assertions.METHODS


@dataclass(frozen=True)
class NotATensor:
    """What a node of this name gives in the example, which no graph takes."""

    name: str


class Lowering:
    """Lowers a traced graph node by node; the value of what is not lowered is an input.

    Args:
        traced: its nodes call modules and read attributes of the model.
        model: the model, or the module of it that was traced.
        path: the qualified name of that module.
        refused: why some nodes are not to be lowered.

    Attributes:
        values: what became of each traced node.
        reasons: why a traced node was not lowered.
        nodes: the nodes of the graph.
    """

    def __init__(
        self,
        traced: fx.Graph,
        model: Module,
        path: str = "",
        refused: Mapping[fx.Node, str] | None = None,
    ) -> None:
        self._model = model
        self._path = path
        self.values: dict[fx.Node, Any] = {}
        self.reasons: dict[fx.Node, str] = dict(refused or {})
        self.nodes: dict[Node, None] = {}
        self.outputs: tuple[Node, ...] = ()
        for node in traced.nodes:
            if node.op == "output":
                self.outputs = self._flat(node.args[0])
            elif node.op == "get_attr":
                self.values[node] = self._constant(node, traced)
            elif node.op == "placeholder" or node in self.reasons:
                self.values[node] = self._input(node)
            else:
                self._lower(node)

    def is_lowered(self, node: fx.Node) -> bool:
        """Whether the node's value is one or several of the graph's."""
        value = self.values.get(node)
        is_call = node.op not in ("placeholder", "get_attr", "output") and node not in self.reasons
        pieces = value if isinstance(value, tuple) else (value,)
        is_of_sizes = all(isinstance(each, Size | Sizes) for each in pieces)
        return is_call and isinstance(value, Node | tuple | Columns) and not is_of_sizes

    def graph(self) -> Graph:
        return Graph(tuple(self.nodes), self.outputs).pruned()

    def _flat(self, outputs: Any) -> tuple[Node, ...]:
        found: list[Node] = []
        fx.map_arg(outputs, lambda node: found.append(self.values[node]))
        return tuple(found)

    def is_constant(self, node: fx.Node) -> bool:
        """Whether the node's value is a tensor of the model, or follows from such alone."""
        return isinstance(self.values.get(node), Constant)

    def _constant(self, node: fx.Node, traced: fx.Graph) -> Any:
        name = str(node.target)
        with contextlib.suppress(AttributeError):
            return Constant(attribute(self._model, name), joined(self._path, name))
        with contextlib.suppress(AttributeError):  # the tracer keeps it, not the model
            assert traced.owning_module is not None
            tensor = attribute(traced.owning_module, name)
            return Constant(tensor, name, Held(tensor))
        return f"{name}, which is not a tensor"

    def _input(self, node: fx.Node) -> Node | NotATensor:
        if node.meta.get(EXAMPLE, node) is None:
            return NotATensor(node.name)
        value = Node("input", shape=_known_shape(node))
        self.nodes[value] = None
        return value

    def _lower(self, node: fx.Node) -> None:
        try:
            args = fx.map_arg(node.args, self.values.__getitem__)
            kwargs = fx.map_arg(node.kwargs, self.values.__getitem__)
            if self._follows_from_constants(node):
                method = getattr(torch.Tensor, str(node.target), None)
                function: Any = method if node.op == "call_method" else node.target
                self.values[node] = computed(function, args, kwargs)
                return
            self._check_example(node)
            value = self._by_example(node, self._call(node, *args, **kwargs))
            layer = joined(self._path, layer_of(node))
            self.values[node] = self._entered(value, layer)
        except Unsupported as why:
            self.reasons[node] = str(why)
            self.values[node] = self._input(node)

    def _follows_from_constants(self, node: fx.Node) -> bool:
        operands = node.all_input_nodes
        is_function = node.op in ("call_function", "call_method")
        # What nothing uses is called for what it writes.
        is_used = is_function and len(operands) > 0 and len(node.users) > 0
        return is_used and all(map(self.is_constant, operands))

    def _check_example(self, node: fx.Node) -> None:
        """Raises Unsupported where the example has what no graph has."""
        for each in (*node.all_input_nodes, node):
            example = each.meta.get(EXAMPLE)
            if example is None or self.is_constant(each):
                continue
            if example.dtype != torch.float32 or example.dim() not in (2, 3, 4):
                raise Unsupported(f"{example.dtype} of {example.dim()} dimensions")

    def _call(self, node: fx.Node, *args: Any, **kwargs: Any) -> Any:
        if node.op == "call_module":
            name = str(node.target)
            module, path = self._model.get_submodule(name), joined(self._path, name)
            return self._bound(lower_layer, module, path, *args, **kwargs)
        is_function = node.op == "call_function"
        tables: Any = (_FUNCTIONS, aten.OPERATORS) if is_function else (_METHODS,)
        lowering = next((each[node.target] for each in tables if node.target in each), None)
        if lowering is None:
            name = getattr(node.target, "__name__", str(node.target))
            raise Unsupported(f"no operator for {name}")
        return self._bound(lowering, *args, **kwargs)

    @staticmethod
    def _bound(lowering: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            inspect.signature(lowering).bind(*args, **kwargs)
        except TypeError as error:
            raise Unsupported(f"another overload: {error}") from error
        return lowering(*args, **kwargs)

    def _by_example(self, node: fx.Node, value: Any) -> Any:
        """The value, after a look at the sizes that its operands have in the example."""
        if not isinstance(value, Node) or value.operator not in ("add", "multiply"):
            return value
        operands = [each for each in node.args if isinstance(each, fx.Node)]
        examples = [each.meta.get(EXAMPLE) for each in operands]
        shapes = [each.shape for each in examples if each is not None]
        if len(shapes) != 2 or shapes[0] == shapes[1]:
            return value
        result = node.meta[EXAMPLE].shape
        for operand, shape in zip(operands, shapes, strict=True):
            if value.operator == "multiply" and shape == (*result[:2], 1, 1):
                return _multiplied_by(value, self.values[operand])
        raise Unsupported("the operands are broadcast")

    def _entered(self, value: Any, layer: str) -> Any:
        """The value, whose new nodes are named after the layer and are nodes of the graph."""
        if isinstance(value, tuple):
            return tuple(self._entered(each, layer) for each in value)
        if not isinstance(value, Node) or value in self.nodes:
            return value
        operands = tuple(self._entered(operand, layer) for operand in value.operands)
        layers = (layer,) if layer else ()
        named = dataclasses.replace(value, operands=operands, layers=layers)
        self.nodes[named] = None
        return named


def joined(path: str, name: str) -> str:
    """The qualified name of what a module calls `name`."""
    return f"{path}.{name}" if path and name else path or name


def layer_of(node: fx.Node) -> str:
    """The qualified name of the module that is called or in which the call stands."""
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack")
    return next(reversed(stack)) if stack else ""


def _known_shape(node: fx.Node) -> Shape:
    if (known := node.meta.get(SHAPE)) is not None:
        return cast(Shape, known)
    example = node.meta.get(EXAMPLE)
    if example is None or example.dim() < 2:
        return None
    if example.dim() == 3:
        return (None, None, example.shape[2])
    return (None, example.shape[1], *[None] * (example.dim() - 2))


def _multiplied_by(product: Node, factor: Node) -> Node:
    """The product with this operand as its second."""
    (other,) = (each for each in product.operands if each is not factor)
    return product.changed((other, factor))
