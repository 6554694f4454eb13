"""The raw operators, each with arguments that fit, of which one is made invalid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.upstream_suites.adversarial.calls import Call, randn

_CONV = {
    **{"stride_h": 1, "stride_w": 1, "pad_h": 0, "pad_w": 0},
    **{"dilation_h": 1, "dilation_w": 1, "groups": 2},
}
_POOL = {
    **{"k_h": 3, "k_w": 3, "stride_h": 2, "stride_w": 2, "pad_h": 1, "pad_w": 1},
    **{"dilation_h": 1, "dilation_w": 1},
}
_AVG_POOL = {
    **{name: size for name, size in _POOL.items() if not name.startswith("dilation")},
    **{"count_include_pad": True, "divisor_override": 5},
}
_SIZE_OUT = {"h_out": 3, "w_out": 3}
_SIZE_IN = {"h_in": 6, "w_in": 6}


def _image() -> dict[str, Any]:
    return {"input": randn(2, 4, 6, 6)}


def _filter() -> dict[str, Any]:
    return {"weight": randn(6, 2, 3, 3)}


def _gradient() -> dict[str, Any]:
    return {"grad_output": randn(2, 6, 4, 4)}


def _where() -> dict[str, Any]:
    return {"where": torch.full((2, 4, 3, 3), 4, dtype=torch.uint8)}


def _cell() -> dict[str, Any]:
    return {
        **{"input": randn(3, 5), "hx": randn(3, 4), "cx": randn(3, 4), "w_ih": randn(16, 5)},
        **{"w_hh": randn(16, 4), "b_ih": randn(16), "b_hh": randn(16)},
    }


_LSTM = 0  # CellKind of csrc/recurrence/recurrence.h


def _sequence() -> dict[str, Any]:
    return {
        **{"cell": _LSTM, "input": randn(6, 5), "h0": randn(3, 4), "c0": randn(3, 4)},
        **{"w_ih": randn(16, 5), "w_hh": randn(16, 4), "b_ih": randn(16), "b_hh": randn(16)},
        **{"batch_sizes": None, "reverse": False, "saves": True},
    }


def _saved_sequence() -> dict[str, Any]:
    return {
        **{"cell": _LSTM, "grad_output": randn(6, 4), "grad_h_n": randn(3, 4)},
        **{"grad_c_n": randn(3, 4), "slots": randn(6, 16), "state": randn(6, 4)},
        **{"h0": randn(3, 4), "w_hh": randn(16, 4), "batch_sizes": None, "batch": 3},
        "reverse": False,
    }


_ARGUMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "conv2d_forward": lambda: {**_image(), **_filter(), "bias": randn(6), **_CONV},
    "conv2d_backward_input": lambda: {**_gradient(), **_filter(), **_SIZE_IN, **_CONV},
    "conv2d_backward_weight": lambda: {**_gradient(), **_image(), **_filter(), **_CONV},
    "conv2d_backward_bias": _gradient,
    "conv2d_keeping": lambda: {
        **{**_image(), **_filter(), "bias": randn(6), **_CONV, "owner": 1, "version": -1},
    },
    "conv2d_value_facts": lambda: {
        **{"direction": "forward", "first": randn(2, 4, 6, 6), **_filter(), **_SIZE_IN, **_CONV},
        "filter_kept": False,
    },
    "max_pool2d_forward": lambda: {**_image(), **_SIZE_OUT, **_POOL, "record": True},
    "max_pool2d_backward": lambda: {
        "grad_output": randn(2, 4, 3, 3),
        **{**_where(), **_SIZE_IN, **_POOL},
    },
    "max_pool2d_indices": lambda: {**_where(), **_SIZE_IN, **_POOL},
    "avg_pool2d_forward": lambda: {**_image(), **_SIZE_OUT, **_AVG_POOL},
    "avg_pool2d_backward": lambda: {
        **{"grad_output": randn(2, 4, 3, 3), **_SIZE_IN, "channels_last": False},
        **_AVG_POOL,
    },
    "adaptive_avg_pool2d_forward": lambda: {**_image(), **_SIZE_OUT},
    "adaptive_avg_pool2d_backward": lambda: {
        **{"grad_output": randn(2, 4, 3, 3), **_SIZE_IN, "channels_last": False},
    },
    "adaptive_max_pool2d_forward": lambda: {**_image(), **_SIZE_OUT, "record": True},
    "adaptive_max_pool2d_backward": lambda: {
        **{"grad_output": randn(2, 4, 3, 3), "indices": torch.full((2, 4, 3, 3), 7)},
        **_SIZE_IN,
    },
    "relu_forward": _image,
    "relu_": lambda: {"self": randn(2, 4, 6, 6)},
    "relu_backward": lambda: {"grad_output": randn(2, 4), "output": randn(2, 4)},
    "linear_forward": lambda: {"input": randn(3, 5), "weight": randn(4, 5), "bias": randn(4)},
    "linear_backward_input": lambda: {"grad_output": randn(3, 4), "weight": randn(4, 5)},
    "linear_backward_weight": lambda: {"grad_output": randn(3, 4), "input": randn(3, 5)},
    "lstm_cell_forward": _cell,
    "lstm_cell_backward": lambda: {
        **{"grad_h": randn(3, 4), "grad_c": randn(3, 4), "cx": randn(3, 4)},
        "gates": randn(3, 16),
    },
    "recurrence_forward": _sequence,
    "recurrence_backward": _saved_sequence,
}


def _apply(name: str) -> Callable[..., Any]:
    def apply(operators: Any, **arguments: Any) -> Any:
        operator = getattr(operators, name).default
        names = [argument.name for argument in operator._schema.arguments]
        return operator(*[arguments[argument] for argument in names])

    return apply


#: By the name of the operator.
OPERATORS = {name: Call(_apply(name), arguments) for name, arguments in _ARGUMENTS.items()}
