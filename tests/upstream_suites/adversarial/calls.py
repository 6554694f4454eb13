"""The calls that are made with one invalid argument each: functions, modules, raw operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tests.ops.support import generator_for
from tests.upstream_suites.adversarial.values import KINDS


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator_for("adversarial", shape))


@dataclass(frozen=True)
class Call:
    """An ordinary call: `apply(library, **arguments)`; `arguments` makes new ones each time."""

    apply: Callable[..., Any]
    arguments: Callable[[], dict[str, Any]]

    def odd_cases(self) -> Iterator[tuple[str, str]]:
        """(argument, name of its invalid value)."""
        for argument, base in self.arguments().items():
            for name in KINDS[_kind(base)](base):
                yield argument, name

    def with_odd(self, argument: str, name: str) -> dict[str, Any]:
        arguments = self.arguments()
        base = arguments[argument]
        return {**arguments, argument: KINDS[_kind(base)](base)[name]()}


def _kind(base: Any) -> str:
    return "tensor" if isinstance(base, Tensor) else "number"


def _conv2d() -> dict[str, Any]:
    return {
        **{"input": randn(2, 4, 6, 6), "weight": randn(6, 2, 3, 3), "bias": randn(6)},
        **{"stride": 1, "padding": 0, "dilation": 1, "groups": 2},
    }


def _max_pool2d() -> dict[str, Any]:
    return {
        **{"input": randn(2, 4, 6, 6), "kernel_size": 3, "stride": 2, "padding": 1},
        **{"dilation": 1, "ceil_mode": False, "return_indices": True},
    }


def _avg_pool2d() -> dict[str, Any]:
    return {
        **{"input": randn(2, 4, 6, 6), "kernel_size": 3, "stride": 2, "padding": 1},
        **{"ceil_mode": False, "count_include_pad": True, "divisor_override": 5},
    }


def _adaptive_avg_pool2d() -> dict[str, Any]:
    return {"input": randn(2, 4, 6, 6), "output_size": 2}


def _adaptive_max_pool2d() -> dict[str, Any]:
    return {**_adaptive_avg_pool2d(), "return_indices": True}


def _linear() -> dict[str, Any]:
    return {"input": randn(3, 5), "weight": randn(4, 5), "bias": randn(4)}


def _lstm_cell() -> dict[str, Any]:
    return {
        **{"input": randn(3, 5), "h": randn(3, 4), "c": randn(3, 4), "w_ih": randn(16, 5)},
        **{"w_hh": randn(16, 4), "b_ih": randn(16), "b_hh": randn(16)},
    }


def _cell(gates: int) -> dict[str, Any]:
    rows = 4 * gates
    return {
        **{"input": randn(3, 5), "hx": randn(3, 4), "w_ih": randn(rows, 5)},
        **{"w_hh": randn(rows, 4), "b_ih": randn(rows), "b_hh": randn(rows)},
    }


def _apply_lstm_cell(library: Any, h: Any, c: Any, **rest: Any) -> Any:
    return library.lstm_cell(hx=(h, c), **rest)


def _apply(op: str, library: Any, **arguments: Any) -> Any:
    return getattr(library, op)(**arguments)


#: The functions, called in native PyTorch and in cnnext.
FUNCTIONS: dict[str, Call] = {
    "conv2d": Call(partial(_apply, "conv2d"), _conv2d),
    "max_pool2d": Call(partial(_apply, "max_pool2d"), _max_pool2d),
    "avg_pool2d": Call(partial(_apply, "avg_pool2d"), _avg_pool2d),
    "adaptive_avg_pool2d": Call(partial(_apply, "adaptive_avg_pool2d"), _adaptive_avg_pool2d),
    "adaptive_max_pool2d": Call(partial(_apply, "adaptive_max_pool2d"), _adaptive_max_pool2d),
    "relu": Call(partial(_apply, "relu"), lambda: {"input": randn(2, 4, 6, 6)}),
    "relu_in_place": Call(
        partial(_apply, "relu"), lambda: {"input": randn(2, 4, 6, 6), "inplace": True}
    ),
    "linear": Call(partial(_apply, "linear"), _linear),
    "lstm_cell": Call(_apply_lstm_cell, _lstm_cell),
    "gru_cell": Call(partial(_apply, "gru_cell"), partial(_cell, 3)),
    "rnn_relu_cell": Call(partial(_apply, "rnn_relu_cell"), partial(_cell, 1)),
    "rnn_tanh_cell": Call(partial(_apply, "rnn_tanh_cell"), partial(_cell, 1)),
}


def _module(
    name: str, library: Any, input: Any, states: Any = None, state: Any = None, **options: Any
) -> Any:
    torch.manual_seed(0)
    layer = getattr(library, name)(**options)
    more = () if state is None else (state,)
    if states is not None:
        more = ((states, states),)
    return layer(input, *more), list(layer.state_dict().values())


def _one_state_cell() -> dict[str, Any]:
    return {
        "input": randn(3, 5),
        "state": randn(3, 4),
        "input_size": 5,
        "hidden_size": 4,
        "bias": True,
    }


def _recurrent_layer() -> dict[str, Any]:
    return {
        **{"input": randn(6, 3, 5), "input_size": 5, "hidden_size": 4, "bias": True},
        **{"batch_first": False, "dropout": 0.0, "bidirectional": True},
    }


def _sequential(library: Any, input: Any) -> Any:
    torch.manual_seed(0)
    layers = library.Conv2d(4, 6, 3), library.ReLU(), library.MaxPool2d(2)
    layer = library.Sequential(*layers)
    return layer(input), list(layer.state_dict().values())


#: The modules: what constructs one, and the input of its first call.
MODULES: dict[str, Call] = {
    "Conv2d": Call(
        partial(_module, "Conv2d"),
        lambda: {
            **{"input": randn(2, 4, 6, 6), "in_channels": 4, "out_channels": 6, "kernel_size": 3},
            **{"stride": 1, "padding": 0, "dilation": 1, "groups": 2, "bias": True},
            "padding_mode": "zeros",
        },
    ),
    "Conv2d-reflect": Call(
        partial(_module, "Conv2d", in_channels=4, out_channels=6, padding_mode="reflect"),
        lambda: {"input": randn(2, 4, 6, 6), "kernel_size": 3, "padding": 1},
    ),
    "MaxPool2d": Call(partial(_module, "MaxPool2d"), _max_pool2d),
    "AvgPool2d": Call(partial(_module, "AvgPool2d"), _avg_pool2d),
    "AdaptiveAvgPool2d": Call(partial(_module, "AdaptiveAvgPool2d"), _adaptive_avg_pool2d),
    "AdaptiveMaxPool2d": Call(partial(_module, "AdaptiveMaxPool2d"), _adaptive_max_pool2d),
    "ReLU": Call(partial(_module, "ReLU"), lambda: {"input": randn(2, 4), "inplace": False}),
    "Linear": Call(
        partial(_module, "Linear"),
        lambda: {"input": randn(3, 5), "in_features": 5, "out_features": 4, "bias": True},
    ),
    "LSTMCell": Call(
        partial(_module, "LSTMCell"),
        lambda: {
            **{"input": randn(3, 5), "states": randn(3, 4), "input_size": 5},
            **{"hidden_size": 4, "bias": True},
        },
    ),
    "GRUCell": Call(partial(_module, "GRUCell"), _one_state_cell),
    "RNNCell": Call(
        partial(_module, "RNNCell"), lambda: {**_one_state_cell(), "nonlinearity": "tanh"}
    ),
    "LSTM": Call(partial(_module, "LSTM"), _recurrent_layer),
    "GRU": Call(partial(_module, "GRU"), _recurrent_layer),
    "RNN": Call(partial(_module, "RNN"), lambda: {**_recurrent_layer(), "nonlinearity": "relu"}),
    "Sequential": Call(_sequential, lambda: {"input": randn(2, 4, 6, 6)}),
    "LSTMCell-unbatched": Call(
        partial(_module, "LSTMCell", input_size=5, hidden_size=4),
        lambda: {"input": randn(5), "states": randn(4)},
    ),
}
