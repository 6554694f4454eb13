"""PEP 517 backend: setuptools, compiling against the torch that is already installed.

pip builds in isolation, where the user's torch cannot be imported. A build requirement on torch
would download a second one, so none is made when the interpreter that runs this (with pip, the one
being installed into) has a torch of its own, or CNNEXT_TORCH_PATH names a folder that holds one.
The binary uses only torch's stable ABI: whichever torch it was built with, it runs with any other.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

MINIMUM_TORCH = (2, 10)


def new_enough(torch_version: str) -> bool:
    return tuple(int(part) for part in torch_version.split(".")[:2]) >= MINIMUM_TORCH


def installed_torch() -> str | None:
    """The folder from which a torch that is new enough can be imported."""
    if chosen := os.environ.get("CNNEXT_TORCH_PATH"):
        found = importlib.metadata.distributions(name="torch", path=[chosen])
        if not any(new_enough(torch.version) for torch in found):
            sys.exit(
                f"cnnext: CNNEXT_TORCH_PATH={chosen} holds no PyTorch 2.10 or newer; "
                "set it to the site-packages folder that torch is installed in."
            )
        return chosen
    query = (
        "from importlib.metadata import distribution as d;"
        "print(d('torch').version, d('torch').locate_file(''), sep='\\n')"
    )
    # Isolation works through PYTHON* variables: -E shows the interpreter as its user has it.
    answer = subprocess.run([sys.executable, "-E", "-c", query], capture_output=True, text=True)
    version, _, folder = answer.stdout.strip().partition("\n")
    return folder if version and new_enough(version) else None


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    return [] if installed_torch() else ["torch>=2.10"]


get_requires_for_build_editable = get_requires_for_build_wheel


def _make_torch_importable() -> None:
    if os.environ.get("CNNEXT_TORCH_PATH"):
        sys.path.insert(0, str(installed_torch()))
    elif importlib.util.find_spec("torch") is None and (folder := installed_torch()):
        sys.path.append(folder)  # last: the build's own setuptools goes before the user's


def build_wheel(wheel_directory: str, *args: Any, **kwargs: Any) -> str:
    _make_torch_importable()
    return build_meta.build_wheel(wheel_directory, *args, **kwargs)


def build_editable(wheel_directory: str, *args: Any, **kwargs: Any) -> str:
    _make_torch_importable()
    return build_meta.build_editable(wheel_directory, *args, **kwargs)
