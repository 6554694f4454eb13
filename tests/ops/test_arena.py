"""Large results have memory that lives on: their own while they live, and no more than needed."""

from __future__ import annotations

import copy
import gc
import io
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext.functional import relu
from tests.ops.support import generator_for

MIB = 2**20
SEED = 20261129
LEAST = MIB // 2  # Arena::kLeast
PERIOD = 4096  # kPeriod of arena.cpp

pytestmark = pytest.mark.skipif(
    sys.platform != "linux"
    or torch.__version__ < "2.11"
    or os.environ.get("CNNEXT_KEEP_MEMORY") == "0",
    reason="there is no arena",
)


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    gc.collect()
    cnnext.empty_cache()
    yield
    cnnext.empty_cache()


def resident() -> int:
    """Bytes of this process's memory that are backed by pages."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def result(bytes: int, value: float = 1.0) -> Tensor:
    """A result of so many bytes."""
    return relu(torch.full((bytes // 4,), value))


def test_results_of_any_sizes_and_lives_do_not_touch_each_other() -> None:
    print(f"seed {SEED}")
    draw = random.Random(SEED)
    alive: list[tuple[float, Tensor]] = []
    for number in range(400):
        alive.append((float(number), result(draw.randint(LEAST - 8, 3 * LEAST), float(number))))
        if len(alive) > draw.randint(1, 24):
            value, tensor = alive.pop(draw.randrange(len(alive)))
            assert bool((tensor == value).all()), number
    for value, tensor in alive:
        assert bool((tensor == value).all())


def test_threads_may_take_and_give_back_what_others_took() -> None:
    given: list[Tensor] = []
    lock = threading.Lock()
    wrong: list[float] = []

    def work(number: int) -> None:
        for step in range(60):
            value = float(100 * number + step)
            mine = result(LEAST + 4096 * number, value)
            with lock:
                given.append(mine)
                other = given.pop(0) if len(given) > 6 else None
            if not bool((mine == value).all()):
                wrong.append(value)
            del mine, other

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_is_used_again_by_results_of_other_sizes() -> None:
    first = result(8 * MIB)
    begin = first.data_ptr()
    del first
    parts = [result(3 * MIB), result(4 * MIB)]
    assert all(begin <= part.data_ptr() < begin + 8 * MIB for part in parts)
    del parts
    assert result(8 * MIB).data_ptr() == begin  # the parts are one again


def test_a_step_repeated_takes_no_more_memory() -> None:
    draw = random.Random(SEED)
    operands = [torch.ones(draw.randint(LEAST, 8 * MIB) // 4) for _ in range(12)]

    def step() -> None:
        activations = [relu(operand) for operand in operands]
        while activations:
            relu(activations.pop())

    step()
    before = resident()
    for _ in range(30):
        step()
    assert resident() - before < 16 * MIB


def test_an_emptied_cache_holds_no_pages() -> None:
    before = resident()
    results = [result(32 * MIB) for _ in range(6)]
    kept = results[3]
    del results
    assert resident() - before > 160 * MIB
    cnnext.empty_cache()
    assert resident() - before < 64 * MIB
    assert bool((kept == 1).all())


def test_far_less_in_use_lets_go_of_the_rest() -> None:
    before = resident()
    results = [result(32 * MIB) for _ in range(6)]
    kept = result(LEAST)  # behind them
    del results
    operand = torch.ones(LEAST // 4)
    for _ in range(3 * PERIOD):  # two of them whole, whatever was taken before
        relu(operand)
    assert resident() - before < 64 * MIB
    assert bool((kept == 1).all())


def test_an_emptied_cache_holds_no_small_holes() -> None:
    operand = torch.ones(LEAST // 4)  # one for all: what an allocator keeps of others would count
    before = resident()
    results = [relu(operand) for _ in range(300)]
    kept = results[::3]
    del results
    cnnext.empty_cache()
    assert resident() - before < 100 * LEAST + 16 * MIB
    assert all(bool((each == 1).all()) for each in kept)


def run(script: str, **environment: str) -> None:
    """In a process of its own."""
    script = f"import torch, cnnext\nfrom cnnext.functional import linear, relu\n{script}"
    subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, check=True, timeout=120
    )


def test_a_child_may_compute_whatever_its_parent_did_at_the_fork() -> None:
    run("""
import os, signal, threading
x = torch.ones(200_000)
torch.set_num_threads(1)
holes = [relu(x) for _ in range(2000)]
del holes[::2]
stop = threading.Event()
def work():
    while not stop.is_set():
        relu(x)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
for _ in range(60):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        relu(x)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
""")


def test_a_limit_of_addresses_is_left_to_others() -> None:
    run("""
import os, resource
ram = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (ram + (6 << 30),) * 2)
assert bool((relu(torch.ones(1 << 20)) == 1).all())
torch.empty(4 << 30, dtype=torch.uint8)
""")


def test_a_result_whose_bytes_cannot_be_counted_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        cnnext.functional.linear(
            torch.ones(1, 1).expand(2**31, 1), torch.ones(1, 1).expand(2**31 + 1, 1)
        )


def test_results_are_tensors_like_others() -> None:
    x = torch.randn(3, 500, 1000, generator=generator_for("arena"))
    y, expected = relu(x), torch.relu(x)
    saved = io.BytesIO()
    torch.save(y, saved)
    saved.seek(0)
    for other in (copy.deepcopy(y), torch.load(saved), y.clone(), torch.from_numpy(y.numpy())):
        assert torch.equal(other, expected)
    assert y.untyped_storage().nbytes() == y.nbytes
    assert torch.equal(relu(x).share_memory_(), expected)
    assert y.resize_(2, 3).shape == (2, 3)  # its storage stays as it is, and cannot grow
    with pytest.raises(RuntimeError, match="not resizable"):
        y.resize_(10, *x.shape)


def test_the_environment_can_forbid_it() -> None:
    run(
        """
y = relu(torch.ones(1 << 20))
cnnext.empty_cache()
assert y.untyped_storage().resizable() and bool((y == 1).all())
""",
        CNNEXT_KEEP_MEMORY="0",
    )
