"""The model builders: parameters, initialisation, exact native counterparts."""

import copy
import inspect
import io
import math
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext import models
from cnnext.models.common import init_convolutions
from cnnext.models.gcn import normalised_adjacency
from cnnext.testing.errors import GRADIENT_TOLERANCE, assert_contract
from cnnext.testing.model_pair import CNNEXT, ModelPair

SEED = 20240229

PARAMETERS = {
    "alexnet": 61_100_840,
    "alexnet_227": 62_378_344,
    "crnn": 8_330_789,
    "deconvnet": 251_805_653,
    "deeplabv3": 39_638_869,
    "densenet121": 7_978_856,
    "efficientnet_b0": 5_288_548,
    "fashion_cnn": 1_475_338,
    "fast_rcnn_head": 134_690_729,
    "fcn": 32_957_013,
    "gcn": 23_063,
    "googlenet": 6_624_904,
    "lenet5": 61_706,
    "mlp": 109_386,
    "mobilenet_v2": 3_504_872,
    "pspnet": 46_592_597,
    "simple_cnn": 2_122_186,
    "simple_gru": 3_393,
    "simple_lstm": 4_513,
    "simple_rnn": 1_153,
    "unet": 31_031_810,
    "vgg11": 132_863_336,
    "vgg11_bn": 132_868_840,
    "vgg13": 133_047_848,
    "vgg13_bn": 133_053_736,
    "vgg16": 138_357_544,
    "vgg16_bn": 138_365_992,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
}

# Arguments that make small what tests compute, and the shape of an input.
NETWORKS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "alexnet": ({"num_classes": 5}, (2, 3, 64, 64)),
    "alexnet_227": ({"num_classes": 5}, (2, 3, 227, 227)),
    "crnn": ({"num_classes": 5}, (2, 1, 32, 44)),
    "deconvnet": ({"num_classes": 3, "image_size": 32, "hidden_channels": 32}, (2, 3, 32, 64)),
    "deeplabv3": ({"num_classes": 3, "depths": (1, 1, 1, 1)}, (2, 3, 32, 40)),
    "densenet121": ({"num_classes": 5}, (2, 3, 32, 32)),
    "efficientnet_b0": ({"num_classes": 5}, (2, 3, 32, 32)),
    "fashion_cnn": ({}, (2, 1, 28, 28)),
    "fcn": ({"num_classes": 3, "depths": (1, 1, 1, 1)}, (2, 3, 32, 40)),
    "googlenet": ({"num_classes": 5}, (2, 3, 32, 32)),
    "mlp": ({}, (2, 1, 28, 28)),
    "mobilenet_v2": ({"num_classes": 5, "width_mult": 0.35}, (2, 3, 32, 32)),
    "pspnet": ({"num_classes": 3, "depths": (1, 1, 1, 1)}, (2, 3, 32, 40)),
    "simple_cnn": ({"image_size": 8}, (2, 3, 8, 8)),
    "unet": ({"base_width": 8}, (2, 3, 48, 32)),
}

# Those that take something else than a batch of images: arguments of small models.
NO_IMAGES: dict[str, dict[str, Any]] = {
    "fast_rcnn_head": {"num_classes": 4, "hidden_features": 32},
    "gcn": {"num_classes": 3, "in_features": 6},
    "simple_gru": {"output_size": 2, "input_size": 3},
    "simple_lstm": {"output_size": 2, "input_size": 3},
    "simple_rnn": {"output_size": 2, "input_size": 3},
}


def build(name: str, layers: ModuleType = cnnext.nn, **kwargs: Any) -> torch.nn.Module:
    return getattr(models, name)(layers=layers, **kwargs)


def build_on_meta(name: str, layers: ModuleType = cnnext.nn, **kwargs: Any) -> torch.nn.Module:
    with torch.device("meta"):
        return build(name, layers, **kwargs)


def shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


# ---- Structure -----------------------------------------------------------------------------


