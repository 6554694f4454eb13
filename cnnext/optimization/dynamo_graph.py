"""Graphs of torch.compile, divided into parts as traced models are.

Dynamo records functions of PyTorch, with the tensors of the model among the inputs, sizes as
numbers, and switches of global modes between the calls. What is known of a value stands in its
node, so that nothing has to be run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.nn import Parameter
from torch.utils import _pytree as pytree

from cnnext.optimization.capture import Part, divide
from cnnext.optimization.functionalization import STORAGES, functionalize
from cnnext.optimization.graph import Node
from cnnext.optimization.lowering import EXAMPLE, SHAPE, Lowering
from cnnext.optimization.partition import supported_nodes
from cnnext.optimization.tracing import Untraceable

#: In `meta`: why a node may be in no part.
_REFUSED = "cnnext_refused"

#: In `meta`: that the value is laid out as channels_last.
_CHANNELS_LAST = "cnnext_channels_last"

#: In `meta`: whether a call gives nothing, and at which end of the graph it has to stay.
_NOTHING, _FIRST, _LAST = "cnnext_nothing", "cnnext_first", "cnnext_last"

#: Calls that keep the order of a tensor's elements.
_RESHAPES = frozenset(
    {"view", "reshape", "flatten", "squeeze", torch.reshape, torch.flatten, torch.squeeze}
)

#: Calls that take gradients, or prepare for that.
_AUTOGRAD = frozenset(
    {torch.autograd.grad, torch.autograd.backward, "backward"}
    | {"register_hook", "requires_grad_", "retain_grad"}
)

_set_grad_enabled = torch._C._set_grad_enabled

#: How the names of functions begin that return nothing, but do nothing either where all is right.
_ASSERTIONS = ("_check", "_assert", "sym_constrain")


def is_differentiable(graph: fx.Graph) -> bool:
    """Whether a graph of Dynamo's gives something that gradients flow through."""
    (output,) = graph.find_nodes(op="output")
    calls_autograd = any(node.target in _AUTOGRAD for node in _calls(graph))
    return calls_autograd or any(map(_requires_grad, output.all_input_nodes))


def tensors_of_model(graph: fx.Graph) -> dict[str, int]:
    """The inputs that are parameters, or buffers and attributes of modules, by their names."""
    placeholders = enumerate(graph.find_nodes(op="placeholder"))
    return {str(node.target): i for i, node in placeholders if _is_of_model(node)}


def prepared(graph: fx.Graph) -> fx.Graph:
    """A copy of a graph of Dynamo's, which says of its values what `divided` has to know.

    Numbers that layers have are constants in it: with others, Dynamo compiles again.
    """
    differentiable = is_differentiable(graph)
    copied, copies = _copied(graph)
    for node, copy in copies.items():
        copy.meta = _description(node)
        if differentiable and _requires_grad(node):
            copy.meta[_REFUSED] = "autograd records it"
        if node.target in _RESHAPES and _is_flattening(node):
            copy.op, copy.target = "call_function", torch.flatten
            copy.args, copy.kwargs = (copies[node.all_input_nodes[0]], 1), {}
        if _is_option(node):
            _replace_by_number(copy, float(_value(node)))
    if not differentiable:
        _erase_grad_modes(copied)
    _mark_statements(copied)
    return copied


def divided(
    graph: fx.Graph, model: fx.GraphModule, tensors: Mapping[str, str]
) -> tuple[fx.GraphModule, list[Part]]:
    """A graph that is `prepared` as a module with parts in it, and these parts.

    Args:
        graph: the graph.
        model: has what the graph calls and reads, and the tensors that are inputs of it.
        tensors: the names by which the model has them, by those of the inputs.

    Raises:
        Untraceable: something is overwritten that is not the graph's own.
    """
    copied, _ = _copied(graph)
    for node in copied.find_nodes(op="placeholder"):
        if (name := tensors.get(str(node.target))) is not None:
            _read_from_model(node, name)
    whole = fx.GraphModule(model, copied)
    functionalize(whole, model)
    refused = {node: node.meta[_REFUSED] for node in copied.nodes if _REFUSED in node.meta}
    _restore_layouts(copied, model, refused)
    while aliases := _aliases(copied, model, refused):
        refused.update(dict.fromkeys(aliases, "is another name for what is returned"))
    parts, _, _ = divide(whole, model, refused=refused)
    _keep_at_ends(whole.graph)
    inputs = {str(node.target): node for node in whole.graph.find_nodes(op="placeholder")}
    names = {attribute: name for name, attribute in tensors.items()}
    for node in whole.graph.find_nodes(op="get_attr"):
        if (name := names.get(str(node.target))) is not None:
            node.replace_all_uses_with(inputs[name])
            whole.graph.erase_node(node)
    whole.recompile()
    return whole, parts


