"""Arguments that the commands share, and their errors."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from cnnext.training.errors import UserError as UserError
from cnnext.training.errors import demo_module as demo_module


def positive_int(text: str) -> int:
    """An argument of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer, got {text!r}")
    return int(text)


def positive_ints(text: str) -> tuple[int, ...]:
    """Different integers of at least 1, with commas between them."""
    return tuple(dict.fromkeys(map(positive_int, text.split(","))))


def positive_float(text: str) -> float:
    """A finite argument above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}")
    return value


def seed(text: str) -> int:
    """A seed that every generator of PyTorch takes."""
    if not text.isascii() or not text.isdigit() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"must be an integer from 0 to 2^63 - 1, got {text!r}")
    return int(text)


def thread_count(text: str) -> int:
    """A number of threads, limited to what PyTorch's thread pools survive."""
    count, most = positive_int(text), 8 * (os.cpu_count() or 1)
    if count > most:
        raise argparse.ArgumentTypeError(f"must be at most {most} on this machine, got {text!r}")
    return count


def output_file(text: str) -> Path:
    """A file that can be written, so that no measurement is lost for want of a folder."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {str(path.parent)!r} does not exist")
    return path
