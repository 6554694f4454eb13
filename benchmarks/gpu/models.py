"""Comparisons of whole models.

All implementations have the same weights. What is compiled or captured is channels_last with
cuDNN's search, as the faster of the eager ones usually is. There is no dropout in training, so that
all compute the same.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import cnnext.nn
from benchmarks.gpu.comparison import (
    Call,
    Comparison,
    Implementation,
    Tensors,
    Verdict,
    context_of,
    relative_error,
    unit,
)
from benchmarks.gpu.tasks import Task, flags
from cnnext import models
from cnnext.testing.comparisons import LAYOUTS
from cnnext.testing.errors import GRADIENT_TOLERANCE, gradient_error, make_input

COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")

#: A larger relative error of native PyTorch itself measures nobody.
_YARDSTICK_LIMIT = 0.1
_NATIVE = "torch NCHW"
_GRAPH = "CUDA graph"
_IMAGES = {"lenet5": (1, 32, 32)}

#: ``torch.compile``, or what stands for it in a test.
Compiler = Callable[..., Any]


def names(direction: str, device: str) -> tuple[str, ...]:
    """A model's implementations."""
    graph = (_GRAPH,) if device == "cuda" and direction == "forward" else ()
    return (
        *(f"torch {layout}" for layout in LAYOUTS),
        *(f"torch.compile {mode}" for mode in COMPILE_MODES),
        *graph,
        *(f"cnnext {backend} {layout}" for backend in ("own", "auto") for layout in LAYOUTS),
    )


def _build(name: str, layers: Any) -> torch.nn.Module:
    model = getattr(models, name)(layers=layers)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def _captured(model: torch.nn.Module, images: Tensor) -> Call:
    """A CUDA graph of the model's forward; each call copies its input and replays."""
    static = images.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(side):
        for _ in range(3):
            model(static)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        output = model(static)

    def replay() -> Tensors:
        static.copy_(images)
        graph.replay()
        return (output,)

    return replay


def comparison(task: Task, device: str, compiler: Compiler = torch.compile) -> Comparison:
    """Sets up a task."""
    batch = int(task.case.split()[-1])
    training = task.direction == "training"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        native = _build(task.subject, torch.nn).to(device).train(training)
    ours = _build(task.subject, cnnext.nn).to(device).train(training)
    ours.load_state_dict(native.state_dict())
    generator = torch.Generator().manual_seed(1)
    shape = (batch, *_IMAGES.get(task.subject, (3, 224, 224)))
    images = make_input("normal", shape, generator).to(device)
    with torch.no_grad():
        classes = native(images).shape[1]
    labels = torch.randint(classes, (batch,), generator=generator).to(device)

    def call(run: Callable[[Tensor], Tensor], model: torch.nn.Module, given: Tensor) -> Call:
        parameters = tuple(model.parameters())

        def forward() -> Tensors:
            with torch.no_grad():
                return (run(given),)

        def train() -> Tensors:
            loss = torch.nn.functional.cross_entropy(run(given), labels)
            return (loss.detach(), *torch.autograd.grad(loss, parameters))

        return train if training else forward

    def implementation(name: str) -> Implementation:
        layout = LAYOUTS.get(name.split()[-1], torch.channels_last)

        def make() -> list[Call]:
            model = copy.deepcopy(ours if name.startswith("cnnext") else native)
            model = model.to(memory_format=layout)
            given = images.contiguous(memory_format=layout)
            if name == _GRAPH:
                return [_captured(model, given)]
            if name.startswith("torch.compile"):
                return [call(compiler(model, mode=name.split()[1]), model, given)]
            return [call(model, model, given)]

        return Implementation(name, make, context_of(name))

    double = copy.deepcopy(native).double()
    references = call(double, double, images.double())()
    error_of = _gradient_error if training else relative_error
    yardstick = error_of(call(native, native, images)(), references)
    tf32 = "tf32" in flags().values()
    slack = GRADIENT_TOLERANCE if training else 8 * unit(images.dtype, tf32)

    def judge(results: Tensors) -> Verdict:
        limit = 4 * yardstick + slack if yardstick <= _YARDSTICK_LIMIT else 0.0
        return Verdict(error_of(results, references), limit)

    return Comparison(tuple(map(implementation, names(task.direction, device))), judge)


def _gradient_error(results: Tensors, references: Tensors) -> float:
    """The larger of two errors: that of the loss, and that of all gradients as one vector."""
    return max(
        relative_error(results[:1], references[:1]), gradient_error(results[1:], references[1:])
    )
