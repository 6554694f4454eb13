"""One model as several implementations with the same weights, checked against float64."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import cnnext.nn
from cnnext.optimization.optimized import Optimized, optimize
from cnnext.testing.errors import (
    GRADIENT_TOLERANCE,
    MAX_FACTOR,
    check_contract,
    gradient_error,
    measure,
)
from cnnext.testing.timing import cudnn_benchmark

NCHW = "torch NCHW"
CHANNELS_LAST = "torch channels_last"
BASELINES = (NCHW, CHANNELS_LAST)
CNNEXT = "cnnext"
OPTIMIZED = "optimized"
IMPLEMENTATIONS = (*BASELINES, CNNEXT)
INFERENCE = (*IMPLEMENTATIONS, OPTIMIZED)

#: A model from a layer namespace such as ``torch.nn`` or ``cnnext.nn``.
Build = Callable[[Any], torch.nn.Module]

# A step costs the same at any rate; with this one the weights stay those that were checked.
_LEARNING_RATE = 1e-6


@dataclass(frozen=True)
class Agreement:
    """Largest error of each implementation's output over the largest float64 output."""

    errors: dict[str, float]
    ok: bool


class ModelPair:
    """A model built with torch.nn (in two memory layouts) and with cnnext.nn.

    The three have the same weights: they share their storage wherever the layout allows. The
    cnnext model is given the same NCHW input as the first native one. All are on the device of the
    images; the float64 reference is computed on the CPU.

    Args:
        build: makes the model from a layer namespace.
        images: input (N, C, H, W), float32.
        labels: class numbers (N,) for the loss of the training step, on the same device.
        seed: of the initial weights.
        optimized: the native model under ``cnnext.optimize`` is a fourth one, for inference alone.
    """

    def __init__(
        self,
        build: Build,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int = 0,
        optimized: bool = False,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            native = build(torch.nn).to(images.device)
        state = native.state_dict()
        self._build = build
        self._labels = labels
        self.inference = INFERENCE if optimized else IMPLEMENTATIONS
        self.models = {
            NCHW: native,
            CHANNELS_LAST: _in_channels_last(_with_state(build, torch.nn, state)),
            CNNEXT: _with_state(build, cnnext.nn, state),
        }
        self.inputs = {
            NCHW: images,
            CHANNELS_LAST: images.contiguous(memory_format=torch.channels_last),
            CNNEXT: images,
            OPTIMIZED: images,
        }

    @property
    def parameters(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.models[NCHW].parameters())

    def setting(self, name: str) -> AbstractContextManager[None]:
        """What an implementation's calls have to run in.

        On CUDA, native PyTorch's channels_last is at its best where cuDNN tries its algorithms
        out. It keeps the first that it has taken for a convolution, so checks need this as well.
        """
        if not self.inputs[NCHW].is_cuda:
            return nullcontext()
        return cudnn_benchmark(name == CHANNELS_LAST)

    def forward_calls(self) -> dict[str, Callable[[], Tensor]]:
        """Inference without gradients by each implementation; puts the models in eval mode."""
        self._set_training(False)
        return {name: self._forward_call(name) for name in self.inference}

    def training_calls(self) -> dict[str, Callable[[], Tensor]]:
        """A training step (forward, loss, backward, SGD) by each; puts the models in train mode.

        Each call returns the loss before the step.
        """
        self._set_training(True)
        return {name: self._training_call(name) for name in IMPLEMENTATIONS}

    def check_forward(self) -> Agreement:
        """Compare the outputs of inference with those of the same model in float64.

        Ours must keep the numerics contract against one of the native layouts: the two differ
        from each other by as much.
        """
        with torch.no_grad():
            reference = self._double()(self.inputs[NCHW].cpu().double())
        outputs = {}
        for name, call in self.forward_calls().items():
            with self.setting(name):
                outputs[name] = call().cpu()
        return Agreement(
            errors={name: measure(out, reference).relative for name, out in outputs.items()},
            ok=all(
                any(
                    check_contract(outputs[ours], outputs[native], reference).ok
                    for native in BASELINES
                )
                for ours in self.inference
                if ours not in BASELINES
            ),
        )

    def check_gradients(self) -> dict[str, float]:
        """``gradient_error`` of each implementation's parameters, in eval mode.

        In eval mode the gradient is a function of the input alone: no dropout mask, no statistics
        of the batch.
        """
        self._set_training(False)
        labels = self._labels.cpu()
        reference = _gradients(self._double(), self.inputs[NCHW].cpu().double(), labels)
        errors = {}
        for name, model in self.models.items():
            with self.setting(name):
                errors[name] = gradient_error(
                    (g.cpu() for g in _gradients(model, self.inputs[name], self._labels)),
                    reference,
                )
        return errors

    def gradient_limit(self, errors: Mapping[str, float]) -> float:
        """Upper limit of cnnext's among the errors of ``check_gradients``.

        On CUDA both may compute in TF32: where that makes native's error large, twice as much.
        """
        if not self.inputs[NCHW].is_cuda:
            return GRADIENT_TOLERANCE
        return max(GRADIENT_TOLERANCE, *(MAX_FACTOR * errors[n] for n in BASELINES))

    def _set_training(self, training: bool) -> None:
        for model in self.models.values():
            model.train(training)

    def _double(self) -> torch.nn.Module:
        state = self.models[NCHW].state_dict()
        doubles = {
            key: value.to("cpu", torch.float64 if value.is_floating_point() else None, copy=True)
            for key, value in state.items()
        }
        # What is in no state_dict, too.
        return _with_state(self._build, torch.nn, doubles).double().eval()

    @functools.cached_property
    def _optimized(self) -> Optimized:
        """Made when it is first called, from the native model in eval mode."""
        return optimize(self.models[NCHW], self.inputs[OPTIMIZED], check=False)

    def _forward_call(self, name: str) -> Callable[[], Tensor]:
        model = self._optimized if name == OPTIMIZED else self.models[name]
        images = self.inputs[name]

        def forward() -> Tensor:
            with torch.no_grad():
                return model(images)

        return forward

    def _training_call(self, name: str) -> Callable[[], Tensor]:
        model, images = self.models[name], self.inputs[name]
        optimizer = torch.optim.SGD(model.parameters(), lr=_LEARNING_RATE)

        def step() -> Tensor:
            optimizer.zero_grad()
            loss = _loss(model(images), self._labels)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step


def _gradients(model: torch.nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(_loss(model(images), labels), tuple(model.parameters()))


def _loss(output: Tensor, labels: Tensor) -> Tensor:
    if output.ndim == 2:
        return torch.nn.functional.cross_entropy(output, labels)
    return output.square().mean()


def _in_channels_last(model: torch.nn.Module) -> torch.nn.Module:
    """With filters of images in that layout, which those of volumes cannot have."""
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def _with_state(build: Build, layers: Any, state: dict[str, Tensor]) -> torch.nn.Module:
    """A model that takes the tensors of ``state`` as they are, without a copy."""
    with torch.device("meta"):
        model = build(layers)
    model.load_state_dict(state, assign=True)
    return model
