"""The calls that are made with one invalid argument each: functions, modules, raw operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cnnext.testing.spec import Arguments, OperatorSpec
from cnnext.testing.specs import SPECS
from tests.ops.support import generator_for
from tests.upstream_suites.adversarial.values import KINDS


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator_for("adversarial", shape))


@dataclass(frozen=True)
class Call:
    """An ordinary call: `apply(library, **arguments)`."""

    apply: Callable[..., Any]
    arguments: Arguments
    #: Arguments that are given as one tuple, ``hx``.
    states: tuple[str, ...] = ()

    def public_name(self, argument: str) -> str:
        return "hx" if argument in self.states else argument

    def odd_cases(self) -> Iterator[tuple[str, str]]:
        """(argument, name of its invalid value)."""
        arguments = self.arguments.draw(randn)
        for argument in self.arguments.varied:
            base = arguments[argument]
            for name in KINDS[_kind(base)](base):
                yield argument, name

    def with_odd(self, argument: str, name: str) -> dict[str, Any]:
        arguments = self.arguments.draw(randn)
        base = arguments[argument]
        return {**arguments, argument: KINDS[_kind(base)](base)[name]()}


def _kind(base: Any) -> str:
    return "tensor" if isinstance(base, Tensor) else "number"


def _function(spec: OperatorSpec, library: Any, **arguments: Any) -> Any:
    if spec.states:
        arguments["hx"] = tuple(arguments.pop(name) for name in spec.states)
    return getattr(library, spec.operator.name)(**arguments)


def _module(
    subject: str,
    arguments: Arguments,
    library: Any,
    input: Any,
    states: Any = None,
    state: Any = None,
    **options: Any,
) -> Any:
    """Constructs a module by all arguments but the inputs of its first call, and calls it."""
    torch.manual_seed(0)
    if arguments.build is not None:
        layer = arguments.build(library)
    else:
        layer = getattr(library, subject.partition("-")[0])(**options)
    more = () if state is None else (state,)
    if states is not None:
        more = ((states, states),)
    return layer(input, *more), list(layer.state_dict().values())


def _raw(name: str, operators: Any, **arguments: Any) -> Any:
    operator = getattr(operators, name).default
    names = [argument.name for argument in operator._schema.arguments]
    return operator(*[arguments[argument] for argument in names])


#: The functions, called in native PyTorch and in cnnext.
FUNCTIONS = {
    subject: Call(partial(_function, spec), arguments, spec.states)
    for spec in SPECS.values()
    for subject, arguments in spec.calls.items()
}

#: The modules: what constructs one, and the input of its first call.
MODULES = {
    subject: Call(partial(_module, subject, arguments), arguments)
    for spec in SPECS.values()
    for subject, arguments in spec.modules.items()
}

#: The raw operators, by name.
RAW = {
    name: Call(partial(_raw, name), arguments)
    for spec in SPECS.values()
    for name, arguments in spec.raw.items()
}
