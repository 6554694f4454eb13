"""What models spell out for want of a function becomes a call of the function.

    y = x.view(n, g, c // g, h, w)
    y = y.transpose(1, 2).contiguous()
    y = y.view(n, c, h, w)                  becomes      y = torch.channel_shuffle(x, g)

where (n, c, h, w) is the size of x.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

_VIEWS = frozenset({"view", "reshape", torch.reshape})
_COPIES = frozenset({"contiguous", "clone"})
#: What swaps dimensions 1 and 2 of five, by its arguments behind the tensor.
_SWAPPED = (0, 2, 1, 3, 4)
_SWAPS: dict[Any, tuple[Any, ...]] = {
    **dict.fromkeys(("transpose", torch.transpose), ((1, 2), (2, 1))),
    **dict.fromkeys(("permute", torch.permute), (_SWAPPED, (_SWAPPED,), ([*_SWAPPED],))),
}
_OF_SIZES = frozenset({"size", getattr, operator.getitem, operator.floordiv, operator.mul})


def recognize_shuffles(graph: fx.Graph) -> None:
    for node in graph.nodes:
        if (found := _shuffle(node)) is not None:
            unused = list(node.all_input_nodes)
            node.op, node.target = "call_function", torch.channel_shuffle
            node.args, node.kwargs = found, {}
            _erase_unused(graph, unused)


def _shuffle(last: fx.Node) -> tuple[fx.Node, int] | None:
    """The arguments of the channel shuffle whose last call this is; None if it is of none."""
    swapped = _argument(last)
    while swapped is not None and swapped.target in _COPIES:
        swapped = _argument(swapped)
    if swapped is None or swapped.args[1:] not in _SWAPS.get(swapped.target, ()):
        return None
    first = _argument(swapped)
    x = _argument(first)
    if first is None or x is None:
        return None
    before, after = _new_sizes(first), _new_sizes(last)
    if len(before) != 5 or len(after) != 4 or type(before[1]) is not int:
        return None
    groups = before[1]
    # Channels that are not looked at follow from the other sizes; a batch of -1, from them.
    c_are_known = (_is_part(before[2], x, groups), _size(after[1]) == (x, 1))
    for sizes, c_is_known in zip((before, after), c_are_known, strict=True):
        n_is_known = _size(sizes[0]) == (x, 0) or sizes[0] == -1 and c_is_known
        if not n_is_known or [_size(each) for each in sizes[-2:]] != [(x, 2), (x, 3)]:
            return None
    return x, groups


def _argument(node: fx.Node | None) -> fx.Node | None:
    """The first one of a call."""
    if node is None or node.op not in ("call_method", "call_function") or not node.args:
        return None
    return node.args[0] if isinstance(node.args[0], fx.Node) else None


def _new_sizes(view: fx.Node) -> tuple[Any, ...]:
    """What a view is given; nothing, if it is another call."""
    if view.target not in _VIEWS or view.kwargs:
        return ()
    sizes = view.args[1:]
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], list | tuple) else sizes


def _size(size: Any) -> tuple[fx.Node, int] | None:
    """Whose size along which dimension this is, of four."""
    if not isinstance(size, fx.Node) or size.kwargs or len(size.args) != 2:
        return None
    of, dim = size.args
    if size.target is operator.getitem and isinstance(of, fx.Node):
        is_all = of.target == "size" and len(of.args) == 1 and not of.kwargs
        if not is_all and (of.target is not getattr or of.args[1:] != ("shape",)):
            return None
        of = of.args[0]
    elif size.target != "size":
        return None
    return (of, dim % 4) if isinstance(of, fx.Node) and type(dim) is int else None


def _is_part(size: Any, x: fx.Node, groups: int) -> bool:
    """Whether this is the number of channels in each of so many groups."""
    if not isinstance(size, fx.Node) or size.target is not operator.floordiv:
        return False
    channels, divisor = size.args
    return _size(channels) == (x, 1) and type(divisor) is int and divisor == groups


def _erase_unused(graph: fx.Graph, nodes: list[fx.Node]) -> None:
    """Erases views and sizes that nothing uses, and what they alone were made from."""
    pure = _VIEWS | _COPIES | _OF_SIZES | _SWAPS.keys()
    erased: set[fx.Node] = set()
    for node in nodes:  # grows meanwhile
        if node not in erased and not node.users and _argument(node) and node.target in pure:
            nodes += node.all_input_nodes
            graph.erase_node(node)
            erased.add(node)
