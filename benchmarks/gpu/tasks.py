"""What is measured on a GPU, in the order of its value: a run may end early."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import torch

from cnnext.testing.cases import Case
from cnnext.testing.conv2d_cases import LENET5, RESNET50, VGG16
from cnnext.testing.specs import MEASURED

BATCH = 32
MODELS = ("lenet5", "vgg16", "resnet50")

#: As PyTorch has it, and with every product in full float32.
PRECISIONS = ("default", "ieee")

_FIRST_CONVS = (
    *("vgg16_conv1_2", "vgg16_conv3_2", "vgg16_conv5_1", "resnet50_7x7_s2_3_64@224"),
    *("resnet50_3x3_64@56", "resnet50_1x1_256_64@56", "resnet50_3x3_512@7"),
)


@dataclass(frozen=True)
class Task:
    """One case of one subject (an operator or a model), in one dtype, precision and direction."""

    subject: str
    case: str
    dtype: str
    precision: str
    direction: str  # "forward" or "training": forward and backward

    @property
    def key(self) -> tuple[str, ...]:
        return (self.subject, self.case, self.dtype, self.precision, self.direction)

    def __str__(self) -> str:
        return " ".join(self.key)


def _convs() -> tuple[list[Case], list[Case]]:
    """The convolutions to begin with, and the others."""
    networks = (*VGG16, *RESNET50)
    some = [case for case in networks if case.name in _FIRST_CONVS]
    first = [case.with_batch(64) for case in LENET5]
    first += [case.with_batch(batch) for batch in (BATCH, 1) for case in some]
    return first, [case.with_batch(BATCH) for case in networks if case not in some]


def _images(cases: tuple[Case, ...]) -> list[Case]:
    """Those of VGG and ResNet at the larger batch too, which some have as they are."""
    larger = [case.with_batch(BATCH) for case in cases if not case.name.startswith("lenet5")]
    return list(dict.fromkeys((*cases, *larger)))


#: Those that have CUDA kernels; some multiply nothing, so that precisions make no difference.
_WITH_KERNELS = {
    name: spec
    for name, spec in MEASURED.items()
    if spec.operator.cuda is not None and spec.operator.cuda.has_kernels
}
_MEMORY_BOUND = [name for name, spec in _WITH_KERNELS.items() if not spec.weights]
_CELLS = [name for name in _WITH_KERNELS if name.endswith("_cell")]


def operator_cases() -> dict[str, list[Case]]:
    first, rest = _convs()
    convs = [*first, *rest]
    return {
        **{"conv2d": convs, "conv2d_relu": convs},
        **{op: _images(_WITH_KERNELS[op].cases) for op in _MEMORY_BOUND},
        **{op: list(_WITH_KERNELS[op].cases) for op in _CELLS},
    }


def all_tasks() -> list[Task]:
    first, rest = _convs()
    cases = operator_cases()
    return [
        *_conv_tasks(first),
        *(
            Task(op, str(case), "float32", "default", direction)
            for op in _MEMORY_BOUND
            for case, direction in product(cases[op], ("forward", "training"))
        ),
        *(
            Task(op, str(case), "float32", precision, direction)
            for op in _CELLS
            for case, precision, direction in product(
                cases[op], PRECISIONS, ("forward", "training")
            )
        ),
        *(
            Task(model, f"batch {batch}", "float32", precision, direction)
            for direction, precision, batch, model in product(
                ("forward", "training"), PRECISIONS, (1, BATCH), MODELS
            )
        ),
        *_conv_tasks(rest),
    ]


def _conv_tasks(cases: list[Case]) -> Iterator[Task]:
    kinds = (("float32", "default"), ("float32", "ieee"))
    halves = (("float16", "default"), ("bfloat16", "default"))
    ways = (("conv2d", "forward"), ("conv2d", "training"), ("conv2d_relu", "forward"))
    for case, (op, direction), (dtype, precision) in product(cases, ways, (*kinds, *halves)):
        yield Task(op, str(case), dtype, precision, direction)


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Within, PyTorch multiplies float32 as ``PRECISIONS`` says.

    By the flags that Inductor of PyTorch 2.10 reads as well: it rejects a mix with the newer ones.
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {name!r}")
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    try:
        if name == "ieee":
            cudnn.allow_tf32 = matmul.allow_tf32 = False
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def flags() -> dict[str, str]:
    """How float32 is multiplied now: "tf32" or "ieee", in convolutions and in other products."""
    return {
        "conv": "tf32" if torch.backends.cudnn.allow_tf32 else "ieee",
        "matmul": "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee",
    }
