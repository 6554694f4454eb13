"""Implementations, and subjects of a worker, that go wrong; another process imports them, too."""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import torch

from cnnext.cli.implementations import Call, Implementation, eager
from cnnext.testing import kernels


def off_by_one(network: Any, images: torch.Tensor) -> Call:
    return lambda: network(images) + 1


def of_another_shape(network: Any, images: torch.Tensor) -> Call:
    return lambda: network(images)[:, 1:]


def slightly_off(network: Any, images: torch.Tensor) -> Call:
    """Within what a peer may be, but not cnnext."""
    return lambda: 1.0001 * network(images)


def remembering_where_the_images_are(network: Any, images: torch.Tensor) -> Call:
    found = weakref.ref(images)
    return lambda: network(found())


def crashing(network: Any, images: torch.Tensor) -> Call:
    def call() -> None:
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)

    return call


def failing_later(network: Any, images: torch.Tensor) -> Call:
    calls = []

    def call() -> torch.Tensor:
        calls.append(None)
        if len(calls) > 1:
            raise RuntimeError("the second call\nfailed")
        return network(images)

    return call


def export_weights(network: torch.nn.Module, images: torch.Tensor, folder: Path) -> None:
    torch.save(network.state_dict(), folder / "weights.pt")
    with (folder / "exports").open("a") as file:
        file.write("once\n")


def from_weights(folder: Path, images: torch.Tensor) -> Call:
    from cnnext import models

    assert (folder / "exports").read_text() == "once\n"
    network = models.lenet5(layers=torch.nn).eval()
    network.load_state_dict(torch.load(folder / "weights.pt"))
    return lambda: list(network(images).numpy())


def export_nothing(network: torch.nn.Module, images: torch.Tensor, folder: Path) -> None:
    raise NotImplementedError("no such operator")


EAGER = Implementation("eager", eager)
OURS = Implementation("converted", eager, ours=True)


class Subject:
    """What a worker is asked in its own tests."""

    def __init__(self, number: int) -> None:
        self.number = number

    def add(self, other: int) -> tuple[int, int]:
        return self.number + other, os.getpid()

    def fail(self) -> None:
        raise ValueError("first line\nsecond line")

    def spin(self) -> None:
        threading.Thread(target=self._spin, daemon=True).start()

    def _spin(self) -> None:
        while True:
            pass

    def crash(self) -> None:
        crashing(None, torch.empty(0))()

    def hang(self) -> None:
        time.sleep(3600)

    def isas(self) -> tuple[str, str]:
        return kernels.active_isa(), torch.backends.cpu.get_cpu_capability()

    def environment(self, name: str) -> str | None:
        return os.environ.get(name)
