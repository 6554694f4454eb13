"""The only invalid calls on which cnnext and native PyTorch may come to different ends, and why."""

from __future__ import annotations

_UNINITIALISED = "native computes on the CPU and returns memory that nobody has written to"
_OVERFLOW = "native's extent of the kernel overflows, and it returns an image larger than its input"
_ASSERTION = "native fails an assertion of its own"
_PADDING = "the padding is native's, which reads on"
_NOT_READ = "the values of weight are not read, only its shape"
_HOURS = "a sum of that many elements, which takes hours; native's would as well"
_ENDLESS = "native does not come to an end, where it records nothing"
_DENSE = "native's backward pass takes dense indices alone"
_SAVED = "boxes are kept for the backward pass, for which native keeps what it makes of them"
_NOT_SAVED = "native keeps the state for the backward pass, which we do not need"
_INFINITE = "zero padding times an infinite factor, which native's backends see differently"

#: (subject, argument, invalid value) -> the reason.
KNOWN: dict[tuple[str, str, str], str] = {
    **{("linear", "weight", "meta"): _UNINITIALISED, ("linear", "bias", "meta"): _UNINITIALISED},
    **{(op, argument, "meta"): _UNINITIALISED
       for op in ("conv1d", "conv2d", "conv3d", "conv_transpose2d")
       for argument in ("weight", "bias")},
    **{("lstm_cell", f"{letter}_{to}", "meta"): _UNINITIALISED
       for letter in "wb" for to in ("ih", "hh")},
    **{("lstm_cell", state, "meta"): _UNINITIALISED for state in "hc"},
    **{(f"{kind}_cell", argument, "meta"): _UNINITIALISED
       for kind in ("gru", "rnn_tanh", "rnn_relu")
       for argument in ("hx", "w_ih", "w_hh", "b_ih", "b_hh")},
    **{
        (subject, "dilation", value): _OVERFLOW
        for subject in ("conv2d", "conv2d-unbatched", "Conv2d")
        for value in (str(2**63 - 1), str((2**63 - 1, 2**63 - 1)))
    },
    **{(subject, "groups", "tensor(True)"): _ASSERTION
       for subject in ("conv2d", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d")},
    **{(f"Conv{axes}d-reflect", "input", "shrunk"): _PADDING for axes in (1, 2)},
    **{(subject, "kernel_size", str(value)): _ENDLESS
       for subject in ("max_pool1d", "max_pool1d-unbatched", "MaxPool1d")
       for value in (2**40, 2**62, 2**63 - 1)},
    **{(subject, argument, value): _DENSE
       for subject, argument in (("max_unpool2d", "indices"), ("MaxUnpool2d", "state"))
       for value in ("overlapping", "transposed")},
    ("conv2d", "weight", "infinite"): _INFINITE,
    **{("conv_transpose2d", argument, "infinite"): _INFINITE for argument in ("input", "weight")},
    ("roi_pool", "boxes", "inference"): _SAVED,
    ("gru_cell", "hx", "inference"): _NOT_SAVED,
    ("GRUCell", "state", "inference"): _NOT_SAVED,
    **{
        ("conv2d_backward_weight", "weight", value): _NOT_READ
        for value in ("freed", "freed_with_offset", "shrunk")
    },
    **{
        ("conv2d_backward_bias", "grad_output", value): _HOURS
        for value in ("expanded_beyond_memory", "expanded_beyond_64_bits")
    },
}  # fmt: skip
