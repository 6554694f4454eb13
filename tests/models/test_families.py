"""What one family of models has and the others do not."""

import pytest
import torch

from cnnext import models
from cnnext.models.efficientnet import StochasticDepth
from cnnext.models.mobilenet import InvertedResidual

SEED = 20261129


def test_auxiliary_classifiers_answer_in_training_alone() -> None:
    torch.manual_seed(SEED)
    model = models.googlenet(num_classes=5, aux_logits=True)
    x = torch.randn(2, 3, 32, 32)
    outputs = model(x)
    assert isinstance(outputs, models.GoogLeNetOutputs)
    assert [tuple(logits.shape) for logits in outputs] == [(2, 5)] * 3
    sum(logits.sum() for logits in outputs).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model.eval()(x).shape == (2, 5)


def test_auxiliary_weights_are_what_a_network_without_them_lacks() -> None:
    with torch.device("meta"):
        trunk, whole = models.googlenet(), models.googlenet(aux_logits=True)
    state = whole.state_dict()
    kept = [key for key in state if not key.startswith(("aux1.", "aux2."))]
    assert list(trunk.state_dict()) == kept
    assert len(kept) < len(state)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("out_channels", [4, 6])
def test_inverted_residual_adds_its_input_where_the_shape_stays(
    out_channels: int, stride: int
) -> None:
    torch.manual_seed(SEED)
    block = InvertedResidual(4, out_channels, stride, expansion=6).eval()
    torch.nn.init.zeros_(block.conv[-1].weight)
    x = torch.randn(2, 4, 6, 6)
    expected = x if (out_channels, stride) == (4, 1) else torch.zeros(2, out_channels, 6, 6)
    assert torch.equal(block(x), expected[:, :, ::stride, ::stride])


def test_stochastic_depth_zeroes_whole_images_and_scales_the_others() -> None:
    torch.manual_seed(SEED)
    layer = StochasticDepth(0.2)
    n = 4000
    images = torch.ones(n, 2, 3, 3)
    out = layer(images)
    kept = out[:, 0, 0, 0] != 0
    assert torch.equal(out, kept.view(n, 1, 1, 1) * images / 0.8)
    assert abs(kept.float().mean().item() - 0.8) < 5 * (0.2 * 0.8 / n) ** 0.5
    assert layer.eval()(images) is images
    assert StochasticDepth(0.0)(images) is images


def test_later_blocks_of_efficientnet_are_left_out_more_often() -> None:
    with torch.device("meta"):
        model = models.efficientnet_b0()
    found = [module.p for module in model.modules() if isinstance(module, StochasticDepth)]
    assert found == pytest.approx([0.2 * block / 16 for block in range(16)])


def test_unet_skips_join_levels_of_one_size() -> None:
    with torch.device("meta"):
        model = models.unet(3, torch.nn, in_channels=1, base_width=4, batch_norm=True)
        assert model(torch.empty(2, 1, 64, 32)).shape == (2, 3, 64, 32)
    widths = [stage[0].out_channels for stage in (*model.down, model.bottom, *model.up)]
    assert widths == [4, 8, 16, 32, 64, 32, 16, 8, 4]
    assert sum(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules()) == 18


def test_unet_passes_the_skip_first() -> None:
    torch.manual_seed(SEED)
    model = models.unet(base_width=2).eval()
    for upsample in model.upsample:
        torch.nn.init.zeros_(upsample.weight)
        torch.nn.init.zeros_(upsample.bias)
    x = torch.randn(1, 3, 16, 16)
    skip = model.down[0](x)
    expected = model.head(model.up[-1](torch.cat((skip, torch.zeros_like(skip)), dim=1)))
    assert torch.equal(model(x), expected)


@pytest.mark.parametrize("width, steps", [(8, 1), (100, 24), (256, 63)])
def test_crnn_has_a_step_for_four_columns(width: int, steps: int) -> None:
    with torch.device("meta"):
        model = models.crnn(layers=torch.nn)
        assert model(torch.empty(2, 1, 32, width)).shape == (steps, 2, 37)


def test_crnn_learns_by_ctc() -> None:
    torch.manual_seed(SEED)
    model = models.crnn(num_classes=11)
    log_probabilities = model(torch.randn(2, 1, 32, 40)).log_softmax(-1)
    targets, lengths = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([3, 3])
    steps = torch.full((2,), len(log_probabilities))
    torch.nn.functional.ctc_loss(log_probabilities, targets, steps, lengths).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
