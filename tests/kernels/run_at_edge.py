"""Runs all kernels of an operator in memory that ends, or begins, at a forbidden page.

run_at_edge.py <operator> <edge>: prints each call before it runs, so that the last one printed is
the one that the process died of.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import test_average_pool_kernels as average_pools
import test_conv2d_kernels as conv2d
import test_elementwise_kernels as elementwise
import test_linear_kernels as linear
import test_max_pool_kernels as max_pools
import test_recurrence_kernels as recurrence
from bindings import ELEMENTWISE, Kernel, Shape, _kernels, registry
from windows import LAYOUTS, pack

#: What a call is about, the shape that the kernel must apply to, and the call, taking `threads`.
Call = tuple[object, Shape, Callable[..., Any]]


def of_conv2d(kernel: Kernel) -> Iterator[Call]:
    for case in conv2d.CASES:
        operands = conv2d.draw(case, "normal", kernel.dtype)
        for memory in (*conv2d.NATURAL, *conv2d.MIXED):
            call = partial(conv2d.run, kernel, case, memory, operands)
            yield (case.name, str(memory)), case.shape(memory.layout), call


def of_linear(kernel: Kernel) -> Iterator[Call]:
    for case in linear.SMALL:
        for bias in (True, False):
            operands = linear.draw(case, "normal", kernel.dtype, bias)
            yield case, case.shape, partial(linear.run, kernel, case, operands)


def of_max_pool(kernel: Kernel) -> Iterator[Call]:
    for case in max_pools.CASES[kernel.operator]:
        pooled = max_pools.exact(case, "normal", kernel.dtype)
        for layout in LAYOUTS:
            for record in case.records:
                options: tuple[bool, ...] = ()
                if kernel.direction == "forward":
                    arrays = [max_pools.draw(case, "normal", kernel.dtype)]
                    options = case.options(record)
                elif record == "nothing":
                    continue
                else:
                    arrays = [pooled.y, getattr(pooled, record)]
                packed = [pack(a, layout) for a in arrays]
                shape = case.shape(layout, record)
                call = partial(kernel.run, *packed, *options, **shape)
                yield (case.name, layout, record), shape, call


def of_average_pool(kernel: Kernel) -> Iterator[Call]:
    for case in average_pools.CASES[kernel.operator]:
        for layout in LAYOUTS:
            values = pack(average_pools.draw(case, kernel.direction, kernel.dtype), layout)
            shape = case.shape(layout)
            yield (case.name, layout), shape, partial(kernel.run, values, **shape)


def of_recurrence(kernel: Kernel) -> Iterator[Call]:
    for case in recurrence.SMALL:
        for reverse, given in ((False, True), (True, False)):
            if kernel.direction == "forward":
                forward = recurrence.draw_forward(case, "normal", kernel.dtype, bias=given)
                call = partial(recurrence.run_forward, kernel, case, forward, reverse, given)
            else:
                backward = recurrence.draw_backward(case, kernel.dtype, given, True, given)
                call = partial(recurrence.run_backward, kernel, case, backward, reverse)
            yield (str(case), f"reverse {reverse}"), case.shape, call


def of_elementwise(kernel: Kernel) -> Iterator[Call]:
    for size in elementwise.ALL_SIZES:
        arrays = elementwise.operands(kernel, size)
        shape = elementwise.shape_of(kernel.operator, size)
        for in_place in (False, True):
            yield (size, in_place), shape, partial(kernel.run, *arrays, in_place=in_place, **shape)


CALLS: dict[str, Callable[[Kernel], Iterator[Call]]] = {
    "adaptive_avg_pool2d": of_average_pool,
    "adaptive_max_pool2d": of_max_pool,
    "avg_pool2d": of_average_pool,
    "conv2d": of_conv2d,
    "linear": of_linear,
    "max_pool2d": of_max_pool,
    "recurrence": of_recurrence,
    **dict.fromkeys(ELEMENTWISE, of_elementwise),
}


def main(operator: str, edge: str) -> None:
    _kernels.set_edge(edge)
    for kernel in registry(operator):
        if kernel.is_usable:
            for what, shape, call in CALLS[operator](kernel):
                if kernel.applies(shape):
                    for threads in (1, 3):
                        print(kernel.name, what, threads, "threads", flush=True)
                        call(threads=threads)


if __name__ == "__main__":
    main(*sys.argv[1:])
