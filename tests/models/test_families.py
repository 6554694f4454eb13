"""What one family of models has and the others do not."""

import pytest
import torch

import cnnext
from cnnext import models
from cnnext.models.efficientnet import StochasticDepth
from cnnext.models.gcn import normalised_adjacency
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


# ---- Small models --------------------------------------------------------------------------


def test_mlp_takes_what_flattens_to_its_size() -> None:
    torch.manual_seed(SEED)
    model = models.mlp(in_features=12)
    x = torch.randn(3, 2, 3, 2)
    assert torch.equal(model(x), model(x.flatten(1)))


@pytest.mark.parametrize("size", [8, 15, 28, 32])
@pytest.mark.parametrize("name", ["simple_cnn", "fashion_cnn"])
def test_small_cnns_take_images_of_any_size(name: str, size: int) -> None:
    with torch.device("meta"):
        model = getattr(models, name)(layers=torch.nn, in_channels=2, image_size=size)
        assert model(torch.empty(2, 2, size, size)).shape == (2, 10)


@pytest.mark.parametrize("name, layer", [("rnn", "RNN"), ("lstm", "LSTM"), ("gru", "GRU")])
def test_simple_recurrent_answers_at_every_step(name: str, layer: str) -> None:
    torch.manual_seed(SEED)
    model = getattr(models, f"simple_{name}")(3, input_size=2, hidden_size=4)
    assert type(model.rnn) is getattr(cnnext.nn, layer)
    x = torch.randn(2, 6, 2)
    output = model(x)
    assert output.shape == (2, 6, 3)
    x[:, 4:] = 0
    assert torch.equal(model(x)[:, :4], output[:, :4])
    assert not torch.equal(model(x)[:, 4], output[:, 4])


def drawn_graph(nodes: int) -> torch.Tensor:
    """Weights of the edges of a graph with an isolated node and a loop."""
    generator = torch.Generator().manual_seed(SEED)
    weights = torch.rand((nodes, nodes), generator=generator)
    edges = (weights + weights.T) * (weights + weights.T > 1.2)
    edges[0], edges[:, 0], edges[1, 1] = 0, 0, 1
    return edges


def test_adjacency_is_normalised_by_the_degrees() -> None:
    edges = drawn_graph(6)
    with_loops = edges + torch.eye(6)
    scale = torch.diag(with_loops.sum(1) ** -0.5)
    expected = scale @ with_loops @ scale
    assert torch.allclose(normalised_adjacency(edges), expected)
    assert normalised_adjacency(edges)[0, 0] == 1  # the isolated node's
    sparse = normalised_adjacency(edges.to_sparse())
    assert sparse.is_sparse and sparse.is_coalesced()
    assert torch.allclose(sparse.to_dense(), expected)
    assert sparse.values().numel() == torch.count_nonzero(expected)


def test_gcn_is_the_same_on_a_sparse_graph() -> None:
    torch.manual_seed(SEED)
    model = models.gcn(3, in_features=4).eval()
    x = torch.randn(6, 4)
    adjacency = normalised_adjacency(drawn_graph(6))
    hidden = (adjacency @ x @ model.conv1.linear.weight.T).relu()
    expected = adjacency @ hidden @ model.conv2.linear.weight.T
    for form in (adjacency, adjacency.to_sparse()):
        model.zero_grad()
        output = model(x, form)
        assert torch.allclose(output, expected, atol=1e-6)
        output.sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


# ---- AlexNet of 2012 -----------------------------------------------------------------------


def test_alexnet_227_has_the_sizes_of_the_paper() -> None:
    with torch.device("meta"):
        model, halves = (models.alexnet_227(layers=torch.nn, groups=g) for g in (1, 2))
        x, sizes = torch.empty(1, 3, 227, 227), []
        for layer in model.features:
            x = layer(x)
            if not isinstance(layer, torch.nn.ReLU | torch.nn.LocalResponseNorm):
                sizes.append(tuple(x.shape[1:3]))
        assert model.classifier(x.flatten(1)).shape == (1, 1000)
    assert sizes == [
        *((96, 55), (96, 27), (256, 27), (256, 13)),
        *((384, 13), (384, 13), (256, 13), (256, 6)),
    ]
    assert sum(parameter.numel() for parameter in halves.parameters()) == 60_965_224


def test_response_normalisation_of_alexnet_227_is_the_papers() -> None:
    with torch.device("meta"):
        norm = models.alexnet_227(layers=torch.nn).features[2]
    x = torch.arange(1.0, 8.0).mul(10).view(1, 7, 1, 1)
    found = norm(x).flatten()
    for i, value in enumerate(x.flatten()):
        squares = x.flatten()[max(0, i - 2) : i + 3].square().sum()
        assert found[i] == pytest.approx((value / (2 + 1e-4 * squares) ** 0.75).item())


