"""Invalid and unusual values for the arguments of an operator, by the kind of argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Subclass(Tensor):
    """A subclass that changes nothing."""


def _resized(t: Tensor, size: int, offset: int = 0) -> Tensor:
    view = t.new_empty(t.numel() + offset)[offset:].view(t.shape).copy_(t.detach())
    view.untyped_storage().resize_(size)
    return view


def _overlapping(t: Tensor) -> Tensor:
    """Neighbours in memory are each other's elements."""
    return t.new_ones(t.numel() + 64).as_strided(t.shape, (1,) * t.dim())


def _quantized(t: Tensor) -> Tensor:
    return torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8)


def _inference(t: Tensor) -> Tensor:
    with torch.inference_mode():
        return t.clone()


_DTYPES = (
    *("float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
    *("int8", "uint8", "int16", "uint16", "int32", "int64", "bool"),
    *("complex32", "complex64", "complex128"),
)

#: In the place of a tensor: what makes the invalid value of the ordinary one.
TENSORS: dict[str, Callable[[Tensor], Any]] = {
    "ordinary": lambda t: t,
    "none": lambda t: None,
    "number": lambda t: 1.5,
    "string": lambda t: "tensor",
    "list": lambda t: t.tolist(),
    "numpy": lambda t: t.numpy(),
    "tuple": lambda t: (t, t),
    "0d": lambda t: torch.tensor(1.5),
    "1d": lambda t: t.flatten(),
    "rank_less": lambda t: t[0],
    "rank_more": lambda t: t[None],
    "rank_two_more": lambda t: t[None, None],
    **{f"empty_{d}": (lambda t, d=d: t.narrow(d % t.dim(), 0, 0)) for d in range(4)},
    **{
        f"short_{d}": (lambda t, d=d: t.narrow(d % t.dim(), 0, t.shape[d % t.dim()] - 1))
        for d in range(4)
    },
    **{f"double_{d}": (lambda t, d=d: torch.cat((t, t), d % t.dim())) for d in range(4)},
    "all_empty": lambda t: t.new_empty((0,) * t.dim()),
    **{dtype: (lambda t, dtype=dtype: t.to(getattr(torch, dtype))) for dtype in _DTYPES},
    "meta": lambda t: t.to("meta"),
    "sparse": lambda t: t.to_sparse(),
    "sparse_csr": lambda t: t.to_sparse_csr(),
    "mkldnn": lambda t: t.to_mkldnn(),
    "nested": lambda t: torch.nested.nested_tensor([t, t]),
    "jagged": lambda t: torch.nested.nested_tensor([t, t], layout=torch.jagged),
    "quantized": _quantized,
    "conjugate": lambda t: torch.complex(t, t).conj(),
    "negative_view": lambda t: torch.complex(t, -t).conj().imag,
    "expanded": lambda t: t[:1].expand(t.shape),
    "expanded_all": lambda t: t.new_ones(()).expand(t.shape),
    "expanded_beyond_memory": lambda t: t[:1].expand(2**40, *t.shape[1:]),
    "expanded_beyond_64_bits": lambda t: t.new_ones(()).expand(2**62, *t.shape[1:]),
    "overlapping": _overlapping,
    "transposed": lambda t: t.mT if t.dim() > 1 else t,
    "strided": lambda t: torch.stack((t, t), -1)[..., 0],
    "flipped": lambda t: t.flip(-1),
    "channels_last": lambda t: t.to(memory_format=torch.channels_last) if t.dim() == 4 else t,
    "freed": lambda t: _resized(t, 0),
    "freed_with_offset": lambda t: _resized(t, 0, offset=3),
    "shrunk": lambda t: _resized(t, 4),
    "set_to_nothing": lambda t: t.clone().set_(),
    "inference": _inference,
    "leaf": lambda t: t.clone().requires_grad_(),
    "view_of_leaf": lambda t: t.clone().requires_grad_()[:],
    "result": lambda t: t.clone().requires_grad_() * 1,
    "parameter": lambda t: torch.nn.Parameter(t.clone()),
    "subclass": lambda t: t.as_subclass(Subclass),
    "nan": lambda t: torch.full_like(t, torch.nan),
    "infinite": lambda t: torch.full_like(t, -torch.inf),
}

#: Native reads outside of the memory of these, and may crash; we raise, whatever it does.
WITHOUT_MEMORY = frozenset(("freed", "freed_with_offset", "shrunk"))

#: In the place of a number or a pair of numbers.
NUMBERS: dict[str, Any] = {
    repr(value): value
    for value in (
        *(0, -1, 1, 2, 3, 7, (1, 2), [2, 1], (1,), [], (), (1, 2, 3), (0, 1), (1, 0), (-1, 1)),
        *("same", "valid", "x", "", b"1", None, (1, None), (None, None), True, False, (True, 1)),
        *(1.0, 1.5, float("nan"), float("inf"), (1, 1.0), 1j, {}, {1, 2}, range(1, 3), object),
        *(np.int64(2), np.int32(1), np.uint8(2), np.float64(1.0), np.bool_(True), np.array([1, 2])),
        *(torch.tensor(2), torch.tensor([1, 2]), torch.tensor(1.5), torch.tensor(True)),
        *(torch.Size([1, 2]), (np.int64(1), torch.tensor(2)), ((1, 2), 1)),
        *(2**31 - 1, 2**31, 2**32 + 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 + 1, 10**30),
        *(-(2**31), -(2**63), -(2**70), (2**62, 1), (1, 2**62), (2**63 - 1, 2**63 - 1)),
    )
}

KINDS: dict[str, Callable[[Any], dict[str, Callable[[], Any]]]] = {
    "tensor": lambda base: {name: (lambda f=f: f(base)) for name, f in TENSORS.items()},
    "number": lambda base: {name: (lambda v=v: v) for name, v in NUMBERS.items()},
}
