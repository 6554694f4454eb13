"""Whether an exception says what is wrong: in native's words, or by the argument and its value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.upstream_suites.adversarial.values import NUMBERS

#: Values whose argument is not at fault: memory is too small, or sizes are symbols.
_NOT_NAMED = ("expanded_beyond_memory", "jagged")

#: From here on, messages say that a result is too large for memory, or a number for its type.
_HUGE = 2**31 - 1


def is_clear(message: str, argument: str, value: str, native: str) -> bool:
    """A message need only name a tensor; it shows a number as it was given or as a pair."""
    if message == native or value in _NOT_NAMED:
        return True
    if value not in NUMBERS:
        return argument in message
    elements = _elements(NUMBERS[value])
    if any(isinstance(each, int) and abs(each) >= _HUGE for each in elements):
        return True
    shown = (NUMBERS[value], *elements, *_as_pair(elements))
    return any(f"{argument}={each!r}" in message for each in shown)


def _elements(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bytes):
        return (value.decode(),)
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _as_pair(elements: tuple[Any, ...]) -> Iterator[Any]:
    try:
        numbers = tuple(map(int, elements))
    except (TypeError, ValueError, OverflowError):
        return
    yield numbers * 2 if len(numbers) == 1 else numbers
    yield from numbers
