"""Who computes an operator on CUDA tensors: our kernels, or ATen and cuDNN."""

from __future__ import annotations

from typing import NamedTuple

from cnnext.runtime.flags import current


class Choice(NamedTuple):
    """What `cuda_backend="auto"` means for an operator, and why."""

    backend: str  # "own" or "native"
    reason: str


#: The rule. None of it is measured yet: it says what the bytes and the instructions say.
AUTO = {
    "GRU": Choice("native", "cuDNN takes all steps in one call"),
    "LSTM": Choice("native", "cuDNN takes all steps in one call"),
    "RNN": Choice("native", "cuDNN takes all steps in one call"),
    "adaptive_avg_pool2d": Choice("native", "ATen adds up a large window with many threads"),
    "adaptive_max_pool2d": Choice("native", "ATen searches a large window with many threads"),
    "avg_pool2d": Choice("native", "ATen moves as many bytes"),
    "conv2d": Choice("native", "cuDNN multiplies on tensor cores, our kernels do not yet"),
    "gru_cell": Choice("native", "ATen launches as many kernels and moves as many bytes"),
    "linear": Choice("native", "cuBLAS is what we would call ourselves"),
    "lstm_cell": Choice("native", "ATen launches as many kernels and moves as many bytes"),
    "max_pool2d": Choice("own", "one byte is recorded for each maximum instead of eight"),
    "relu": Choice("native", "ATen moves as many bytes"),
    "rnn_relu_cell": Choice("native", "ATen launches as many kernels and moves as many bytes"),
    "rnn_tanh_cell": Choice("native", "ATen launches as many kernels and moves as many bytes"),
}

#: Native is all there is.
WITHOUT_KERNELS = frozenset(
    ("GRU", "LSTM", "RNN", "gru_cell", "linear", "rnn_relu_cell", "rnn_tanh_cell")
)


def chosen(op: str) -> str:
    """The backend that computes `op` on CUDA tensors now: "own" or "native"."""
    if op in WITHOUT_KERNELS:
        return "native"
    asked = current().cuda_backend
    return AUTO[op].backend if asked == "auto" else asked
