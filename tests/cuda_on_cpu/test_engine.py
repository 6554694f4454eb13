"""The engine that runs CUDA kernels on the CPU: good kernels run, and faults are named."""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
LIBRARY = HERE.parents[1] / "build/cuda_on_cpu/libfaults.so"
GOLDEN = HERE / "golden.json"
SEEDS = [0, 1, 2]

if not LIBRARY.exists():
    pytest.skip(f"{LIBRARY.name} is not built: run make test", allow_module_level=True)

library = ctypes.CDLL(str(LIBRARY))
library.cuda_on_cpu_run.argtypes = [ctypes.c_char_p, ctypes.c_ulonglong]
library.cuda_on_cpu_run.restype = ctypes.c_char_p
library.cuda_on_cpu_primitives.argtypes = [ctypes.POINTER(ctypes.c_uint32), ctypes.c_int]
library.cuda_on_cpu_primitives.restype = ctypes.c_int


def run(name: str, seed: int = 0) -> str:
    """What the engine says of the case in faults.cu or good.cu: nothing if all is well."""
    return library.cuda_on_cpu_run(name.encode(), seed).decode()


# Good kernels

GOOD = re.findall(r"__global__ void (\w+)", (HERE / "good.cu").read_text())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", GOOD)
def test_good_kernel(name: str, seed: int) -> None:
    assert run(name, seed) == ""


def test_launches_of_several_threads() -> None:
    names = GOOD * 8
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, names, range(len(names)))) == [""] * len(names)


# Faults


def planted_faults() -> dict[str, dict[int, str]]:
    """By the names of the kernels in faults.cu: the lines that are at fault, and in what way."""
    faults: dict[str, dict[int, str]] = {}
    for number, line in enumerate((HERE / "faults.cu").read_text().splitlines(), 1):
        if kernel := re.match(r"__global__ void (\w+)", line):
            name = kernel[1]
        if fault := re.search(r"// FAULT: (.*)", line):
            faults.setdefault(name, {})[number] = fault[1]
    return faults


FAULTS = planted_faults()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FAULTS)
def test_fault(name: str, seed: int) -> None:
    message = run(name, seed)
    place = re.match(
        r"cuda_on_cpu/faults\.cu:(\d+): (.*?): thread \(\d+, 0, 0\) of block ", message
    )
    assert place is not None, message
    assert place[2] == FAULTS[name].get(int(place[1]))
    assert {int(line) for line in re.findall(r"faults\.cu:(\d+)", message)} >= {*FAULTS[name]}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FAULTS)
def test_good_kernel_after_fault(name: str, seed: int) -> None:
    assert run(name, seed) != ""
    assert run("dot_products", seed) == ""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["unset_static", "unset_dynamic"])
def test_unset_shared_memory_is_nan(name: str, seed: int) -> None:
    assert re.match(r"out\[0\] is -?nan", run(name, seed))


INVALID = {
    "no_threads": "a block of (0, 1, 1)",
    "no_blocks": "a grid of (1, 0, 1)",
    "too_many_threads": "a block of (32, 33, 1)",
    "too_deep": "a block of (1, 1, 65)",
    "too_tall": "a grid of (1, 65536, 1)",
    "too_much_dynamic": "65536 bytes of shared memory are more than 49152",
    "too_much_in_all": "49280 bytes of shared memory are more than 49152",
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", INVALID)
def test_invalid_launch(name: str, seed: int) -> None:
    assert run(name, seed).startswith(f"invalid launch: {INVALID[name]}")


# Primitives


@pytest.fixture(scope="module")
def primitives() -> list[int]:
    """The values that primitives.cu computes, on the engine."""
    count = library.cuda_on_cpu_primitives(None, 0)
    values = (ctypes.c_uint32 * count)()
    assert library.cuda_on_cpu_primitives(values, count) == count
    return list(values)


def sections(values: list[int]) -> tuple[list[torch.Tensor], list[list[int]]]:
    """The (input, result) pairs of each of the four conversions, and the rows of exchanges."""
    rest = iter(values)
    conversions = []
    for _ in range(4):
        pairs = [(next(rest), next(rest)) for _ in range(next(rest))]
        conversions.append(torch.tensor(pairs, dtype=torch.int64).T)
    rows = [[next(rest) for _ in range(32)] for _ in range(next(rest))]
    assert list(rest) == []
    return conversions, rows


def numbers(bits: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    integer = torch.int32 if dtype.itemsize == 4 else torch.int16
    return bits.to(integer).view(dtype)


@pytest.mark.parametrize(
    ("section", "source", "target"),
    [
        (0, torch.float32, torch.float16),
        (1, torch.float16, torch.float32),
        (2, torch.float32, torch.bfloat16),
        (3, torch.bfloat16, torch.float32),
    ],
)
def test_conversion(
    primitives: list[int], section: int, source: torch.dtype, target: torch.dtype
) -> None:
    given, result = sections(primitives)[0][section]
    expected = numbers(given, source).to(target)
    actual = numbers(result, target)
    assert torch.equal(actual.isnan(), expected.isnan())
    numeric = ~expected.isnan()
    integer = torch.int32 if target.itemsize == 4 else torch.int16
    assert torch.equal(actual.view(integer)[numeric], expected.view(integer)[numeric])


def brought(lane: int) -> int:
    return (lane * 2654435761 + 12345) % 2**32


def exchanged(source: Callable[[int], int]) -> list[int]:
    return [brought(source(lane)) for lane in range(32)]


def test_exchanges(primitives: list[int]) -> None:
    idle = 0x5EED
    neighbours = exchanged(lambda lane: lane ^ 1)
    expected = [
        exchanged(lambda lane: 5),
        exchanged(lambda lane: 37 % 32),
        exchanged(lambda lane: (lane * 7 + 3) % 32),
        exchanged(lambda lane: lane // 8 * 8 + 11 % 8),
        *(exchanged(lambda lane, step=step: lane ^ step) for step in (1, 2, 4, 8, 16)),
        exchanged(lambda lane: lane ^ 12 if (lane ^ 12) <= (lane | 7) else lane),
        *(
            exchanged(lambda lane, step=step: lane + step if lane + step < 32 else lane)
            for step in (1, 2, 4, 8, 16)
        ),
        exchanged(lambda lane: lane + 3 if lane % 8 < 5 else lane),
        [value ^ 0xFFFFFFFF for value in neighbours],
        neighbours,
        exchanged(lambda lane: 9),
        [sum((brought(lane) >> 7 & 1) << lane for lane in range(32))] * 32,
        [sum((brought(lane) >> 10 & 1) << lane for lane in range(16))] * 16 + [idle] * 16,
        exchanged(lambda lane: lane ^ 8)[:16] + [idle] * 16,
    ]
    assert sections(primitives)[1] == expected


def test_primitives_are_as_on_a_gpu(primitives: list[int]) -> None:
    if not GOLDEN.exists():
        pytest.skip(f"{GOLDEN.name}, the values measured on a GPU, is not there")
    assert primitives == json.loads(GOLDEN.read_text())
