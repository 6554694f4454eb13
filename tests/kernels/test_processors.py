"""What kernels know of the machine: of this one, and of processors that are not here."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from bindings import _kernels

KB, MB = 1 << 10, 1 << 20
INTEL, AMD = b"GenuineIntel", b"AuthenticAMD"
Registers = tuple[int, int, int, int]


class Processor(NamedTuple):
    """What a processor answers to cpuid, and what that means."""

    vendor: bytes
    version: int  # leaf 1, eax
    caches: tuple[Registers, ...]
    l1: int
    l2: int
    l3: int
    multiply_adds: tuple[int, int]  # of AVX2, AVX-512
    brand: str = ""

    def leaves(self) -> dict[tuple[int, int], Registers]:
        first, middle, last = struct.unpack("<3I", self.vendor)
        words = struct.unpack("<12I", self.brand.encode().ljust(48, b"\0"))
        of_caches = 4 if self.vendor == INTEL else 0x8000001D
        return {
            (0, 0): (0x1C, first, last, middle),
            (1, 0): (self.version, 0, 0, 0),
            (0x80000000, 0): (0x8000001E if self.vendor == AMD else 0x80000008, 0, 0, 0),
            **{(0x80000002 + i, 0): words[4 * i : 4 * i + 4] for i in range(3)},
            **{(of_caches, i): cache for i, cache in enumerate(self.caches)},
        }


_SKYLAKE_CACHES = (
    (0x1C004121, 0x01C0003F, 0x3F, 0),
    (0x1C004122, 0x01C0003F, 0x3F, 0),
    (0x1C004143, 0x03C0003F, 0x3FF, 0),
    (0x1C03C163, 0x0280003F, 0x4FFF, 4),
)
_ZEN_CACHES = (
    (0x00004121, 0x01C0003F, 0x3F, 0),
    (0x00004122, 0x01C0003F, 0x3F, 0),
    (0x00004143, 0x01C0003F, 0x3FF, 2),
    (0x0003C163, 0x03C0003F, 0x7FFF, 1),
)


def _skylake(name: str, multiply_adds: int) -> Processor:
    sizes = 32 * KB, 1 * MB, 14080 * KB
    return Processor(
        INTEL, 0x50654, _SKYLAKE_CACHES, *sizes, (2, multiply_adds), f"Intel(R) Xeon(R) {name}"
    )


def _zen(version: int, avx2: int, avx512: int) -> Processor:
    return Processor(AMD, version, _ZEN_CACHES, 32 * KB, 512 * KB, 32 * MB, (avx2, avx512))


PROCESSORS = {
    "Haswell": Processor(
        INTEL,
        0x306C3,
        (
            (0x1C004121, 0x01C0003F, 0x3F, 0),
            (0x1C004122, 0x01C0003F, 0x3F, 0),
            (0x1C004143, 0x01C0003F, 0x1FF, 0),
            (0x1C03C163, 0x03C0003F, 0x1FFF, 6),
        ),
        *(32 * KB, 256 * KB, 8 * MB, (2, 2)),
    ),
    "Sapphire Rapids": Processor(
        INTEL,
        0x806F8,
        (
            (0xFC004121, 0x02C0003F, 0x3F, 0),
            (0xFC004122, 0x01C0003F, 0x3F, 0),
            (0xFC004143, 0x03C0003F, 0x7FF, 0),
            (0xFC1FC163, 0x0380003F, 0x1BFFF, 4),
        ),
        *(48 * KB, 2 * MB, 105 * MB, (2, 2)),
    ),
    "Tiger Lake": Processor(INTEL, 0x806C1, (), 0, 0, 0, (2, 1)),
    "four cores on one L2": Processor(
        INTEL,
        0x90672,
        ((0xFC004121, 0x01C0003F, 0x3F, 0), (0xFC01C143, 0x03C0003F, 0x7FF, 0)),
        *(32 * KB, 512 * KB, 0, (2, 2)),
    ),
    "narrow AVX2": Processor(INTEL, 0xB06E0, (), 0, 0, 0, (1, 2)),
    "Silver": _skylake("Silver 4114 CPU @ 2.20GHz", 1),
    "Gold 5": _skylake("Gold 5115 CPU @ 2.40GHz", 1),
    "Gold 5122": _skylake("Gold 5122 CPU @ 3.60GHz", 2),
    "Gold 6": _skylake("Gold 6152 CPU @ 2.10GHz", 2),
    "Zen+": _zen(0x800F82, 1, 2),
    "Zen 2": _zen(0x870F10, 2, 2),
    "Zen 4": _zen(0xA10F11, 2, 1),
    "Zen 5": _zen(0xB00F21, 2, 2),
    "Zen 5, mobile": _zen(0xB20F40, 2, 1),
    "one that says nothing": Processor(b"\0" * 12, 0, (), 0, 0, 0, (2, 2)),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_processors_are_understood(name: str) -> None:
    expected = PROCESSORS[name]
    found = _kernels.processor(expected.leaves())
    assert (found["l1"], found["l2"], found["l3"]) == (expected.l1, expected.l2, expected.l3)
    avx2, avx512 = expected.multiply_adds
    assert found["multiply_adds"] == {"baseline": 2, "avx2": avx2, "avx512": avx512}


def test_sizes_of_this_machine_are_sane() -> None:
    caches = _kernels.machine()
    assert 16 * KB <= caches["l1"] <= 256 * KB
    assert 256 * KB <= caches["l2"] <= 2 * MB and caches["l2"] % (64 * KB) == 0
    assert caches["l2"] <= caches["l3"] <= 1024 * MB


@pytest.fixture
def set_machine() -> Iterator[Callable[..., None]]:
    """Sets the machine that kernels count on, for a test."""
    yield _kernels.set_machine
    _kernels.set_machine()


def test_sizes_that_nobody_makes_are_bounded(set_machine: Callable[..., None]) -> None:
    for said, counted_on in ((1, 256 * KB), (1000 * KB, 960 * KB), (64 * MB, 2 * MB)):
        set_machine(said)
        assert _kernels.machine()["l2"] == counted_on


@pytest.mark.skipif(_kernels.active_isa() != "avx512", reason="needs AVX-512")
def test_wider_vectors_are_chosen_where_they_are_faster(set_machine: Callable[..., None]) -> None:
    shape = {"n": 1, "c_in": 24, "h_in": 28, "w_in": 28, "c_out": 24, "k_h": 3, "k_w": 3}
    steps = {f"{name}_{axis}": 1 for name in ("pad", "dilation") for axis in "hw"}
    shape |= steps | {"stride_h": 2, "stride_w": 2, "groups": 1, "layout": "channels_last"}
    for multiply_adds, isa in ((2, "avx512"), (1, "avx2")):
        set_machine(1 * MB, avx512=multiply_adds)
        chosen = _kernels.conv2d.select("forward", "float32", **shape)
        assert chosen.endswith(isa)


def test_rates_can_be_set(set_machine: Callable[..., None]) -> None:
    set_machine(1 * MB)
    before = _kernels.rates("avx2")
    _kernels.set_rate("avx2", "l3_bytes", 1.0)
    assert _kernels.rates("avx2") == before | {"l3_bytes": 1.0}
    set_machine(1 * MB)
    assert _kernels.rates("avx2") == before
    with pytest.raises(ValueError, match="no rate 'speed'"):
        _kernels.set_rate("avx2", "speed", 1.0)
    with pytest.raises(ValueError, match="no ISA 'sse9'"):
        _kernels.rates("sse9")


def machine_with(l2: str) -> subprocess.CompletedProcess[str]:
    path = str(Path(_kernels.__file__).parent)
    return subprocess.run(
        [sys.executable, "-c", "import _kernels; print(_kernels.machine()['l2'])"],
        env=os.environ | {"PYTHONPATH": path, "CNNEXT_L2": l2},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("said", "bytes"), [("256K", 256 * KB), ("2M", 2 * MB), ("600000", 576 * KB)]
)
def test_the_environment_sets_l2(said: str, bytes: int) -> None:
    assert int(machine_with(said).stdout) == bytes


@pytest.mark.parametrize("said", ["255K", "3M", "1G", "K", "1.5M", "-1M", "9223372036854775807K"])
def test_a_size_that_l2_cannot_have_is_an_error(said: str) -> None:
    failed = machine_with(said)
    assert failed.returncode != 0
    assert f"CNNEXT_L2='{said}' is not a size from 256K to 2M" in failed.stderr
