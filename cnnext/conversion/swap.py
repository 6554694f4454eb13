"""Swaps the layers of a model for cnnext's and back.

A cnnext module is a direct subclass of its ``torch.nn`` namesake with the same attributes, so a
layer is swapped by assigning its ``__class__``. The module stays the same object: its parameters,
buffers, hooks, flags, its place in the model and whatever else refers to it are untouched.
"""

from typing import TypeVar, cast

from torch.nn import Module

from cnnext.conversion.decisions import decide
from cnnext.conversion.report import ConversionReport, FunctionalCall, Layer, check_model, report
from cnnext.conversion.structural_copy import copy_structure
from cnnext.optimization.optimized import Optimized

__all__ = ["ConversionReport", "FunctionalCall", "Layer", "convert", "report", "restore"]

_Model = TypeVar("_Model", bound=Module)


def convert(model: _Model, *, inplace: bool = False) -> _Model:
    """Swaps every supported ``torch.nn`` layer of ``model`` for its cnnext counterpart.

    ``torch.nn.Sequential`` is swapped, too: cnnext's trains runs of its layers as one function.
    Only layers of exactly a ``torch.nn`` type are swapped: a subclass may compute anything, so
    subclasses, parametrized and lazy layers are left alone, and so are layers whose ``forward``
    is replaced on the instance. :func:`report` names them, and the functional calls, which
    cannot be swapped. Converting twice changes nothing more.

    Args:
        model: any module; a supported layer itself will do.
        inplace: swap in ``model`` itself instead of in a copy.

    Returns:
        ``model`` if ``inplace``, else a copy of its module tree. The copy shares every parameter
        and buffer, so training the one trains the other, and calls the same hooks; otherwise it
        is as ``copy.deepcopy`` makes it. ScriptModules, and attributes and submodules that cannot
        be copied, are shared as well; what is shared is not swapped.

    Raises:
        TypeError: if ``model`` is not a ``torch.nn.Module``.
    """
    return _swap("convert", model, inplace)


def restore(model: _Model, *, inplace: bool = False) -> _Model:
    """Swaps every cnnext layer of ``model`` for its ``torch.nn`` counterpart.

    This is the inverse of :func:`convert`; layers that were built as cnnext modules become
    ``torch.nn`` modules too. Subclasses of cnnext's modules, and layers whose ``forward`` is
    replaced on the instance, are left alone. An optimized model gives back its original as it is.

    Args:
        model: any module; a cnnext layer itself will do.
        inplace: swap in ``model`` itself instead of in a copy.

    Returns:
        ``model`` if ``inplace``, else a copy of its module tree as :func:`convert` makes it.

    Raises:
        TypeError: if ``model`` is not a ``torch.nn.Module``.
    """
    if isinstance(model, Optimized):
        return cast(_Model, model.original)
    return _swap("restore", model, inplace)


def _swap(caller: str, model: _Model, inplace: bool) -> _Model:
    """Swaps layers for their counterparts: those that are bases, or those that are not."""
    check_model(caller, model)
    originals: set[Module] = set()
    if not inplace:
        originals.update(model.modules())
        model = copy_structure(model)
    for module in model.modules():
        if module in originals:  # a submodule that cannot or will not be copied
            continue
        decision = decide(module)
        if decision is None or decision.counterpart is None:
            continue
        is_base = decision.counterpart in type(module).__mro__
        if is_base == (caller == "restore"):
            module.__class__ = decision.counterpart
    return model
