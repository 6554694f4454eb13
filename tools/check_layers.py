"""The layers of the tree: what may know what, in `cnnext` and in `csrc`.

    python tools/check_layers.py

Prints every include and import that leads upwards or around, and exits with 1 if there is one.
Imports within functions count as well, and so do those by name.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

#: Packages and modules of cnnext, lowest first: each may import from its own layer and those below.
#: `""` is the package itself, which whoever imports it needs whole.
PYTHON_LAYERS = (
    ("_C", "_C_cuda", "_version"),
    ("runtime",),
    ("ops.common",),
    ("ops",),
    ("autograd", "functional", "modules", "nn"),
    ("conversion", "convert", "explain", "integrations", "optimization"),
    ("models", "testing"),
    ("training",),
    ("", "cli"),
    ("__main__",),
)

#: The same for folders of csrc, except that folders of one layer do not include each other.
CXX_LAYERS = (
    ("common/kernel",),
    ("common/simd", "common/cuda"),
    ("common/torch", "common/numpy"),
    ("epilogue",),
    ("gemm",),
    ("conv2d", "elementwise", "linear", "normalization", "pooling", "recurrence")
    + ("reorder", "resample", "scale", "softmax"),
    ("plan",),
)

# A file's name is its permission: which headers only those may include that are adapters, bindings
# or CUDA sources, by what one has before it in the name of its file or of its folder.
KINDS = {
    "torch": re.compile(r"(torch|ATen|c10)/|(.*/)?torch[_/]"),
    "numpy": re.compile(r"pybind11/|(.*/)?numpy[_/]"),
}
ISA_HEADERS = {"cstdint", "immintrin.h", "arm_neon.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
SOURCES = (".h", ".cpp", ".cu", ".cuh", ".inc")


def violations(root: Path) -> Iterator[str]:
    yield from cxx_violations(root)
    modules = python_modules(root)
    imports = {name: set(imports_of(name, path, modules)) for name, path in modules.items()}
    yield from python_violations(imports)
    yield from circles(imports)


def cxx_violations(root: Path) -> Iterator[str]:
    table = json.loads((root / "csrc/isa.json").read_text())
    isa_files = {f"{isa}.cpp" for isas in table.values() for isa in isas}
    layer = {name: i for i, names in enumerate(CXX_LAYERS) for name in names}
    for path in sorted(root.glob("csrc/*/**/*")):
        if path.suffix not in SOURCES:
            continue
        file = path.relative_to(root / "csrc")
        folder = cxx_folder(file)
        if folder not in layer:
            yield f"{path}: the folder has no layer"
            continue
        for bracket, header in INCLUDE.findall(path.read_text()):
            for kind, headers in KINDS.items():
                if headers.match(header) and not re.search(rf"\b{kind}[_/]", str(file)):
                    yield f"{path}: includes {header}, which only files of {kind} may"
            if path.name in isa_files and bracket == "<" and header not in ISA_HEADERS:
                yield f"{path}: includes <{header}>, an ISA file may not"
            other = cxx_folder(Path(header))
            if bracket == '"' and other != folder and layer.get(other, -1) >= layer[folder]:
                yield f"{path}: includes {header}, which is not below {folder}"


def cxx_folder(path: Path) -> str:
    """The folder that has a layer: a file's first, but in common its second."""
    return "/".join(path.parts[: 2 if path.parts[0] == "common" else 1])


def python_modules(root: Path) -> dict[str, Path]:
    """The modules of cnnext by name within the package; its own is ""."""
    modules = {}
    for path in sorted(root.glob("cnnext/**/*.py")):
        parts = path.relative_to(root / "cnnext").with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def imports_of(name: str, path: Path, modules: Iterable[str]) -> Iterator[str]:
    """The modules of cnnext that this one imports at any time."""
    known = set(modules)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            imported = [each if _within(each) in known else str(node.module) for each in whole]
        elif isinstance(node, ast.Call) and _is_import_by_name(node):
            named = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
            imported = [name for name in named if isinstance(name, str)]
        else:
            continue
        for each in map(_within, imported):
            if each is not None and each != name:
                yield each


def _within(module: str) -> str | None:
    """A module's name within cnnext; None if it lies elsewhere."""
    package, _, rest = module.partition(".")
    return rest if package == "cnnext" else None


def _is_import_by_name(call: ast.Call) -> bool:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("import_module", "__import__")


def python_layer(module: str) -> int | None:
    """That of its longest prefix in the table."""
    layer = {name: i for i, names in enumerate(PYTHON_LAYERS) for name in names}
    while module not in layer:
        if "." not in module:
            return None
        module = module.rpartition(".")[0]
    return layer[module]


def python_violations(imports: Mapping[str, set[str]]) -> Iterator[str]:
    for module, imported in imports.items():
        own = python_layer(module)
        if own is None:
            yield f"cnnext.{module}: the module has no layer"
            continue
        for other in sorted(imported):
            layer = python_layer(other)
            if layer is not None and layer > own:
                yield f"cnnext.{module}: imports cnnext.{other}, which is above it"


def circles(imports: Mapping[str, set[str]]) -> Iterator[str]:
    """The modules that import each other, if only by way of others."""
    reached = {module: _reachable(imports, module) for module in imports}
    seen: set[str] = set()
    for module in imports:
        ring = {other for other in reached[module] if module in reached.get(other, ())}
        if ring and module not in seen:
            seen |= ring
            yield f"a circle of imports: {', '.join(f'cnnext.{each}' for each in sorted(ring))}"


def _reachable(imports: Mapping[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    ahead = set(imports[start])
    while ahead:
        module = ahead.pop()
        if module not in reached:
            reached.add(module)
            ahead |= imports.get(module, set())
    return reached


if __name__ == "__main__":
    found = list(violations(Path(__file__).parents[1]))
    sys.exit("\n".join(found) or None)
