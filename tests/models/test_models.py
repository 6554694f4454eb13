"""The model builders: torchvision's keys, shapes, initialisation; exact native counterparts."""

import copy
import inspect
import io
import math
from types import ModuleType

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext import models
from cnnext.testing.errors import assert_contract

SEED = 20240229

PARAMETERS = {
    "lenet5": 61_706,
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

# Positions of the convolutions in torchvision's ``features``; batch normalisation follows each.
VGG_CONVOLUTIONS = {
    "vgg11": (0, 3, 6, 8, 11, 13, 16, 18),
    "vgg11_bn": (0, 4, 8, 11, 15, 18, 22, 25),
    "vgg13": (0, 2, 5, 7, 10, 12, 15, 17, 20, 22),
    "vgg13_bn": (0, 3, 7, 10, 14, 17, 21, 24, 28, 31),
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "vgg16_bn": (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40),
    "vgg19": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
    "vgg19_bn": (0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49),
}

VGG_CHANNELS = {
    "vgg11": (64, 128, *[256] * 2, *[512] * 4),
    "vgg13": (*[64] * 2, *[128] * 2, *[256] * 2, *[512] * 4),
    "vgg16": (*[64] * 2, *[128] * 2, *[256] * 3, *[512] * 6),
    "vgg19": (*[64] * 2, *[128] * 2, *[256] * 4, *[512] * 8),
}

RESNET_DEPTHS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}


def build(name: str, layers: ModuleType = cnnext.nn, **kwargs: int) -> torch.nn.Module:
    return getattr(models, name)(layers=layers, **kwargs)


def build_on_meta(name: str, layers: ModuleType = cnnext.nn, **kwargs: int) -> torch.nn.Module:
    with torch.device("meta"):
        return build(name, layers, **kwargs)


def shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def batch_norm_entries(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    entries = {
        f"{name}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")
    }
    return entries | {f"{name}.num_batches_tracked": ()}


def vgg_entries(name: str) -> dict[str, tuple[int, ...]]:
    widths = VGG_CHANNELS[name.removesuffix("_bn")]
    entries: dict[str, tuple[int, ...]] = {}
    channels = 3
    for position, width in zip(VGG_CONVOLUTIONS[name], widths, strict=True):
        entries[f"features.{position}.weight"] = (width, channels, 3, 3)
        entries[f"features.{position}.bias"] = (width,)
        if name.endswith("_bn"):
            entries |= batch_norm_entries(f"features.{position + 1}", width)
        channels = width
    for position, shape in ((0, (4096, 25088)), (3, (4096, 4096)), (6, (1000, 4096))):
        entries[f"classifier.{position}.weight"] = shape
        entries[f"classifier.{position}.bias"] = shape[:1]
    return entries


def resnet_entries(name: str) -> dict[str, tuple[int, ...]]:
    is_basic = name in ("resnet18", "resnet34")
    expansion = 1 if is_basic else 4
    entries: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}
    entries |= batch_norm_entries("bn1", 64)
    channels = 64
    for stage, depth in enumerate(RESNET_DEPTHS[name], start=1):
        width = 32 * 2**stage
        for index in range(depth):
            block = f"layer{stage}.{index}"
            kernels = (
                ((width, 3), (width, 3)) if is_basic else ((width, 1), (width, 3), (4 * width, 1))
            )
            block_input = channels
            for number, (out, size) in enumerate(kernels, start=1):
                entries[f"{block}.conv{number}.weight"] = (out, channels, size, size)
                entries |= batch_norm_entries(f"{block}.bn{number}", out)
                channels = out
            if index == 0 and not (is_basic and stage == 1):
                entries[f"{block}.downsample.0.weight"] = (channels, block_input, 1, 1)
                entries |= batch_norm_entries(f"{block}.downsample.1", channels)
    return entries | {"fc.weight": (1000, 512 * expansion), "fc.bias": (1000,)}


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


@pytest.mark.parametrize("name", VGG_CONVOLUTIONS)
def test_vgg_state_dict_has_torchvision_keys_and_shapes(name: str) -> None:
    assert list(shapes(build_on_meta(name)).items()) == list(vgg_entries(name).items())


@pytest.mark.parametrize("name", RESNET_DEPTHS)
def test_resnet_state_dict_has_torchvision_keys_and_shapes(name: str) -> None:
    assert list(shapes(build_on_meta(name)).items()) == list(resnet_entries(name).items())


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name != "lenet5"])
def test_equals_torchvision_where_installed(name: str) -> None:
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(weights=None)
    ours = build_on_meta(name, torch.nn)
    assert list(shapes(ours).items()) == list(shapes(theirs).items())
    layers = [module for module in ours.modules() if not list(module.children())]
    their_layers = [module for module in theirs.modules() if not list(module.children())]
    assert list(map(repr, layers)) == list(map(repr, their_layers))


@pytest.mark.parametrize("name", PARAMETERS)
def test_num_classes_sets_the_last_layer(name: str) -> None:
    *_, last = build_on_meta(name, num_classes=7).modules()
    assert isinstance(last, torch.nn.Linear)
    assert last.out_features == 7


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
        pytest.param("vgg11_bn", marks=pytest.mark.slow),
        pytest.param("vgg16", marks=pytest.mark.slow),
    ],
)
def test_pair_draw_the_same_weights(name: str) -> None:
    torch.manual_seed(SEED)
    native = build(name, torch.nn)
    state_after_native = torch.get_rng_state()
    torch.manual_seed(SEED)
    ours = build(name, cnnext.nn)
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


def test_basic_block_adds_its_input() -> None:
    torch.manual_seed(SEED)
    block = models.BasicBlock(4, 4)
    torch.nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x.relu())
