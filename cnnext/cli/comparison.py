"""One model measured as ``compare`` does it: agreement first, then time and memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict

from torch import Tensor

from cnnext.cli import subjects
from cnnext.cli.device import CPU, Device
from cnnext.cli.results import Row
from cnnext.runtime.flags import flags
from cnnext.testing.model_pair import CNNEXT, IMPLEMENTATIONS, INFERENCE, ModelPair
from cnnext.testing.timing import compare_blocks, torch_threads

Progress = Callable[[str], None]

_BLOCKS = 5


def steps(train: bool, device: Device = CPU) -> int:
    """How often ``compare_model`` reports progress for a model that agrees."""
    implementations = INFERENCE if _optimized(device) else IMPLEMENTATIONS
    inference, training = (len(each) * (_BLOCKS + 1) for each in (implementations, IMPLEMENTATIONS))
    return 2 + inference + (1 + training if train else 0)


def _optimized(device: Device) -> bool:
    """Whether ``cnnext.optimize`` is compared, too: its plans are for the CPU."""
    return device.gpu is None


def compare_model(
    name: str,
    batch: int,
    *,
    threads: int,
    train: bool,
    progress: Progress,
    device: Device = CPU,
) -> Row:
    """Build a model's pair, check that they agree, and measure them if they do.

    Args:
        name: one of ``subjects.names()``.
        batch: images in the batch.
        threads: PyTorch's intra-op threads.
        train: measure the training step too, after a check of the gradients.
        progress: called with a few words after each step.
        device: where the models run.

    Returns:
        The row: ``model``, ``batch``, ``gpu`` and ``cuda_backend`` (None on the CPU), ``input``,
        ``parameters``, ``agrees``, ``errors`` and ``gradient_errors`` by implementation, and for
        ``forward`` and ``training`` the ``times`` and ``peak_memory`` by implementation (None where
        not measured).
    """
    with torch_threads(threads), flags(cuda_backend=device.cuda_backend):
        sample = subjects.sample(name, batch)
        images, labels = (tensor.to(device.type) for tensor in (sample.images, sample.labels))
        pair = ModelPair(subjects.build(name), images, labels, optimized=_optimized(device))
        progress("built")
        agreement = pair.check_forward()
        progress("outputs checked")
        agrees, gradient_errors = agreement.ok, None
        if train:
            gradient_errors = pair.check_gradients()
            limit = pair.gradient_limit(gradient_errors)
            agrees = agrees and gradient_errors[CNNEXT] <= limit
            progress("gradients checked")
        measured = functools.partial(_measure, pair=pair, device=device, progress=progress)
        return {
            "model": name,
            "batch": batch,
            "gpu": device.gpu,
            "cuda_backend": device.cuda_backend,
            "input": sample.description,
            "parameters": pair.parameters,
            "agrees": agrees,
            "errors": agreement.errors,
            "gradient_errors": gradient_errors,
            "forward": measured(pair.forward_calls(), "forward") if agrees else None,
            "training": measured(pair.training_calls(), "training step")
            if agrees and train
            else None,
        }


def _measure(
    calls: dict[str, Callable[[], Tensor]],
    what: str,
    *,
    pair: ModelPair,
    device: Device,
    progress: Progress,
) -> Row:
    times = compare_blocks(
        calls,
        blocks=_BLOCKS,
        progress=lambda name: progress(f"{what}, {name}"),
        synchronize=device.synchronize,
        setting=pair.setting,
    )
    memory = {}
    for name, call in calls.items():
        with pair.setting(name):
            memory[name] = device.peak_memory(call)
        progress(f"memory, {name}")
    return {
        "times": {name: asdict(timing) for name, timing in times.items()},
        "peak_memory": memory,
    }
