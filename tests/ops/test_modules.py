"""The constructors of the modules are their namesakes'."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from torch import nn

import cnnext


@pytest.mark.parametrize("cls", cnnext.nn.MODULES, ids=lambda cls: cls.__name__)
def test_is_a_subclass_with_the_same_constructor(cls: type[nn.Module]) -> None:
    native = getattr(nn, cls.__name__)
    assert cls.__bases__ == (native,)
    assert inspect.signature(cls) == inspect.signature(native)
    assert getattr(cnnext, cls.__name__) is getattr(cnnext.nn, cls.__name__) is cls


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    (
        ("Conv2d", (4, 6, 3), {"groups": 0}),
        ("Conv2d", (4, 6, 3), {"groups": 3}),
        ("Conv2d", (4, 5, 3), {"groups": 2}),
        ("Conv2d", (4, 6, 3), {"padding": "half"}),
        ("Conv2d", (4, 6, 3), {"padding": "same", "stride": 2}),
        ("Conv2d", (4, 6, 3), {"padding_mode": "mirror"}),
        ("Conv2d", (4, 6), {}),
        ("Conv2d", (4, 6, 3.0), {}),
        ("MaxPool2d", (), {}),
        ("AvgPool2d", (), {}),
        ("AdaptiveAvgPool2d", (), {}),
        ("AdaptiveMaxPool2d", (), {}),
        ("Linear", (4,), {}),
        ("Linear", (4, -1), {}),
        ("LSTMCell", (4,), {}),
        ("LSTMCell", (4, 2, True, "cpu", "float32"), {}),
        *(
            (name, arguments, options)
            for name in ("LSTM", "GRU", "RNN")
            for arguments, options in (
                ((), {}),
                ((3,), {}),
                ((3, 0), {}),
                ((0, 4), {}),
                ((3, 1.5), {}),
                ((3, 4), {"num_layers": 0}),
                ((3, 4), {"dropout": 2}),
                ((3, 4), {"bias": 1}),
                ((3, 4), {"proj_size": 4}),
                ((3, 4), {"nonlinearity": "sigmoid"}),
            )
        ),
    ),
)
def test_constructor_errors(name: str, arguments: tuple[Any, ...], options: Any) -> None:
    with pytest.raises(Exception) as native:  # noqa: PT011
        getattr(nn, name)(*arguments, **options)
    with pytest.raises(native.type) as ours:
        getattr(cnnext, name)(*arguments, **options)
    assert str(ours.value) == str(native.value)
