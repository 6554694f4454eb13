"""The dependency rule: kernels know no torch, ISA files know no library, operators no model.

<op>.h <- kernels <- torch_*.cpp <- cnnext/ops/<op>.py <- modules, models, cli
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

KNOWS_TORCH = re.compile(r"torch_.*|parallel\.h|(module|build_info)\.cpp")
TORCH_HEADER = re.compile(r"(torch|ATen|c10)/|(.*/)?(torch_.*|parallel)\.h")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
ISA_HEADERS = {"cstdint", "immintrin.h", "arm_neon.h"}
ABOVE_OPERATORS = re.compile(
    r"^\s*(?:from|import)\s+(?:cnnext|\.)\.(?:models|convert|optimize|cli|nn|functional)\b"
    r"|^\s*from\s+(?:cnnext|\.\.)\s+import\s.*\b(?:models|convert|optimize|cli|nn|functional)\b",
    re.MULTILINE,
)


def violations(root: Path) -> Iterator[str]:
    table = json.loads((root / "csrc/isa.json").read_text())
    isa_files = {f"{isa}.cpp" for isas in table.values() for isa in isas}
    for path in sorted(root.glob("csrc/**/*")):
        if path.suffix not in (".h", ".cpp", ".cu", ".cuh", ".inc"):
            continue
        for bracket, header in INCLUDE.findall(path.read_text()):
            if TORCH_HEADER.match(header) and not KNOWS_TORCH.fullmatch(path.name):
                yield f"{path}: includes {header}, which only torch adapters may"
            if path.name in isa_files and bracket == "<" and header not in ISA_HEADERS:
                yield f"{path}: includes <{header}>, an ISA file may not"
    for path in sorted(root.glob("cnnext/ops/*.py")):
        for match in ABOVE_OPERATORS.finditer(path.read_text()):
            yield f"{path}: `{match[0].strip()}` reaches above the operators"


if __name__ == "__main__":
    found = list(violations(Path(__file__).parents[1]))
    sys.exit("\n".join(found) or None)
