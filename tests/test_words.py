"""`tools/check_words.py` finds what it should, and no English word."""

from __future__ import annotations

import pytest

from tools.check_words import violations


@pytest.mark.parametrize(
    ("text", "word"),
    {
        "identifier": ("void register_door(BindDoor bind);", "register_door"),
        "constant": ("constexpr int kMostRows = 4;", "kMostRows"),
        "function": ("return least(a, b);", "least"),
        "path": ("tests/machinery/test_fx.py", "tests/machinery"),
        "phrase": ("raise TypeError('input is no tensor')", "is no tensor"),
        "remark-without-a-noun": ("// Of the largest band.", "Of"),
    }.values(),
)
def test_a_word_is_found(text: str, word: str) -> None:
    (found,) = violations("file.h", f"\n{text}\n")
    assert found.startswith(f"file.h:2: {word!r}; write: ")


def test_a_name_of_a_file_is_looked_at() -> None:
    assert list(violations("csrc/conv2d/gather_strip.h", "")) != []


@pytest.mark.parametrize(
    "text",
    [
        "at least one, at most (by far) the least work",
        "what lies ahead of a window",
        "import importlib.machinery",
        "lines.strip().rstrip()",
        "// Sums of the largest band. Those of the least.",
    ],
)
def test_english_is_left_alone(text: str) -> None:
    assert list(violations("file.py", text)) == []