def test_every_builder_is_listed_here() -> None:
    builders = {name for name in models.__all__ if inspect.isfunction(getattr(models, name))}
    assert builders == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count(name: str) -> None:
    assert sum(p.numel() for p in build_on_meta(name).parameters()) == PARAMETERS[name]


def test_lenet5_layers_are_in_the_order_of_the_paper() -> None:
    model = models.lenet5()
    names = [type(layer).__name__ for layer in (*model.features, *model.classifier)]
    stage = ["Conv2d", "ReLU", "MaxPool2d"]
    assert names == [*stage, *stage, "Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert list(shapes(model).values()) == [
        *((6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,)),
        *((120, 400), (120,), (84, 120), (84,), (10, 84), (10,)),
    ]


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name not in NO_IMAGES])
def test_num_classes_sets_the_last_layer(name: str) -> None:
    *_, last = build_on_meta(name, num_classes=7).parameters()
    assert last.shape == (7,)


# ---- Layer namespace -----------------------------------------------------------------------


@pytest.mark.parametrize("name", PARAMETERS)
def test_default_layers_are_cnnext(name: str) -> None:
    with torch.device("meta"):
        model = getattr(models, name)()
    replaced = {cls.__bases__[0] for cls in cnnext.nn.SWAPPED}
    assert not [module for module in model.modules() if type(module) in replaced]


@pytest.mark.parametrize("name", PARAMETERS)
def test_native_model_has_no_cnnext_layer(name: str) -> None:
    model = build_on_meta(name, torch.nn)
    assert not [module for module in model.modules() if type(module) in cnnext.nn.SWAPPED]
    assert list(shapes(model).items()) == list(shapes(build_on_meta(name)).items())


@pytest.mark.parametrize("block", [models.BasicBlock, models.Bottleneck])
def test_block_takes_its_layers_from_the_namespace(block: type[torch.nn.Module]) -> None:
    assert type(block(8, 8).conv1) is cnnext.nn.Conv2d
    assert type(block(8, 8, layers=torch.nn).conv1) is torch.nn.Conv2d


@pytest.mark.models
@pytest.mark.parametrize(
    "name",
    [
        "lenet5",
        "resnet18",
        "resnet50",
        *NETWORKS,
        *NO_IMAGES,
        pytest.param("vgg11_bn", marks=pytest.mark.slow),
        pytest.param("vgg16", marks=pytest.mark.slow),
    ],
)
def test_pair_draw_the_same_weights(name: str) -> None:
    arguments = NO_IMAGES[name] if name in NO_IMAGES else NETWORKS.get(name, ({}, ()))[0]
    torch.manual_seed(SEED)
    native = build(name, torch.nn, **arguments)
    state_after_native = torch.get_rng_state()
    torch.manual_seed(SEED)
    ours = build(name, cnnext.nn, **arguments)
    assert torch.equal(torch.get_rng_state(), state_after_native)
    assert list(ours.state_dict()) == list(native.state_dict())
    for key, value in native.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key


def test_models_copy_and_pickle() -> None:
    model = models.ResNet(models.BasicBlock, (1, 1, 1, 1), num_classes=3)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(model), torch.load(buffer, weights_only=False)):
        assert repr(other) == repr(model)
        for key, value in model.state_dict().items():
            assert torch.equal(other.state_dict()[key], value), key


# ---- Initialisation ------------------------------------------------------------------------


def assert_normal(weight: Tensor, std: float) -> None:
    """Checks mean and deviation to five standard errors."""
    tolerance = 5 * std / math.sqrt(weight.numel())
    assert abs(weight.mean().item()) < tolerance
    assert abs(weight.std().item() - std) < tolerance


def test_resnet_initialisation() -> None:
    torch.manual_seed(SEED)
    model = models.resnet18(num_classes=10)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert_normal(module.weight.detach(), math.sqrt(2 / fan_out))
        elif isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
    assert model.fc.weight.abs().max().item() <= 1 / math.sqrt(512)


