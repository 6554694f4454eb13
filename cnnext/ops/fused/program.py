"""A recording whose rows of layers run as one function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

from cnnext.ops.batch_norm import BatchNorm2d
from cnnext.ops.conv2d import Conv2d
from cnnext.ops.fused import rows
from cnnext.ops.fused.layers import Activation, is_activation, is_watched
from cnnext.ops.fused.recording import Recording, Step, Value, strong, values_in, weak
from cnnext.ops.max_pool2d import MaxPool2d
from cnnext.ops.relu import ReLU

_ADDITIONS = (torch.add, Tensor.add_)


class _Row(NamedTuple):
    """Steps that run as one, in the place of the last.

    Attributes:
        steps: which.
        inputs: what the call takes.
        call: computes their result, or returns None where it is not to.
    """

    steps: tuple[Step, ...]
    inputs: tuple[Value, ...]
    call: Callable[..., Tensor | None]


class Program:
    """What a module's `forward` does, in rows."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._steps = _with_last_uses(_in_rows(recording), recording.output)

    def still_holds(self) -> bool:
        """Whether `forward` would do the same again."""
        return all(read.still_holds() for read in self._recording.reads)

    def is_watched(self) -> bool:
        """Whether somebody watches a module whose own `forward` the program goes around."""
        return any(is_watched(module()) for module in self._recording.passed_through)

    def __call__(self, *inputs: Any) -> Any:
        values: dict[Value, Any] = dict(zip(self._recording.inputs, inputs, strict=True))
        for step, done in self._steps:
            if isinstance(step, _Row):
                result = step.call(*(values[value] for value in step.inputs))
                if result is None:
                    for part in step.steps:
                        values[part.result] = _call(part, values)
                else:
                    values[step.steps[-1].result] = result
            else:
                values[step.result] = _call(step, values)
            for value in done:
                values.pop(value, None)
        return _with_values(self._recording.output, values)


def _with_last_uses(
    steps: list[Step | _Row], output: Any
) -> list[tuple[Step | _Row, tuple[Value, ...]]]:
    """The steps, each with the values that nothing reads after it."""
    read_later = set(values_in(output))
    result = []
    for step in reversed(steps):
        parts = step.steps if isinstance(step, _Row) else (step,)
        met = {value for part in parts for value in values_in((part.arguments, part.options))}
        met.update(part.result for part in parts)
        result.append((step, tuple(met - read_later)))
        read_later |= met
    return result[::-1]


def _call(step: Step, values: dict[Value, Any]) -> Any:
    arguments, options = _with_values((step.arguments, step.options), values)
    return step.target(*arguments, **options)


def _with_values(arguments: Any, values: dict[Value, Any]) -> Any:
    """The nest of arguments with what their values are."""
    if isinstance(arguments, Value):
        return values[arguments]
    if isinstance(arguments, dict):
        return {key: _with_values(value, values) for key, value in arguments.items()}
    if isinstance(arguments, tuple | list):
        return type(arguments)(_with_values(each, values) for each in arguments)
    return arguments


def _in_rows(recording: Recording) -> list[Step | _Row]:
    steps, finder = recording.steps, _Finder(recording)
    taken: dict[int, _Row | None] = {}
    for index in range(len(steps)):
        if index in taken:
            continue
        row = finder.row_from(index)
        if row is not None and not any(index in taken for index in row[0]):
            indices, found = row
            taken.update(dict.fromkeys(indices))
            taken[indices[-1]] = found
    result: list[Step | _Row] = []
    for index, step in enumerate(steps):
        chosen = taken.get(index, step)
        if chosen is not None:
            result.append(chosen)
    return result


