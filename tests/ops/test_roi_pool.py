"""roi_pool against plain loops and native's; boxes in lists, errors, recorded programs."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext.functional import roi_pool
from cnnext.ops.common.roi_pooling import roi_pool as native_roi_pool
from tests.ops.graphs import Compiled, ops_in
from tests.ops.support import assert_bitwise_equal

SEED = 20261129
WHOLE_MAP = [0.0, 0.0, 0.0, 79.0, 63.0]


def round_half_away(value: float) -> int:
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def reference(features: Tensor, rois: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    """torchvision's `roi_pool` as its kernel for the CPU writes it."""
    _, channels, height, width = features.shape
    output = features.new_zeros((len(rois), channels, *size))
    for k, (image, *corners) in enumerate(rois.tolist()):
        left, top, right, bottom = (round_half_away(corner * scale) for corner in corners)
        bin_height = max(bottom - top + 1, 1) / size[0]
        bin_width = max(right - left + 1, 1) / size[1]
        for i in range(size[0]):
            y = min(max(math.floor(i * bin_height) + top, 0), height)
            y_end = min(max(math.ceil((i + 1) * bin_height) + top, 0), height)
            for j in range(size[1]):
                x = min(max(math.floor(j * bin_width) + left, 0), width)
                x_end = min(max(math.ceil((j + 1) * bin_width) + left, 0), width)
                if y < y_end and x < x_end:
                    window = features[int(image), :, y:y_end, x:x_end]
                    output[k, :, i, j] = window.amax((1, 2))
    return output


def drawn_rois(count: int, batch: int, generator: torch.Generator) -> Tensor:
    """Boxes on, over and outside of the border of an image of 80 x 64, some without an area."""
    images = torch.randint(batch, (count, 1), generator=generator)
    corners = torch.rand((count, 4), generator=generator) * 140 - 30
    return torch.cat((images, corners), dim=1)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(7, 7), (2, 3), (1, 1)])
def test_equals_plain_loops(size: tuple[int, int], dtype: torch.dtype, channels_last: bool) -> None:
    generator = torch.Generator().manual_seed(SEED)
    features = torch.randn((2, 3, 8, 10), generator=generator).to(dtype)
    if channels_last:
        features = features.to(memory_format=torch.channels_last)
    rois = torch.cat((torch.tensor([WHOLE_MAP]), drawn_rois(30, 2, generator))).to(dtype)
    expected = reference(features, rois, size, 1 / 8)
    assert torch.equal(roi_pool(features, rois, size, 1 / 8), expected), f"seed {SEED}"


@pytest.mark.parametrize(
    "corner, position", [(0.5, 1), (1.5, 2), (2.5, 3), (-0.5, -1), (0.49999997, 0)]
)
def test_halves_of_corners_are_rounded_away_from_zero(corner: float, position: int) -> None:
    features = torch.arange(1.0, 6.0).view(1, 1, 1, 5)
    rois = torch.tensor([[0, corner, 0, corner, 0]])
    expected = position + 1.0 if position >= 0 else 0.0
    assert roi_pool(features, rois, 1, 1.0).item() == expected


def test_bins_outside_of_the_map_are_zero() -> None:
    features = torch.full((1, 2, 4, 4), -1.0)
    rois = torch.tensor([[0.0, 2, 2, 5, 5], [0, 9, 9, 12, 12]])
    pooled = roi_pool(features, rois, 2, 1.0)
    assert torch.equal(pooled[0, 0], torch.tensor([[-1.0, 0], [0, 0]]))
    assert (pooled[1] == 0).all()


def test_box_turned_around_is_one_position() -> None:
    features = torch.arange(16.0).view(1, 1, 4, 4)
    rois = torch.tensor([[0.0, 2, 1, 0, 0]])
    assert torch.equal(roi_pool(features, rois, 2, 1.0), torch.full((1, 1, 2, 2), 6.0))


def test_no_boxes() -> None:
    assert roi_pool(torch.ones(1, 3, 4, 4), torch.empty(0, 5), 7, 1.0).shape == (0, 3, 7, 7)


def test_boxes_on_meta_have_a_shape() -> None:
    features, rois = torch.empty(2, 3, 8, 10, device="meta"), torch.empty(4, 5, device="meta")
    output = native_roi_pool(features, rois, (2, 3), 1 / 8)
    assert output.is_meta
    assert output.shape == (4, 3, 2, 3)


