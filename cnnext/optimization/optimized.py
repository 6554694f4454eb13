"""`cnnext.optimize`: a model for inference, planned as a whole."""

from __future__ import annotations

import copy
import functools
import inspect
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import Module
from torch.utils import _pytree as pytree

from cnnext.optimization.capture import Captured, NativeCall, captured
from cnnext.optimization.passes import optimized
from cnnext.optimization.planned_part import PlannedPart, Step
from cnnext.optimization.tracing import buffers_kept
from cnnext.runtime.fallback import call_instead, gradient_needed

Example = Tensor | tuple[Any, ...] | None

#: What `check` allows: the root mean square of the differences from the original's results, over
#: that of the results. Two native layouts of a network differ by a hundredth of that.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class OptimizationReport:
    """What of a model is planned, and what is not; ``str(report)`` is a table.

    Attributes:
        steps: of the plans of all parts, in their order; none without inputs or an example.
        native: calls that stay PyTorch's, and why.
        captured_by: `"torch.fx"`, `"torch.export"`, or torch.fx submodule by submodule.
    """

    steps: tuple[Step, ...]
    native: tuple[NativeCall, ...]
    captured_by: str

    def __str__(self) -> str:
        return "\n\n".join(self._sections())

    def _sections(self) -> Iterator[str]:
        if self.steps:
            rows = [
                (
                    ", ".join(step.layers) or step.line,
                    ", ".join(dict.fromkeys(step.operators())),
                    step.kernel,
                    str(step.threads),
                    str(step.images),
                    f"{1e6 * step.predicted:.1f}",
                    "" if step.measured is None else f"{1e6 * step.measured:.1f}",
                )
                for step in self.steps
            ]
            header = ("layers", "operator", "kernel", "threads", "images", "predicted us", "us")
            widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
            yield "\n".join(
                "  ".join(
                    cell.ljust(width) for cell, width in zip(row, widths, strict=True)
                ).rstrip()
                for row in (header, *rows)
            )
        for call in self.native:
            yield f"native: {call.call} in {call.layer or '(model)'}: {call.reason}"
        counts = Counter(name for step in self.steps for name in step.operators())
        summary = ", ".join(f"{count} {operator}" for operator, count in counts.items())
        yield f"planned: {summary or 'nothing yet'}; native calls: {len(self.native)}"
        yield f"captured by {self.captured_by}"


