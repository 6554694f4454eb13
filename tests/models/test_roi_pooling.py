"""Pooling of boxes against plain loops, and spatial pyramid pooling."""

import math
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext.models.roi_pooling import roi_max_pool, spatial_pyramid_pool

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
    assert torch.equal(roi_max_pool(features, rois, size, 1 / 8), expected), f"seed {SEED}"


@pytest.mark.parametrize(
    "corner, position", [(0.5, 1), (1.5, 2), (2.5, 3), (-0.5, -1), (0.49999997, 0)]
)
def test_halves_of_corners_are_rounded_away_from_zero(corner: float, position: int) -> None:
    features = torch.arange(1.0, 6.0).view(1, 1, 1, 5)
    rois = torch.tensor([[0, corner, 0, corner, 0]])
    expected = position + 1.0 if position >= 0 else 0.0
    assert roi_max_pool(features, rois, 1, 1.0).item() == expected


def test_bins_outside_of_the_map_are_zero() -> None:
    features = torch.full((1, 2, 4, 4), -1.0)
    rois = torch.tensor([[0.0, 2, 2, 5, 5], [0, 9, 9, 12, 12]])
    pooled = roi_max_pool(features, rois, 2, 1.0)
    assert torch.equal(pooled[0, 0], torch.tensor([[-1.0, 0], [0, 0]]))
    assert (pooled[1] == 0).all()


def test_box_turned_around_is_one_position() -> None:
    features = torch.arange(16.0).view(1, 1, 4, 4)
    rois = torch.tensor([[0.0, 2, 1, 0, 0]])
    assert torch.equal(roi_max_pool(features, rois, 2, 1.0), torch.full((1, 1, 2, 2), 6.0))


def test_no_boxes() -> None:
    assert roi_max_pool(torch.ones(1, 3, 4, 4), torch.empty(0, 5), 7, 1.0).shape == (0, 3, 7, 7)


class Pool(torch.nn.Module):
    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        return roi_max_pool(features, rois, (3, 2), 1 / 8)


def exported(features: Tensor, rois: Tensor) -> torch.nn.Module:
    boxes = torch.export.Dim("boxes")
    return torch.export.export(Pool(), (features, rois), dynamic_shapes=({}, {0: boxes})).module()


def traced(features: Tensor, rois: Tensor) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(Pool(), (features, rois))


@pytest.mark.parametrize("record", [exported, traced])
@pytest.mark.parametrize("size", [(8, 10), (1, 3), (7, 16)])
@pytest.mark.filterwarnings("error")
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


def test_a_program_for_any_size_of_images_is_refused() -> None:
    arguments = torch.randn(1, 3, 8, 10), torch.tensor([WHOLE_MAP, WHOLE_MAP])
    shapes = ({2: torch.export.Dim("height")}, {})
    with pytest.raises(RuntimeError, match="height and width of the images must be constant"):
        torch.export.export(Pool(), arguments, dynamic_shapes=shapes)


def test_gradients_are_those_of_the_maxima() -> None:
    generator = torch.Generator().manual_seed(SEED)
    features = torch.randperm(2 * 2 * 5 * 6, generator=generator).double().view(2, 2, 5, 6)
    features.requires_grad_()
    rois = torch.cat((torch.tensor([WHOLE_MAP]), drawn_rois(4, 2, generator))).double()

    def pool(features: Tensor) -> Tensor:
        return roi_max_pool(features, rois, (3, 2), 1 / 14)

    assert torch.autograd.gradcheck(pool, features), f"seed {SEED}"
    assert torch.autograd.gradgradcheck(lambda features: pool(features) ** 2, features)


def test_gradient_of_equal_maxima_goes_to_the_first() -> None:
    features = torch.zeros((1, 1, 3, 3), requires_grad=True)
    roi_max_pool(features, torch.tensor([[0.0, 1, 1, 2, 2]]), 1, 1.0).sum().backward()
    expected = torch.zeros(1, 1, 3, 3)
    expected[0, 0, 1, 1] = 1
    assert torch.equal(features.grad, expected)


def test_nan_is_no_maximum() -> None:
    features = torch.tensor([torch.nan, 1.0, -2.0, torch.nan]).view(1, 1, 2, 2).requires_grad_()
    pooled = roi_max_pool(features, torch.tensor([[0.0, 0, 0, 1, 1]]), 1, 1.0)
    assert pooled.item() == 1
    pooled.sum().backward()
    assert torch.equal(features.grad.flatten(), torch.tensor([0.0, 1, 0, 0]))


@pytest.mark.parametrize("size", [(13, 9), (4, 4), (3, 2)])
def test_spatial_pyramid_is_its_levels_side_by_side(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(SEED)
    features = torch.randn((2, 3, *size), generator=generator)
    pooled = spatial_pyramid_pool(features)
    assert pooled.shape == (2, 3 * (16 + 4 + 1))
    assert torch.equal(pooled[:, -3:], features.amax((2, 3)))
    rows, columns = math.ceil(size[0] / 2), math.ceil(size[1] / 2)
    assert torch.equal(pooled[:, 48:-3:4], features[..., :rows, :columns].amax((2, 3)))
    assert torch.equal(pooled, spatial_pyramid_pool(features, layers=torch.nn))
    assert torch.equal(pooled[:, 48:-3], spatial_pyramid_pool(features, (2,), cnnext.nn))


def test_boxes_on_meta_have_a_shape() -> None:
    features, rois = torch.empty(2, 3, 8, 10, device="meta"), torch.empty(4, 5, device="meta")
    output = roi_max_pool(features, rois, (2, 3), 1 / 8)
    assert output.is_meta
    assert output.shape == (4, 3, 2, 3)
