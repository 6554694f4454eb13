"""`cnnext.explain`: which kernel a convolution would run, among which candidates, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cnnext import _kept_filters
from cnnext._arguments import int_pairs
from cnnext._library import ops
from cnnext._routing import why_native
from cnnext.ops.conv2d import Conv2d, result_format, same_padding

DIRECTIONS = ("forward", "bwd_input", "bwd_weight")


@dataclass(frozen=True)
class Candidate:
    """A kernel that can compute the call.

    `tasks` holds, for each phase, how many independent tasks it has and how often the phase is
    repeated: as many threads as a phase has tasks can work on it.
    """

    name: str
    seconds: float  # predicted, with all threads
    scratch_bytes: int
    tasks: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Explanation:
    """The candidates for one direction of a call, fastest first; `str()` is a table of them."""

    direction: str
    threads: int
    chosen: str | None  # None where native PyTorch computes
    why_native: str | None
    candidates: tuple[Candidate, ...]
    kept_filter_bytes: int | None = None  # None where none is kept: with gradients, on request

    def __str__(self) -> str:
        if self.chosen is None:
            return f"{self.direction}: native PyTorch, because {self.why_native}"
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
        if self.kept_filter_bytes is not None:
            lines.append(f"packed filters kept: {self.kept_filter_bytes / 2**20:.1f} MiB")
        return "\n".join(lines)


def explain(module: torch.nn.Conv2d, input: Tensor, direction: str = "forward") -> Explanation:
    """What conv2d would run for this layer and input: nothing is computed.

    Without gradients (`torch.no_grad`), a `cnnext.Conv2d` keeps filters packed: then predictions
    are for calls that find one, and the explanation tells how much memory the module's take.

    Args:
        module: a convolution, `cnnext.Conv2d` or `torch.nn.Conv2d` (as if converted).
        input: (N, C_in, H, W) or (C_in, H, W); its values do not matter.
        direction: "forward", "bwd_input" or "bwd_weight".

    Returns:
        An `Explanation`; print it.

    Raises:
        TypeError: the module is no `torch.nn.Conv2d`.
        ValueError: the direction has another value.
        RuntimeError: the input does not fit the layer, as in torch.nn.functional.conv2d.
    """
    if not isinstance(module, torch.nn.Conv2d):
        raise TypeError(f"explain() knows Conv2d, got {type(module).__name__}")
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}, got {direction!r}")
    threads = torch.get_num_threads()
    weight = module.weight
    reason = why_native("conv2d", input, weight, optional=(module.bias,))
    if reason is None and not input.is_cpu:
        reason = f"explain() knows the kernels of the CPU, not those of {input.device.type}"
    if reason is not None:
        return Explanation(direction, threads, None, reason, ())
    batched = input if input.dim() == 4 else input.unsqueeze(0)
    stride, dilation = int_pairs("conv2d", stride=module.stride, dilation=module.dilation)
    height, width = batched.shape[2:]
    padding: Any = (0, 0)
    if module.padding_mode != "zeros":  # padded before the convolution
        left, right, top, bottom = module._reversed_padding_repeated_twice
        height, width = height + top + bottom, width + left + right
    elif module.padding == "same":
        padding, (below, beside) = same_padding(weight, dilation)
        height, width = height + below, width + beside
    elif module.padding != "valid":
        padding = module.padding
    output = torch.nn.functional.conv2d(  # on no data: raises what conv2d would
        torch.empty((*batched.shape[:2], height, width), device="meta", dtype=input.dtype),
        torch.empty_like(weight, device="meta"),
        None,
        stride,
        padding,
        dilation,
        module.groups,
    )
    if 0 in (batched.numel(), output.numel()):
        return Explanation(direction, threads, None, "there is nothing to compute", ())
    shape: tuple[Any, ...] = (
        *(batched.shape[0], batched.shape[1], height, width),
        *(weight.shape[0], weight.shape[2], weight.shape[3]),
        *(*stride, *padding, *dilation, module.groups),
    )
    is_double = input.dtype == torch.float64
    channels_last = result_format(batched, weight) is torch.channels_last
    keeps = (
        direction == "forward"
        and Conv2d in type(module).__mro__
        and _kept_filters.applies(batched, weight)
    )
    chosen, candidates = predicted_candidates(direction, is_double, channels_last, shape, keeps)
    kept = _kept_filters.kept_bytes(module) if keeps else None
    return Explanation(direction, threads, chosen, None, candidates, kept)


def predicted_candidates(
    direction: str,
    is_double: bool,
    channels_last: bool,
    shape: tuple[int, ...],
    filter_kept: bool = False,
) -> tuple[str, tuple[Candidate, ...]]:
    """The kernel chosen for a convolution on the current threads, and all candidates.

    Args:
        direction: "forward", "bwd_input" or "bwd_weight".
        is_double: float64, not float32.
        channels_last: the layout, not NCHW.
        shape: n, c_in, h_in, w_in, c_out, k_h, k_w, then, vertical and horizontal each, stride,
            padding and dilation, then groups.
        filter_kept: whether an earlier call may have packed the filter.
    """
    text = ops.conv2d_candidates(direction, is_double, channels_last, *shape, filter_kept)
    chosen, *lines = text.splitlines()
    candidates = sorted(map(_candidate, lines), key=lambda candidate: candidate.seconds)
    return chosen, tuple(candidates)


def _candidate(line: str) -> Candidate:
    name, seconds, scratch, *phases = line.split()
    tasks = tuple((int(tasks), int(rounds)) for tasks, rounds in (p.split("*") for p in phases))
    return Candidate(name, float(seconds), int(scratch), tasks)
