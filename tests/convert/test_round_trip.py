"""`convert` and `restore` swap every layer, and back; results stay native's."""

import copy

import pytest
import torch
from torch import Tensor, nn

from cnnext.conversion.blocks import counterpart_of
from cnnext.conversion.swap import convert, restore
from cnnext.testing.errors import assert_contract
from tests.convert.architectures import CNNEXT_FOR_NATIVE, images, run, types


def test_convert_swaps_every_supported_layer(model: nn.Module) -> None:
    expected = [CNNEXT_FOR_NATIVE.get(cls) or counterpart_of(cls) or cls for cls in types(model)]
    assert types(convert(model)) == expected
    assert set(expected) & set(CNNEXT_FOR_NATIVE.values())


def test_restore_is_the_inverse_of_convert(model: nn.Module) -> None:
    before = types(model)
    assert types(restore(convert(model))) == before
    assert types(restore(convert(model, inplace=True), inplace=True)) == before


def test_convert_and_restore_twice_change_nothing_more(model: nn.Module) -> None:
    converted = convert(model)
    assert types(convert(converted)) == types(converted)
    assert types(restore(restore(converted))) == types(model)


def test_outputs_and_gradients_equal_native(model: nn.Module) -> None:
    x = images()
    converted = convert(model.eval())
    reference_model = copy.deepcopy(model).double()

    def output_and_gradients(net: nn.Module, x: Tensor) -> list[Tensor]:
        output = run(net, x)
        return [output, *torch.autograd.grad(output.square().mean(), list(net.parameters()))]

    ours = output_and_gradients(converted, x)
    native = output_and_gradients(model, x)
    reference = output_and_gradients(reference_model, x.double())
    names = ["output", *(f"gradient of {name}" for name, _ in model.named_parameters())]
    for what, *values in zip(names, ours, native, reference, strict=True):
        assert_contract(*values, what=what)
    assert torch.equal(run(restore(converted), x), native[0])


@pytest.mark.parametrize("native", CNNEXT_FOR_NATIVE, ids=lambda cls: cls.__name__)
def test_the_model_itself_may_be_a_layer(native: type[nn.Module]) -> None:
    arguments = {"Linear": (3, 4)}
    arguments |= dict.fromkeys(("Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d"), (3, 4, 3))
    arguments |= dict.fromkeys(("GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"), (3, 4))
    arguments |= dict.fromkeys(("Dropout", "ReLU", "Sequential", "Sigmoid", "Tanh"), ())
    layer = native(*arguments.get(native.__name__, (2,)))
    assert type(convert(layer)) is CNNEXT_FOR_NATIVE[native]
    assert type(layer) is native
    assert convert(layer, inplace=True) is layer
    assert type(layer) is CNNEXT_FOR_NATIVE[native]
    assert type(restore(layer)) is native
