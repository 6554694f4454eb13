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
    sys.platform != "linux" or torch.__version__ < "2.11" or "CNNEXT_KEEP_MEMORY" in os.environ,
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
    def step() -> None:
        sizes = [random.Random(SEED).randint(LEAST, 8 * MIB) for _ in range(12)]
        activations = [result(size) for size in sizes]
        while activations:
            result(activations.pop().nbytes)

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
    del results
    operand = torch.ones(LEAST // 4)
    for _ in range(3 * PERIOD):  # two of them whole, whatever was taken before
        relu(operand)
    assert resident() - before < 64 * MIB


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
    script = """
import torch, cnnext
y = cnnext.functional.relu(torch.ones(1 << 20))
cnnext.empty_cache()
assert y.untyped_storage().resizable() and bool((y == 1).all())
"""
    environment = {**os.environ, "CNNEXT_KEEP_MEMORY": "0"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)
