"""Functions that are called wrongly raise what native's do, in words that name the arguments.

One argument at a time is made invalid by tests/upstream_suites/test_adversarial_inputs.py; here is
what takes several, what messages say, and what native computes all the same.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.ops.calls import OPS
from tests.ops.specs import ELEMENTWISE, Spec, each
from tests.ops.support import CNNEXT, NATIVE

pytestmark = pytest.mark.usefixtures("fallbacks")  # what is not a tensor is for ATen to reject


def check_error(op: str, call: dict[str, Any], *mentioned: str) -> None:
    """cnnext raises what native raises, and mentions these (argument names and values)."""
    with pytest.raises(Exception) as native:  # noqa: PT011
        getattr(NATIVE, op)(**call)
    with pytest.raises(Exception) as ours:  # noqa: PT011
        getattr(CNNEXT, op)(**call)
    assert ours.type is native.type, ours.value
    for text in mentioned:
        assert text in str(ours.value)


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


BATCH, INPUT, HIDDEN = 3, 5, 4
GATES = 4 * HIDDEN

#: Ordinary calls.
CALLS: dict[str, dict[str, Any]] = {
    "conv1d": {"input": ones(2, 4, 6), "weight": ones(8, 4, 3), "bias": ones(8)},
    "conv2d": {"input": ones(2, 4, 6, 6), "weight": ones(8, 4, 3, 3), "bias": ones(8)},
    "conv3d": {"input": ones(2, 4, 5, 6, 6), "weight": ones(8, 4, 3, 3, 3), "bias": ones(8)},
    "conv_transpose2d": {"input": ones(2, 4, 6, 6), "weight": ones(4, 8, 3, 3), "bias": ones(8)},
    "linear": {"input": ones(3, 6), "weight": ones(4, 6), "bias": ones(4)},
    "lstm_cell": {
        **{"input": ones(BATCH, INPUT), "hx": (ones(BATCH, HIDDEN), ones(BATCH, HIDDEN))},
        **{"w_ih": ones(GATES, INPUT), "w_hh": ones(GATES, HIDDEN)},
        **{"b_ih": ones(GATES), "b_hh": ones(GATES)},
    },
    "max_pool1d": {"input": ones(2, 4, 6), "kernel_size": 3},
    "max_pool2d": {"input": ones(2, 4, 6, 6), "kernel_size": 3},
    "avg_pool1d": {"input": ones(2, 4, 6), "kernel_size": 3},
    "adaptive_max_pool1d": {"input": ones(2, 4, 6), "output_size": 3},
}
STATE = ones(BATCH, HIDDEN)

#: What is changed in those, and what the message mentions.
BAD: dict[str, dict[str, tuple[dict[str, Any], str]]] = {
    "conv1d": {
        "padding_same_strided": ({"padding": "same", "stride": 2}, "stride=2, padding='same'"),
        "stride_of_a_pair": ({"stride": (1, 1)}, "a list of 1 values"),
        "input_of_images": ({"input": ones(2, 4, 6, 6)}, "input.shape=[2, 4, 6, 6]"),
        "input_vector": ({"input": ones(6)}, "input.shape=[6]"),
        "input_unbatched_channels": ({"input": ones(3, 6)}, "to have 4 channels"),
        "input_too_small": ({"input": ones(2, 4, 2)}, "input.shape=[2, 4, 2]"),
        "input_empty_wrong_channels": ({"input": ones(0, 3, 6)}, "[0, 3, 6]"),
        "groups_too_many": ({"groups": 2}, "input[2, 4, 6] to have 8 channels"),
        "groups_float": ({"groups": 1.0}, "conv1d(): groups"),
        "weight_of_images": ({"weight": ones(8, 4, 3, 3)}, "weight"),
        "weight_double": ({"weight": ones(8, 4, 3).double()}, "weight.dtype=torch.float64"),
        "bias_double": ({"bias": ones(8).double()}, "bias.dtype=torch.float64"),
        "unknown_option": ({"strides": 1}, ""),
    },
    "conv3d": {
        "padding_same_strided": ({"padding": "same", "stride": 2}, "stride=2, padding='same'"),
        "stride_of_a_pair": ({"stride": (1, 1)}, "a list of 3 values"),
        "input_of_a_sequence": ({"input": ones(2, 4, 6)}, "input.shape=[2, 4, 6]"),
        "input_unbatched_channels": ({"input": ones(3, 5, 6, 6)}, "to have 4 channels"),
        "input_too_shallow": ({"input": ones(2, 4, 2, 6, 6)}, "input.shape=[2, 4, 2, 6, 6]"),
        "groups_too_many": ({"groups": 2}, "to have 8 channels"),
        "groups_float": ({"groups": 1.0}, "conv3d(): groups"),
        "weight_of_images": ({"weight": ones(8, 4, 3, 3)}, "weight"),
        "weight_double": ({"weight": ones(8, 4, 3, 3, 3).double()}, "weight.dtype=torch.float64"),
        "bias_double": ({"bias": ones(8).double()}, "bias.dtype=torch.float64"),
        "unknown_option": ({"strides": 1}, ""),
    },
    "conv2d": {
        "padding_same_strided": ({"padding": "same", "stride": 2}, "stride=2, padding='same'"),
        "padding_same_strided_once": ({"padding": "same", "stride": [1, 2]}, "stride=[1, 2]"),
        "groups_too_many": ({"groups": 2}, "input[2, 4, 6, 6] to have 8 channels"),
        "unknown_option": ({"strides": 1}, ""),
        "input_unbatched_channels": ({"input": ones(3, 6, 6)}, "to have 4 channels"),
        "input_too_small": ({"input": ones(2, 4, 6, 2)}, "input.shape=[2, 4, 6, 2]"),
        "input_empty_wrong_channels": ({"input": ones(0, 3, 6, 6)}, "[0, 3, 6, 6]"),
        "input_bool": (
            {"input": ones(2, 4, 6, 6) > 0, "weight": ones(8, 4, 3, 3) > 0, "bias": None},
            "",
        ),
        "weight_double": ({"weight": ones(8, 4, 3, 3).double()}, "weight.dtype=torch.float64"),
        "weight_without_outputs": ({"weight": ones(0, 4, 3, 3), "bias": None}, "weight"),
        "bias_double": ({"bias": ones(8).double()}, "bias.dtype=torch.float64"),
    },
    "conv_transpose2d": {
        "input_channels": ({"input": ones(2, 3, 6, 6)}, "input.shape=[2, 3, 6, 6]"),
        "input_unbatched_channels": ({"input": ones(3, 6, 6)}, "input.shape=[3, 6, 6]"),
        "input_empty_wrong_channels": ({"input": ones(0, 3, 6, 6)}, "[0, 3, 6, 6]"),
        "input_2d": ({"input": ones(6, 6)}, "input.shape=[6, 6]"),
        "groups_do_not_divide": ({"groups": 3}, "groups=3"),
        "padding_removes_all": ({"padding": 5}, "padding=5"),
        "padding_by_name": ({"padding": "same"}, "padding='same'"),
        "output_padding_of_a_stride": ({"output_padding": 1}, "output_padding=1"),
        "output_padding_of_a_side": (
            {"output_padding": (0, 2), "stride": (3, 2)},
            "output_padding=(0, 2)",
        ),
        "weight_double": ({"weight": ones(4, 8, 3, 3).double()}, "weight.dtype=torch.float64"),
        "bias_of_the_input": ({"bias": ones(4)}, "bias.shape=[4]"),
        "bias_double": ({"bias": ones(8).double()}, "bias.dtype=torch.float64"),
        "unknown_option": ({"output_size": 13}, ""),
    },
    "linear": {
        "input_columns": ({"input": ones(3, 5)}, "input.shape=[3, 5]"),
        "input_vector_columns": ({"input": ones(5)}, "input.shape=[5]"),
        "input_empty_columns": ({"input": ones(0, 5)}, "(0x5 and 6x4)"),
        "input_double": ({"input": ones(3, 6).double()}, "input.dtype=torch.float64"),
        "weight_double": ({"weight": ones(4, 6).double()}, "weight.dtype=torch.float64"),
        "bias_long": ({"bias": ones(5)}, "bias.shape=[5]"),
        "bias_double": ({"bias": ones(4).double()}, "bias.dtype=torch.float64"),
        "unknown_option": ({"out": 1}, ""),
    },
    "lstm_cell": {
        "input_columns": ({"input": ones(BATCH, 4)}, "input.shape=[3, 4]"),
        "hx_none": ({"hx": None}, "hx"),
        "hx_tensor": ({"hx": ones(2, BATCH, HIDDEN)}, "hx"),
        "hx_one": ({"hx": (STATE,)}, "two"),
        "hx_three": ({"hx": (STATE,) * 3}, "two"),
        "hx_of_none": ({"hx": (None, STATE)}, ""),
        "h_one_row": ({"hx": (ones(1, HIDDEN), STATE)}, "hx[0].shape=[1, 4]"),
        "c_one_row": ({"hx": (STATE, ones(1, HIDDEN))}, "hx[1].shape=[1, 4]"),
        "h_columns": ({"hx": (ones(BATCH, 5), STATE)}, "hx[0].shape=[3, 5]"),
        "c_columns": ({"hx": (STATE, ones(BATCH, 1))}, "hx[1].shape=[3, 1]"),
        "h_double": ({"hx": (STATE.double(), STATE)}, "torch.float64"),
        "all_1d": ({"input": ones(INPUT), "hx": (ones(HIDDEN),) * 2}, "input.shape=[5]"),
        "w_ih_rows": ({"w_ih": ones(12, INPUT)}, "w_ih.shape=[12, 5]"),
        "w_ih_double": ({"w_ih": ones(GATES, INPUT).double()}, "w_ih.dtype=torch.float64"),
        "w_hh_columns": ({"w_hh": ones(GATES, 3)}, "w_hh.shape=[16, 3]"),
        "b_ih_short": ({"b_ih": ones(15)}, "b_ih.shape=[15]"),
        "b_hh_short": ({"b_hh": ones(15)}, "b_hh.shape=[15]"),
        "b_hh_double": ({"b_hh": ones(GATES).double()}, "b_hh.dtype=torch.float64"),
    },
    "max_pool1d": {
        "window_of_images": ({"kernel_size": (3, 3)}, "kernel_size=(3, 3)"),
        "padding_above_half": ({"padding": 2}, "padding=2"),
        "stride_zero": ({"stride": 0}, "stride=0"),
        "window_beyond_input": ({"kernel_size": 7}, "input.shape=[2, 4, 6]"),
        "input_of_images": ({"input": ones(2, 4, 6, 6)}, "input.shape=[2, 4, 6, 6]"),
        "ceil_mode_number": ({"ceil_mode": 1}, "ceil_mode=1"),
        "unknown_option": ({"count_include_pad": True}, "count_include_pad"),
    },
    "avg_pool1d": {
        "window_of_images": ({"kernel_size": (3, 3)}, "kernel_size=(3, 3)"),
        "padding_above_half": ({"padding": 2}, "padding=2"),
        "padding_negative": ({"padding": -1}, "padding=-1"),
        "window_beyond_input": ({"kernel_size": 7}, "input.shape=[2, 4, 6]"),
        "input_of_images": ({"input": ones(2, 4, 6, 6)}, "input.shape=[2, 4, 6, 6]"),
        "unknown_option": ({"divisor_override": 2}, "divisor_override"),
    },
    "adaptive_max_pool1d": {
        "size_of_images": ({"output_size": (3, 3)}, "output_size=(3, 3)"),
        "size_negative": ({"output_size": -1}, "output_size=-1"),
        "size_missing": ({"output_size": None}, "output_size=None"),
        "input_of_images": ({"input": ones(2, 4, 6, 6)}, "input.shape=[2, 4, 6, 6]"),
    },
    "max_pool2d": {
        f"{name}-{'indices' if indices else 'values'}": (
            {**changes, "return_indices": indices},
            mentioned,
        )
        for indices in (False, True)
        for name, (changes, mentioned) in {
            "padding_above_half_dilated": ({"padding": 2, "dilation": 2}, "padding=2, dilation=2"),
            "unknown_option": ({"count_include_pad": True}, "count_include_pad"),
            "input_2d": ({"input": ones(6, 6)}, ""),
            "unbatched_without_channels": ({"input": ones(0, 6, 6)}, ""),
        }.items()
    },
}


@pytest.mark.parametrize(
    ("op", "changes", "mentioned"),
    [
        pytest.param(op, *bad, id=f"{op}-{name}")
        for op, of_op in BAD.items()
        for name, bad in of_op.items()
    ],
)
def test_bad_arguments(op: str, changes: dict[str, Any], mentioned: str) -> None:
    check_error(op, {**CALLS[op], **changes}, mentioned)


@pytest.mark.parametrize("op", OPS)
def test_operands_are_required(op: str) -> None:
    parameters = signature(getattr(CNNEXT, op)).parameters.values()
    required = [parameter.name for parameter in parameters if parameter.default is parameter.empty]
    for count, name in enumerate(required):
        check_error(op, dict.fromkeys(required[:count], ones(1)), name)


@pytest.mark.parametrize("inplace", (False, True), ids=("out_of_place", "in_place"))
@pytest.mark.parametrize(
    ("bad", "mentioned"),
    (
        (None, "input"),
        ([1.0], "input"),
        (1.0, "input"),
        (torch.tensor([True]), "Bool"),
        (torch.tensor([1j]), "omplex"),
    ),
    ids=("none", "list", "number", "bool", "complex"),
)
@each(ELEMENTWISE)
def test_bad_input_of_elementwise_operators(
    spec: Spec, bad: object, mentioned: str, inplace: bool
) -> None:
    if inplace and not spec.in_place:
        pytest.skip("it has no in-place form")
    if isinstance(bad, torch.Tensor) and not spec.exact:
        pytest.skip("native computes it, in floating point")
    options = {"inplace": True} if inplace else {}
    check_error(spec.name, {"input": bad, **options}, mentioned)


def test_raises_where_native_may_crash() -> None:
    """States are vectors with one element for each row of the batch."""
    with pytest.raises(RuntimeError, match=r"hx\[0\].shape=\[4\]"):
        CNNEXT.lstm_cell(**{**CALLS["lstm_cell"], "hx": (ones(HIDDEN), ones(HIDDEN))})


# -------------------------------------------------------------------------- for native to compute


#: What is changed in an ordinary call, and what the warning mentions.
NATIVE_CALLS: dict[str, tuple[str, dict[str, Any], str]] = {
    **{
        # Where padding is a word and not all is float32, and nowhere else.
        f"conv2d-bias_of_another_dtype-{padding}-{batch}": (
            "conv2d",
            {"input": image.double(), "weight": ones(8, 4, 3, 3).double(), "padding": padding},
            "bias",
        )
        for padding in ("same", "valid")
        for batch, image in {"batched": ones(2, 4, 6, 6), "unbatched": ones(4, 6, 6)}.items()
    },
    "conv_transpose2d-output_padding_below_dilation": (
        "conv_transpose2d",
        {"stride": 2, "dilation": 3, "output_padding": 2},
        "output_padding=(2, 2) is not less than stride=(2, 2)",
    ),
    **{
        f"linear-broadcast_bias-{shape}": ("linear", {"bias": ones(*shape)}, "bias")
        for shape in ((), (1,), (3, 4), (1, 4), (3, 1))
    },
    "linear-vector_as_weight": ("linear", {"weight": ones(6), "bias": None}, "weight"),
    "lstm_cell-b_ih_alone": ("lstm_cell", {"b_hh": None}, "b_hh"),
    "lstm_cell-b_hh_alone": ("lstm_cell", {"b_ih": None}, "b_ih"),
    "lstm_cell-bias_of_one_element": ("lstm_cell", {"b_ih": ones(1)}, "b_ih"),
    "lstm_cell-bias_0d": ("lstm_cell", {"b_ih": ones()}, "b_ih"),
    "lstm_cell-bias_of_one_row": ("lstm_cell", {"b_hh": ones(1, GATES)}, "b_hh"),
    "lstm_cell-matrix_as_bias": ("lstm_cell", {"b_hh": ones(BATCH, GATES)}, "b_hh"),
    # Native happens to promote it, and nothing else.
    "lstm_cell-wider_cell_state": ("lstm_cell", {"hx": (STATE, STATE.double())}, "dtype"),
    # With padding, a dilation can step over the whole image.
    "max_pool2d-windows_beside_the_image": (
        "max_pool2d",
        {
            **{"input": torch.arange(3.0).view(1, 1, 3, 1), "kernel_size": (2, 1)},
            **{"padding": (1, 0), "dilation": (4, 1)},
        },
        "dilation",
    ),
}


@pytest.mark.parametrize("name", NATIVE_CALLS)
def test_calls_that_are_natives(name: str, fallbacks: list[str]) -> None:
    op, changes, mentioned = NATIVE_CALLS[name]
    call = {**CALLS[op], **changes}
    ours, native = (getattr(library, op)(**call) for library in (CNNEXT, NATIVE))
    torch.testing.assert_close(ours, native, rtol=0, atol=0)
    assert len(fallbacks) == 1 and mentioned in fallbacks[0]