class Optimized(Module):
    """A model for inference, made by :func:`optimize`.

    It has no parameters of its own: the model's are read where they are, and what was packed of
    them is packed again when they change.
    """

    def __init__(self, model: Module, example: Example) -> None:
        super().__init__()
        found = captured(model, example)
        # What is in a tuple is no submodule: the original keeps its modes, devices and hooks.
        self._kept = (model, found.module)
        self._native = found.native
        self._captured_by = found.by
        self._example = pytree.tree_map_only(Tensor, _Described, example)
        self._parts: list[PlannedPart] = []
        for part in found.parts:
            native = getattr(part.owner, part.name)
            planned = PlannedPart(native, optimized(part.graph), model)
            setattr(part.owner, part.name, planned)
            self._parts.append(planned)
        self._planned_whole = self._parts[0].forward if _is_one_part(found) else None
        self._inputs = _inputs_of(found)
        self.eval()

    @property
    def original(self) -> Module:
        """The model that was optimized."""
        return self._kept[0]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.training or self.original.training:
            raise RuntimeError(
                "an optimized model is for inference: train its original, and call eval() on both"
            )
        if torch.compiler.is_compiling():
            return self.original(*args, **kwargs)
        if not torch.is_grad_enabled():
            return self._infer(*args, **kwargs)
        if gradient_needed(*_tensors((args, kwargs))):
            raise RuntimeError(
                "an optimized model computes no gradients, but an input requires one: "
                "call its original, or detach the input"
            )
        with torch.no_grad():
            return self._infer(*args, **kwargs)

    def _infer(self, *args: Any, **kwargs: Any) -> Any:
        if self._inputs is not None and (kwargs or len(args) != len(self._inputs)):
            inputs = self._bound(args, kwargs)
            if inputs is None:
                call = functools.partial(self.original, **kwargs)
                reason = "arguments are not those of the example"
                return call_instead("optimize", reason, call, *args)
            args, kwargs = inputs, {}
        if self._planned_whole is not None:
            return self._planned_whole(*args)
        return self._kept[1](*args, **kwargs)

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...] | None:
        """The captured inputs among the arguments; None if others are not their defaults."""
        assert self._inputs is not None
        signature = inspect.signature(self.original.forward)
        given = signature.bind(*args, **kwargs).arguments
        others = {name: value for name, value in given.items() if name not in self._inputs}
        if any(value is not signature.parameters[name].default for name, value in others.items()):
            return None
        if not given.keys() >= set(self._inputs):
            return None
        return tuple(given[name] for name in self._inputs)

    def refresh(self) -> None:
        """Packs all weights anew: for changes that PyTorch does not count.

        Those are writes through NumPy and through `tensor.data`.
        """
        for part in self._parts:
            part.refresh()

    def report(self, *inputs: Any, profile: bool = False) -> OptimizationReport:
        """What is planned for such inputs, and what is not. Runs the model once.

        Args:
            inputs: those of a call; by default zeros of the example's sizes.
            profile: measure each step, on these inputs.
        """
        if not inputs and self._example is not None:
            inputs = self._example_again()
        steps: list[Step] = []
        if inputs:
            with torch.no_grad(), _Observed(self._parts) as seen:
                self._kept[1](*inputs)
            for part, given in seen:
                steps += part.steps(given, profile=profile)
        return OptimizationReport(tuple(steps), self._native_calls(), self._captured_by)

    def _native_calls(self) -> tuple[NativeCall, ...]:
        """What stays PyTorch's, and the parts that some inputs did not fit."""
        fell_back = ((part, part.reason_of_fallback) for part in self._parts)
        return self._native + tuple(
            NativeCall(", ".join(part.layers()[:1]), "a part of the model", why)
            for part, why in fell_back
            if why is not None
        )

    def memory(self) -> dict[str, int]:
        """Bytes of `"packed"` weights and of a `"call"` at most, and the number of `"plans"`."""
        total: Counter[str] = Counter()
        for part in self._parts:
            total.update(part.memory())
        return dict(total)

    def train(self, mode: bool = True) -> Optimized:
        """As of any module; but a call in training mode is an error."""
        self.training = mode
        return self

    def _apply(self, *_: Any, **__: Any) -> Optimized:
        raise RuntimeError(
            "an optimized model cannot be moved or cast: move its original, and optimize that"
        )

    def __reduce__(self) -> Any:
        return _again, (self.original, self._example)

    def __deepcopy__(self, memo: dict[int, Any]) -> Optimized:
        return _again(copy.deepcopy(self.original, memo), self._example)

    def _example_again(self) -> tuple[Any, ...]:
        example = pytree.tree_map_only(_Described, _Described.zeros, self._example)
        return example if isinstance(example, tuple) else (example,)


class _Described:
    """What is kept of an example's tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self._size, self._dtype = tuple(tensor.shape), tensor.dtype

    def zeros(self) -> Tensor:
        return torch.zeros(self._size, dtype=self._dtype)

    def again(self) -> Tensor:
        """Another such tensor, by which a trace of something else shows."""
        if not self._dtype.is_floating_point:
            return self.zeros()
        generator = torch.Generator().manual_seed(0)
        return torch.randn(self._size, generator=generator).to(self._dtype)


class _Observed:
    """Notes what the parts are called with meanwhile."""

    def __init__(self, parts: list[PlannedPart]) -> None:
        self._parts = parts

    def __enter__(self) -> list[tuple[PlannedPart, tuple[Tensor, ...]]]:
        seen: list[tuple[PlannedPart, tuple[Tensor, ...]]] = []
        self._hooks = [
            part.register_forward_pre_hook(lambda part, given: seen.append((part, given)))
            for part in self._parts
        ]
        return seen

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()


def _inputs_of(found: Captured) -> tuple[str, ...] | None:
    """The names of the arguments that the captured module takes; None if it takes the model's."""
    if not isinstance(found.module, fx.GraphModule):
        return None
    placeholders = found.module.graph.find_nodes(op="placeholder")
    return tuple(str(node.target) for node in placeholders)


