"""A process of its own for one implementation, which runs only while it is asked something.

Runtimes disturb each other in one process: each has a pool of threads and an allocator, some bring
an OpenMP of their own, and a crash ends all. In processes of their own they still meet on the
cores, because the threads of a pool spin for a while after a call, waiting for the next. To forbid
a pool to spin would cost it speed that its users have. So a worker is stopped by the system
(SIGSTOP) with all its threads as soon as it has answered, and continued (SIGCONT) with the next
question: between its blocks it does not run, within them nobody else does. A stopped worker keeps
its memory.

A question is the name of a method and its arguments, an answer what the method returned, both
pickled through a socket; so the object asked must be importable on the other side. What a worker
prints goes to a file.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

#: How long an answer may take: a compiler may run, and a batch of large images.
TIMEOUT_S = 900.0

_PR_SET_PDEATHSIG = 1  # prctl(2)


class WorkerError(Exception):
    """Why there is no answer: an error there, a crash, or too long a wait."""


class Worker:
    """The asking side.

    Args:
        subject: the object asked, copied into the process.
        environment: variables that the process has in addition to this one's.
        log: the file that its output is appended to.
    """

    def __init__(self, subject: object, *, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._connection, theirs = Pipe()
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import main; main({theirs.fileno()})"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
                start_new_session=True,  # what it starts (a compiler) is stopped and ended with it
            )
        with suppress(OSError):  # it has ended already, as the first question will find out
            self._connection.send(subject)

    def ask(self, method: str, **arguments: Any) -> Any:
        """What that method of the subject returns.

        Raises:
            WorkerError: the method raised an error, the process ended, or it took too long.
        """
        self._signal(signal.SIGCONT)
        try:
            self._connection.send((method, arguments))
            if not self._connection.poll(TIMEOUT_S):
                raise WorkerError(f"no answer within {TIMEOUT_S:g} s")
            error, answer = self._connection.recv()
        except (EOFError, OSError):
            raise WorkerError(self._how_it_ended()) from None
        self._signal(signal.SIGSTOP)
        if error is not None:
            raise WorkerError(error)
        return answer

    def close(self) -> None:
        """End the process and all that it has started."""
        self._connection.close()
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _how_it_ended(self) -> str:
        self._signal(signal.SIGCONT)
        code = self._process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        printed = self._log.read_text(errors="replace").split("\n")
        last = next((line for line in reversed(printed) if line.strip()), "nothing printed")
        return f"its process ended with {how}: {last.strip()}"


def main(descriptor: int) -> None:
    """The answering side, until the asking side closes the socket or ends."""
    # Stopped, it would not notice that nobody will ask again.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    connection = Connection(descriptor)
    with suppress(EOFError):
        subject = connection.recv()
        while True:
            method, arguments = connection.recv()
            connection.send(_answer(getattr(subject, method), arguments))


def _answer(method: Callable[..., Any], arguments: Mapping[str, Any]) -> tuple[str | None, Any]:
    """An error in words, or else the result."""
    try:
        return None, method(**arguments)
    except Exception as error:
        return _in_one_line(error), None


def _in_one_line(error: Exception) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}".removesuffix(": ")
