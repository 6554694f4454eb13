"""What keeps a command from running, and modules that may be missing."""

from __future__ import annotations

import importlib
from types import ModuleType


class UserError(Exception):
    """What keeps a command from running, in one sentence for the user."""


def demo_module(name: str) -> ModuleType:
    """Import a module of the extra ``cnnext[demo]``.

    Raises:
        UserError: it is not installed, or broken.
    """
    return import_module(name, '"cnnext[demo]"')


def import_module(name: str, package: str) -> ModuleType:
    """Import a module that ``pip install`` of a package brings.

    Raises:
        UserError: it is not installed, or broken.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        raise UserError(
            f"the Python module {missing!r} is missing: pip install {package}"
        ) from error
    except ImportError as error:
        raise UserError(f"the Python module {name!r} cannot be imported: {error}") from error