@pytest.mark.parametrize("channels_last", [False, True])
def test_no_channels(channels_last: bool) -> None:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    features = torch.ones(2, 0, 4, 4).to(memory_format=layout).requires_grad_()
    for pool in (roi_pool, native_roi_pool):
        output = pool(features, torch.tensor([[0.0, 1, 1, 3, 3]]), (3, 2), 1.0)
        assert output.shape == (1, 0, 3, 2)
        (gradient,) = torch.autograd.grad(output.sum(), features)
        assert gradient.shape == features.shape


class Pool(torch.nn.Module):
    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        return roi_pool(features, rois, (3, 2), 1 / 8)


class NativePool(torch.nn.Module):
    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        return native_roi_pool(features, rois, (3, 2), 1 / 8)


def exported(features: Tensor, rois: Tensor) -> torch.nn.Module:
    boxes = torch.export.Dim("boxes")
    return torch.export.export(Pool(), (features, rois), dynamic_shapes=({}, {0: boxes})).module()


def traced(features: Tensor, rois: Tensor) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(Pool(), (features, rois))


@pytest.mark.parametrize("record", [exported, traced])
@pytest.mark.parametrize("size", [(8, 10), (1, 3), (7, 16)])
@pytest.mark.usefixtures("fallbacks")
@pytest.mark.filterwarnings("error::torch.jit.TracerWarning")
def test_recorded_for_other_boxes(
    size: tuple[int, int], record: Callable[[Tensor, Tensor], torch.nn.Module]
) -> None:
    """The boxes that a program was made with say nothing about the sizes of others."""
    generator = torch.Generator().manual_seed(SEED)
    features = torch.randn((2, 3, *size), generator=generator)
    features[:, 0, 0, 0] = torch.nan
    program = record(features, torch.tensor([[0.0, 1, 1, 9, 9], [1, 0, 0, 3, 3]]))
    for rois in (torch.tensor([WHOLE_MAP]), drawn_rois(30, 2, generator), torch.empty(0, 5)):
        assert torch.equal(program(features, rois), Pool()(features, rois)), f"seed {SEED}"


def test_a_recorded_program_has_the_gradients() -> None:
    generator = torch.Generator().manual_seed(SEED)
    features = torch.randperm(2 * 3 * 80, generator=generator).float().view(2, 3, 8, 10)
    features.requires_grad_()
    rois = drawn_rois(9, 2, generator)
    program = exported(features, rois)
    (expected,) = torch.autograd.grad(Pool()(features, rois).square().sum(), features)
    (actual,) = torch.autograd.grad(program(features, rois).square().sum(), features)
    torch.testing.assert_close(actual, expected)


