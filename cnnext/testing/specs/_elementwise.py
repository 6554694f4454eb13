"""What the specs of element-wise operators share: all but what speed is measured on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from cnnext.runtime.library import ops
from cnnext.runtime.operator import Operator
from cnnext.testing.cases import VECTOR_SIZES, ElementwiseCase, Shape
from cnnext.testing.spec import IMAGES, Arguments, Drawn, Layer, OperatorSpec

_IMAGE = Drawn(2, 4, 6, 6)
_CORNERS = ((1, 1, 1, 1), (2, 1, 4, 4), (2, 3, 1, 1), (2, 3, 1, 6))


def _away_from_zero(t: Tensor) -> Tensor:
    """Where many an operator has a kink."""
    return t + t.sign()


def elementwise(
    operator: Operator,
    cases: tuple[ElementwiseCase, ...],
    *,
    results: Literal["selected", "computed"] = "computed",
    case: Callable[[str, Shape], ElementwiseCase] = ElementwiseCase,
) -> OperatorSpec:
    """The spec of an operator with one operand.

    Args:
        cases: those that speed is measured on.
        case: makes another, of that name and shape, with the numbers that the operator takes.
    """
    name = operator.name
    numbers = case("numbers", ()).kwargs()
    in_place = {f"{name}-in_place": {"inplace": True}} if f"{name}_" in operator.raw else {}
    calls: dict[str, dict[str, Any]] = {name: {}, **in_place}
    module = "" if operator.module is None else operator.module.__name__

    def raw_arguments(raw: str) -> Arguments:
        arguments = getattr(ops, raw).default._schema.arguments
        return Arguments({a.name: numbers.get(a.name, _IMAGE) for a in arguments})

    return OperatorSpec(
        operator,
        results=results,
        cases=cases,
        edge_cases=(
            *(case(f"edge_{name}_{size}", (size,)) for size in (0, *VECTOR_SIZES)),
            case(f"edge_{name}_nchw", (2, 3, 5, 7)),
        ),
        gpu_cases=(
            case("several_blocks", (2, 5, 17, 13)),
            *(case(str(size), (size,)) for size in (255, 256, 2049)),
        ),
        typical_cases=(case("image", (2, 3, 5, 7)),),
        corner_cases=tuple(case(str(shape), shape) for shape in _CORNERS),
        tiny_cases=(case("rows", (2, 3)), case("image", (2, 3, 2, 2))),
        smooth=_away_from_zero,
        shapes=(IMAGES,),
        options=tuple(numbers.values()),
        layers=(Layer(module, tuple(numbers.values()), (IMAGES,)),),
        calls={
            subject: Arguments({"input": _IMAGE, **numbers, **options})
            for subject, options in calls.items()
        },
        modules={
            module: Arguments(
                {"input": _IMAGE, **numbers, **({"inplace": False} if in_place else {})}
            )
        },
        raw={raw: raw_arguments(raw) for raw in operator.raw if raw != name},
    )
