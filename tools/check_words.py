"""The project's vocabulary: one word for one thing, and that the field's.

    python tools/check_words.py

Prints every identifier and phrase of `INSTEAD` in names and texts of the tree, with what is written
in its place, and exits with 1 if there is one. These are names, not English words: a sentence may
say what lies ahead.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

#: What is not written, as regular expressions, and what is.
INSTEAD = {
    # The torch-free module over NumPy arrays.
    r"\w*door\w*|\w*Door\w*": "bindings",
    # Native PyTorch, and measuring against it.
    r"\w*[tT]wins?\b": "native counterpart; ModelPair",
    r"\w*[cC]ontest(s|ants?)?\b|CONTESTANTS": "comparison; implementation",
    r"why_native|fall_back": "fallback_reason; call_native",
    r"judged_by_native": "delegate_to_native",
    r"as_natural": "as_non_negative_int",
    # Kernels.
    r"\w*(give|gave|gives)_up": "needs_exact_rerun",
    r"idle[ _]taps": "padding-only taps",
    r"[hH]olders": "covering windows",
    r"\w*(of|saved|pack)_slots?|k[XH]?Slots": "workspace; pre-activations",
    r"recurrence_ahead\w*|steps_ahead|(Forward|Products)Ahead": "hoisted input projection",
    r"there_and_back": "serpentine",
    r"\w*[sS]trip_\w+|\w+_strip|kStrip\w+": "packed input rows",
    r"(Direct|Depthwise)Gather|make_gather|struct Gather": "ConvGeometry",
    r"spread(?=\()": "pad_against_aliasing; dilation; window start",
    r"(least|most)(?=\()": "min; max",
    r"k(Most|Least|Fewest)[A-Z]\w*|_?(MOST|LEAST|FEWEST)_\w+": "kMax…, kMin…; MAX_…, MIN_…",
    r"RegisterTile": "TallTile, WideTile",
    r"useful_threads": "num_threads_for",
    # Tests.
    r"\w*nasty\w*": "adversarial",
    r"odd (argument|value|call)s?": "invalid arguments",
    r"tests[./]machinery": "pytorch_integration",
    r"tests[./]drop_in": "upstream_suites",
    # Sentences that are no English.
    r"(is|are) no tensors?": "is not a tensor",
    r"of less than": "smaller than",
    r"[lL]est": "so that … does not",
    # A remark whose first word is a genitive makes the reader supply the noun.
    r'(?<=// )Of(?= [a-z])|(?<=# )Of(?= [a-z])|(?<=#: )Of(?= [a-z])|(?<=""")Of(?= [a-z])': (
        "name the thing first"
    ),
}

#: Names of others, what a version's files hold, and this list.
EXEMPT = re.compile(r"tests/stored/|benchmarks/results/|tools/check_words\.py|tests/test_words\.py")

WORDS = [(re.compile(rf"\b(?:{pattern})(?!\w)"), instead) for pattern, instead in INSTEAD.items()]


def violations(name: str, text: str) -> Iterator[str]:
    """Where a file's name or text has what it should not, as "place: found, instead"."""
    for place, line in [(name, name), *((f"{name}:{i}", t) for i, t in numbered(text))]:
        for pattern, instead in WORDS:
            if found := pattern.search(line):
                yield f"{place}: {found.group()!r}; write: {instead}"


def numbered(text: str) -> Iterable[tuple[int, str]]:
    return enumerate(text.splitlines(), start=1)


def tracked(root: Path) -> Iterator[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    return (name for name in listed.splitlines() if not EXEMPT.match(name))


def main() -> int:
    root = Path(__file__).parents[1]
    count = 0
    for name in tracked(root):
        for violation in violations(name, (root / name).read_text()):
            print(violation)
            count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
