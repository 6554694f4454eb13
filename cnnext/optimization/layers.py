"""What a call of each layer of torch.nn is in a graph: a call of the function that it applies.

Layers of cnnext are those of torch.nn that they derive from, and so are subclasses that leave the
forward pass as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.nn import Module
from torch.nn.modules.module import _has_any_global_hook

from cnnext.optimization import functions, operands, structure
from cnnext.optimization.operands import Constant, Unsupported
from cnnext.optimization.recurrent import recurrent

#: Takes a tensor of the layer by name, None if it has none.
Tensors = Callable[[str], Constant | None]


def _conv2d(layer: Any, tensors: Tensors, input: Any) -> Any:
    if layer.padding_mode != "zeros":
        raise Unsupported(f"padding_mode={layer.padding_mode!r}")
    weights = (tensors("weight"), tensors("bias"))
    geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return functions.conv2d(input, *weights, *geometry)


def _conv_transpose2d(layer: Any, tensors: Tensors, input: Any, output_size: Any = None) -> Any:
    if output_size is not None:
        raise Unsupported("output_size is given")
    return functions.conv_transpose2d(
        input,
        *(tensors("weight"), tensors("bias")),
        *(layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation),
    )


def _linear(layer: Any, tensors: Tensors, input: Any) -> Any:
    return functions.linear(input, tensors("weight"), tensors("bias"))


def _batch_norm(rank: int) -> Callable[..., Any]:
    def lower(layer: Any, tensors: Tensors, input: Any) -> Any:
        if layer.running_mean is None or layer.training:
            raise Unsupported("normalizes by the statistics of the batch")
        value = operands.value_of(input, rank)
        running = (tensors("running_mean"), tensors("running_var"))
        affine = (tensors("weight"), tensors("bias"))
        return functions.batch_norm(value, *running, *affine, eps=layer.eps)

    return lower


def _function(function: Callable[..., Any], *attributes: str) -> Callable[..., Any]:
    """The lowering of a layer that gives these attributes to a function."""

    def lower(layer: Any, tensors: Tensors, input: Any) -> Any:
        return function(input, **{name: getattr(layer, name) for name in attributes})

    return lower


def _upsample(layer: Any, tensors: Tensors, input: Any) -> Any:
    options = (layer.size, layer.scale_factor, layer.mode, layer.align_corners)
    return structure.interpolate(input, *options, layer.recompute_scale_factor)


def _softmax2d(layer: Any, tensors: Tensors, input: Any) -> Any:
    return functions.softmax(operands.value_of(input, 4), -3)


def _zero_pad(layer: Any, tensors: Tensors, input: Any) -> Any:
    return structure.pad(input, layer.padding)


_window = ("kernel_size", "stride", "padding", "ceil_mode")

#: The lowering of a layer, by its class of torch.nn.
LAYERS: dict[type[Module], Callable[..., Any]] = {
    nn.Conv2d: _conv2d,
    nn.ConvTranspose2d: _conv_transpose2d,
    nn.Linear: _linear,
    nn.BatchNorm1d: _batch_norm(2),
    nn.BatchNorm2d: _batch_norm(4),
    nn.MaxPool2d: _function(functions.max_pool2d, *_window, "dilation", "return_indices"),
    nn.AvgPool2d: _function(
        functions.avg_pool2d, *_window, "count_include_pad", "divisor_override"
    ),
    nn.AdaptiveAvgPool2d: _function(functions.adaptive_avg_pool2d, "output_size"),
    nn.ReLU: _function(functions.relu),
    nn.ReLU6: _function(functions.relu6),
    nn.Hardtanh: _function(functions.hardtanh, "min_val", "max_val"),
    nn.LeakyReLU: _function(functions.leaky_relu, "negative_slope"),
    nn.Sigmoid: _function(functions.sigmoid),
    nn.Tanh: _function(functions.tanh),
    nn.SiLU: _function(functions.silu),
    nn.Hardswish: _function(functions.hardswish),
    nn.Hardsigmoid: _function(functions.hardsigmoid),
    nn.GELU: _function(functions.gelu, "approximate"),
    nn.Softmax: _function(functions.softmax, "dim"),
    nn.Softmax2d: _softmax2d,
    nn.LogSoftmax: _function(functions.log_softmax, "dim"),
    nn.Flatten: _function(structure.flatten, "start_dim", "end_dim"),
    nn.Identity: _function(structure.identity),
    nn.Dropout: _function(structure.dropout, "p", "training"),
    nn.Dropout2d: _function(structure.dropout, "p", "training"),
    nn.Upsample: _upsample,
    nn.UpsamplingNearest2d: _upsample,
    nn.UpsamplingBilinear2d: _upsample,
    nn.ZeroPad2d: _zero_pad,
    **dict.fromkeys((nn.LSTM, nn.GRU, nn.RNN), recurrent),
    nn.ChannelShuffle: _function(structure.channel_shuffle, "groups"),
    nn.PixelShuffle: _function(structure.pixel_shuffle, "upscale_factor"),
}

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

#: What a subclass may define and still compute what its base does.
_HARMLESS = frozenset(
    ("__init__", "__doc__", "__module__", "__annotations__", "__constants__", "__repr__")
    + ("__setstate__", "__slots__", "extra_repr", "reset_parameters", "reset_running_stats")
    + ("__init_subclass__", "__subclasshook__", "__prepare_scriptable__", "__firstlineno__")
    + ("__static_attributes__", "__abstractmethods__", "_abc_impl", "__orig_bases__")
)


#: Where hooks are from that do nothing, unless arguments ask for more results.
_ASLEEP = "transformers.utils.output_capturing"


def watched(module: Module) -> str | None:
    """Why a call of the module has to stay a call: who sees or replaces it; None if nobody."""
    if _has_any_global_hook():
        return "a hook on all modules is registered"
    held: Any = module
    hooks = (*held._forward_hooks.values(), *held._forward_pre_hooks.values())
    if any(getattr(hook, "__module__", None) != _ASLEEP for hook in hooks):
        return "has a forward hook"
    if "forward" in vars(module):
        return "forward is replaced on the instance"
    if module._compiled_call_impl is not None or hasattr(module, "_orig_mod"):
        return "is compiled"
    return "is a ScriptModule" if isinstance(module, ScriptModule) else None


def native_class(module: Module) -> type[Module] | None:
    """The class of `LAYERS` whose forward pass the module has, None if it has another."""
    mro = type(module).__mro__
    base = next((cls for cls in mro if cls in LAYERS), None)
    if base is None:
        return None
    for cls in mro[: mro.index(base)]:
        if cls.__module__.startswith(("cnnext.ops.", "torch.nn.modules.")) and cls not in LAYERS:
            continue  # those of cnnext
        if {name for name in vars(cls) if hasattr(base, name)} - _HARMLESS:
            return None
    return base


def is_layer(module: Module) -> bool:
    """Whether a call of the module is recorded as such, not what it calls."""
    if watched(module) is not None or native_class(module) is not None:
        return True
    of_a_library = type(module).__module__.startswith(("torch.nn.", "torch.ao.nn.", "cnnext.ops."))
    return of_a_library and not isinstance(module, _CONTAINERS)


def lower_layer(module: Module, path: str, *args: Any, **kwargs: Any) -> Any:
    if (reason := watched(module)) is not None:
        raise Unsupported(reason)
    base = native_class(module)
    if base is None:
        raise Unsupported(f"no operator for {type(module).__name__}")

    def tensors(name: str) -> Constant | None:
        tensor = getattr(module, name)
        assert tensor is None or isinstance(tensor, Tensor)
        return None if tensor is None else Constant(tensor, f"{path}.{name}" if path else name)

    return LAYERS[base](module, tensors, *args, **kwargs)
