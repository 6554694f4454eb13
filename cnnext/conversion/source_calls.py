"""Finds the calls of given functions in the source of a module's ``forward``."""

import ast
import contextlib
import inspect
import os
import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final

from torch.nn import Module

_UNKNOWN: Final = object()


@dataclass(frozen=True, order=True)
class Call:
    """A call in source code.

    Attributes:
        file: path of the source file.
        line: line number in that file, from 1.
        text: what is called, as written: ``"F.relu"``, ``"x.relu"``, ``"self.act"``.
        function: name of the function that this is, ``"relu"``.
    """

    file: str
    line: int
    text: str
    function: str

    @property
    def location(self) -> str:
        return f"{os.path.basename(self.file)}:{self.line}"


def find_calls(
    module: Module, functions: Mapping[Any, str], methods: Collection[str]
) -> list[Call]:
    """Returns the calls in ``module.forward`` and in the methods that it calls on ``self``.

    Names are looked up as Python would, so that ``import torch.nn.functional as anything`` is
    seen through, and a function kept in an attribute too. Submodules, helper functions outside
    the class and ``super()`` are not followed, and imports inside a function not seen.

    Args:
        module: the module to read; what it inherits from torch or cnnext is skipped.
        functions: the functions to look for, with the names to report them under.
        methods: the tensor methods to look for. What type a local variable has is unknown, so a
            call on one counts if it has no arguments.

    Raises:
        OSError: if the source is not available.
    """
    names = {id(function): name for function, name in functions.items()}
    found: set[Call] = set()
    pending, seen = [_forward_function(module)], set[FunctionType]()
    while pending:
        function = inspect.unwrap(pending.pop())
        if function in seen or _is_library_code(function):
            continue
        seen.add(function)
        source = _FunctionSource(function, module)
        for call in source.calls:
            target = source.resolve(call.func)
            if id(target) in names:
                found.add(source.locate(call, names[id(target)]))
            elif isinstance(call.func, ast.Attribute):
                owner, attribute = source.resolve(call.func.value), call.func.attr
                if owner is _UNKNOWN and attribute in methods and not call.args:
                    found.add(source.locate(call, attribute))
                elif (
                    owner is module
                    and type(target) is FunctionType
                    and target is inspect.getattr_static(type(module), attribute, None)
                ):
                    pending.append(target)
    return sorted(found)


def _forward_function(module: Module) -> FunctionType:
    forward = inspect.unwrap(vars(module).get("forward", type(module).forward))
    if isinstance(forward, MethodType):
        forward = forward.__func__
    if not isinstance(forward, FunctionType):
        raise OSError(f"{forward!r} is not a Python function")
    return forward


def _closure_of(function: FunctionType) -> dict[str, Any]:
    """The variables that ``function`` closes over, but for those not assigned yet, or deleted."""
    values = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):
            values[name] = cell.cell_contents
    return values


def _is_library_code(function: FunctionType) -> bool:
    return (function.__module__ or "").startswith(("torch.", "cnnext.ops."))


class _FunctionSource:
    """The syntax tree of a method, and the values of the names in it.

    Args:
        function: the method, undecorated.
        module: the value of its first argument.
    """

    def __init__(self, function: FunctionType, module: Module) -> None:
        lines, first_line = inspect.getsourcelines(function)
        # An indented method is a valid block; removing the indentation could break its strings.
        header = "if True:\n" if lines[0][:1].isspace() else ""
        try:
            tree = ast.parse(header + "".join(lines))
        except SyntaxError as error:  # a lambda in the middle of an expression, for one
            raise OSError(f"{function!r} cannot be parsed on its own") from error
        nodes = list(ast.walk(tree))
        self.calls = [node for node in nodes if isinstance(node, ast.Call)]
        self._file = inspect.getsourcefile(function) or function.__code__.co_filename
        self._line_offset = first_line - 1 - len(header.splitlines())
        self._values: dict[str, Any] = dict(function.__globals__)
        self._values |= _closure_of(function)
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._values[node.id] = _UNKNOWN
            elif isinstance(node, ast.arg):
                self._values[node.arg] = _UNKNOWN
        self._values |= dict.fromkeys(function.__code__.co_varnames[:1], module)

    def locate(self, call: ast.Call, function: str) -> Call:
        line = call.func.lineno + self._line_offset
        return Call(self._file, line, ast.unparse(call.func), function)

    def resolve(self, node: ast.expr) -> Any:
        """Returns the value of a name or of a chain of attributes, ``_UNKNOWN`` if it has none."""
        if isinstance(node, ast.Name):
            return self._values.get(node.id, _UNKNOWN)
        if not isinstance(node, ast.Attribute):
            return _UNKNOWN
        owner = self.resolve(node.value)
        if owner is _UNKNOWN or type(owner) in weakref.ProxyTypes:
            return _UNKNOWN
        if isinstance(owner, ModuleType):  # a package may make its attributes on demand
            return getattr(owner, node.attr, _UNKNOWN)
        return inspect.getattr_static(owner, node.attr, _UNKNOWN)