class _Finder:
    """Finds the rows in a recording: each of its values but the last is used once, by the next."""

    def __init__(self, recording: Recording) -> None:
        self._steps = recording.steps
        used = [values_in((step.arguments, step.options)) for step in self._steps]
        self._uses = Counter(value for values in used for value in values)
        self._uses.update(values_in(recording.output))
        self._user = {value: i for i, values in enumerate(used) for value in values}

    def row_from(self, index: int) -> tuple[tuple[int, ...], _Row] | None:
        step = self._steps[index]
        kind = type(step.target)
        if kind is Conv2d:
            return self._conv_relu_pool(index)
        if kind is BatchNorm2d and _is_plain(step):
            return self._norm(index)
        return None

    def _conv_relu_pool(self, index: int) -> tuple[tuple[int, ...], _Row] | None:
        relu = self._next(index)
        pool = None if relu is None else self._next(relu)
        if relu is None or pool is None:
            return None
        conv = self._steps[index]
        targets = [self._steps[i].target for i in (index, relu, pool)]
        if [type(target) for target in targets[1:]] != [ReLU, MaxPool2d] or not _is_plain(conv):
            return None
        if not self._may_move((index, relu, pool)):
            return None
        return self._row((index, relu, pool), conv.arguments, rows.call_conv_relu_pool, targets)

    def _norm(self, index: int) -> tuple[tuple[int, ...], _Row] | None:
        norm = self._steps[index]
        indices, activation = [index], None
        residual: tuple[Value, ...] = ()
        follower = self._next(index)
        if follower is not None and self._steps[follower].target in _ADDITIONS:
            step = self._steps[follower]
            others = [each for each in step.arguments if each is not norm.result]
            into_other = step.target is Tensor.add_ and step.arguments[0] is not norm.result
            is_sum = len(others) == 1 and isinstance(others[0], Value) and not step.options
            if is_sum and not into_other:
                indices.append(follower)
                residual = (others[0],)
                follower = self._next(follower)
            else:
                follower = None
        if follower is not None and is_activation(self._steps[follower].target):
            activation = self._steps[follower].target
            indices.append(follower)
            follower = self._next(follower)
        conv = None
        if follower is not None and not residual:
            step = self._steps[follower]
            if type(step.target) is Conv2d and _is_plain(step):
                conv = step.target
                indices.append(follower)
        if len(indices) == 1 or not self._may_move(indices):
            return None
        if conv is not None:
            return self._row(indices, norm.arguments, _norm_conv, (norm.target, activation, conv))
        inputs = (*norm.arguments, *residual)
        return self._row(indices, inputs, rows.call_norm, (norm.target, activation))

    def _next(self, index: int) -> int | None:
        """The one step that uses the result of this."""
        result = self._steps[index].result
        return self._user.get(result) if self._uses[result] == 1 else None

    def _may_move(self, indices: Sequence[int]) -> bool:
        """Whether no step in between writes to what the row reads."""
        between = set(range(indices[0], indices[-1])) - set(indices)
        return all(
            isinstance(self._steps[i].target, Module) and not _writes(self._steps[i].target)
            for i in between
        )

    def _row(
        self,
        indices: Sequence[int],
        inputs: Any,
        call: Callable[..., Any],
        modules: Sequence[Any],
    ) -> tuple[tuple[int, ...], _Row]:
        steps = tuple(self._steps[i] for i in indices)
        references = [weak(module) for module in modules]  # a program outlives no module

        def compute(*tensors: Any) -> Tensor | None:
            return call(*map(strong, references), *tensors)

        return tuple(indices), _Row(steps, tuple(inputs), compute)


def _norm_conv(norm: Any, activation: Activation, conv: Any, input: Any) -> Tensor | None:
    """The row; without the convolution where it has no gradients, as that then has a plan."""
    output = rows.call_norm_conv(norm, activation, conv, input)
    if output is None and activation is not None:
        normalised = rows.call_norm(norm, activation, input)
        output = None if normalised is None else conv(normalised)
    return output


def _is_plain(step: Step) -> bool:
    """Whether it is the call of a module with one tensor."""
    return len(step.arguments) == 1 and isinstance(step.arguments[0], Value) and not step.options


def _writes(module: Module) -> bool:
    """Whether it, or a module in it, may write to its input."""
    return any(
        getattr(each, "inplace", False) or type(each).__module__.partition(".")[0] not in _KNOWN
        for each in module.modules()
    )


_KNOWN = ("torch", "cnnext")