def _calls(graph: fx.Graph) -> Iterator[fx.Node]:
    return (node for node in graph.nodes if node.op.startswith("call_"))


def _copied(graph: fx.Graph) -> tuple[fx.Graph, dict[fx.Node, fx.Node]]:
    """A copy of the graph, and of each of its nodes but the output."""
    copied, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    copied.output(copied.graph_copy(graph, copies))
    return copied, copies


# -------------------------------------------------------------------- what is known of a value


def _value(node: fx.Node) -> Any:
    return node.meta.get("example_value")


def _requires_grad(node: fx.Node) -> bool:
    return any(isinstance(x, Tensor) and x.requires_grad for x in pytree.tree_leaves(_value(node)))


def _is_of_model(node: fx.Node) -> bool:
    marks = node.meta.get("tensor_dict") or {}
    return isinstance(_value(node), Parameter) or bool(marks.get("_dynamo_static_input_type"))


def _is_option(node: fx.Node) -> bool:
    """Whether it is a number that a layer has, such as a batch normalization's eps."""
    if node.target != "item" or not isinstance(_value(node), torch.SymFloat):
        return False
    source = getattr(node.all_input_nodes[0].meta.get("grapharg"), "source", None)
    return source is not None and "NN_MODULE" in source.guard_source.name


def _replace_by_number(node: fx.Node, number: float) -> None:
    """Has the users of a node take a number instead."""

    def replaced(argument: fx.Node) -> Any:
        return number if argument is node else argument

    for user in list(node.users):
        user.args, user.kwargs = fx.map_arg((user.args, user.kwargs), replaced)
    node.graph.erase_node(node)


def _is_flattening(node: fx.Node) -> bool:
    """Whether a reshape gives (N, features) of a batch of N."""
    value, source = _value(node), _value(node.all_input_nodes[0])
    return (
        isinstance(value, FakeTensor)
        and isinstance(source, FakeTensor)
        and value.dtype == source.dtype
        and value.dim() == 2
        and source.dim() in (2, 4)
        and statically_known_true(value.shape[0] == source.shape[0])
    )


def _is_strided(value: Tensor) -> bool:
    return isinstance(value, FakeTensor) and value.layout == torch.strided


def _description(node: fx.Node) -> dict[str, Any]:
    """What `meta` says of a node's value, without a size that could be another in other calls."""
    value = _value(node)
    known: dict[str, Any] = {EXAMPLE: None, _NOTHING: value is None}
    leaves = [x for x in pytree.tree_leaves(value) if isinstance(x, Tensor)]
    if value is not None and all(map(_is_strided, leaves)):
        known[STORAGES] = frozenset(x.untyped_storage()._cdata for x in leaves)
        if isinstance(value, FakeTensor):
            known |= _description_of(value)
    return known


def _description_of(value: FakeTensor) -> dict[str, Any]:
    shape: list[Any] = list(value.shape)
    sizes = [size if type(size) is int else size.node.hint for size in shape]
    if None in sizes:  # they depend on data
        return {}
    known: dict[str, Any] = {EXAMPLE: torch.empty(sizes, dtype=value.dtype, device="meta")}
    if value.dim() > 1:
        channels = shape[1] if type(shape[1]) is int else None
        known[SHAPE] = (None, channels, *[None] * (value.dim() - 2))
    if value.dim() == 4:
        strides = value.stride(1), value.stride(3)  # compared if they are no symbols
        known[_CHANNELS_LAST] = all(type(each) is int for each in strides) and (
            strides == (1, sizes[1]) and sizes[1] > 1
        )
    return known


