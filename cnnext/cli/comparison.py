"""One model measured as ``compare`` does it: agreement first, then time and memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from torch import Tensor

from cnnext.cli import subjects
from cnnext.cli.results import Row
from cnnext.testing.errors import GRADIENT_TOLERANCE
from cnnext.testing.timing import compare_blocks, peak_memory, torch_threads
from cnnext.testing.twins import CNNEXT, CONTESTANTS, Twins

Progress = Callable[[str], None]

_BLOCKS = 5


def steps(train: bool) -> int:
    """How often ``compare_model`` reports progress for a model that agrees."""
    timed = len(CONTESTANTS) * (_BLOCKS + 1)
    return 2 + timed + (1 + timed if train else 0)


def compare_model(name: str, batch: int, *, threads: int, train: bool, progress: Progress) -> Row:
    """Build a model's twins, check that they agree, and measure them if they do.

    Args:
        name: one of ``subjects.names()``.
        batch: images in the batch.
        threads: PyTorch's intra-op threads.
        train: measure the training step too, after a check of the gradients.
        progress: called with a few words after each step.

    Returns:
        The row: ``model``, ``batch``, ``input``, ``parameters``, ``agrees``, ``errors`` and
        ``gradient_errors`` by contestant, and for ``forward`` and ``training`` the ``times`` and
        ``peak_memory`` by contestant (None where not measured).
    """
    with torch_threads(threads):
        sample = subjects.sample(name, batch)
        twins = Twins(subjects.build(name), sample.images, sample.labels)
        progress("built")
        agreement = twins.check_forward()
        progress("outputs checked")
        agrees, gradient_errors = agreement.ok, None
        if train:
            gradient_errors = twins.check_gradients()
            agrees = agrees and gradient_errors[CNNEXT] <= GRADIENT_TOLERANCE
            progress("gradients checked")
        return {
            "model": name,
            "batch": batch,
            "input": sample.description,
            "parameters": twins.parameters,
            "agrees": agrees,
            "errors": agreement.errors,
            "gradient_errors": gradient_errors,
            "forward": _measure(twins.forward_calls(), "forward", progress) if agrees else None,
            "training": _measure(twins.training_calls(), "training step", progress)
            if agrees and train
            else None,
        }


def _measure(calls: dict[str, Callable[[], Tensor]], what: str, progress: Progress) -> Row:
    times = compare_blocks(calls, blocks=_BLOCKS, progress=lambda name: progress(f"{what}, {name}"))
    memory = {}
    for name, call in calls.items():
        memory[name] = peak_memory(call)
        progress(f"memory, {name}")
    return {
        "times": {name: asdict(timing) for name, timing in times.items()},
        "peak_memory": memory,
    }
