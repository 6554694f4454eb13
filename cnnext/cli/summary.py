"""``cnnext summary``: the layers of a model, their outputs and costs, as textbooks list them."""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from cnnext.cli import own_model, subjects
from cnnext.cli.arguments import UserError, positive_int
from cnnext.cli.report import Report
from cnnext.runtime.fallback import NativeFallbackWarning

_NOT_CALLED = "not called"
_WHOLE_MODEL = "(model)"
_NOTE = (
    "Multiply-adds are those of convolutions, linear and recurrent layers, and matrix products;"
    " the rest counts as 0."
)


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "summary",
        help="list a model's layers with output shapes, parameters and multiply-adds",
        description=(
            "List each layer of a model as forward calls it in inference: its name, kind, output"
            " shape, parameters and multiply-adds, then the totals. Nothing is computed: only"
            " shapes go through the model."
        ),
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help=f"one of {', '.join(subjects.all_names())}; or MODULE:FUNCTION, a function of yours"
        " that returns a model and a tensor to call it with",
    )
    parser.add_argument(
        "--batch",
        type=positive_int,
        default=1,
        metavar="N",
        help="images or series in a batch (default: 1)",
    )
    parser.add_argument(
        "--size",
        type=_image_size,
        metavar="H[xW]",
        help="height and width of the images (default: those that compare uses)",
    )
    parser.set_defaults(run=run)


def _image_size(text: str) -> tuple[int, int]:
    """Height and width, equal if there is one number."""
    height, separator, width = text.partition("x")
    try:
        return positive_int(height), positive_int(width if separator else height)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"must be a size such as 224 or 32x256, got {text!r}"
        ) from error


@dataclass(frozen=True)
class Layer:
    """One call of a module; or a module that has parameters and that no call reached."""

    name: str
    kind: str
    output: str
    parameters: int
    parameter_bytes: int
    multiply_adds: int


def run(arguments: argparse.Namespace) -> int:
    """Print the table of one model."""
    name = arguments.model
    if not own_model.is_one(name):
        subjects.check_name(name, subjects.all_names())
    shapes = _input_shapes(name, arguments.batch, arguments.size)
    inputs_text = " and ".join(map(_text, shapes))
    with torch.device("meta"):
        model = subjects.build(name)(nn)
        if any(map(is_lazy, model.parameters())):
            raise UserError(f"{name} returns a model with lazy layers: call it once before")
        recorder = _Recorder(model)
        inputs = [torch.empty(shape) for shape in shapes]
    try:
        recorder.record(*inputs)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")
        raise UserError(
            f"{name} cannot be called with an input of {inputs_text}:"
            f" {recorder.where()}{type(error).__name__}: {reason}"
        ) from error
    print(_report(f"{name}, input {inputs_text}", recorder.layers).text())
    size = sum(layer.parameter_bytes for layer in recorder.layers)
    unit, scale = ("MB", 1e6) if size >= 1e5 else ("kB", 1e3)
    print(f"\nThe parameters take {size / scale:,.2f} {unit}.\n{_NOTE}")
    return 0


def _input_shapes(name: str, batch: int, size: tuple[int, int] | None) -> subjects.Shapes:
    """The shapes of the model's input, with images of that size."""
    first, *others = shapes = subjects.input_shapes(name, batch)
    if batch > 1 and shapes == subjects.input_shapes(name, 1):
        raise UserError(f"--batch: the input of {name} has no batch")
    if size is None:
        return shapes
    if len(first) < 4:
        raise UserError(f"--size: the input of {name} has no height and width")
    return ((*first[:-2], *size), *others)


def _report(title: str, layers: list[Layer]) -> Report:
    rows = [
        (
            layer.name,
            layer.kind,
            layer.output,
            f"{layer.parameters:,}",
            f"{layer.multiply_adds:,}",
        )
        for layer in layers
    ]
    total = (
        "total",
        "",
        "",
        f"{sum(layer.parameters for layer in layers):,}",
        f"{sum(layer.multiply_adds for layer in layers):,}",
    )
    headers = ("layer", "kind", "output", "parameters", "multiply-adds")
    return Report("summary", title, headers, [*rows, total])


@dataclass
class _Call:
    """A call of a module that has not returned yet."""

    name: str
    flops_before: int
    flops_of_children: int = 0


class _Recorder:
    """Makes a layer of each call of a module without children, or with something of its own.

    That is a parameter, or multiply-adds that no child does.

    Args:
        model: is moved to meta, and keeps the hooks.
    """

    def __init__(self, model: nn.Module) -> None:
        self.layers: list[Layer] = []
        # By the first module that has them; the move to meta would make two of a shared one.
        self._parameters: defaultdict[str, list[nn.Parameter]] = defaultdict(list)
        for name, parameter in model.named_parameters():
            self._parameters[name.rpartition(".")[0]].append(parameter)
        self._model = model.to("meta").eval()
        for module in model.modules():
            for name, value in list(vars(module).items()):
                if isinstance(value, Tensor):  # neither a parameter nor a buffer
                    setattr(module, name, value.to("meta"))
        self._counter = FlopCounterMode(display=False)
        self._calls: list[_Call] = []

    def record(self, *inputs: Tensor) -> None:
        """Call the model, then add the modules with parameters that it has not called."""
        for name, module in self._model.named_modules():
            module.register_forward_pre_hook(partial(self._enter, name))
            module.register_forward_hook(partial(self._leave, name))
        with warnings.catch_warnings(), torch.no_grad(), torch.device("meta"), self._counter:
            # cnnext's layers have no kernels on meta.
            warnings.simplefilter("ignore", NativeFallbackWarning)
            self._model(*inputs)
        for name in list(self._parameters):
            self._add(name, self._model.get_submodule(name), _NOT_CALLED, 0)

    def where(self) -> str:
        """The innermost module whose call has not returned, as the beginning of a message."""
        if not self._calls or not self._calls[-1].name:
            return ""
        return f"{self._calls[-1].name}: "

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._calls.append(_Call(name, self._counter.get_total_flops()))

    def _leave(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        call = self._calls.pop()
        flops = self._counter.get_total_flops() - call.flops_before
        if self._calls:
            self._calls[-1].flops_of_children += flops
        own = flops - call.flops_of_children
        is_leaf = next(module.children(), None) is None
        if is_leaf or own or next(module.parameters(recurse=False), None) is not None:
            self._add(name, module, _output_shape(output), own // 2)

    def _add(self, name: str, module: nn.Module, output: str, multiply_adds: int) -> None:
        """Add a layer, which has the parameters that are its own if it is the first with them."""
        parameters = self._parameters.pop(name, ())
        self.layers.append(
            Layer(
                name or _WHOLE_MODEL,
                type(module).__name__,
                output,
                sum(each.numel() for each in parameters),
                sum(each.nbytes for each in parameters),
                multiply_adds,
            )
        )


def _output_shape(output: Any) -> str:
    """The shape of the first tensor of an output, without the states of recurrent layers."""
    tensors = (each for each in pytree.tree_leaves(output) if isinstance(each, Tensor))
    first = next(tensors, None)
    return "-" if first is None else _text(first.shape)


def _text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
