"""A copy of a module tree that shares its tensors with the original."""

import copy
import functools
from collections.abc import Iterator, Mapping
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import Module

_Model = TypeVar("_Model", bound=Module)


def copy_structure(model: _Model) -> _Model:
    """Copies ``model`` as ``copy.deepcopy`` does, but shares what is data rather than structure.

    Shared with the original are parameters, buffers and other tensors, ScriptModules, modules
    outside the tree (a teacher kept in a list, say), the objects on which hooks record, and
    whatever refuses to be copied, with all it refers to. Other references between modules of the
    tree, bound methods among them, lead to the copies.
    """
    shared = {id(value): value for value in _shared_values(model)}
    try:
        return copy.deepcopy(model, dict(shared))
    except Exception:  # a user's attribute may refuse in any way
        shared |= {id(value): value for value in _uncopyable_values(model, shared)}
        return copy.deepcopy(model, dict(shared))


def _shared_values(model: Module) -> Iterator[object]:
    tree = set(model.modules())
    for module in tree:
        if isinstance(module, torch.jit.ScriptModule):
            yield module  # it copies its tensors whatever the memo says
            continue
        for leaf in _leaves(vars(module)):
            if isinstance(leaf, Tensor) or (isinstance(leaf, Module) and leaf not in tree):
                yield leaf
        for hook in _hooks(module):
            for part in _hook_parts(hook):
                if not (isinstance(part, Module) and part in tree):
                    yield part


def _leaves(value: object) -> Iterator[object]:
    """Yields ``value``, or what it holds if it is a built-in container, however deep."""
    pending, seen = [value], set[int]()
    while pending:
        item = pending.pop()
        if not isinstance(item, dict | list | tuple | set | frozenset):
            yield item
        elif id(item) not in seen:
            seen.add(id(item))
            pending.extend(item.values() if isinstance(item, dict) else item)


def _hooks(module: Module) -> Iterator[Any]:
    for attribute in (
        "_forward_pre_hooks",
        "_forward_hooks",
        "_backward_pre_hooks",
        "_backward_hooks",
        "_state_dict_pre_hooks",
        "_state_dict_hooks",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
    ):
        for hook in getattr(module, attribute).values():
            yield getattr(hook, "hook", hook)  # torch wraps some together with their module


def _hook_parts(hook: Any) -> Iterator[object]:
    """Yields the objects that ``hook`` acts on.

    They belong to whoever registered the hook, who would never see what a copy of them records.
    """
    if isinstance(hook, MethodType):
        yield hook.__self__
    elif isinstance(hook, functools.partial):
        for part in (hook.func, *hook.args, *hook.keywords.values()):
            yield from _hook_parts(part)
    else:
        yield hook


def _uncopyable_values(model: Module, shared: Mapping[int, object]) -> Iterator[object]:
    """Yields what ``copy.deepcopy`` rejects: locks and open files that modules hold, or a module
    whose class refuses."""
    modules = {id(module): module for module in model.modules()}
    known = {**shared, **modules}
    leaves = {id(leaf): leaf for module in modules.values() for leaf in _leaves(vars(module))}
    own_way = {key: each for key, each in modules.items() if hasattr(each, "__deepcopy__")}
    for key, value in {**leaves, **own_way}.items():
        if key in shared or (key in modules and key not in own_way):
            continue
        try:
            copy.deepcopy(value, {k: v for k, v in known.items() if k != key})
        except Exception:  # as in copy_structure
            yield value