def test_a_program_for_any_size_of_images() -> None:
    arguments = torch.randn(1, 3, 8, 10), torch.tensor([WHOLE_MAP, WHOLE_MAP])
    sizes = {2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    program = torch.export.export(Pool(), arguments, dynamic_shapes=(sizes, {})).module()
    features = torch.randn(1, 3, 5, 7)
    assert torch.equal(program(features, arguments[1]), Pool()(features, arguments[1]))


def test_a_program_of_native_for_any_size_of_images_is_refused() -> None:
    """Its tables have as many levels as the map's size."""
    dynamic = {2: torch.export.Dim("height")}
    arguments = torch.randn(1, 3, 8, 10), torch.tensor([WHOLE_MAP, WHOLE_MAP])
    with pytest.raises(RuntimeError, match="height and width of the images must be constant"):
        torch.export.export(NativePool(), arguments, dynamic_shapes=(dynamic, {}))


def test_gradients_are_those_of_the_maxima() -> None:
    generator = torch.Generator().manual_seed(SEED)
    features = torch.randperm(2 * 2 * 5 * 6, generator=generator).double().view(2, 2, 5, 6)
    features.requires_grad_()
    rois = torch.cat((torch.tensor([WHOLE_MAP]), drawn_rois(4, 2, generator))).double()

    def pool(features: Tensor) -> Tensor:
        return roi_pool(features, rois, (3, 2), 1 / 14)

    assert torch.autograd.gradcheck(pool, features), f"seed {SEED}"
    assert torch.autograd.gradgradcheck(lambda features: pool(features) ** 2, features)


def test_gradient_of_equal_maxima_goes_to_the_first() -> None:
    features = torch.zeros((1, 1, 3, 3), requires_grad=True)
    roi_pool(features, torch.tensor([[0.0, 1, 1, 2, 2]]), 1, 1.0).sum().backward()
    expected = torch.zeros(1, 1, 3, 3)
    expected[0, 0, 1, 1] = 1
    assert torch.equal(features.grad, expected)


def test_nan_is_no_maximum() -> None:
    features = torch.tensor([torch.nan, 1.0, -2.0, torch.nan]).view(1, 1, 2, 2).requires_grad_()
    pooled = roi_pool(features, torch.tensor([[0.0, 0, 0, 1, 1]]), 1, 1.0)
    assert pooled.item() == 1
    pooled.sum().backward()
    assert torch.equal(features.grad.flatten(), torch.tensor([0.0, 1, 0, 0]))


# ------------------------------------------------------------------------- against native's


@pytest.mark.parametrize("trial", range(24))
def test_equals_native_in_every_bit(trial: int) -> None:
    """Drawn sizes and boxes, ties, NaN and infinities; with a graph, and without."""
    generator = torch.Generator().manual_seed(SEED + trial)

    def number(end: int) -> int:
        return int(torch.randint(1, end, (), generator=generator))

    dtype = (torch.float32, torch.float64)[trial % 2]
    shape = (number(4), number(40), number(14), number(14))
    size, scale = (number(9), number(9)), (1 / 16, 1 / 8, 1.0, 0.3, 1 / 14)[trial % 5]
    features = torch.randn(shape, generator=generator).to(dtype)
    if trial % 3 == 0:
        features = features.round()
    for special in (math.nan, -math.inf, math.inf) if trial % 4 == 0 else ():
        features[torch.rand(shape, generator=generator) < 0.2] = special
    if trial % 2:
        features = features.contiguous(memory_format=torch.channels_last)
    count = 12
    corners = (torch.rand((count, 4), generator=generator) * 2.2 - 0.6) * max(shape[2:]) / scale
    corners[0] = torch.tensor([-3e30, -1e20, 3e30, 1e25])
    halves = ((corners * scale).round() + 0.5) / scale
    corners = torch.where(torch.rand((count, 1), generator=generator) < 0.3, halves, corners)
    images = torch.randint(shape[0], (count, 1), generator=generator)
    rois = torch.cat((images, corners), 1).to(dtype)
    expected = native_roi_pool(features, rois, size, scale)
    assert_bitwise_equal(roi_pool(features, rois, size, scale), expected, what=f"seed {SEED}")
    leaves = [features.detach().requires_grad_() for _ in range(2)]
    ours, native = (f(x, rois, size, scale) for f, x in zip(POOLS, leaves, strict=True))
    assert_bitwise_equal(ours, expected, what=f"with a graph, seed {SEED}")
    seed = torch.randint(-8, 9, expected.shape, generator=generator).to(dtype)
    gradients = (
        torch.autograd.grad(y, x, seed)[0] for y, x in zip((ours, native), leaves, strict=True)
    )
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


POOLS = (roi_pool, native_roi_pool)

# ------------------------------------------------------------------------ boxes and errors

FEATURES = torch.arange(2.0 * 3 * 8 * 10).view(2, 3, 8, 10)
BOXES = torch.tensor([[0.0, 1, 2, 7, 6], [1, 0, 0, 9, 3], [1, 4, 4, 5, 5]])


@pytest.mark.parametrize("pool", POOLS)
def test_boxes_in_a_list(pool: Callable[..., Tensor]) -> None:
    of_images = [BOXES[:1, 1:], BOXES[1:, 1:]]
    expected = pool(FEATURES, BOXES, (3, 2), 0.5)
    assert torch.equal(pool(FEATURES, of_images, (3, 2), 0.5), expected)
    assert torch.equal(pool(FEATURES, tuple(of_images), (3, 2), 0.5), expected)
    none = pool(FEATURES, [BOXES[:0, 1:], BOXES[1:, 1:]], (3, 2), 0.5)
    assert torch.equal(none, expected[1:])


def test_compiled_boxes_in_a_list() -> None:
    library = Compiled("aot_eager")
    of_images = [BOXES[:1, 1:], BOXES[1:, 1:]]
    compiled = library.roi_pool(FEATURES, of_images, 2, 0.5)
    assert torch.equal(compiled, roi_pool(FEATURES, BOXES, 2, 0.5))
    assert "roi_pool" in ops_in(library.graphs[0])


#: What replaces the arguments of `pool(FEATURES, BOXES, 2, 0.5)`, the error, and what it mentions.
WRONG: dict[str, tuple[dict[int, Any], type[Exception], str]] = {
    "input_3d": ({0: FEATURES[0]}, RuntimeError, r"input must be .*\[3, 8, 10\]"),
    "input_without_rows": ({0: FEATURES[:, :, :0]}, RuntimeError, "a height and a width"),
    "input_integers": ({0: FEATURES.long()}, RuntimeError, "input must have a floating-point"),
    "input_none": ({0: None}, TypeError, "input must be a tensor, not NoneType"),
    "boxes_none": ({1: None}, TypeError, "boxes must be .* but is NoneType"),
    "boxes_integers": ({1: BOXES.long()}, RuntimeError, "boxes must have a floating-point dtype"),
    "boxes_1d": ({1: BOXES[0]}, RuntimeError, r"boxes must be \(K, 5\).*boxes.shape=\[5\]"),
    "boxes_of_four": ({1: BOXES[:, 1:]}, RuntimeError, r"boxes.shape=\[3, 4\]"),
    "boxes_nan": ({1: BOXES * math.nan}, RuntimeError, r"boxes\[0\] is \[nan, nan"),
    "boxes_infinite": ({1: BOXES / 0}, RuntimeError, r"must be finite.*boxes\[0\] is"),
    "boxes_beyond": ({1: BOXES + 1}, RuntimeError, r"one of the 2 images.*boxes\[1\] is \[2.0,"),
    "boxes_before": ({1: BOXES - 1}, RuntimeError, r"one of the 2 images.*boxes\[0\] is \[-1.0,"),
    "list_short": ({1: [BOXES[:, 1:]]}, TypeError, "has 1 elements for 2 images"),
    "list_of_five": ({1: [BOXES] * 2}, TypeError, r"boxes\[0\] of shape \[3, 5\]"),
    "list_of_numbers": ({1: [1.0, 2.0]}, TypeError, "holds float"),
    "output_size_zero": ({2: 0}, ValueError, "output_size must be .*output_size=0"),
    "output_size_of_three": ({2: (1, 2, 3)}, ValueError, r"output_size=\(1, 2, 3\)"),
    "spatial_scale_nan": ({3: math.nan}, ValueError, "spatial_scale must be .*spatial_scale=nan"),
    "spatial_scale_text": ({3: "1"}, ValueError, "spatial_scale='1'"),
}


@pytest.mark.usefixtures("fallbacks")
@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str) -> None:
    changes, error, message = WRONG[name]
    arguments = [changes.get(i, given) for i, given in enumerate((FEATURES, BOXES, 2, 0.5))]
    for grad in (False, True):
        with torch.set_grad_enabled(grad), pytest.raises(error, match=message):
            roi_pool(*arguments)
    with pytest.raises(error):
        native_roi_pool(*arguments)


def test_boxes_of_another_dtype_are_natives(fallbacks: list[str]) -> None:
    expected = roi_pool(FEATURES, BOXES, 2, 0.5)
    assert torch.equal(roi_pool(FEATURES.double(), BOXES, 2, 0.5), expected.double())
    assert torch.equal(roi_pool(FEATURES.bfloat16(), BOXES, 2, 0.5), expected.bfloat16())
    assert len(fallbacks) == 2


# ------------------------------------------------------------------------------- module


def test_module() -> None:
    pool = cnnext.RoIPool((3, 2), spatial_scale=0.5)
    assert cnnext.nn.RoIPool is cnnext.RoIPool
    assert repr(pool) == "RoIPool(output_size=(3, 2), spatial_scale=0.5)"
    assert torch.equal(pool(FEATURES, BOXES), roi_pool(FEATURES, BOXES, (3, 2), 0.5))
    assert not pool.state_dict()
    network = torch.nn.Sequential(torch.nn.ReLU(), pool)
    assert type(cnnext.convert(network)[1]) is cnnext.RoIPool
