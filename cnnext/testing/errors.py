"""Input classes, the numerics contract, and exact comparison.

The contract: a float32 kernel agrees with float64 to within what native PyTorch itself loses, and
a little more for the order of summation,

    max|err| <= 2   * native's + 2e-6 * max|ref|
    rms(err) <= 1.5 * native's + 8e-7 * rms(ref)

for every layer and every input class. Both sides are computed, so that no test needs a tolerance
of its own. Operators that only select (pools, ReLU) are exact: ``assert_bitwise_equal``. What has
passed several layers has their errors, which are independent of each other: there the two terms
for the order of summation grow with the square root of the number of layers.

The gradients of a whole model have a rule of their own, ``gradient_error``: where a value is
within rounding of zero, or two are within rounding of each other, a ReLU or a max-pool sends the
gradient another way in float32 than in float64. Such single routes, not the kernels' rounding,
make nearly all of the difference, and in another one of two correct libraries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_FACTOR = 2.0
MAX_SLACK = 2e-6
RMS_FACTOR = 1.5
RMS_SLACK = 8e-7

#: Upper limit of ``gradient_error`` for a correct model; a wrong formula gives the order of 1.
GRADIENT_TOLERANCE = 1e-2

#: Share of zeros in the input class ``sparse90``.
SPARSITY = 0.9


def _normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _uniform(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def _sparse90(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return _normal(shape, generator) * (_uniform(shape, generator) >= SPARSITY)


#: The input classes: standard normal, its positive part, uniform on [0, 1), normal with nine
#: tenths of the values zero. Classes with a mean or with few values stress other roundings.
INPUT_KINDS: dict[str, Callable[[Sequence[int], torch.Generator], Tensor]] = {
    "normal": _normal,
    "post_relu": lambda shape, generator: _normal(shape, generator).clamp_(min=0),
    "uniform": _uniform,
    "sparse90": _sparse90,
}


def make_input(
    kind: str,
    shape: Sequence[int],
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """A tensor of one of the ``INPUT_KINDS``, drawn in float64 and rounded to ``dtype``.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind not in INPUT_KINDS:
        raise ValueError(f"kind must be one of {', '.join(INPUT_KINDS)}, got {kind!r}")
    return INPUT_KINDS[kind](shape, generator).to(dtype)


@dataclass(frozen=True)
class ErrorMeasure:
    """The error of a result, in the units of the result.

    ``max`` and ``rms`` are infinite where the result and the reference do not share the same
    infinities and NaNs. ``worst`` is the index of the largest error (empty for a scalar).
    """

    max: float
    rms: float
    max_ref: float
    rms_ref: float
    worst: tuple[int, ...]

    @property
    def relative(self) -> float:
        """The largest error over the largest reference value (0 where both are 0)."""
        return self.max / self.max_ref if self.max_ref else self.max


def measure(actual: Tensor, reference64: Tensor) -> ErrorMeasure:
    """The error of ``actual`` against a float64 reference of the same shape.

    Raises:
        AssertionError: the shapes differ.
        TypeError: the reference is not float64.
    """
    if reference64.dtype != torch.float64:
        raise TypeError(f"reference64 must be float64, got {reference64.dtype}")
    if actual.shape != reference64.shape:
        raise AssertionError(
            f"shape {tuple(actual.shape)} differs from the reference's {tuple(reference64.shape)}"
        )
    if actual.numel() == 0:
        return ErrorMeasure(0.0, 0.0, 0.0, 0.0, ())
    reference = reference64.detach()
    error = (actual.detach().double() - reference).abs_()
    finite = reference.isfinite()
    if not finite.all():
        # A non-finite reference value is matched by the same value only, without an error.
        same = (actual == reference) | (actual.isnan() & reference.isnan())
        error = error.masked_fill(~finite & same, 0.0)
        reference = reference.masked_fill(~finite, 0.0)
    error = error.nan_to_num_(nan=torch.inf, posinf=torch.inf)
    worst = torch.unravel_index(error.argmax(), error.shape)
    return ErrorMeasure(
        max=error.max().item(),
        rms=_rms(error),
        max_ref=reference.abs().max().item(),
        rms_ref=_rms(reference),
        worst=tuple(int(index) for index in worst),
    )


