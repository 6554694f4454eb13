"""A model as a module of which the supported parts are graphs of ours.

The model is traced, and its calls are lowered one by one. Those that have no place in a graph stay
calls of PyTorch, and the longest runs of the others between them become parts: submodules that can
be replaced by what computes the same faster. A module that cannot be traced runs as it did, but
what it calls is captured in the same way.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx
from torch.fx.passes.utils.fuser_utils import fuse_by_partitions
from torch.nn import Module

from cnnext.optimization.counterparts import counterpart, runs_as
from cnnext.optimization.exporting import Exported
from cnnext.optimization.functionalization import functionalize
from cnnext.optimization.graph import Graph
from cnnext.optimization.idioms import recognize_shuffles
from cnnext.optimization.layers import is_layer, watched
from cnnext.optimization.lowering import Lowering, joined, layer_of
from cnnext.optimization.partition import (
    give_own_constants,
    partitions,
    spell_out_sizes,
    supported_nodes,
)
from cnnext.optimization.tracing import (
    Example,
    Patched,
    Untraceable,
    agree,
    buffers_kept,
    first_line,
    fixed_arguments,
    record,
    run,
    share_tensors,
    traced,
)
from cnnext.optimization.zero_states import forget_zero_states


@dataclass(frozen=True)
class NativeCall:
    """A call that stays PyTorch's, or becomes that of a layer of cnnext.

    Attributes:
        layer: the qualified name of the module that is called, or in which the call stands.
        call: what is called.
        reason: why it is in no graph, and what it runs as if that is a layer of cnnext.
    """

    layer: str
    call: str
    reason: str


@dataclass(frozen=True)
class Part:
    """A part of the captured module, `getattr(owner, name)`, and the graph of what it computes.

    It takes the graph's inputs in their order, and returns the one output or a tuple of several.
    The weights of the graph are those of the whole model.
    """

    owner: Module
    name: str
    graph: Graph


@dataclass(frozen=True)
class Captured:
    """A model with parts.

    Attributes:
        module: computes what the model does. It shares the model's layers and parameters.
        parts: in the order of their first calls.
        native: what is called outside of them.
        fixed: arguments of the model that `module` does not take, and what they are in it. With
            others than these only the model itself can be called.
        by: what captured it.
        is_whole: no module had to be left out, or captured by what it calls.
    """

    module: Module
    parts: tuple[Part, ...]
    native: tuple[NativeCall, ...]
    fixed: Mapping[str, Any]
    by: str
    is_whole: bool = False

    def planned(self) -> tuple[int, int]:
        """Greater if more is in parts, or the same in fewer."""
        sizes = (len(part.graph.nodes) - len(part.graph.inputs) for part in self.parts)
        return sum(sizes), -len(self.parts)


def captured(model: Module, example_input: Tensor | tuple[Any, ...] | None = None) -> Captured:
    """Captures a model in evaluation mode, which is not changed.

    Args:
        model: any module.
        example_input: what it could be called with: the tensor, or a tuple of all arguments. By
            that it is known which operands are broadcast, and which have another dtype.
    """
    args = example_input if isinstance(example_input, tuple | None) else (example_input,)
    # Called before it is looked at: what a model makes at its first call, it has then.
    with buffers_kept(model):
        example = None if args is None else Example(args, run(model, args))
    reason = watched(model)
    if reason is not None:
        return _uncaptured(model, reason)
    found, reasons = None, []
    try:
        found = _by_fx(model, example)
        if found.is_whole:
            return found
    except Patched as why:
        return _uncaptured(model, str(why))
    except Untraceable as why:
        reasons.append(str(why))
    if example is None:
        reasons.append("an example might help torch.export")
    else:
        try:
            exported = _by_export(model, example)
            if found is None or exported.planned() > found.planned():
                return exported
        except Exception as why:  # its graphs may have anything
            reasons.append(first_line(why))
    return found or _by_submodules(model, example, "; ".join(reasons))


def _uncaptured(model: Module, reason: str) -> Captured:
    return Captured(model, (), (NativeCall("", type(model).__name__, reason),), {}, "nothing")


def _by_fx(model: Module, example: Example | None) -> Captured:
    capture, fixed = _Capture(), fixed_arguments(model, example)
    return capture.found(capture.trace(model, "", fixed, example), "torch.fx", fixed)


def _by_export(model: Module, example: Example) -> Captured:
    capture, exported = _Capture(), Exported(model, example)
    capture.divide(exported.trace, model, "", {}, exported.example)
    if not capture.parts:
        raise Untraceable("torch.export gives nothing that has a plan")
    return capture.found(exported, "torch.export")


def _by_submodules(model: Module, example: Example | None, reason: str) -> Captured:
    capture = _Capture()
    module = capture.inside(model, "", reason)
    if example is not None and not _agrees(module, example):
        return _uncaptured(model, reason)
    return capture.found(module, "torch.fx, submodule by submodule")


def _agrees(module: Module, example: Example) -> bool:
    """Whether a model of captured submodules computes what it did.

    It may look into what it holds, and find other modules there.
    """
    try:
        with buffers_kept(module):
            return agree(run(module, example.args), example.result)
    except Exception:  # anything may come of that
        return False


def divide(
    whole: fx.GraphModule,
    module: Module,
    path: str = "",
    refused: Mapping[fx.Node, str] | None = None,
) -> tuple[list[Part], Lowering, list[fx.Node]]:
    """Puts parts into a graph without in-place calls.

    Args:
        whole: the graph.
        module: has what the graph's nodes call and read.
        path: its qualified name in the model.
        refused: why some nodes are not to be in a part.

    Returns:
        The parts; the lowering of the graph, and the nodes that are in none, both of the graph as
        it was.
    """
    recognize_shuffles(whole.graph)
    lowering, supported = supported_nodes(whole.graph, module, path, refused)
    spell_out_sizes(whole.graph, supported, lowering)
    give_own_constants(whole.graph, supported, lowering)
    members = partitions(whole.graph, supported, lowering)
    fused = set().union(*members)
    calls = [node for node in whole.graph.nodes if node not in fused]
    fuse_by_partitions(whole, [dict.fromkeys(nodes) for nodes in members], prefix="part_")
    whole.recompile()
    share_tensors(whole, module)
    parts = []
    for i in range(len(members)):
        part = whole.get_submodule(f"part_{i}")
        assert isinstance(part, fx.GraphModule)
        share_tensors(part, module)
        lowered = Lowering(part.graph, module, path)
        assert not lowered.reasons, lowered.reasons
        parts.append(Part(whole, f"part_{i}", lowered.graph()))
    return parts, lowering, calls


class _Capture:
    """What was found in a model so far."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.native: list[NativeCall] = []
        self._is_whole = True

    def found(self, module: Module, by: str, fixed: Mapping[str, Any] | None = None) -> Captured:
        parts, native = tuple(self.parts), tuple(self.native)
        return Captured(module, parts, native, fixed or {}, by, self._is_whole)

    def trace(
        self,
        module: Module,
        path: str,
        fixed: dict[str, Any],
        example: Example | None = None,
    ) -> fx.GraphModule:
        """The module with parts in it; `path` is its qualified name in the model."""
        whole, untraceable = traced(module, fixed)
        return self.divide(whole, module, path, untraceable, example)

    def divide(
        self,
        whole: fx.GraphModule,
        module: Module,
        path: str,
        untraceable: Mapping[str, str],
        example: Example | None,
    ) -> fx.GraphModule:
        """The trace of a module, with parts in it."""
        functionalize(whole, module)
        if example is not None:
            record(whole, example)
            forget_zero_states(whole.graph, module)
        parts, lowering, calls = divide(whole, module, path)
        self.parts += parts
        for node in calls:
            self._keep(node, lowering, module, path, untraceable, whole)
        return whole

    def _keep(
        self,
        node: fx.Node,
        lowering: Lowering,
        module: Module,
        path: str,
        untraceable: Mapping[str, str],
        whole: fx.GraphModule,
    ) -> None:
        """Notes a call that is in no part."""
        reason = lowering.reasons.get(node, "no convolution or linear layer is next to it")
        target: Any = node.target
        if node.op == "call_module":
            called = module.get_submodule(target)
            reason = untraceable.get(target, reason)
            is_replaceable = _owner_of(target, whole) not in module.modules()
            if target in untraceable and is_replaceable:
                inside = self.inside(called, joined(path, target), untraceable[target])
                whole.set_submodule(target, inside)
                return
            ours = counterpart(called) if is_replaceable else None
            if ours is not None:
                whole.set_submodule(target, ours)
                reason = f"{reason}; {runs_as(ours)}"
            target = type(called).__name__
        elif node not in lowering.reasons and not lowering.is_lowered(node):
            return
        name = getattr(target, "__name__", str(target))
        self.native.append(NativeCall(joined(path, layer_of(node)), name, reason))

    def inside(self, module: Module, path: str, reason: str) -> Module:
        """A module that runs as this one does, but whose submodules have parts.

        Its submodules and hooks are its own, its parameters and buffers those of the original.
        """
        self.native.append(NativeCall(path, type(module).__name__, reason))
        self._is_whole = False
        return self._with_captured_children(module, path)

    def _with_captured_children(self, module: Module, path: str) -> Module:
        children = {
            name: child if child is None else self._child(child, joined(path, name))
            for name, child in module._modules.items()
        }
        if all(child is module._modules[name] for name, child in children.items()):
            return module
        shell = _copied(module)
        vars(shell)["_modules"] = children
        return shell

    def _child(self, module: Module, path: str) -> Module:
        if (ours := counterpart(module)) is not None:
            self.native.append(NativeCall(path, type(module).__name__, runs_as(ours)))
            return ours
        if watched(module) is not None or is_layer(module):
            return module
        if type(module).forward is Module.forward:  # a list or a dictionary of modules
            return self._with_captured_children(module, path)
        count, fixed = len(self.parts), fixed_arguments(module, None)
        try:
            whole = self.trace(module, path, fixed)
        except Patched as why:
            self.native.append(NativeCall(path, type(module).__name__, str(why)))
            return module
        except Untraceable as why:
            return self.inside(module, path, str(why))
        if len(self.parts) == count:
            return module
        shell = _copied(module)
        vars(shell)["forward"] = _Forward(module, whole, fixed)
        return shell


def _owner_of(target: str, whole: Module) -> Module:
    """The module that a path's last name is an attribute of."""
    return whole.get_submodule(target.rpartition(".")[0])


def _copied(module: Module) -> Module:
    """A copy that has the same tensors and submodules, and registers hooks for itself."""
    shell = copy.copy(module)
    for name, value in vars(module).items():
        if name.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")):
            vars(shell)[name] = copy.copy(value)
    return shell


class _Forward:
    """The forward pass of a module: its trace, or its own where arguments are not the trace's."""

    def __init__(self, module: Module, trace: fx.GraphModule, fixed: Mapping[str, Any]) -> None:
        self._module = module
        self._trace = trace
        self._fixed = fixed
        self._signature = inspect.signature(module.forward)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = self._signature.bind(*args, **kwargs)
        for name, value in self._fixed.items():
            if given.arguments.pop(name.lstrip("*"), value) is not value:
                return self._module.forward(*args, **kwargs)
        return self._trace(*given.args, **given.kwargs)
