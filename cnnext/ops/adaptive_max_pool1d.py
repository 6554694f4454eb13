"""adaptive_max_pool1d: the function and `torch.nn.AdaptiveMaxPool1d` on cnnext's kernels.

A sequence is an image with a height of one: adaptive_max_pool2d's operators compute it.
"""

from __future__ import annotations

from abc import ABCMeta
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool1d as native_adaptive_max_pool1d

from cnnext.ops import adaptive_max_pool2d
from cnnext.ops.common.drop_in import NativeLayer
from cnnext.ops.common.sequences import IntOrSingle, as_row, from_images
from cnnext.runtime.launch import launch
from cnnext.runtime.operator import Checked, CudaRule, Operator, declare


def adaptive_max_pool1d(
    input: Tensor, output_size: IntOrSingle, return_indices: bool = False
) -> Any:
    """Maxima of a given number of 1-D windows, as `torch.nn.functional.adaptive_max_pool1d`.

    Window i of n of a sequence of m elements is those from floor(i m / n) up to
    ceil((i + 1) m / n). NaN wins over every number; of equal maxima the first is the one indexed.

    Args:
        input: (N, C, L) or (C, L), float32 or float64 on the CPU (anything else that native takes
            is computed by native PyTorch, with one `NativeFallbackWarning`).
        output_size: an int or a sequence of one.
        return_indices: also return the int64 position of each maximum in its sequence.

    Returns:
        (N, C, L_out) or (C, L_out); with `return_indices` a tuple of that and the indices.

    Raises:
        RuntimeError: shapes or values do not fit, as in torch.nn.functional.
        TypeError: an argument has a type that torch.nn.functional rejects.
    """
    return launch(ADAPTIVE_MAX_POOL1D, (input,), output_size, return_indices)


def _check(input: Tensor, output_size: Any, return_indices: Any) -> Checked:
    size = as_row(output_size, 1)
    if input.dim() not in (2, 3) or size is None:
        return None
    return adaptive_max_pool2d.check(input.unsqueeze(-2), size, return_indices)


_native = NativeLayer(torch.nn.AdaptiveMaxPool1d, scriptable=False)


@_native.drop_in
class AdaptiveMaxPool1d(torch.nn.AdaptiveMaxPool1d, metaclass=ABCMeta):
    """`torch.nn.AdaptiveMaxPool1d` on cnnext's kernels: same arguments, errors and results.

    Shapes: input (N, C, L) or (C, L); see `cnnext.functional.adaptive_max_pool1d`.
    TorchScript compiles native's.
    """

    # TorchScript wants the exact type of the result, or none, and it depends on return_indices.
    @no_type_check
    def forward(self, input: Tensor):
        if _native.cls.forward is not _native.forward:
            return _native.call_replaced("forward", self, input)
        return adaptive_max_pool1d(input, self.output_size, self.return_indices)


ADAPTIVE_MAX_POOL1D = declare(
    Operator(
        name="adaptive_max_pool1d",
        function=adaptive_max_pool1d,
        native=native_adaptive_max_pool1d,
        module=AdaptiveMaxPool1d,
        check=_check,
        compiled=adaptive_max_pool2d.ADAPTIVE_MAX_POOL2D.compiled,
        recorded=adaptive_max_pool2d.ADAPTIVE_MAX_POOL2D.recorded,
        direct=adaptive_max_pool2d.ADAPTIVE_MAX_POOL2D.direct,
        from_images=from_images,
        cuda=CudaRule("native", "ATen moves as many bytes", has_kernels=False),
    )
)
