"""`cnnext.explain`: which kernel a convolution would run, among which candidates, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cnnext.ops.common.arguments import int_pairs
from cnnext.ops.common.convolution import result_format
from cnnext.ops.conv2d import CONV2D, Conv2d, pad_by_mode, pad_by_name
from cnnext.runtime import planned_calls
from cnnext.runtime.fallback import fallback_reason
from cnnext.runtime.library import ops

DIRECTIONS = ("forward", "bwd_input", "bwd_weight")


@dataclass(frozen=True)
class Phase:
    """A part of a call that all threads share before the next begins.

    `balance` is the part of their time in which its tasks, taken for equal, keep them busy: all
    wait for the thread that has most of them.
    """

    name: str
    tasks: int  # independent of each other: at most one thread per task can work
    rounds: int  # how often the phase is repeated
    balance: float
    seconds: float  # predicted, of all rounds


@dataclass(frozen=True)
class Candidate:
    """A kernel that can compute the call; packing its weights is the first of its phases."""

    name: str
    seconds: float  # predicted, with all threads
    scratch_bytes: int
    phases: tuple[Phase, ...]

    @property
    def tasks(self) -> tuple[tuple[int, int], ...]:
        """For each phase but packing, how many tasks it has and how often it is repeated."""
        return tuple((p.tasks, p.rounds) for p in self.phases if p.name != _PACKING)

    @property
    def balance(self) -> float:
        """That of its phases, weighted by their predicted time."""
        seconds = sum(phase.seconds for phase in self.phases)
        return sum(phase.balance * phase.seconds for phase in self.phases) / seconds


@dataclass(frozen=True)
class Explanation:
    """The candidates for one direction of a call, fastest first; `str()` is a table of them.

    Of the `threads` offered, `num_threads` are worth starting for so much work.

    `ruled_out` is the rule by which the values leave out some of Winograd's forms, or None. Of the
    `tiles` of the fastest form, `exact_tiles` hold windows that are empty or small beside their
    neighbours, or not finite, and need sums without transforms.
    """

    direction: str
    threads: int
    chosen: str | None  # None where native PyTorch computes
    fallback_reason: str | None
    candidates: tuple[Candidate, ...]
    kept_filter_bytes: int | None = None  # None where none is kept: with gradients, on request
    ruled_out: str | None = None
    tiles: int = 0
    exact_tiles: int = 0
    num_threads: int = 1

    @property
    def plan(self) -> Candidate | None:
        """The candidate that is chosen."""
        return next((c for c in self.candidates if c.name == self.chosen), None)

    def __str__(self) -> str:
        if self.chosen is None:
            return f"{self.direction}: native PyTorch, because {self.fallback_reason}"
        width = max(len(candidate.name) for candidate in self.candidates)
        lines = [f"{self.direction}, {self.threads} threads, predicted time:"]
        for candidate in self.candidates:
            tasks = " + ".join(
                f"{tasks}" if rounds == 1 else f"{tasks} x {rounds}"
                for tasks, rounds in candidate.tasks
            )
            lines.append(
                f"{'->' if candidate.name == self.chosen else '  '} {candidate.name:{width}} "
                f"{candidate.seconds * 1e3:9.3f} ms  {candidate.scratch_bytes / 2**20:7.1f} MiB"
                f" scratch  {tasks} tasks"
            )
        if self.ruled_out is not None:
            lines.append(f"ruled out: {self.ruled_out}")
        if self.exact_tiles > 0:
            lines.append(f"tiles with exact sums: {self.exact_tiles} of {self.tiles}")
        if self.kept_filter_bytes is not None:
            lines.append(f"packed filters kept: {self.kept_filter_bytes / 2**20:.1f} MiB")
        return "\n".join(lines + self._phase_lines())

    def _phase_lines(self) -> list[str]:
        if self.plan is None:
            return []
        of_threads = f"{self.num_threads} of {self.threads} threads"
        lines = [f"phases of {self.plan.name}, {of_threads}, balance {self.plan.balance:.2f}:"]
        for phase in self.plan.phases:
            tasks = f"{phase.tasks}" if phase.rounds == 1 else f"{phase.tasks} x {phase.rounds}"
            lines.append(
                f"   {phase.name:8} {phase.seconds * 1e3:9.3f} ms  balance {phase.balance:.2f}"
                f"  {tasks} tasks"
            )
        return lines


def explain(
    module: torch.nn.Conv2d,
    input: Tensor,
    direction: str = "forward",
    threads: int | None = None,
) -> Explanation:
    """What conv2d would run for this layer and input, by shapes and values: nothing is computed.

    Without gradients (`torch.no_grad`), a `cnnext.Conv2d` keeps packed weights: then predictions
    are for calls that find them, and the explanation tells how much memory the module's take.

    Args:
        module: a convolution, `cnnext.Conv2d` or `torch.nn.Conv2d` (as if converted).
        input: (N, C_in, H, W) or (C_in, H, W).
        direction: "forward", "bwd_input" or "bwd_weight". The values of an output's gradient are
            not known: "bwd_input" is explained for one that rules nothing out.
        threads: any number, whatever the machine has; those of PyTorch by default.

    Returns:
        An `Explanation`; print it.

    Raises:
        TypeError: the module is not a `torch.nn.Conv2d`.
        ValueError: the direction has another value, or threads is not positive.
        RuntimeError: the input does not fit the layer, as in torch.nn.functional.conv2d.
    """
    if not isinstance(module, torch.nn.Conv2d):
        raise TypeError(f"module must be a torch.nn.Conv2d, got {type(module).__name__}")
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}, got {direction!r}")
    if threads is None:
        threads = torch.get_num_threads()
    if threads < 1:
        raise ValueError(f"threads must be positive, got {threads}")
    weight = module.weight
    reason = fallback_reason(CONV2D, (input, weight, module.bias))
    if reason is None and not input.is_cpu:
        reason = f"explain() knows only kernels of the CPU, input is on {input.device.type}"
    if reason is not None:
        return Explanation(direction, threads, None, reason, ())
    batched = input if input.dim() == 4 else input.unsqueeze(0)
    stride, dilation = int_pairs("conv2d", stride=module.stride, dilation=module.dilation)
    padded, padding = pad_by_mode(module, batched)
    if isinstance(padding, str | bytes):
        by_name = pad_by_name(padded, weight, stride, padding, dilation)
        padded, padding = by_name or (padded, padding)
    output = torch.nn.functional.conv2d(  # on no data: raises what conv2d would
        torch.empty_like(padded, device="meta"),
        torch.empty_like(weight, device="meta"),
        None,
        stride,
        padding,
        dilation,
        module.groups,
    )
    if 0 in (batched.numel(), output.numel()):
        return Explanation(direction, threads, None, "there is nothing to compute", ())
    (padding,) = int_pairs("conv2d", padding=padding)
    shape: tuple[Any, ...] = (
        *padded.shape,
        *(weight.shape[0], weight.shape[2], weight.shape[3]),
        *(*stride, *padding, *dilation, module.groups),
    )
    is_double = input.dtype == torch.float64
    channels_last = result_format(batched, weight) is torch.channels_last
    keeps = (
        direction == "forward"
        and Conv2d in type(module).__mro__
        and planned_calls.applies(batched, weight)
    )
    facts = None
    if not is_double and direction != "bwd_weight":
        first = padded if direction == "forward" else torch.zeros_like(output, device="cpu")
        facts = _Facts.of(direction, first, weight, padded.shape[2:], shape[7:], keeps, threads)
    transforms = _ANY if facts is None else facts.transforms
    predicted = predicted_candidates(
        direction, is_double, channels_last, shape, keeps, transforms, threads
    )
    kept = planned_calls.kept_bytes(module) if keeps else None
    explanation = Explanation(
        *(direction, threads, predicted.chosen, None, predicted.candidates, kept),
        num_threads=predicted.num_threads,
    )
    if facts is None:
        return explanation
    return replace(
        explanation,
        chosen=facts.kernel,
        ruled_out=facts.rule(),
        tiles=facts.tiles,
        exact_tiles=facts.plain_tiles,
    )


#: Winograd's transforms that the values allow, as in csrc/conv2d/conv2d.h.
_NONE, _LOCAL, _ANY = range(3)

_FILTER_RULES = {
    "fixed_point": "the filter holds integers, or fixed-point values as short",
    "one_sign": "the filter of an output channel has one sign",
    "zero_tap": "a tap of an output channel's filter is zero for all input channels",
    "not_finite": "the filter holds Inf or NaN",
}
_LEFT = {_NONE: "sums are plain", _LOCAL: "of Winograd's forms F(2,3) is left"}


class _Facts(NamedTuple):
    """What csrc/conv2d/exact_sums.h found in the values of a call."""

    kernel: str
    transforms: int
    filter: str
    tiles: int
    plain_tiles: int

    @staticmethod
    def of(
        direction: str,
        first: Tensor,
        weight: Tensor,
        size: Sequence[int],
        geometry: tuple[Any, ...],
        keeps: bool,
        threads: int,
    ) -> _Facts:
        operands = first.detach(), weight.detach()
        text = ops.conv2d_value_facts(direction, *operands, *size, *geometry, keeps, threads)
        kernel, transforms, filter, tiles, plain_tiles = text.split()
        return _Facts(kernel, int(transforms), filter, int(tiles), int(plain_tiles))

    def rule(self) -> str | None:
        if self.transforms == _ANY:
            return None
        reason = _FILTER_RULES.get(self.filter)
        if reason is None or self.tiles > 0 and self.plain_tiles > 0:
            reason = f"{self.plain_tiles} of {self.tiles} tiles need exact sums"
        return f"{reason}; {_LEFT[self.transforms]}"


class Predictions(NamedTuple):
    """The kernel chosen for a convolution, and all candidates, fastest first."""

    chosen: str
    candidates: tuple[Candidate, ...]
    num_threads: int  # that are worth starting


def predicted_candidates(
    direction: str,
    is_double: bool,
    channels_last: bool,
    shape: tuple[int, ...],
    weights_packed: bool = False,
    transforms: int = _ANY,
    threads: int | None = None,
) -> Predictions:
    """The kernel chosen for a convolution by its shape, and all candidates.

    Args:
        direction: "forward", "bwd_input" or "bwd_weight".
        is_double: float64, not float32.
        channels_last: the layout, not NCHW.
        shape: n, c_in, h_in, w_in, c_out, k_h, k_w, then, vertical and horizontal each, stride,
            padding and dilation, then groups.
        weights_packed: whether an earlier call may have packed the weights.
        transforms: Winograd's transforms that the values allow: 0 none, 1 those of F(2,3), 2 all.
        threads: those of PyTorch by default.
    """
    if threads is None:
        threads = torch.get_num_threads()
    text = ops.conv2d_candidates(
        *(direction, is_double, channels_last, *shape, weights_packed, transforms, threads)
    )
    first, *lines = text.splitlines()
    chosen, num_threads = first.split()
    candidates = sorted(map(_candidate, lines), key=lambda candidate: candidate.seconds)
    return Predictions(chosen, tuple(candidates), int(num_threads))


_PACKING = "packing"


def _candidate(line: str) -> Candidate:
    name, seconds, scratch, packing, *others = line.split()
    phases = [_phase(_PACKING, packing)]
    phases += [_phase(f"phase {i}", text) for i, text in enumerate(others)]
    packs = phases[0].tasks > 0
    return Candidate(name, float(seconds), int(scratch), tuple(phases if packs else phases[1:]))


def _phase(name: str, text: str) -> Phase:
    tasks, rounds, balance, seconds = text.split("*")
    return Phase(name, int(tasks), int(rounds), float(balance), float(seconds))