# ------------------------------------------------------------------- calls whose order matters


def _erase_grad_modes(graph: fx.Graph) -> None:
    """Erases switches that nothing in a graph without gradients depends on."""
    switches = graph.find_nodes(op="call_function", target=_set_grad_enabled)
    if switches and switches[-1].args == (torch.is_grad_enabled(),):
        for node in switches:
            graph.erase_node(node)


def _mark_statements(graph: fx.Graph) -> None:
    """Marks the calls at the graph's ends that stand for what they do, not for a value.

    Raises:
        Untraceable: there is one between other calls.
    """
    calls = list(_calls(graph))
    for end, nodes in ((_FIRST, calls), (_LAST, calls[::-1])):
        for node in itertools.takewhile(_is_statement, nodes):
            node.meta[end] = True
    for node in calls:
        if _is_statement(node) and not (_FIRST in node.meta or _LAST in node.meta):
            raise Untraceable(f"{node} has to be called where it stands")


def _is_statement(node: fx.Node) -> bool:
    name = getattr(node.target, "__name__", str(node.target))
    return bool(node.meta[_NOTHING]) and not name.startswith(_ASSERTIONS)


def _keep_at_ends(graph: fx.Graph) -> None:
    """Puts the marked calls back to their ends."""
    nodes = list(graph.nodes)
    first = next(n for n in nodes if n.op != "placeholder" and _FIRST not in n.meta)
    for node in nodes:
        if _FIRST in node.meta:
            first.prepend(node)
        elif _LAST in node.meta:
            nodes[-1].prepend(node)


# --------------------------------------------------------------- what others see of a part's values


def _read_from_model(input: fx.Node, name: str) -> None:
    """Lets the users of an input read the model's tensor of that name, each with a node for it."""
    for user in list(input.users):
        with input.graph.inserting_before(user):
            node = input.graph.get_attr(name)
        node.meta = dict(input.meta)
        user.replace_input_with(input, node)


def _leaving(
    graph: fx.Graph, model: fx.GraphModule, refused: Mapping[fx.Node, str]
) -> tuple[Lowering, list[fx.Node], set[fx.Node]]:
    """The nodes that may be in parts and whose values are used outside; all that may be in them."""
    lowering, supported = supported_nodes(graph, model, "", refused)
    leaving = [node for node in graph.nodes if node in supported and node.users.keys() - supported]
    return lowering, leaving, supported


def _restore_layouts(graph: fx.Graph, model: fx.GraphModule, refused: dict[fx.Node, str]) -> None:
    """Lays out as channels_last what Dynamo takes to be: parts return contiguous tensors."""
    _, leaving, supported = _leaving(graph, model, refused)
    for node in leaving:
        if not node.meta.get(_CHANNELS_LAST):
            continue
        others = [user for user in node.users if user not in supported]
        layout: dict[str, Any] = {"memory_format": torch.channels_last}
        with graph.inserting_after(node):
            restored = graph.call_method("contiguous", (node,), layout)
        restored.meta = dict(node.meta)
        refused[restored] = "restores a layout"
        for user in others:
            user.replace_input_with(node, restored)


def _aliases(
    graph: fx.Graph, model: fx.GraphModule, refused: Mapping[fx.Node, str]
) -> list[fx.Node]:
    """The nodes of parts of which others would see whether they are copies.

    A part returns copies of what it takes views of, and one tensor for what is copied inside it.
    """
    lowering, leaving, supported = _leaving(graph, model, refused)
    storages: set[int] = set()
    values: set[Node] = set()
    found = []
    for node in graph.nodes:
        memory, value = node.meta.get(STORAGES, frozenset()), lowering.values.get(node)
        if node in leaving and isinstance(value, Node):
            if value.operator == "input" or value in values or memory & storages:
                found.append(node)
            values.add(value)
        if node in leaving or node not in supported:
            storages |= memory
    return found
