"""What a seeded fault is."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32


@dataclass(frozen=True)
class Fault:
    """A mistake that an engineer could make, and the tests that a developer would run after it.

    Attributes:
        name: words joined by hyphens.
        kind: what kind of mistake it is; no two faults are of one kind.
        file: the source, from the root of the tree.
        old: the text that is replaced; an expression, or whole statements, in C++ and CUDA.
        new: what replaces it.
        tests: pytest's arguments that select the tests, a minute's worth at most.
        within: a text that occurs once in the file and holds `old` once; empty where `old` itself
            occurs once.
        check: a command that is run in place of tests; `tests` is empty then.
        rebuilds: the extension is compiled with the fault before anything is run: for what no
            switch at run time can select.
        isa: without it this machine cannot run what the fault is in.
    """

    name: str
    kind: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()
    within: str = ""
    check: tuple[str, ...] = ()
    rebuilds: bool = False
    isa: str = "baseline"

    @property
    def is_switched(self) -> bool:
        """Whether it is compiled together with the right code, and selected at run time."""
        return self.file.endswith((".h", ".cpp", ".cu")) and not self.check

    @property
    def number(self) -> int:
        """What selects it at run time: of the name alone, so that builds can be reused."""
        return crc32(self.name.encode()) & 0x7FFFFFFF

    @property
    def context(self) -> str:
        return self.within or self.old

    def replaced(self, text: str, new: str) -> str:
        """The file's text with `new` in the place of the fault.

        Raises:
            ValueError: there is not exactly one such place.
        """
        for what, whole, part in (("file", text, self.context), ("within", self.context, self.old)):
            if whole.count(part) != 1:
                raise ValueError(
                    f"{self.name}: occurs {whole.count(part)} times in its {what} "
                    f"({self.file}): {part!r}"
                )
        return text.replace(self.context, self.context.replace(self.old, new))

    def applied(self, text: str) -> str:
        """The file's text with the fault."""
        return self.replaced(text, self.new)

    def switched(self, text: str) -> str:
        """The file's text with both forms, of which the environment chooses one."""
        condition = f"CNNEXT_FAULT({self.number})"
        if self.old.endswith((";", "}")):
            both = f"if ({condition}) {{ {self.new} }} else {{ {self.old} }}"
        else:
            both = f"({condition} ? ({self.new}) : ({self.old}))"
        return self.replaced(text, both)