@pytest.mark.models
@pytest.mark.parametrize(
    "name, mode",
    [
        ("densenet121", "fan_in"),
        ("efficientnet_b0", "fan_out"),
        ("mobilenet_v2", "fan_out"),
        ("unet", "fan_in"),
    ],
)
def test_convolutions_are_drawn_as_for_relu(name: str, mode: str) -> None:
    torch.manual_seed(SEED)
    for module in build(name, torch.nn).modules():
        if isinstance(module, torch.nn.Conv2d):
            out_channels, *rest = module.weight.shape
            size = math.prod(module.kernel_size)
            fan = math.prod(rest) if mode == "fan_in" else out_channels * size
            assert_normal(module.weight.detach(), math.sqrt(2 / fan))
            assert module.bias is None or (module.bias == 0).all()


def test_last_layers_are_drawn_as_in_torchvision() -> None:
    torch.manual_seed(SEED)
    mobilenet, efficientnet, densenet = (
        build(name, torch.nn).classifier
        for name in ("mobilenet_v2", "efficientnet_b0", "densenet121")
    )
    assert_normal(mobilenet[1].weight.detach(), 0.01)
    limit = 1 / math.sqrt(1000)
    assert 0.99 * limit < efficientnet[1].weight.abs().max().item() <= limit
    for linear in (mobilenet[1], efficientnet[1], densenet):
        assert (linear.bias == 0).all()


@pytest.mark.models
def test_googlenet_initialisation() -> None:
    torch.manual_seed(SEED)
    for module in build("googlenet", torch.nn).modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            assert_normal(module.weight.detach(), 0.01)


@pytest.mark.slow
@pytest.mark.models
def test_vgg_initialisation() -> None:
    torch.manual_seed(SEED)
    for module in models.vgg11_bn(num_classes=10).modules():
        if isinstance(module, torch.nn.Conv2d):
            assert_normal(module.weight.detach(), math.sqrt(2 / (9 * module.out_channels)))
            assert (module.bias == 0).all()
        elif isinstance(module, torch.nn.Linear):
            assert_normal(module.weight.detach(), 0.01)
            assert (module.bias == 0).all()
        elif isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


# ---- Forward -------------------------------------------------------------------------------


def check_forward(native: torch.nn.Module, ours: torch.nn.Module, x: Tensor) -> Tensor:
    """Checks ``ours``, given the weights of ``native``, against it and float64; returns it."""
    ours.load_state_dict(native.state_dict())
    with torch.no_grad():
        expected, actual = native.eval()(x), ours.eval()(x)
        reference = copy.deepcopy(native).double()(x.double())
    assert_contract(actual, expected, reference)
    return actual


def test_lenet5_forward_equals_native() -> None:
    torch.manual_seed(SEED)
    native, ours = (models.lenet5(layers=layers) for layers in (torch.nn, cnnext.nn))
    assert check_forward(native, ours, torch.randn(3, 1, 32, 32)).shape == (3, 10)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("block", [models.BasicBlock, models.Bottleneck])
def test_block_forward_equals_native(block: type[torch.nn.Module], stride: int) -> None:
    def make(layers: ModuleType) -> torch.nn.Module:
        downsample = layers.Conv2d(6, 4 * block.expansion, kernel_size=1, stride=stride)
        return block(6, 4, stride, downsample, layers=layers)

    torch.manual_seed(SEED)
    output = check_forward(make(torch.nn), make(cnnext.nn), torch.randn(2, 6, 9, 7))
    assert output.shape == (2, 4 * block.expansion, math.ceil(9 / stride), math.ceil(7 / stride))


@pytest.mark.parametrize(
    "block, strides", [(models.BasicBlock, [2, 1]), (models.Bottleneck, [1, 2, 1])]
)
def test_stride_of_a_block_is_in_its_first_3x3(
    block: type[torch.nn.Module], strides: list[int]
) -> None:
    """As in torchvision; the paper has it in the 1x1 before."""
    convolutions = [m for m in block(6, 4, 2).children() if isinstance(m, torch.nn.Conv2d)]
    assert [conv.stride for conv in convolutions] == [(stride, stride) for stride in strides]


