"""What calls are drawn from: good ones around the kernels' vectors, and bad ones near them."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from cnnext.testing import kernels
from cnnext.testing.specs import SPECS
from tests.fuzz.calls import DTYPES, KINDS, VIEWS, Call, Operand

Draw = st.DrawFn
Shape = tuple[int, ...]

SIZES = st.sampled_from((1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65))
FEW = st.integers(1, 4)
EXTENTS = st.one_of(st.integers(1, 12), SIZES)

#: About as much as the reference kernels multiply in ten milliseconds.
MAX_PRODUCTS = 3_000_000

#: Values for one of the options. Each of native's algorithms takes a number that fits 64 bits but
#: not 32 for another one, also for a negative number.
BAD_VALUES = (
    *(None, True, 1.0, "2", "same", [], [1, 1, 1], [1, "2"], [1, None], [1, 1.5]),
    *(0, -1, [0, 1], [1, -1], 7, 2**31 - 1, 2**63, [1, 2**31 - 1]),
)


@st.composite
def _per_axis(draw: Draw, numbers: st.SearchStrategy[int]) -> int | list[int]:
    """An option as a number, a list of it, or a pair."""
    first, second = draw(numbers), draw(numbers)
    return draw(st.sampled_from((first, [first], [first, second])))


def _pair(value: int | list[int]) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else value
    return values[0], values[-1]


def _batched(draw: Draw, shape: Shape) -> Shape:
    """An image, sometimes without its batch."""
    return shape if draw(st.integers(0, 4)) else shape[1:]


@st.composite
def conv2d(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    groups = draw(st.sampled_from((1, 1, 1, 2, 3, 17)))
    c_in, c_out = draw(SIZES), draw(SIZES)
    if draw(st.booleans()) and groups > 1:
        c_in = 1  # depthwise
    kernel, size = (draw(FEW), draw(FEW)), (draw(EXTENTS), draw(EXTENTS))
    n = draw(FEW)
    options: dict[str, Any] = {"groups": groups}
    dilation = (1, 1)
    if draw(st.booleans()):
        options["dilation"] = draw(_per_axis(st.integers(1, 3)))
        dilation = _pair(options["dilation"])
    padding = draw(st.one_of(st.sampled_from(("same", "valid")), _per_axis(st.integers(0, 4))))
    if padding != 0:
        options["padding"] = padding
    if padding != "same" and draw(st.booleans()):
        options["stride"] = draw(_per_axis(st.integers(1, 4)))
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    if isinstance(padding, str):
        around = extent if padding == "same" else [0, 0]
    else:
        around = [2 * p for p in _pair(padding)]
    assume(all(s + a >= e for s, a, e in zip(size, around, extent, strict=True)))
    outputs = math.prod(s + a for s, a in zip(size, around, strict=True))
    assume(n * groups * c_in * c_out * math.prod(kernel) * outputs <= MAX_PRODUCTS)
    bias = (groups * c_out,) if draw(st.booleans()) else None
    image = _batched(draw, (n, groups * c_in, *size))
    return [image, (groups * c_out, c_in, *kernel), bias], options


@st.composite
def conv1d(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    """Rows of the images that `conv2d` draws."""
    (image, weight, bias), options = draw(conv2d())
    assert image is not None and weight is not None
    for name, value in options.items():
        if name != "groups" and not isinstance(value, str):
            last = _pair(value)[1]
            options[name] = draw(st.sampled_from((last, [last])))
    return [(*image[:-2], image[-1]), (*weight[:2], weight[3]), bias], options


@st.composite
def conv3d(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    """Volumes of a few slices like the images that `conv2d` draws."""
    (image, weight, bias), options = draw(conv2d())
    assert image is not None and weight is not None
    taps, depth = draw(st.integers(1, 3)), draw(st.integers(3, 6))
    assume(depth * taps * math.prod(image) * math.prod(weight) <= 8 * MAX_PRODUCTS)
    numbers = {"stride": st.integers(1, 3), "padding": st.integers(0, 2), "dilation": st.just(1)}
    for name, value in options.items():
        if name in numbers and not isinstance(value, str):
            options[name] = [draw(numbers[name]), *_pair(value)]
    image, weight = (
        (*shape[:-2], size, *shape[-2:]) for shape, size in ((image, depth), (weight, taps))
    )
    return [image, weight, bias], options


@st.composite
def conv_transpose2d(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    groups, c_in, c_out = draw(st.sampled_from((1, 1, 1, 2, 3))), draw(SIZES), draw(SIZES)
    kernel, size, n = (draw(FEW), draw(FEW)), (draw(EXTENTS), draw(EXTENTS)), draw(FEW)
    options: dict[str, Any] = {"groups": groups}
    numbers = {"stride": 1, "dilation": 1, "padding": 0}
    steps = {name: (least, least) for name, least in numbers.items()}
    for name, least in numbers.items():
        if draw(st.booleans()):
            options[name] = draw(_per_axis(st.integers(least, least + 2)))
            steps[name] = _pair(options[name])
    extra = max(*steps["stride"], *steps["dilation"])
    if draw(st.booleans()):
        options["output_padding"] = draw(_per_axis(st.integers(0, extra - 1)))
    outputs = [
        s * step + d * (k - 1)
        for s, step, d, k in zip(size, steps["stride"], steps["dilation"], kernel, strict=True)
    ]
    assume(all(o > 2 * p for o, p in zip(outputs, steps["padding"], strict=True)))
    assume(n * groups * c_in * c_out * math.prod(kernel) * math.prod(outputs) <= MAX_PRODUCTS)
    bias = (groups * c_out,) if draw(st.booleans()) else None
    image = _batched(draw, (n, groups * c_in, *size))
    return [image, (groups * c_in, c_out, *kernel), bias], options


@st.composite
def max_pool2d(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    options: dict[str, Any] = {"kernel_size": draw(_per_axis(st.integers(1, 5)))}
    kernel = _pair(options["kernel_size"])
    dilation = (1, 1)
    if draw(st.booleans()):
        options["stride"] = draw(st.one_of(st.none(), _per_axis(st.integers(1, 4))))
    if draw(st.booleans()):
        options["padding"] = draw(_per_axis(st.integers(0, max(1, min(kernel) // 2))))
    if draw(st.integers(0, 3)) == 0:
        options["dilation"] = draw(_per_axis(st.integers(1, 3)))
        dilation = _pair(options["dilation"])
    options |= {"ceil_mode": draw(st.booleans()), "return_indices": draw(st.booleans())}
    size = [draw(EXTENTS) + d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return [_batched(draw, (draw(FEW), draw(SIZES), *size))], options


@st.composite
def avg_pool2d(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    options: dict[str, Any] = {"kernel_size": draw(_per_axis(st.integers(1, 6)))}
    kernel = _pair(options["kernel_size"])
    if draw(st.booleans()):
        options["stride"] = draw(st.one_of(st.none(), _per_axis(st.integers(1, 4))))
    if draw(st.booleans()):
        options["padding"] = draw(_per_axis(st.integers(0, max(1, min(kernel) // 2))))
    if draw(st.integers(0, 3)) == 0:
        options["divisor_override"] = draw(st.sampled_from((1, 3, -2, 2**40)))
    options |= {"ceil_mode": draw(st.booleans()), "count_include_pad": draw(st.booleans())}
    size = [draw(EXTENTS) + k - 1 for k in kernel]
    return [_batched(draw, (draw(FEW), draw(SIZES), *size))], options


@st.composite
def max_unpool2d(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    """Padding may leave too few places, which is an error."""
    options: dict[str, Any] = {"kernel_size": draw(_per_axis(st.integers(1, 4)))}
    if draw(st.booleans()):
        options["stride"] = draw(st.one_of(st.none(), _per_axis(st.integers(1, 4))))
    if draw(st.booleans()):
        options["padding"] = draw(_per_axis(st.integers(0, 1)))
    return [_batched(draw, (draw(FEW), draw(SIZES), draw(EXTENTS), draw(EXTENTS)))], options


@st.composite
def dropout(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    """What is dropped is asked by tests that seed the generator: here it is all or nothing."""
    options: dict[str, Any] = {"p": draw(st.sampled_from((0.0, 2.0**-40, 1.0, 1.5)))}
    for name in ("training", "inplace"):
        if draw(st.booleans()):
            options[name] = draw(st.booleans())
    return [_batched(draw, (draw(FEW), draw(SIZES), draw(EXTENTS), draw(EXTENTS)))], options


@st.composite
def adaptive_avg_pool2d(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    sizes = st.one_of(st.integers(1, 9), st.none())
    wanted = draw(st.one_of(st.integers(0, 9), st.lists(sizes, min_size=2, max_size=2)))
    shape = (draw(FEW), draw(SIZES), draw(EXTENTS), draw(EXTENTS))
    return [_batched(draw, shape)], {"output_size": wanted}


@st.composite
def adaptive_max_pool2d(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    operands, options = draw(adaptive_avg_pool2d())
    return operands, {**options, "return_indices": draw(st.booleans())}


@st.composite
def _rows(draw: Draw, pool_of_images: Any) -> tuple[list[Shape | None], dict[str, Any]]:
    """Pools of rows of the images that a pool is drawn for, by its options along them."""
    (image,), options = draw(pool_of_images())
    for name, value in options.items():
        if isinstance(value, int | list) and not isinstance(value, bool):
            last = _pair(value)[1]
            options[name] = draw(st.sampled_from((last, [last])))
    options.pop("divisor_override", None)  # which pools of rows have not
    return [(*image[:-2], image[-1])], options


max_pool1d = functools.partial(_rows, max_pool2d)
avg_pool1d = functools.partial(_rows, avg_pool2d)
adaptive_max_pool1d = functools.partial(_rows, adaptive_max_pool2d)


@st.composite
def roi_pool(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    """Bins that are alike in every dtype: m / 7 * 7 may be m or more."""
    options: dict[str, Any] = {"output_size": draw(_per_axis(st.integers(1, 6)))}
    if draw(st.booleans()):
        options["spatial_scale"] = draw(st.sampled_from((0.125, 0.5, 2.0)))
    return [(draw(FEW), draw(SIZES), draw(EXTENTS), draw(EXTENTS))], options


@st.composite
def batch_norm(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    """In training: drawn variances would be negative. Sizes of one have no order in memory."""
    channels, sizes = draw(SIZES), draw(st.lists(EXTENTS, max_size=2))
    affine = (channels,) if draw(st.booleans()) else None
    shape = (draw(FEW), channels, *sizes)
    assume(min(shape) > 1)
    assume(math.prod(shape) >= 8 * channels)  # of few values, gradients cancel out
    options = {"training": True, "momentum": draw(st.sampled_from((0.1, 0.0, 1.0, 0.3)))}
    return [shape, None, None, affine, affine], options


@st.composite
def elementwise(draw: Draw, op: str) -> tuple[list[Shape | None], dict[str, Any]]:
    spec = SPECS[op]
    shape = draw(
        st.one_of(
            st.lists(st.integers(0, 9), max_size=5).map(tuple),
            st.tuples(FEW, SIZES, EXTENTS, EXTENTS),
            st.tuples(st.integers(1, 5000)),
        )
    )
    options = {name: draw(st.sampled_from((0.01, 0.3, 2.0))) for name in spec.cases[0].kwargs()}
    if spec.in_place and draw(st.booleans()):
        options["inplace"] = draw(st.booleans())
    return [shape], options


@st.composite
def linear(draw: Draw) -> tuple[list[Shape | None], dict[str, Any]]:
    rows = draw(st.one_of(st.tuples(st.integers(1, 40)), st.lists(FEW, max_size=3).map(tuple)))
    k, n = draw(st.one_of(SIZES, st.integers(1, 400))), draw(st.one_of(SIZES, st.integers(1, 200)))
    bias = (n,) if draw(st.booleans()) else None
    return [(*rows, k), (n, k), bias], {}


@st.composite
def _cell(draw: Draw, gates: int, states: int = 1) -> tuple[list[Shape | None], dict[str, Any]]:
    batch, inputs, hidden = draw(st.integers(1, 20)), draw(SIZES), draw(SIZES)
    bias = (gates * hidden,) if draw(st.booleans()) else None
    weights: list[Shape | None] = [(gates * hidden, inputs), (gates * hidden, hidden), bias, bias]
    return [(batch, inputs), *[(batch, hidden)] * states, *weights], {}


lstm_cell = functools.partial(_cell, 4, states=2)
gru_cell = functools.partial(_cell, 3)
rnn_relu_cell = rnn_tanh_cell = functools.partial(_cell, 1)


def shapes_of(op: str) -> st.SearchStrategy[tuple[list[Shape | None], dict[str, Any]]]:
    """The shapes of an operator's operands, and its options: the strategy of its name."""
    return elementwise(op) if SPECS[op].elementwise else globals()[op]()


