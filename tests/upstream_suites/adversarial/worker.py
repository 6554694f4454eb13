"""Makes invalid calls and writes what came of each, a line of JSON at a time.

A process of its own: what crashes ends it, and the last line says which call that was.
`python -m tests.upstream_suites.adversarial.worker KIND FIRST` begins with the call numbered FIRST.
"""

from __future__ import annotations

import json
import resource
import sys
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import cnnext
from tests.cuda.devices import emulated_operators
from tests.ops.support import NATIVE
from tests.upstream_suites.adversarial.calls import FUNCTIONS, MODULES, RAW, Call
from tests.upstream_suites.adversarial.known import KNOWN
from tests.upstream_suites.adversarial.messages import is_clear
from tests.upstream_suites.adversarial.values import WITHOUT_MEMORY
from tests.upstream_suites.outcomes import assert_same_outcome, outcome_of

#: What is more than any right call needs fails to be allocated, and does not fill the machine.
_MEMORY_LIMIT = 12 * 2**30

CALLS: dict[str, dict[str, Call]] = {
    "functions": FUNCTIONS,
    "modules": MODULES,
    "raw": RAW,
    "emulated": RAW,
}

Case = tuple[str, str, str, bool]  # subject, argument, its value, whether it is for training


def cases_of(kind: str) -> list[Case]:
    trainings = (False,) if kind in ("raw", "emulated") else (False, True)
    return [
        (subject, argument, value, training)
        for subject, call in CALLS[kind].items()
        for argument, value in call.odd_cases()
        for training in trainings
        if (subject, argument, value) not in KNOWN
    ]


def _differentiable(value: Any) -> bool:
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex())


def _run(call: Call, library: Any, case: Case) -> Any:
    """The result and the operands after the call, or when training the gradients."""
    _, argument, value, training = case
    arguments = call.with_odd(argument, value)
    operands = [a for a in arguments.values() if _differentiable(a)]
    if training:
        for operand in operands:
            if operand.is_leaf and not operand.is_inference():
                operand.requires_grad_()
    torch.manual_seed(0)  # of dropout
    result = call.apply(library, **arguments)
    outputs = [r for r in tree_leaves(result) if _differentiable(r) and r.requires_grad]
    if not training or not outputs:
        return result, [o for o in operands if not o.requires_grad]
    total = sum(output.sum() for output in outputs)
    leaves = [o for o in operands if o.requires_grad and o.is_leaf]
    return result, torch.autograd.grad(total, leaves, allow_unused=True)


def _verdict_of_comparison(call: Call, libraries: tuple[Any, Any], case: Case) -> str:
    """What differs from native PyTorch; nothing if all is well."""
    native_library, library = libraries
    ours = outcome_of(lambda: _run(call, library, case))
    if case[2] in WITHOUT_MEMORY:
        return "" if isinstance(ours, RuntimeError) else "cnnext read what is not there"
    native = outcome_of(lambda: _run(call, native_library, case))
    try:
        assert_same_outcome(ours, native)
    except AssertionError as difference:
        return str(difference)
    if library is cnnext.functional and isinstance(ours, Exception):
        clear = is_clear(str(ours), call.public_name(case[1]), case[2], str(native))
        return "" if clear else f"does not say what is wrong: {ours}"
    return ""


def _verdict_alone(call: Call, operators: Any, case: Case) -> str:
    """A raw operator may accept or reject an argument; reading what is not there it must reject."""
    outcome = outcome_of(lambda: _run(call, operators, case))
    accepted = not isinstance(outcome, Exception)
    return "read what is not there" if accepted and case[2] in WITHOUT_MEMORY else ""


def _verdict(kind: str, case: Case) -> str:
    call = CALLS[kind][case[0]]
    if kind == "raw":
        return _verdict_alone(call, torch.ops.cnnext, case)
    if kind == "emulated":
        return _verdict_alone(call, emulated_operators(), case)
    pair = (NATIVE, cnnext.functional) if kind == "functions" else (torch.nn, cnnext.nn)
    return _verdict_of_comparison(call, pair, case)


def main(kind: str, first: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(json.dumps("begun"), flush=True)
    for case in cases_of(kind)[first:]:
        print(json.dumps(_verdict(kind, case)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