def _is_one_part(found: Captured) -> bool:
    """Whether a part takes the model's arguments as they are, and returns what the model does."""
    if len(found.parts) != 1 or not isinstance(found.module, fx.GraphModule):
        return False
    *arguments, call, output = found.module.graph.nodes
    return (
        call.op == "call_module"
        and all(each.op == "placeholder" for each in arguments)
        and call.args == tuple(arguments)
        and output.args == (call,)
    )


def _again(model: Module, example: Any) -> Optimized:
    again = pytree.tree_map_only(_Described, _Described.again, example)
    return Optimized(model.eval(), again)


def optimize(
    model: Module,
    example_input: Example = None,
    *,
    strict: bool = False,
    check: bool | str = True,
    warmup: Iterable[Any] = (),
) -> Optimized:
    """Plans a model for inference on the CPU, in float32: layers fused, weights packed once.

    Nothing is refused: what cannot be planned stays PyTorch's, and `report()` says where and why.
    The original is untouched, and stays what it was. Changes of its weights are noticed at the next
    call, except for those that PyTorch does not count (`refresh()`). Its layers, their options and
    hooks are read once.

    Args:
        model: any module, in evaluation mode.
        example_input: what it is called with, a tensor or a tuple of all arguments. By that more of
            a model can be planned, and results are checked.
        strict: raise if anything stays PyTorch's.
        check: compare the results for the example with the original's (True), with those of a copy
            of it in float64 ("float64"), or not at all (False).
        warmup: examples, or shapes of a single input, to plan for now and not at the first call.

    Raises:
        TypeError: `model` is not a module.
        ValueError: `check` is none of these.
        RuntimeError: `model` is in training mode; `strict`, and something stays PyTorch's; `check`,
            and results differ.
    """
    if not isinstance(model, Module):
        raise TypeError(
            "optimize(): argument 'model' must be a torch.nn.Module, "
            f"but got {model!r} of type {type(model).__name__}"
        )
    if check not in (True, False, "float64"):
        raise ValueError(f"check must be True, False or 'float64', but is {check!r}")
    if model.training:
        raise RuntimeError("optimize() is for inference: call model.eval() first")
    fast = Optimized(model, example_input)
    if example_input is not None and check is not False:
        _check(fast, _as_arguments(example_input), exact=check == "float64")
    if strict and fast.report().native:
        raise RuntimeError(f"strict: not all of the model can be planned\n{fast.report()}")
    for each in warmup:
        is_shape = isinstance(each, tuple) and all(isinstance(size, int) for size in each)
        fast(*_as_arguments(torch.zeros(each) if is_shape else each))
    return fast


def _as_arguments(example: Any) -> tuple[Any, ...]:
    return example if isinstance(example, tuple) else (example,)


def _check(fast: Optimized, arguments: tuple[Any, ...], *, exact: bool) -> None:
    """Raises unless the optimized model's results are the original's."""
    model = fast.original
    if exact:
        model = copy.deepcopy(model).double()
        reference = pytree.tree_map_only(Tensor, _as_double, arguments)
    else:
        reference = arguments
    with torch.no_grad(), buffers_kept(model):
        wanted = model(*_cloned(reference))
    with torch.no_grad(), buffers_kept(fast.original):
        got = fast(*_cloned(arguments))
    for y, expected in zip(_tensors(got), _tensors(wanted), strict=True):
        if not expected.is_floating_point():
            continue
        error = (y.double() - expected.double()).square().mean().sqrt()
        size = expected.double().square().mean().sqrt()
        if not torch.isfinite(size):
            continue
        if not error <= _TOLERANCE * size:
            raise RuntimeError(
                f"the optimized model's results differ from the original's by {error:.2e}, "
                f"which are {size:.2e} large (root mean squares)"
            )


def _tensors(tree: Any) -> list[Tensor]:
    return [each for each in pytree.tree_leaves(tree) if isinstance(each, Tensor)]


def _cloned(arguments: tuple[Any, ...]) -> Any:
    return pytree.tree_map_only(Tensor, Tensor.clone, arguments)


def _as_double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