@functools.cache
def _kernels(op: str) -> tuple[tuple[str, str] | None, ...]:
    """Nothing forced, or one of the kernels."""
    names = [(each, name) for each in SPECS[op].kernels for name in kernels.kernels(each)]
    return (None, *names)


@st.composite
def good_calls(draw: Draw, op: str) -> Call:
    """Calls that native PyTorch takes, but for some combinations of dtype and option."""
    shapes, options = draw(shapes_of(op))
    dtype = draw(st.sampled_from(("float32",) * 8 + ("float64",) * 2 + tuple(DTYPES)))
    order = 0
    if dtype in ("float32", "float64"):
        # Twice differentiated, what is normalised cancels out.
        order = draw(st.sampled_from((0, 1, 1, 1, 2) if op != "batch_norm" else (0, 1)))
    # A sum with an infinity in it depends on whether padding is multiplied.
    kinds = KINDS if SPECS[op].results == "selected" and order < 2 else KINDS[:-1]
    operands = tuple(
        shape
        if shape is None
        else Operand(
            shape,
            kind=draw(st.sampled_from(kinds)),
            view=draw(st.sampled_from(("dense",) * 6 + tuple(VIEWS))),
            dtype=dtype,
            grad=order > 0 and draw(st.integers(0, 3)) > 0,
            weight=index in SPECS[op].weights,
        )
        for index, shape in enumerate(shapes)
    )
    return Call(
        op,
        operands,
        options,
        order=order,
        gradient=draw(st.sampled_from(("dense", "expanded", "sliced", "transposed"))),
        threads=draw(st.sampled_from((1, 1, 1, 2, 3, 4))),
        kernel=draw(st.sampled_from(_kernels(op))),
        seed=draw(st.integers(0, 2**16)),
    )


