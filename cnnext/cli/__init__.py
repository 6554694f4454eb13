"""The command line: ``python -m cnnext COMMAND``, also installed as ``cnnext``."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from cnnext._version import __version__
from cnnext.cli import bench, compare, env, summary, train
from cnnext.cli.arguments import UserError

_COMMANDS = (compare, bench, train, summary, env)
_BROKEN_PIPE = 141  # as shells report a program whose reader is gone


class _Parser(argparse.ArgumentParser):
    """Reports a bad argument in one sentence, without the usage text, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def command_line() -> argparse.ArgumentParser:
    """The parser of the arguments; parsed ones have the function ``run``."""
    parser = _Parser(
        prog="cnnext",
        description="Faster convolutional and recurrent PyTorch networks, checked on your machine.",
    )
    parser.add_argument("--version", action="version", version=f"cnnext {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; None takes them from the process.

    Returns:
        The exit code: 0, or 1 if cnnext and native PyTorch disagree, or 2 if the command could
        not be run, or 130 if training was interrupted, or 141 if nobody reads the output any more.
        (Bad arguments raise SystemExit with 2.)
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whose encoding may lack a character of a name
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(argv)
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        # Python writes what is left of both once more when it ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return _BROKEN_PIPE


def _run(argv: Sequence[str] | None) -> int:
    arguments = command_line().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except UserError as error:
        print(f"cnnext: {error}", file=sys.stderr)
        return 2