def _rms(values: Tensor) -> float:
    return values.square().mean().sqrt().item()


@dataclass(frozen=True)
class Verdict:
    """The two sides of the contract for one result of so many layers."""

    ours: ErrorMeasure
    native: ErrorMeasure
    layers: int = 1

    @property
    def max_limit(self) -> float:
        slack = math.sqrt(self.layers) * MAX_SLACK
        return MAX_FACTOR * self.native.max + slack * self.ours.max_ref

    @property
    def rms_limit(self) -> float:
        slack = math.sqrt(self.layers) * RMS_SLACK
        return RMS_FACTOR * self.native.rms + slack * self.ours.rms_ref

    @property
    def ok(self) -> bool:
        # Where native PyTorch is not finite either, its infinite error must not excuse ours.
        if self.ours.max == float("inf"):
            return False
        return self.ours.max <= self.max_limit and self.ours.rms <= self.rms_limit

    def __str__(self) -> str:
        lines = (
            f"max|err| {self.ours.max:.3e}, limit {self.max_limit:.3e}"
            f" (native {self.native.max:.3e}, max|ref| {self.ours.max_ref:.3e})"
            f" at index {self.ours.worst}",
            f"rms(err) {self.ours.rms:.3e}, limit {self.rms_limit:.3e}"
            f" (native {self.native.rms:.3e}, rms(ref) {self.ours.rms_ref:.3e})",
        )
        return "\n".join(lines)


def check_contract(
    ours: Tensor, native: Tensor, reference64: Tensor, *, layers: int = 1
) -> Verdict:
    """Measure both results against the reference; ``Verdict.ok`` says whether ours is within.

    Args:
        ours, native, reference64: the results, of one shape.
        layers: how many the results have passed.

    Raises:
        AssertionError: the shapes differ.
    """
    return Verdict(measure(ours, reference64), measure(native, reference64), layers)


def assert_contract(
    ours: Tensor,
    native: Tensor,
    reference64: Tensor,
    *,
    layers: int = 1,
    what: str = "result",
) -> None:
    """Fail, with the figures, if ``ours`` breaks the numerics contract."""
    try:
        verdict = check_contract(ours, native, reference64, layers=layers)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from None
    if not verdict.ok:
        raise AssertionError(f"{what} breaks the numerics contract:\n{verdict}")


def gradient_error(actual: Iterable[Tensor], reference64: Iterable[Tensor]) -> float:
    """Relative error of a model's gradients as one long vector, in the Euclidean norm.

    Raises:
        ValueError: the two do not hold the same number of tensors.
    """
    error = total = 0.0
    for ours, reference in zip(actual, reference64, strict=True):
        error += (ours.double() - reference).square().sum().item()
        total += reference.square().sum().item()
    return math.sqrt(error / total) if total else math.sqrt(error)


_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def assert_bitwise_equal(actual: Tensor, expected: Tensor, *, what: str = "result") -> None:
    """Fail unless shape, dtype and every bit agree, so that NaN equals NaN and -0.0 is not 0.0."""
    for name in ("shape", "dtype"):
        if getattr(actual, name) != getattr(expected, name):
            raise AssertionError(
                f"{what}: {name} is {getattr(actual, name)}, expected {getattr(expected, name)}"
            )
    bits = _BITS.get(actual.element_size())
    if bits is None:
        raise TypeError(f"{what}: no bitwise comparison for {actual.dtype}")
    differs = actual.detach().view(bits) != expected.detach().view(bits)
    if differs.any():
        first = tuple(differs.nonzero()[0].tolist())
        raise AssertionError(
            f"{what}: {int(differs.sum())} of {differs.numel()} values differ, the first at index"
            f" {first}: {actual[first].item()!r}, expected {expected[first].item()!r}"
        )