@st.composite
def bad_calls(draw: Draw, op: str) -> Call:
    """Good calls with one thing changed; some stay good."""
    call = draw(good_calls(op))
    changes = ["shape", "dtype", "missing"] + ["option"] * 3 * (len(call.options) > 0)
    change = draw(st.sampled_from(changes))
    if change == "option":
        name = draw(st.sampled_from(sorted(call.options)))
        value = draw(st.sampled_from(BAD_VALUES))
        return replace(call, options=call.options | {name: value})
    index = draw(st.sampled_from([i for i, o in enumerate(call.operands) if o is not None]))
    operand = call.operands[index]
    assert operand is not None
    changed: Operand | None = None
    if change == "shape":
        changed = replace(operand, shape=draw(_near(operand.shape)))
    elif change == "dtype":
        dtype = draw(st.sampled_from(list(DTYPES)))
        grad = operand.grad and dtype in ("float32", "float64")
        changed = replace(operand, dtype=dtype, grad=grad)
    return replace(call, operands=(*call.operands[:index], changed, *call.operands[index + 1 :]))


@st.composite
def _near(draw: Draw, shape: Shape) -> Shape:
    """A dimension more, less, or of another size."""
    axis = draw(st.integers(0, max(len(shape) - 1, 0)))
    sizes = st.sampled_from((0, 1, 2, 5))
    if not shape or draw(st.integers(0, 3)) == 0:
        return (*shape[:axis], draw(sizes), *shape[axis:])
    if draw(st.integers(0, 2)) == 0:
        return (*shape[:axis], *shape[axis + 1 :])
    size = draw(st.one_of(sizes, st.sampled_from((shape[axis] + 1, max(shape[axis] - 1, 0)))))
    return (*shape[:axis], size, *shape[axis + 1 :])


def calls(op: str) -> st.SearchStrategy[Call]:
    """Three good calls to a bad one."""
    return st.integers(0, 3).flatmap(lambda kind: good_calls(op) if kind else bad_calls(op))
