"""What torch.utils.flop_counter counts for our operators: what it counts for native's.

Imported once that is. Comparisons count nothing there, so that pools and relu need no formula.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from torch.utils.flop_counter import conv_flop_count, flop_registry, register_flop_formula

from cnnext.runtime.library import ops

Shape = list[int]


def _counts(*operators: Any) -> Callable[..., Any]:
    """Decorates the formula of these operators."""
    for operator in operators:
        flop_registry.pop(operator, None)  # of an earlier import of this package
    return register_flop_formula(operators)


@_counts(ops.conv2d, ops.conv2d_forward)
def _conv2d(input: Shape, weight: Shape, *rest: Any, out_shape: Shape) -> int:
    return conv_flop_count(input, weight, out_shape)


@_counts(ops.conv2d_backward_input)
def _conv2d_backward_input(
    grad_output: Shape, weight: Shape, *geometry: int, out_shape: Shape
) -> int:
    return conv_flop_count(grad_output, weight, out_shape, transposed=True)


@_counts(ops.conv_transpose2d, ops.conv_transpose2d_forward)
def _conv_transpose2d(input: Shape, weight: Shape, *rest: Any, out_shape: Shape) -> int:
    return conv_flop_count(input, weight, out_shape, transposed=True)


@_counts(ops.conv2d_backward_weight)
def _conv2d_backward_weight(
    grad_output: Shape, input: Shape, weight: Shape, *geometry: int, out_shape: Shape
) -> int:
    """As native's, which multiplies all channels with all, whatever the groups."""

    def swapped(shape: Shape) -> Shape:
        return [shape[1], shape[0], *shape[2:]]

    return conv_flop_count(swapped(input), swapped(grad_output), swapped(out_shape))


@_counts(ops.linear, ops.linear_forward)
def _linear(input: Shape, weight: Shape, bias: Shape | None = None, *, out_shape: Shape) -> int:
    return 2 * prod(input) * weight[0]


@_counts(ops.linear_backward_input)
def _linear_backward_input(grad_output: Shape, weight: Shape, *, out_shape: Shape) -> int:
    return 2 * prod(grad_output) * weight[1]


@_counts(ops.linear_backward_weight)
def _linear_backward_weight(grad_output: Shape, input: Shape, *, out_shape: Shape) -> int:
    return 2 * prod(grad_output) * input[-1]


@_counts(ops.recurrence, ops.recurrence_forward)
def _recurrence(
    cell: int,
    input: Shape,
    h0: Shape,
    c0: Shape | None,
    w_ih: Shape,
    w_hh: Shape,
    *rest: Any,
    out_shape: Any,
) -> int:
    return 2 * input[0] * (prod(w_ih) + prod(w_hh))


@_counts(ops.recurrence_backward)
def _recurrence_backward(
    cell: int,
    grad_output: Shape | None,
    grad_h_n: Shape | None,
    grad_c_n: Shape | None,
    workspace: Shape,
    state: Shape,
    h0: Shape | None,
    w_hh: Shape | None,
    batch_sizes: Shape | None,
    batch: int,
    *rest: Any,
    out_shape: Any,
) -> int:
    """As native's, which needs no product for the gradient of the first states."""
    return 0 if w_hh is None else 2 * (state[0] - batch) * prod(w_hh)


@_counts(ops.lstm_cell, ops.lstm_cell_forward)
def _lstm_cell(
    input: Shape, hx: Shape, cx: Shape, w_ih: Shape, w_hh: Shape, *biases: Any, out_shape: Any
) -> int:
    return 2 * input[0] * (prod(w_ih) + prod(w_hh))
