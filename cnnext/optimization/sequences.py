"""Sequences in a graph: what images become, and what is taken of them.

A sequence has its features last, as its rows lie in memory: (T, N, C) or (N, T, C).
"""

from __future__ import annotations

from dataclasses import dataclass

from cnnext.optimization.graph import Attribute, Node


@dataclass(frozen=True)
class Columns:
    """The pixels of an image as (N, C, H * W), of which a graph has only what transposes them.

    Attributes:
        image: the image.
        height: that it has to have, None for any.
    """

    image: Node
    height: int | None = None


def rows(columns: Columns) -> Node:
    """(N, C, H * W) as (N, H * W, C)."""
    image, height = columns.image, columns.height
    attributes: dict[str, Attribute] = {} if height is None else {"height": height}
    return Node("rows", (image,), attributes, shape=(None, None, image.channels))


def transposed(value: Node) -> Node:
    """(A, B, C) as (B, A, C)."""
    if value.operator == "transpose":
        return value.operands[0]
    return Node("transpose", (value,), shape=value.shape)


def step(value: Node, index: int, dim: int) -> Node:
    """(A, B, C) as (B, C) or (A, C): the features at an index along dimension 0 or 1."""
    if value.operator == "transpose":
        return step(value.operands[0], index, 1 - dim)
    attributes: dict[str, Attribute] = {"index": index, "dim": dim}
    return Node("step", (value,), attributes, shape=(None, value.channels))