# ---- Segmentation and boxes ----------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (75, 50)])
def test_dilated_resnet_has_the_strided_ones_pixels(size: tuple[int, int]) -> None:
    """A dilation does at every position what the stride did at some."""

    def make(*replaced: bool) -> torch.nn.Module:
        torch.manual_seed(SEED)
        model = models.ResNet(
            models.Bottleneck,
            (1, 2, 2, 2),
            replace_stride_with_dilation=replaced,
            layers=torch.nn,
        )
        return torch.nn.Sequential(*list(model.children())[:-2]).eval()

    x = torch.randn((1, 3, *size), generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        strided = make(False, False, False)(x)
        for replaced, factor in (((False, False, True), 2), ((False, True, True), 4)):
            dilated = make(*replaced)(x)
            assert dilated.shape[2:] == tuple(-(-n // (32 // factor)) for n in size)
            torch.testing.assert_close(dilated[..., ::factor, ::factor], strided)


@pytest.mark.parametrize("name", ["fcn", "deeplabv3", "pspnet"])
def test_segmentation_gives_logits_of_the_images_size(name: str) -> None:
    with torch.device("meta"):
        model = getattr(models, name)(5, torch.nn)
        assert model.backbone(torch.empty(2, 3, 65, 48)).shape == (2, 2048, 9, 6)
        assert model(torch.empty(2, 3, 65, 48)).shape == (2, 5, 65, 48)


def test_pyramid_pooling_has_means_of_the_parts() -> None:
    pooling = models.PyramidPooling(4, torch.nn).eval()
    for _, conv, _, _ in pooling.branches:
        torch.nn.init.dirac_(conv.weight)
    x = torch.rand((2, 4, 6, 6), generator=torch.Generator().manual_seed(SEED))
    out = pooling(x)
    assert torch.equal(out[:, :4], x)
    first, mean = x[:, 0], x[:, 0].mean((1, 2), keepdim=True).expand(2, 6, 6)
    torch.testing.assert_close(out[:, 4], mean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out[:, 7], first, atol=1e-5, rtol=1e-4)
    corner = x[:, 0, :3, :3].mean((1, 2))
    torch.testing.assert_close(out[:, 5, 0, 0], corner, atol=1e-5, rtol=1e-4)


def test_deconvnet_is_its_own_mirror_image() -> None:
    with torch.device("meta"):
        model = models.deconvnet(layers=torch.nn)
        assert model(torch.empty(2, 3, 224, 256)).shape == (2, 21, 224, 256)
    down = [m for m in model.down.modules() if isinstance(m, torch.nn.Conv2d)]
    up = [m for m in model.up.modules() if isinstance(m, torch.nn.ConvTranspose2d)]
    assert [m.in_channels for m in reversed(up)] == [m.out_channels for m in down]
    assert [m.out_channels for m in reversed(up)] == [64, *(m.in_channels for m in down[1:])]
    assert [tuple(m.weight.shape) for m in model.bottom[::3]] == [
        *((4096, 512, 7, 7), (4096, 4096, 1, 1), (4096, 512, 7, 7)),
    ]


def test_fast_rcnn_takes_weights_of_vgg16() -> None:
    with torch.device("meta"):
        ours, vgg = models.fast_rcnn_head().state_dict(), models.vgg16().state_dict()
    shared = [key for key in ours if not key.startswith(("scores.", "deltas."))]
    assert [ours[key].shape for key in shared] == [vgg[key].shape for key in shared]
    assert set(vgg) - set(shared) == {"classifier.6.weight", "classifier.6.bias"}


def test_fast_rcnn_answers_for_every_box() -> None:
    torch.manual_seed(SEED)
    model = models.fast_rcnn_head(3, hidden_features=8).eval()
    images = torch.randn(2, 3, 48, 32)
    rois = torch.tensor([[0.0, 0, 0, 31, 47], [1, 0, 0, 31, 47], [0, 0, 0, 31, 47]])
    with torch.no_grad():
        outputs = model(images, rois)
    assert isinstance(outputs, models.FastRCNNOutputs)
    assert [tuple(output.shape) for output in outputs] == [(3, 4), (3, 16)]
    assert torch.equal(outputs.scores[0], outputs.scores[2])
    assert not torch.equal(outputs.scores[0], outputs.scores[1])
