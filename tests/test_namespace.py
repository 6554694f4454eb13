"""`cnnext.nn` serves where `torch.nn` was: as a module, in every way of importing from one."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import cnnext
from cnnext.runtime.mirror import Mirror

ROOT = Path(__file__).parents[1]
CLASSES = {cls.__bases__[0]: cls for cls in (*cnnext.nn.SWAPPED, *cnnext.nn.NATIVE)}
FUNCTIONS = {
    getattr(nn.functional, name): getattr(cnnext.functional, name)
    for name in cnnext.functional.__all__
    if hasattr(nn.functional, name)
}
LOADED = sorted(name.removeprefix("torch.") for name in sys.modules if name.startswith("torch.nn"))


def ours_for(value: Any) -> Any:
    """What cnnext must have in the place of a value of torch.nn."""
    if isinstance(value, type) or inspect.isroutine(value):
        return CLASSES.get(value) or FUNCTIONS.get(value, value)
    return value


def python(*lines: str) -> Any:
    """What a new process makes of the lines; the last is an expression, a value of JSON."""
    *statements, value = lines
    script = "\n".join((*statements, f"import json; print(json.dumps({value}))"))
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


# ------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", LOADED)
def test_a_module_holds_what_natives_does(name: str) -> None:
    """Every module of torch.nn that torch loads, name by name; and star imports bring the same."""
    native, ours = import_module(f"torch.{name}"), import_module(f"cnnext.{name}")
    for key, value in vars(native).items():
        if key.startswith("__"):
            continue
        found = vars(ours)[key]
        if isinstance(value, ModuleType) and value.__name__.startswith("torch.nn."):
            assert found is value or found.__name__ == value.__name__.replace("torch", "cnnext")
        else:
            assert found is ours_for(value), key
    stars: list[dict[str, Any]] = [{}, {}]
    for library, star in zip(("torch", "cnnext"), stars, strict=True):
        exec(f"from {library}.{name} import *", star)
    assert list(stars[0]) == list(stars[1])


@pytest.mark.parametrize("name", LOADED)
def test_a_module_without_layers_is_natives_own(name: str) -> None:
    """What it keeps, such as hooks on all modules, exists once."""
    native, ours = import_module(f"torch.{name}"), import_module(f"cnnext.{name}")
    values = list(vars(native).values())
    if not any(ours_for(value) is not value for value in values):
        assert ours is native


def test_scans() -> None:
    layers = {name for name, v in vars(cnnext.nn).items() if isinstance(v, type)}
    assert layers >= {"BatchNorm2d", "LayerNorm", "GroupNorm", "SiLU", "Conv2d", "Module"}
    activations = [name for name in dir(cnnext.nn) if name.endswith("ReLU")]
    assert activations == [name for name in dir(nn) if name.endswith("ReLU")]


def test_what_torch_gets_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn, "NewLayer", nn.Identity, raising=False)
    monkeypatch.setattr(nn.functional, "new_function", len, raising=False)
    assert cnnext.nn.NewLayer is nn.Identity
    assert cnnext.nn.functional.new_function is len
    for module in (cnnext.nn, cnnext.nn.functional):
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute"):
            module.nothing  # noqa: B018


# ----------------------------------------------------------------------------------- imports


def test_what_is_not_there() -> None:
    for name in ("nothing", "utils.nothing", "modules.nothing", "functional.nothing"):
        with pytest.raises(ModuleNotFoundError, match=f"No module named 'cnnext.nn.{name}'"):
            import_module(f"cnnext.nn.{name}")


@pytest.mark.parametrize("before", ["pass", "import torch.nn.functional, cnnext.nn.functional"])
def test_import_of_functional(before: str) -> None:
    assert python(
        before,
        "import cnnext.nn.functional as F",
        "from cnnext.nn.functional import conv2d",
        "import cnnext, torch",
        "F is cnnext.nn.functional and conv2d is cnnext.functional.conv2d"
        " and F.gelu is torch.nn.functional.gelu",
    )


def test_torch_stays_as_it_was() -> None:
    """No module is loaded twice, and functions with the name of their module stay functions."""
    changed = python(
        "import sys, torch",
        "names = [name for name in sys.modules if name.startswith('torch.nn')]",
        "before = {name: dict(vars(sys.modules[name])) for name in names}",
        "from importlib import import_module",
        "later = ['torch.nn.utils.prune', 'torch.nn.attention.flex_attention', 'torch.nn.cpp']",
        "ours = lambda name: import_module(name.replace('torch', 'cnnext'))",
        "for name in names + later: ours(name)",
        "[f'{n}.{k}' for n in names for k in before[n]"
        " if vars(sys.modules[n])[k] is not before[n][k]]"
        " + [n for n in later if ours(n) is not import_module(n)]",
    )
    assert changed == []


def test_there_is_one_finder() -> None:
    before = list(sys.meta_path)
    Mirror(CLASSES).install()
    try:
        assert len(sys.meta_path) == len(before)
        assert isinstance(sys.meta_path[0], Mirror)
    finally:
        sys.meta_path[:] = before


# -------------------------------------------------------------------------------------- types

CHECKED = """
import cnnext.nn as nn
import cnnext.nn.functional as F
from cnnext.nn import BatchNorm2d, Module

class Mine(nn.Conv2d):
    pass

reveal_type(nn.Conv2d(1, 2, 3))
reveal_type(Mine(1, 2, 3).out_channels)
reveal_type(nn.LSTM(1, 2))
reveal_type(BatchNorm2d(3).eps)
reveal_type(F.relu)
reveal_type(F.gelu)
"""


@pytest.mark.slow  # mypy reads all of torch
def test_type_checkers_know_both(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    file = tmp_path / "checked.py"
    file.write_text(CHECKED)
    process = subprocess.run(  # that sees cnnext as installed, and so no code of it as its own
        [sys.executable, "-m", "mypy", "--strict", file],
        capture_output=True, text=True, cwd=tmp_path, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    types = [line.partition('Revealed type is "')[2] for line in process.stdout.splitlines()]
    assert process.returncode == 0, process.stdout
    expected = (
        "cnnext.ops.conv2d.Conv2d",
        "int",
        "cnnext.ops.recurrent_layers.LSTM",
        "float",
        "def (input: torch._tensor.Tensor, inplace: bool =)",
        "def (input: torch._tensor.Tensor, approximate: str =)",
    )
    for found, begin in zip(types, expected, strict=False):
        assert found.removeprefix("builtins.").startswith(begin)


def test_global_hooks_are_the_same() -> None:
    calls: list[nn.Module] = []
    handle = cnnext.nn.modules.module.register_module_forward_hook(lambda m, *_: calls.append(m))
    layer = cnnext.nn.ReLU()
    layer(torch.zeros(1))
    handle.remove()
    assert calls == [layer]
