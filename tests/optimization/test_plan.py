"""Programs, planned and run, against the interpreter in float64."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cnnext.runtime.library import direct
from cnnext.testing.timing import torch_threads
from tests.optimization.interpreter import OPERATORS, interpret

Program = tuple[str, list[tuple[int, ...]]]

#: By name: the program, the sizes of its weights, and the channels of its inputs; of 4 channels,
#: where nothing else is said. What a line does not say is in DEFAULTS.
CONV = "stride=1,1 padding=1,1 dilation=1,1 groups=1"
POINTWISE = "stride=1,1 padding=0,0 dilation=1,1 groups=1"
POOL = "kernel=3,3 stride=2,2 padding=1,1"


def recurrence(cell: str, gates: int, hidden: int, *, bias: bool, both: bool) -> Program:
    """A recurrent layer along the pixels, and what is taken of a sequence."""
    sizes: list[tuple[int, ...]] = [(gates * hidden, 4), (gates * hidden, hidden)]
    roles = ["weight_ih", "weight_hh"]
    if bias:
        sizes += [(gates * hidden,)] * 2
        roles += ["bias_ih", "bias_hh"]
    if both:
        roles += [f"{role}_reverse" for role in roles]
        sizes *= 2
    weights = " ".join(f"{role}={i}" for i, role in enumerate(roles))
    lines = f"rows 1 0\ntranspose 2 1\nrecurrence 3 2 cell={cell} {weights}\n"
    return lines + "transpose 4 3\nslice 5 4 from=1 to=4\nactivation 6 5 activation=relu", sizes


PROGRAMS: dict[str, Program] = {
    "conv2d": (f"conv2d 1 0 weight=0 bias=1 {CONV}", [(8, 4, 3, 3), (8,)]),
    "conv2d_wide": (f"conv2d 1 0 weight=0 {CONV}", [(96, 4, 3, 3)]),
    "conv2d_strided": (
        "conv2d 1 0 weight=0 bias=1 stride=2,1 padding=2,0 dilation=1,2 groups=2 activation=relu",
        [(6, 2, 3, 2), (6,)],
    ),
    "conv2d_depthwise": (
        "conv2d 1 0 weight=0 stride=1,1 padding=1,1 dilation=1,1 groups=4 activation=clamp,0,6",
        [(4, 1, 3, 3)],
    ),
    "conv2d_border_taps": (
        "conv2d 1 0 weight=0 stride=1,1 padding=9,9 dilation=9,9 groups=1",
        [(5, 4, 3, 3)],
    ),
    "conv2d_residual_before": (
        f"conv2d 1 0 0 weight=0 bias=1 {CONV} activation=relu residual=before",
        [(4, 4, 3, 3), (4,)],
    ),
    "conv2d_residual_after": (
        f"conv2d 1 0 0 weight=0 {CONV} activation=silu residual=after",
        [(4, 4, 3, 3)],
    ),
    "conv2d_pool": (f"conv2d 1 0 weight=0 {CONV} activation=relu pool=2", [(8, 4, 3, 3)]),
    "conv2d_prologue": (
        f"conv2d 1 0 weight=0 bias=1 x_scale=2 x_shift=3 {CONV} x_activation=relu",
        [(8, 4, 3, 3), (8,), (4,), (4,)],
    ),
    "conv2d_prologue_pointwise": (
        f"conv2d 1 0 weight=0 x_scale=1 x_shift=2 {POINTWISE} activation=relu",
        [(20, 4, 1, 1), (4,), (4,)],
    ),
    "conv2d_prologue_depthwise": (
        "conv2d 1 0 weight=0 x_scale=1 stride=2,1 padding=1,1 dilation=1,1 groups=4 "
        "x_activation=relu",
        [(4, 1, 3, 3), (4,)],
    ),
    "conv2d_prologue_pool": (
        f"conv2d 1 0 weight=0 x_scale=1 x_shift=2 {CONV} pool=2",
        [(8, 4, 3, 3), (4,), (4,)],
    ),
    "conv2d_prologue_range": (
        f"slice 1 0 from=1 to=4\nconv2d 2 1 weight=0 x_scale=1 x_shift=2 {CONV} x_activation=relu\n"
        f"concat 3 2 0\nconv2d 4 3 weight=3 x_scale=4 x_shift=5 {POINTWISE}",
        [(8, 3, 3, 3), (3,), (3,), (5, 12, 1, 1), (12,), (12,)],
    ),
    "conv2d_prologue_factors": (
        f"adaptive_avg_pool2d 1 0 size=1,1\nconv2d 2 1 weight=0 {POINTWISE} activation=sigmoid\n"
        f"conv2d 3 0 2 0 weight=1 x_shift=2 {CONV} x_scale=f x_activation=relu residual=before\n"
        f"conv2d 4 3 2 weight=0 {POINTWISE} x_scale=f pool=2",
        [(4, 4, 1, 1), (4, 4, 3, 3), (4,)],
    ),
    "conv2d_prologue_factors_of_a_range": (
        f"adaptive_avg_pool2d 1 0 size=1,1\nconcat 2 1 1\nslice 3 2 from=3 to=7\n"
        f"conv2d 4 0 3 weight=0 {POINTWISE} x_scale=f",
        [(6, 4, 1, 1)],
    ),
    "conv_transpose2d": (
        "conv_transpose2d 1 0 weight=0 bias=1 stride=2,2 padding=0,0 output_padding=0,0 "
        "dilation=1,1 groups=1 activation=relu",
        [(4, 6, 2, 2), (6,)],
    ),
    "conv_transpose2d_twice_of_a_weight": (
        "conv_transpose2d 1 0 weight=0 stride=2,2 padding=0,0 output_padding=0,0 dilation=1,1 "
        "groups=1\nconv_transpose2d 2 0 weight=0 stride=2,2 padding=1,1 output_padding=0,0 "
        "dilation=1,1 groups=1\nadaptive_avg_pool2d 3 1 size=4,4\n"
        "adaptive_avg_pool2d 4 2 size=4,4\nconcat 5 3 4",
        [(4, 6, 3, 3)],
    ),
    "conv_transpose2d_groups": (
        "conv_transpose2d 1 0 weight=0 stride=2,1 padding=1,0 output_padding=1,0 "
        "dilation=1,2 groups=2",
        [(4, 3, 3, 3)],
    ),
    "max_pool2d": (f"max_pool2d 1 0 {POOL} dilation=1,1 ceil_mode=0", []),
    "max_pool2d_ceil": (f"max_pool2d 1 0 {POOL} dilation=1,1 ceil_mode=1", []),
    "avg_pool2d": (
        f"avg_pool2d 1 0 {POOL} ceil_mode=1 count_include_pad=1 divisor_override=0",
        [],
    ),
    "avg_pool2d_divisor": (
        f"avg_pool2d 1 0 {POOL} ceil_mode=0 count_include_pad=0 divisor_override=5",
        [],
    ),
    "adaptive_avg_pool2d": ("adaptive_avg_pool2d 1 0 size=3,2", []),
    "mean": ("adaptive_avg_pool2d 1 0 size=1,1\nflatten 2 1", []),
    "scale_shift": ("scale_shift 1 0 scale=0 shift=1 activation=relu", [(4,), (4,)]),
    "add": ("add 1 0 0 activation=relu", []),
    "multiply": ("activation 1 0 activation=sigmoid\nmultiply 2 0 1", []),
    "squeeze_excite": (
        "adaptive_avg_pool2d 1 0 size=1,1\n"
        "conv2d 2 1 weight=0 stride=1,1 padding=0,0 dilation=1,1 groups=1 activation=sigmoid\n"
        "multiply 3 0 2",
        [(4, 4, 1, 1)],
    ),
    "upsample_nearest": ("upsample_nearest 1 0 scale=2.0,2.0", []),
    "upsample_nearest_factors": ("upsample_nearest 1 0 scale=1.7,0.6", []),
    "upsample_nearest_size": ("upsample_nearest 1 0 size=5,21", []),
    "upsample_bilinear": ("upsample_bilinear 1 0 scale=2.0,3.0 align_corners=0", []),
    "upsample_bilinear_factors": ("upsample_bilinear 1 0 scale=1.7,0.6 align_corners=0", []),
    "upsample_bilinear_recomputed": (
        "upsample_bilinear 1 0 scale=1.7,0.6 recompute_scale_factor=1 align_corners=0",
        [],
    ),
    "upsample_bilinear_corners": ("upsample_bilinear 1 0 size=13,1 align_corners=1", []),
    "upsample_bilinear_like": (
        f"conv2d 1 0 weight=0 {CONV}\nadaptive_avg_pool2d 2 1 size=3,2\n"
        "upsample_bilinear 3 2 0 align_corners=0\nupsample_nearest 4 2 0\nconcat 5 3 0 4\n"
        f"conv2d 6 5 weight=1 {CONV}",
        [(9, 4, 3, 3), (3, 22, 3, 3)],
    ),
    "pad": ("pad 1 0 padding=1,0,2,3", []),
    "pad_into_a_range": (
        f"pad 1 0 padding=1,2,0,1\nconv2d 2 1 weight=0 {CONV}\nconcat 3 2 1",
        [(3, 4, 3, 3)],
    ),
    "shuffle": ("shuffle 1 0 groups=2", []),
    "shuffle_of_a_concat": (
        f"conv2d 1 0 weight=0 {CONV}\nconv2d 2 0 weight=1 {CONV}\nconcat 3 1 2\n"
        "shuffle 4 3 groups=3\nslice 5 4 from=0 to=18\nslice 6 4 from=18 to=36\n"
        "shuffle 7 6 groups=2\nconcat 8 5 7 0",
        [(18, 4, 3, 3), (18, 4, 3, 3)],
    ),
    "shuffle_of_many_groups": (
        f"conv2d 1 0 weight=0 {CONV}\nshuffle 2 1 groups=9",
        [(63, 4, 3, 3)],
    ),
    "pixel_shuffle": ("pixel_shuffle 1 0 upscale=2", []),
    "pixel_shuffle_into_a_range": (
        f"conv2d 1 0 weight=0 {CONV}\npixel_shuffle 2 1 upscale=3\nactivation 3 2 "
        "activation=relu\nconcat 4 3 2",
        [(45, 4, 3, 3)],
    ),
    "softmax": ("softmax 1 0", []),
    "softmax_of_features": ("flatten 1 0\nlinear 2 1 weight=0\nsoftmax 3 2", [(37, 4 * 63)]),
    "log_softmax": (f"conv2d 1 0 weight=0 {CONV}\nlog_softmax 2 1", [(21, 4, 3, 3)]),
    "concat": (
        f"conv2d 1 0 weight=0 {CONV}\nconv2d 2 0 weight=1 {CONV}\nconcat 3 1 0 2 1",
        [(3, 4, 3, 3), (5, 4, 3, 3)],
    ),
    "concat_of_concat": (
        f"conv2d 1 0 weight=0 {CONV}\nconcat 2 0 1\nconv2d 3 2 weight=1 {CONV}\nconcat 4 0 1 3",
        [(3, 4, 3, 3), (5, 7, 3, 3)],
    ),
    "concat_of_growing_lists": (
        "max_pool2d 1 0 kernel=2,2 stride=1,1 padding=0,0 dilation=1,1 ceil_mode=0\n"
        f"conv2d 2 1 weight=0 {CONV}\nconcat 3 1 2\nconv2d 4 3 weight=1 {CONV}\nconcat 5 1 2 4\n"
        f"conv2d 6 5 weight=2 {CONV}\nconcat 7 1 2 4 6\navg_pool2d 8 7 kernel=2,2 stride=2,2 "
        "padding=0,0 ceil_mode=0 count_include_pad=1 divisor_override=0",
        [(3, 4, 3, 3), (5, 7, 3, 3), (2, 12, 3, 3)],
    ),
    "slice": (
        f"slice 1 0 from=1 to=3\nconv2d 2 1 weight=0 {CONV}\nslice 3 2 from=2 to=5\n"
        "add 4 3 3\nmax_pool2d 5 4 kernel=2,2 stride=2,2 padding=0,0 dilation=1,1 ceil_mode=0",
        [(6, 2, 3, 3)],
    ),
    "classifier": (
        f"conv2d 1 0 weight=0 {CONV} activation=relu\nflatten 2 1\n"
        "linear 3 2 weight=1 bias=2 activation=gelu\nlinear 4 3 weight=3",
        [(3, 4, 3, 3), (20, 3 * 63), (20,), (5, 20)],
    ),
    "linear_residual": (
        "flatten 1 0\nlinear 2 1 weight=0\nlinear 3 2 2 weight=1 activation=tanh residual=after",
        [(20, 4 * 63), (20, 20)],
    ),
    "linear_of_a_sequence": (
        "rows 1 0\nlinear 2 1 weight=0 bias=1 activation=relu\n"
        "linear 3 2 2 weight=2 residual=before\nconcat 4 3 1\nmultiply 5 4 4",
        [(20, 4), (20,), (20, 20)],
    ),
    "steps": (
        "rows 1 0\ntranspose 2 1\nstep 3 2 index=-1 dim=0\nstep 4 1 index=1 dim=1\n"
        "linear 5 4 3 weight=0 residual=before\nadd 6 4 5",
        [(4, 4)],
    ),
    "recurrence": recurrence("lstm", 4, 5, bias=True, both=True),
    "recurrence_wide": recurrence("lstm", 4, 70, bias=True, both=True),
    "recurrence_forward": recurrence("lstm", 4, 17, bias=False, both=False),
    "recurrence_gru": recurrence("gru", 3, 17, bias=True, both=True),
    "recurrence_tanh": recurrence("rnn_tanh", 1, 17, bias=True, both=False),
    "recurrence_relu": recurrence("rnn_relu", 1, 17, bias=False, both=True),
    **{
        f"activation_{name.partition(',')[0]}": (f"activation 1 0 activation={name}", [])
        for name in (
            *("relu", "clamp,-0.5,0.75", "leaky_relu,0.125", "sigmoid", "tanh", "silu"),
            *("hardswish", "hardsigmoid", "gelu", "gelu_tanh"),
        )
    },
}


class Network:
    """A program of one input with random weights."""

    def __init__(self, lines: str, sizes: Sequence[tuple[int, ...]]) -> None:
        last = lines.splitlines()[-1].split()[1]
        self.program = f"input 0\n{lines}\noutput {last}\n"
        torch.manual_seed(0)
        self.weights = [torch.randn(size) / max(1, size[-1]) for size in sizes]
        self.number = direct.plan_define(self.program, self.weights)

    def __call__(self, *inputs: Tensor) -> Tensor:
        (output,) = direct.plan_run(self.number, inputs)
        assert isinstance(output, Tensor)
        return output

    def check(self, *inputs: Tensor) -> None:
        (expected,) = interpret(self.program, [w.double() for w in self.weights], inputs)
        actual = self(*inputs)
        assert actual.shape == expected.shape
        # Each of at most three layers sums up some hundred products of numbers about as large.
        tolerance = 1e-5 * (1 + float(expected.abs().max()))
        torch.testing.assert_close(actual.double(), expected, rtol=0, atol=tolerance)


@pytest.fixture(params=[1, 2], ids=["1_thread", "2_threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    with torch_threads(request.param):
        yield request.param


@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", PROGRAMS)
def test_operators(name: str, batch: int, layout: str, threads: int) -> None:
    network = Network(*PROGRAMS[name])
    x = torch.randn(batch, 4, 7, 9)
    if layout == "channels_last":
        x = x.to(memory_format=torch.channels_last)
    network.check(x)
    y = network(x)
    if y.dim() == 4 and y.shape[1] > 1 and y.shape[2] > 1:
        assert y.is_contiguous() == (layout == "nchw")


def test_every_operator_is_tested() -> None:
    tested = {line.split()[0] for lines, _ in PROGRAMS.values() for line in lines.splitlines()}
    assert tested == set(torch.ops.cnnext.plan_operators().split()) == set(OPERATORS)


@pytest.mark.parametrize("batch", [2, 5, 33, 64])
@pytest.mark.parametrize("name", ["classifier", "linear_of_a_sequence", "recurrence", "steps"])
def test_slices(name: str, batch: int, threads: int) -> None:
    """Many images at once are what they are one by one, but for rounding."""
    network = Network(*PROGRAMS[name])
    x = torch.randn(batch, 4, 7, 9)
    network.check(x)
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bilinear_corners"])
def test_upsampling_takes_the_pixels_that_torch_takes(mode: str) -> None:
    """For all sizes and many factors; the positions, and so the nearest, are rounded to float32.

    Of its ways for various layouts, which are not always the same, it is that of channels_last.
    """
    name, _, corners = mode.partition("_")
    attributes = f" align_corners={int(bool(corners))}" if name == "bilinear" else ""
    options = {"align_corners": bool(corners)} if name == "bilinear" else {}
    for size in (1, 2, 3, 7, 25, 78):
        x = (
            torch.arange(float(size))
            .expand(1, 4, 2, size)
            .contiguous(memory_format=torch.channels_last)
        )
        ways: list[tuple[str, dict[str, Any]]] = [
            (f"size=2,{result}", {"size": (2, result)}) for result in range(1, 200)
        ]
        for factor in (0.3, 0.7, 1.1, 1.5, 2.0, 2.01, 2.3, 3.0, 4.7):
            if factor * size >= 1:
                factors = {"scale_factor": (1.0, factor)}
                ways.append((f"scale=1.0,{factor}", factors))
                factors = {**factors, "recompute_scale_factor": True}
                ways.append((f"scale=1.0,{factor} recompute_scale_factor=1", factors))
        for way, arguments in ways:
            actual = Network(f"upsample_{name} 1 0 {way}{attributes}", [])(x)
            expected = F.interpolate(x, mode=name, **arguments, **options)
            assert actual.shape == expected.shape, (size, way)
            # Positions of up to 78 are rounded three times, and a step is at most 1.
            limit = 0 if name == "nearest" else 4 * 2**-24 * size
            assert (actual - expected).abs().max() <= limit, (size, way)


def test_upsampling_in_slices(threads: int) -> None:
    lines, sizes = PROGRAMS["upsample_bilinear_like"]
    network = Network(lines, sizes)
    x = torch.randn(17, 4, 30, 40)
    network.check(x)
    report = direct.plan_report(network.number, [x]).splitlines()
    assert all(int(line.split("\t")[-1]) < 17 for line in report)


def test_large_images_in_slices(threads: int) -> None:
    lines, sizes = PROGRAMS["concat"]
    network = Network(lines, sizes)
    network.check(torch.randn(3, 4, 300, 500))


def test_a_rest_of_other_steps_is_profiled() -> None:
    """A prologue is a step for the last image alone, and for the 59 before it is not."""
    code = """if True:
        import torch
        from cnnext.runtime.library import direct
        torch.set_num_threads(5)
        weights = [torch.randn(128, 16, 5, 5), torch.randn(16)]
        line = "conv2d 1 0 weight=0 x_scale=1 stride=1,1 padding=2,2 dilation=1,1 groups=1"
        number = direct.plan_define("input 0\\n" + line + "\\noutput 1\\n", weights)
        x = torch.randn(60, 16, 2, 244)
        for _ in range(5):
            seconds = direct.plan_profile(number, [x])
            assert len(seconds) == len(direct.plan_report(number, [x]).splitlines())
            assert min(seconds) > 0
    """
    environment = {**os.environ, "CNNEXT_L2": str(256 << 10)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_concatenations_within_others_copy_nothing() -> None:
    network = Network(*PROGRAMS["concat_of_growing_lists"])
    report = direct.plan_report(network.number, [torch.randn(1, 4, 7, 9)])
    lines = [line.split()[0] for line in report.splitlines()]
    assert "concat" not in lines
    assert lines.count("copy") <= 1, "the pool writes no ranges"


def test_several_inputs_and_outputs() -> None:
    program = "input 0\ninput 1\nadd 2 0 1\nactivation 3 2 activation=relu\noutput 3 2\n"
    number = direct.plan_define(program, [])
    x, y = torch.randn(2, 3, 5, 5), torch.randn(2, 3, 5, 5)
    relu, total = direct.plan_run(number, [x, y])
    assert torch.equal(total, x + y)
    assert torch.equal(relu, (x + y).relu())


@pytest.mark.parametrize(
    ("algorithm", "fuses"), [("direct", True), ("winograd2_fused", False), ("implicit_gemm", False)]
)
def test_a_prologue_in_the_kernel_or_before_it(algorithm: str, fuses: bool) -> None:
    """Two convolutions prepare their input each while they copy it, or share what a step made.

    By one thread, for which a kernel that copies x for a prologue alone does not pay. The third has
    another prologue.
    """
    first, second = (f"x_scale=1 x_shift={i} {CONV} x_activation=relu" for i in (2, 4))
    lines = (
        f"conv2d 1 0 weight=0 {first}\nconv2d 2 0 1 weight=3 {first} residual=after\n"
        f"conv2d 3 0 2 weight=3 {second} residual=after"
    )
    network = Network(lines, [(16, 16, 3, 3), (16,), (16,), (16, 16, 3, 3), (16,)])
    x = torch.randn(2, 16, 9, 7).to(memory_format=torch.channels_last)
    torch.ops.cnnext.prefer_algorithm("conv2d", algorithm)
    try:
        with torch_threads(1):
            network.check(x)
            report = direct.plan_report(network.number, [x])
    finally:
        torch.ops.cnnext.prefer_algorithm("conv2d", "")
    kernels = [line.split("\t")[1].partition("_")[0] for line in report.splitlines()]
    conv, scale = "conv2d", "scale"
    assert kernels == ([conv] * 3 if fuses else [scale, conv, conv, scale, conv])


def test_outputs_do_not_alias() -> None:
    network = Network("slice 1 0 from=0 to=4", [])
    x = torch.randn(1, 4, 3, 3)
    first, second = network(x), network(x)
    assert torch.equal(first, x)
    assert len({each.data_ptr() for each in (x, first, second)}) == 3


def test_inputs_of_any_strides() -> None:
    network = Network(*PROGRAMS["conv2d"])
    network.check(torch.randn(2, 8, 9, 7).transpose(2, 3)[:, ::2])
    network.check(torch.randn(1, 4, 1, 9).expand(2, 4, 7, 9))


def test_set_weights() -> None:
    network = Network(*PROGRAMS["conv2d"])
    x = torch.randn(1, 4, 7, 9)
    network.check(x)
    network.weights = [2 * w for w in network.weights]
    direct.plan_set_weights(network.number, network.weights)
    network.check(x)


def test_plans_are_bounded() -> None:
    network = Network(*PROGRAMS["conv2d"])
    packed = set()
    for width in range(5, 205):
        network(torch.randn(1, 4, 5, width))
        packed.add(direct.plan_bytes(network.number)[0])
    assert direct.plan_bytes(network.number)[2] == 16
    assert len(packed) <= 3, "what is packed for one width is packed for all"


def test_calls_at_the_same_time() -> None:
    network = Network(*PROGRAMS["classifier"])
    inputs = [torch.randn(1 + i % 3, 4, 7, 9) for i in range(8)]
    expected = [network(x) for x in inputs]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(50):
            if not torch.equal(network(inputs[i]), expected[i]):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert not wrong


@pytest.mark.parametrize("threads", [3, 8, 33])
def test_more_threads_than_cores(threads: int) -> None:
    """Whatever threads come, and in whatever order, a call has the same bits."""
    network = Network(*PROGRAMS["concat"])
    x = torch.randn(2, 4, 120, 130)
    with torch_threads(threads):
        network.check(x)
        first = network(x)
        assert all(torch.equal(network(x), first) for _ in range(100))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[str, int]:
    """Lines on values of 2 x 3 images, whose lifetimes and places are as good as random."""
    channels = [4]
    lines = []
    for value in range(1, draw(st.integers(2, 14))):
        operand = draw(st.integers(0, value - 1))
        kind = draw(st.sampled_from(["activation", "add", "concat", "slice"]))
        if kind == "activation":
            lines.append(f"activation {value} {operand} activation=leaky_relu,0.5")
            channels.append(channels[operand])
        elif kind == "add":
            others = [i for i in range(value) if channels[i] == channels[operand]]
            lines.append(f"add {value} {operand} {draw(st.sampled_from(others))}")
            channels.append(channels[operand])
        elif kind == "concat":
            other = draw(st.integers(0, value - 1))
            lines.append(f"concat {value} {operand} {other}")
            channels.append(channels[operand] + channels[other])
        else:
            last = draw(st.integers(1, channels[operand]))
            first = draw(st.integers(0, last - 1))
            lines.append(f"slice {value} {operand} from={first} to={last}")
            channels.append(last - first)
    return "\n".join(lines), max(channels)


@settings(max_examples=200, deadline=None)
@given(graphs(), st.integers(1, 3))
def test_random_graphs(graph: tuple[str, int], batch: int) -> None:
    lines, most = graph
    if most <= 4096:
        Network(lines, []).check(torch.randn(batch, 4, 2, 3))


@pytest.mark.parametrize(
    ("lines", "weights", "message"),
    [
        ("relu6 1 0", [], "there is no operator 'relu6'"),
        ("activation 1 0 activation=swish", [], "there is no activation 'swish'"),
        ("activation 1 0 activation=clamp,0", [], "lacks a parameter"),
        ("add 1 0 7", [], "value 7 is not defined"),
        ("add 0 0 0", [], "value 0 is defined twice"),
        ("slice 1 0 from=2 to=5", [], r"no such channels in \(1, 4, 7, 9\)"),
        ("slice 1 0 from=2", [], "it lacks to"),
        ("slice 1 0 from=a to=2", [], "from is no integer"),
        ("slice 1 0 from=0 to=2 step=1", [], "it has no step"),
        ("add 1 0", [], "it has 1 operands"),
        ("flatten 1 0 0", [], "it has 2 operands"),
        ("slice 1 0 from=0 to=2\nmultiply 2 0 1", [], r"are no factors of \(1, 4, 7, 9\)"),
        ("linear 1 0 weight=0", [(3, 4)], "does not fit an input"),
        (f"conv2d 1 0 weight=0 {CONV}", [(3, 5, 3, 3)], "does not fit an input"),
        (f"conv2d 1 0 weight=1 {CONV}", [(3, 4, 3, 3)], "there is no such weight"),
        (f"conv2d 1 0 weight=0 bias=1 {CONV}", [(3, 4, 3, 3), (4,)], "no vector of 3"),
        ("adaptive_avg_pool2d 1 0 size=0,1", [], "does not fit an input"),
        (
            f"conv2d 1 0 weight=0 x_scale=1 {CONV}",
            [(3, 4, 3, 3), (3,)],
            "x_scale is no vector of 4",
        ),
        (f"conv2d 1 0 weight=0 x_shift=1 {CONV}", [(3, 4, 3, 3), (4,)], "it lacks x_scale"),
        (f"conv2d 1 0 weight=0 x_scale=f {CONV}", [(3, 4, 3, 3)], "it has 1 operands"),
        (f"conv2d 1 0 0 0 weight=0 {CONV}", [(4, 4, 3, 3)], "it has 3 operands"),
        (f"conv2d 1 0 0 weight=0 x_scale=f {CONV}", [(4, 4, 3, 3)], "are no factors of"),
        (
            f"conv2d 1 0 weight=0 x_scale=1 x_activation=silu {CONV}",
            [(3, 4, 3, 3), (4,)],
            "x_activation is not relu",
        ),
        (
            "max_pool2d 1 0 kernel=2,2 stride=1,1 padding=1,1 dilation=8,8",
            [],
            "a window lies outside",
        ),
        (
            "conv2d 1 0 weight=0 stride=1,1 padding=1073741824,1073741824 dilation=1,1 groups=1",
            [(3, 4, 3, 3)],
            "is too large",
        ),
        ("slice 1 0 from=0 to=1\nflatten 2 1\nslice 3 2 from=0 to=4\nmultiply 4 0 3", [], "are no"),
        ("pad 1 0 padding=1,1,-1,0", [], "does not fit an input"),
        ("pad 1 0 padding=1,1", [], "padding has not 4 numbers"),
        ("shuffle 1 0 groups=3", [], "no such groups"),
        ("shuffle 1 0 groups=0", [], "no such groups"),
        ("pixel_shuffle 1 0 upscale=3", [], "are no such pixels"),
        ("upsample_nearest 1 0", [], "not one of like, size and scale"),
        ("upsample_nearest 1 0 0 size=3,3", [], "not one of like, size and scale"),
        ("upsample_nearest 1 0 size=0,3", [], "nothing is left of"),
        ("upsample_nearest 1 0 scale=2.0,0.1", [], "nothing is left of"),
        ("upsample_nearest 1 0 scale=2.0", [], "scale is no pair of numbers"),
        ("upsample_nearest 1 0 scale=1e9,1", [], "scale is too large"),
        (
            "upsample_nearest 1 0 size=1000000,1000000 align_corners=1",
            [],
            "it has no align_corners",
        ),
        ("upsample_bilinear 1 0 size=1073741824,1073741824", [], "is too large"),
        ("flatten 1 0\nupsample_nearest 2 1 scale=2,2", [], "have no height"),
        ("flatten 1 0\nupsample_nearest 2 0 1", [], "have no height"),
        ("max_pool2d 1 0 kernel=9,9 stride=1,1 padding=0,0 dilation=1,1", [], "do not fit"),
    ],
)
def test_errors(lines: str, weights: list[tuple[int, ...]], message: str) -> None:
    def run() -> None:
        Network(lines, weights)(torch.randn(1, 4, 7, 9))

    with pytest.raises(RuntimeError, match=message):
        run()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "takes 1 inputs, but was given 0"),
        ([torch.zeros(1, 4, 7, 9, dtype=torch.float64)], "inputs must be float32"),
        ([torch.zeros(4, 7, 9)], r"it takes no sequences, \(4, 7, 9\)"),
        ([torch.zeros(4)], r"but one has shape \[4\]"),
        ([torch.zeros(0, 4, 7, 9)], r"but one has shape \[0, 4, 7, 9\]"),
    ],
)
def test_wrong_inputs(inputs: list[Tensor], message: str) -> None:
    network = Network(*PROGRAMS["conv2d"])
    with pytest.raises(RuntimeError, match=message):
        direct.plan_run(network.number, inputs)


def test_unknown_networks() -> None:
    network = Network(*PROGRAMS["conv2d"])
    direct.plan_forget(network.number)
    with pytest.raises(RuntimeError, match="there is no network"):
        network(torch.randn(1, 4, 7, 9))
