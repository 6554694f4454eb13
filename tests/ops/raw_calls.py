"""The raw operators that a call consists of: by `of`, or the function of the operator's name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from cnnext.ops.common.pooling import pooled_size, window_geometry
from cnnext.ops.common.recurrence_formulas import Cell
from cnnext.testing.cases import (
    AdaptiveMaxPool1dCase,
    AdaptivePool2dCase,
    AvgPool1dCase,
    AvgPool2dCase,
    BatchNormCase,
    Conv1dCase,
    Conv2dCase,
    Conv3dCase,
    ConvTranspose2dCase,
    DropoutCase,
    LinearCase,
    LSTMCellCase,
    MaxPool1dCase,
    MaxPool2dCase,
    MaxUnpool2dCase,
    RoIPoolCase,
)
from cnnext.testing.recurrence_cases import RecurrenceCase
from cnnext.testing.spec import OperatorSpec
from cnnext.testing.specs.max_unpool2d import indices_for
from cnnext.testing.specs.roi_pool import boxes_of
from tests.ops.support import Tensors, seed_gradient

raw = torch.ops.cnnext

#: A raw operator by its name, and its arguments.
RawCall = tuple[str, tuple[Any, ...]]


def of(spec: OperatorSpec, case: Any, operands: Tensors) -> Iterator[RawCall]:
    """Those behind a call and its gradients."""
    if spec.elementwise:
        return _elementwise(spec, tuple(case.kwargs().values()), *operands)
    calls: Iterator[RawCall] = globals()[spec.name](case, operands)
    return calls


def _elementwise(
    spec: OperatorSpec, numbers: tuple[float, ...], image: Tensor
) -> Iterator[RawCall]:
    forward, backward = f"{spec.name}_forward", f"{spec.name}_backward"
    yield forward, (image, *numbers)
    output = getattr(raw, forward)(image, *numbers)
    _, saved, *_ = spec.raw[backward].varied
    kept = {"input": image, "output": output}[saved]
    yield backward, (seed_gradient(output), kept, *numbers)
    yield spec.name, (*leaves((image,)), *numbers)


def conv1d(case: Conv1dCase, operands: Tensors) -> Iterator[RawCall]:
    """As of images with a height of one."""
    image, weight, bias = operands
    geometry = (1, case.stride, 0, case.padding, 1, case.dilation, case.groups)
    yield "conv2d", (*leaves((image.unsqueeze(2), weight.unsqueeze(2), bias)), *geometry)


def conv2d(case: Conv2dCase, operands: Tensors) -> Iterator[RawCall]:
    image, weight, bias = operands
    geometry = (*case.stride, *case.padding, *case.dilation, case.groups)
    yield "conv2d_forward", (image, weight, bias, *geometry)
    gradient = seed_gradient(raw.conv2d_forward(image, weight, bias, *geometry))
    yield "conv2d_backward_input", (gradient, weight, case.h_in, case.w_in, *geometry)
    yield "conv2d_backward_weight", (gradient, image, weight, *geometry)
    yield "conv2d", (*leaves(operands), *geometry)


def conv3d(case: Conv3dCase, operands: Tensors) -> Iterator[RawCall]:
    """Windows of slices, and the convolution of the images that they are."""
    volumes, weight, bias = operands
    depth, *plane = zip(case.stride, case.padding, case.dilation, strict=True)
    window = (case.kernel[0], *depth)
    yield "depth_windows", (*leaves((volumes,)), *window)
    yield "depth_windows_forward", (volumes, *window)
    images = raw.depth_windows_forward(volumes, *window)
    gradient = seed_gradient(images)
    yield "depth_windows_backward", (*leaves((gradient,)), case.volume[0], *window)
    geometry = (*(n for steps in zip(*plane, strict=True) for n in steps), case.groups)
    yield "conv2d", (*leaves((images, weight.flatten(1, 2), bias)), *geometry)


def conv_transpose2d(case: ConvTranspose2dCase, operands: Tensors) -> Iterator[RawCall]:
    image, weight, bias = operands
    geometry = (*case.stride, *case.padding, *case.dilation, case.groups)
    output = torch.nn.functional.conv_transpose2d(image, weight, bias, **case.kwargs())
    yield "conv_transpose2d_forward", (*operands, *output.shape[2:], *geometry)
    yield "conv_transpose2d", (*leaves(operands), *output.shape[2:], *geometry)


def batch_norm(case: BatchNormCase, operands: Tensors) -> Iterator[RawCall]:
    """With and without a residual, bounded in both ways."""
    image, weight, bias = operands
    channels = image.shape[1]
    running = [torch.full((channels,), value, dtype=image.dtype) for value in (0.25, 0.75)]
    for residual, bounds in ((None, (None, None)), (None, (0.0, None)), (image, (0.0, 6.0))):
        numbers = (case.training, 0.1, case.eps, *bounds)
        yield "batch_norm_forward", (image, residual, weight, bias, *running, *numbers)
        output, *of_batch = raw.batch_norm_forward(
            image, residual, weight, bias, *running, *numbers
        )
        saved = (None if residual is None else output, weight, bias)
        statistics = of_batch if case.training else running
        seed = seed_gradient(output)
        yield (
            "batch_norm_backward",
            (
                *(seed, image, *saved, *statistics, case.training, case.eps, *bounds),
                *(True, residual is not None),
            ),
        )
    given = (None, None) if case.training else tuple(running)
    numbers = (case.training, case.eps, None, None)
    yield "batch_norm", (leaves((image,))[0], None, *leaves((weight, bias)), *given, *numbers)


def linear(case: LinearCase, operands: Tensors) -> Iterator[RawCall]:
    image, weight, _ = operands
    yield "linear_forward", operands
    gradient = seed_gradient(raw.linear_forward(*operands))
    yield "linear_backward_input", (gradient, weight)
    yield "linear_backward_weight", (gradient, image)
    yield "linear", leaves(operands)


def lstm_cell(case: LSTMCellCase, operands: Tensors) -> Iterator[RawCall]:
    yield "lstm_cell_forward", operands
    h, c, gates = raw.lstm_cell_forward(*operands)
    of_h, of_c = seed_gradient(h), seed_gradient(c)
    for gradients in ((of_h, None), (None, of_c), (of_h, of_c)):
        yield "lstm_cell_backward", (*gradients, operands[2], gates)
    yield "lstm_cell", leaves(operands)


def recurrence(case: RecurrenceCase, operands: Tensors) -> Iterator[RawCall]:
    """Backward with the gradients of no result, then without h0, then with all."""
    cell, batch_sizes, h0 = int(case.cell), case.batch_sizes, operands[1]
    for saves in (False, True):
        yield "recurrence_forward", (cell, *operands, batch_sizes, case.reverse, saves)
    results = raw.recurrence_forward(cell, *operands, batch_sizes, case.reverse, True)
    *gradients, workspace, state = results
    of_output, of_h, of_c = map(seed_gradient, gradients)
    seeds = (of_output, of_h, of_c if case.cell is Cell.LSTM else None)
    options = (operands[4], batch_sizes, case.batch, case.reverse)
    of_weights = None if case.cell is Cell.GRU else h0
    for gradients, first in (((None,) * 3, of_weights), (seeds, None), (seeds, of_weights)):
        yield "recurrence_backward", (cell, *gradients, workspace, state, first, *options)
    yield "recurrence", (cell, *leaves(operands), batch_sizes, case.reverse, True)


def max_pool2d(case: MaxPool2dCase, operands: Tensors) -> Iterator[RawCall]:
    (image,) = operands
    geometry = window_geometry(case.kernel_size, case.stride, case.padding, case.dilation)
    size = pooled_size(case.h_in, case.w_in, geometry, case.ceil_mode)
    for record in (True, False):
        yield "max_pool2d_forward", (image, *size, *geometry, record)
    yield "max_pool2d", (*leaves(operands), *size, *geometry, True)
    output, where = raw.max_pool2d_forward(image, *size, *geometry, True)
    positions = (where, case.h_in, case.w_in, *geometry)
    yield "max_pool2d_backward", (seed_gradient(output), *positions)
    if where.dtype == torch.uint8:
        yield "max_pool2d_indices", positions


def avg_pool2d(case: AvgPool2dCase, operands: Tensors) -> Iterator[RawCall]:
    (image,) = operands
    geometry = window_geometry(case.kernel_size, case.stride, case.padding)
    size = pooled_size(case.h_in, case.w_in, geometry, case.ceil_mode)
    windows = (*geometry[:6], case.count_include_pad, case.divisor_override or 0)
    yield from _mean(case, image, size, windows)


def max_pool1d(case: MaxPool1dCase, operands: Tensors) -> Iterator[RawCall]:
    """As of images with a height of one, like those of all pools of sequences."""
    window = ((1, case.kernel_size), (1, case.stride), (0, case.padding))
    row = (case.n, case.channels, 1, case.length)
    image = MaxPool2dCase(case.name, *row, *window, (1, case.dilation), case.ceil_mode)
    yield from max_pool2d(image, _as_images(operands))


def avg_pool1d(case: AvgPool1dCase, operands: Tensors) -> Iterator[RawCall]:
    window = ((1, case.kernel_size), (1, case.stride), (0, case.padding))
    row = (case.n, case.channels, 1, case.length)
    image = AvgPool2dCase(case.name, *row, *window, case.ceil_mode, case.count_include_pad)
    yield from avg_pool2d(image, _as_images(operands))


def adaptive_max_pool1d(case: AdaptiveMaxPool1dCase, operands: Tensors) -> Iterator[RawCall]:
    row = (case.n, case.channels, 1, case.length)
    image = AdaptivePool2dCase(case.name, *row, (1, case.output_size))
    yield from adaptive_max_pool2d(image, _as_images(operands))


def _as_images(operands: Tensors) -> Tensors:
    return tuple(operand.unsqueeze(2) for operand in operands)


def adaptive_avg_pool2d(case: AdaptivePool2dCase, operands: Tensors) -> Iterator[RawCall]:
    yield from _mean(case, operands[0], case.output_size, ())


def _mean(case: Any, image: Tensor, size: tuple[int, ...], windows: Any) -> Iterator[RawCall]:
    name = "avg_pool2d" if windows else "adaptive_avg_pool2d"
    yield f"{name}_forward", (image, *size, *windows)
    yield name, (*leaves((image,)), *size, *windows)
    gradient = seed_gradient(getattr(raw, f"{name}_forward")(image, *size, *windows))
    for channels_last in (False, True):
        yield f"{name}_backward", (gradient, case.h_in, case.w_in, channels_last, *windows)


def max_unpool2d(case: MaxUnpool2dCase, operands: Tensors) -> Iterator[RawCall]:
    (image,) = operands
    indices = indices_for(image)
    output = torch.nn.functional.max_unpool2d(image, indices, **case.kwargs())
    yield "max_unpool2d_forward", (image, indices, *output.shape[2:])
    yield "max_unpool2d", (*leaves(operands), indices, *output.shape[2:])
    yield "max_unpool2d_backward", (seed_gradient(output), indices)


def dropout(case: DropoutCase, operands: Tensors) -> Iterator[RawCall]:
    (image,) = operands
    yield "dropout_forward", (image, case.p)
    output, mask = raw.dropout_forward(image, case.p)
    yield "dropout_backward", (seed_gradient(output), mask, case.p)


def adaptive_max_pool2d(case: AdaptivePool2dCase, operands: Tensors) -> Iterator[RawCall]:
    (image,), size = operands, case.output_size
    for record in (True, False):
        yield "adaptive_max_pool2d_forward", (image, *size, record)
    yield "adaptive_max_pool2d", (*leaves(operands), *size, True)
    output, indices = raw.adaptive_max_pool2d_forward(image, *size, True)
    yield "adaptive_max_pool2d_backward", (seed_gradient(output), indices, case.h_in, case.w_in)


def roi_pool(case: RoIPoolCase, operands: Tensors) -> Iterator[RawCall]:
    (image,), scale = operands, case.spatial_scale
    boxes = boxes_of(image, scale, case.count)
    for record in (True, False):
        yield "roi_pool_forward", (image, boxes, *case.output_size, scale, record)
    yield "roi_pool", (*leaves(operands), boxes, *case.output_size, scale, True)
    output, argmax = raw.roi_pool_forward(image, boxes, *case.output_size, scale, True)
    for channels_last in (False, True):
        positions = (boxes, argmax, *image.shape[:1], case.h_in, case.w_in, channels_last)
        yield "roi_pool_backward", (seed_gradient(output), *positions)


def leaves(operands: Tensors) -> tuple[Any, ...]:
    return tuple(None if t is None else t.detach().requires_grad_() for t in operands)