@pytest.mark.models
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnet_forward_equals_native(name: str) -> None:
    torch.manual_seed(SEED)
    native, ours = (build(name, layers, num_classes=5) for layers in (torch.nn, cnnext.nn))
    assert check_forward(native, ours, torch.randn(2, 3, 64, 64)).shape == (2, 5)


@pytest.mark.slow
@pytest.mark.models
def test_vgg_forward_equals_native() -> None:
    torch.manual_seed(SEED)
    native, ours = (build("vgg11_bn", layers, num_classes=5) for layers in (torch.nn, cnnext.nn))
    assert check_forward(native, ours, torch.randn(2, 3, 32, 32)).shape == (2, 5)


@pytest.mark.models
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name.startswith("alexnet") else ())
        for name in NETWORKS
    ],
)
def test_outputs_and_gradients_equal_native(name: str) -> None:
    arguments, shape = NETWORKS[name]

    def make(layers: ModuleType) -> torch.nn.Module:
        model = build(name, layers, **arguments)
        init_convolutions(model, "fan_in")  # so that the output is not the last biases alone
        return model

    images = torch.randn(shape, generator=torch.Generator().manual_seed(SEED))
    labels = torch.arange(shape[0])
    pair = ModelPair(make, images, labels, seed=SEED)
    agreement = pair.check_forward()
    assert agreement.ok, agreement
    assert pair.check_gradients()[CNNEXT] <= GRADIENT_TOLERANCE


class OnValues(torch.nn.Module):
    """A model as one of images (N, C, H, W), whose other inputs are held in buffers.

    Its outputs are put side by side.
    """

    def __init__(self, model: torch.nn.Module, shape: tuple[int, ...], *others: Tensor) -> None:
        super().__init__()
        self.model = model
        self.shape = shape
        for i, other in enumerate(others):
            self.register_buffer(f"other{i}", other)

    def forward(self, images: Tensor) -> Tensor:
        outputs = self.model(images.reshape(self.shape), *self.buffers(recurse=False))
        return outputs if isinstance(outputs, Tensor) else torch.cat(outputs, dim=1)


# Shape of the first input, and the other inputs.
ROIS = torch.tensor([[0, 0, 0, 95, 63], [0, 16, 0, 48, 32], [1, 32, 16, 64, 48], [1, 0, 0, 0, 0]])
RING = torch.eye(5).roll(1, 0) + torch.eye(5).roll(-1, 0)
INPUTS: dict[str, tuple[tuple[int, ...], tuple[Tensor, ...]]] = {
    "fast_rcnn_head": ((2, 3, 64, 96), (ROIS.float(),)),
    "gcn": ((5, 6), (normalised_adjacency(RING),)),
    "simple_gru": ((4, 7, 3), ()),
    "simple_lstm": ((4, 7, 3), ()),
    "simple_rnn": ((4, 7, 3), ()),
}


@pytest.mark.models
@pytest.mark.parametrize("name", NO_IMAGES)
def test_outputs_and_gradients_equal_native_without_images(name: str) -> None:
    shape, others = INPUTS[name]

    def make(layers: ModuleType) -> torch.nn.Module:
        return OnValues(build(name, layers, **NO_IMAGES[name]), shape, *others)

    values = torch.randn(shape, generator=torch.Generator().manual_seed(SEED))
    images = values if len(shape) == 4 else values[None, None].flatten(2, -2)
    labels = torch.arange(len(others[0]) if others else 0) % 3
    pair = ModelPair(make, images, labels, seed=SEED)
    agreement = pair.check_forward()
    assert agreement.ok, agreement
    assert pair.check_gradients()[CNNEXT] <= GRADIENT_TOLERANCE


def test_basic_block_adds_its_input() -> None:
    torch.manual_seed(SEED)
    block = models.BasicBlock(4, 4)
    torch.nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x.relu())
