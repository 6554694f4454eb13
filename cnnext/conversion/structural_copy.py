"""A copy of a module tree that shares its tensors with the original."""

import copy
import functools
import operator
import weakref
from collections.abc import Iterator, Mapping
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import Module

_Model = TypeVar("_Model", bound=Module)


def copy_structure(model: _Model) -> _Model:
    """Copies ``model`` as ``copy.deepcopy`` does, but copies structure alone and shares data.

    Shared with the original are parameters, buffers and other tensors, ScriptModules, modules
    outside the tree (a teacher kept in a list, say), the objects on which hooks record, and
    whatever refuses to be copied, with all it refers to. Other references between modules of the
    tree, bound methods and weak references among them, lead to the copies.
    """
    shared = {id(value): value for value in _shared_values(model)}
    memo = dict(shared)
    try:
        copied = copy.deepcopy(model, memo)
    except Exception:  # a user's attribute may refuse in any way
        shared |= {id(value): value for value in _uncopyable_values(model, shared)}
        memo = dict(shared)
        copied = copy.deepcopy(model, memo)
    copies = {id(module): memo.get(id(module), module) for module in model.modules()}
    for key, its_copy in copies.items():
        if id(its_copy) != key:
            _redirected(vars(its_copy), copies, set())
    return copied


def _is_a(value: object, kinds: Any) -> bool:
    """`isinstance` of the object itself: a weak proxy has the class of another, or of none left."""
    return issubclass(type(value), kinds)


def _redirected(value: Any, copies: Mapping[int, object], seen: set[int]) -> Any:
    """``value``, in which weak references to the modules lead to their copies.

    Dictionaries and lists are changed, tuples made anew where they have to be.
    """
    kind = type(value)
    if kind is weakref.ref or kind in weakref.ProxyTypes:
        target = value() if kind is weakref.ref else _referent(value)
        its_copy = copies.get(id(target), target)
        if its_copy is target:
            return value
        return weakref.ref(its_copy) if kind is weakref.ref else weakref.proxy(its_copy)
    if kind is tuple:
        items = tuple([_redirected(item, copies, seen) for item in value])
        return items if any(map(operator.is_not, items, value)) else value
    if _is_a(value, (dict, list)) and id(value) not in seen:
        seen.add(id(value))
        for key, item in list(value.items() if _is_a(value, dict) else enumerate(value)):
            if (redirected := _redirected(item, copies, seen)) is not item:
                value[key] = redirected
    return value


def _referent(proxy: Any) -> object:
    """What a weak proxy refers to, None if that is gone."""
    try:
        return proxy.__repr__.__self__
    except ReferenceError:
        return None


def _shared_values(model: Module) -> Iterator[object]:
    tree = set(model.modules())
    for module in tree:
        if isinstance(module, torch.jit.ScriptModule):
            yield module  # it copies its tensors whatever the memo says
            continue
        for leaf in _leaves(vars(module)):
            if _is_a(leaf, (Tensor, *weakref.ProxyTypes)) or (
                _is_a(leaf, Module) and leaf not in tree
            ):
                yield leaf
        for hook in _hooks(module):
            for part in _hook_parts(hook):
                if not (_is_a(part, Module) and part in tree):
                    yield part


def _leaves(value: object) -> Iterator[object]:
    """Yields ``value``, or what it holds if it is a built-in container, however deep."""
    pending: list[Any] = [value]
    seen = set[int]()
    while pending:
        item = pending.pop()
        if not _is_a(item, (dict, list, tuple, set, frozenset)):
            yield item
        elif id(item) not in seen:
            seen.add(id(item))
            pending.extend(item.values() if _is_a(item, dict) else item)


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
            is_weak = type(hook) in weakref.ProxyTypes
            # torch wraps some together with their module
            yield hook if is_weak else getattr(hook, "hook", hook)


def _hook_parts(hook: Any) -> Iterator[object]:
    """Yields the objects that ``hook`` acts on.

    They belong to whoever registered the hook, who would never see what a copy of them records.
    """
    if _is_a(hook, MethodType):
        yield hook.__self__
    elif _is_a(hook, functools.partial):
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
