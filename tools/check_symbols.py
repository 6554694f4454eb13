"""No ISA object may define a weak symbol.

Of several weak definitions the linker keeps any one, for the whole library: kept from avx512.o, an
innocent std:: function would crash on a processor that has no AVX-512.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

WEAK = re.compile(r"^[0-9a-f]* +[WVu] .*$", re.MULTILINE)


def isa_objects(root: Path) -> list[Path]:
    """The objects of the last build, build/objects/<isa>/csrc/**/<isa>.o."""
    table = json.loads((root / "csrc/isa.json").read_text())
    isas = table.get(platform.machine(), table["other"])
    return [
        root / "build/objects" / isa / source.relative_to(root).with_suffix(".o")
        for isa in isas
        for source in sorted(root.glob(f"csrc/**/{isa}.cpp"))
    ]


def violations(root: Path) -> Iterator[str]:
    for path in isa_objects(root):
        if not path.exists():
            yield f"{path}: not built"
            continue
        symbols = subprocess.run(["nm", "-C", path], capture_output=True, text=True, check=True)
        for line in WEAK.findall(symbols.stdout):
            yield f"{path}: {line.strip()}"


if __name__ == "__main__":
    found = list(violations(Path(__file__).parents[1]))
    sys.exit("\n".join(found) or None)
