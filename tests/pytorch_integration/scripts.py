"""What the tests of processes run in processes of their own, by names; exits with 1 on a mistake.

    python -m tests.pytorch_integration.scripts spawn hogwild

Results are compared with what the same process computed before, or with native's.
"""

import concurrent.futures
import os
import sys
import threading
from typing import Any

import torch
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import cnnext
from tests.ops.support import assert_same_sums
from tests.pytorch_integration.cases import LAYERS, Network, gradients_of, loss_of, outputs_of


def everything() -> list[Any]:
    """Outputs and gradients of every module, and of a network, on the calling thread."""
    results: list[Any] = []
    for layer in LAYERS:
        image, *states = layer.inputs()
        outputs = outputs_of(layer.build(cnnext.nn)(image.requires_grad_(), *states))
        results += [t.detach() for t in outputs]
        results += torch.autograd.grad(loss_of(outputs), image)
    results += gradients_of(Network(cnnext.nn), Network.images()).values()
    return results


def larger() -> Tensor:
    """Large enough for kernels to use all threads."""
    torch.manual_seed(0)
    with torch.no_grad():
        return cnnext.Conv2d(16, 32, 3, padding=1)(torch.randn(8, 16, 32, 32))


def same(ours: Any, expected: Any) -> None:
    torch.testing.assert_close(ours, expected, rtol=0, atol=0)


# ---------------------------------------------------------------------------------- processes


def send_everything(queue: Any) -> None:
    queue.put([t.numpy() for t in (*everything(), larger())])


def compute_by_one_thread(queue: Any) -> None:
    torch.set_num_threads(1)
    send_everything(queue)


def processes(method: str, threads: int) -> None:
    """A child computes the same after its parent has used its threads.

    One that is forked has no threads but its own, whatever its parent had, and native's operators
    wait for them forever as ours do, unless it is told.
    """
    torch.set_num_threads(threads)
    expected = [*everything(), larger()]
    context = mp.get_context(method)
    queue = context.Queue()
    target = compute_by_one_thread if method == "fork" else send_everything
    child = context.Process(target=target, args=(queue,))
    child.start()
    for result, value in zip(queue.get(timeout=60), expected, strict=True):
        assert_same_sums(torch.from_numpy(result), value)
    child.join(60)
    assert child.exitcode == 0
    same([*everything(), larger()], expected)


class Features(Dataset):
    """Images whose features a worker computes by our kernels."""

    def __init__(self) -> None:
        self.model = Network(cnnext.nn).features.requires_grad_(False)

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Tensor:
        return self.model(Network.images(1) + index)[0]


def data_loader(method: str) -> None:
    data = Features()
    expected = torch.stack([data[index] for index in range(len(data))])
    larger()
    loader = DataLoader(
        data, 2, num_workers=1, multiprocessing_context=method, persistent_workers=True
    )
    for _ in range(2):
        same(torch.cat(list(loader)), expected)
        larger()


def train_shared(rank: int, model: nn.Module) -> None:
    torch.set_num_threads(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        gradients_of(model, Network.images())
        optimizer.step()


def hogwild() -> None:
    """Processes train one model in shared memory."""
    model = Network(cnnext.nn).share_memory()
    gradients_of(model, Network.images())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.zero_grad()
    mp.spawn(train_shared, args=(model,), nprocs=2)
    for name, value in model.state_dict().items():
        assert value.isfinite().all() and not torch.equal(value, before[name]), name


# ------------------------------------------------------------------------------------ threads


def python_threads() -> None:
    """Many threads share a module, forward and backward; each gets what one alone would."""
    torch.set_num_threads(2)
    model = Network(cnnext.nn)
    images = [Network.images(1 + k % 3) + k for k in range(8)]

    def gradients(x: Tensor) -> Any:
        return torch.autograd.grad(loss_of(model(x)), tuple(model.parameters()))

    expected = [gradients(x) for x in images]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for ours, value in zip(pool.map(gradients, images), expected, strict=True):
                same(ours, value)


def number_of_threads_changes() -> None:
    """At run time, and from another thread than the main one."""
    expected = larger()
    for threads in (1, 2, 5, 1, 16, 2):
        torch.set_num_threads(threads)
        assert_same_sums(larger(), expected)
        everything()
    worker = threading.Thread(target=lambda: (torch.set_num_threads(3), everything()))
    worker.start()
    everything()
    worker.join()
    assert_same_sums(larger(), expected)


def affinity_changes() -> None:
    """A process that is moved to one CPU, and back, goes on."""
    torch.set_num_threads(2)
    expected = larger()
    cpus = os.sched_getaffinity(0)
    for allowed in ({min(cpus)}, {max(cpus)}, cpus):
        os.sched_setaffinity(0, allowed)
        same(larger(), expected)
        everything()


def exit_with_threads() -> None:
    """The interpreter ends while threads wait, have just computed, and still compute."""
    torch.set_num_threads(2)
    waiting = threading.Event()
    threading.Thread(target=lambda: (larger(), waiting.wait()), daemon=True).start()
    threading.Thread(target=lambda: [everything() for _ in range(20)]).start()
    larger()


SCRIPTS = {
    "fork_after_one_thread": lambda: processes("fork", 1),
    "fork_after_two_threads": lambda: processes("fork", 2),
    "spawn": lambda: processes("spawn", 2),
    "forkserver": lambda: processes("forkserver", 2),
    "data_loader_fork": lambda: data_loader("fork"),
    "data_loader_spawn": lambda: data_loader("spawn"),
    "hogwild": hogwild,
    "python_threads": python_threads,
    "number_of_threads_changes": number_of_threads_changes,
    "affinity_changes": affinity_changes,
    "exit_with_threads": exit_with_threads,
}

if __name__ == "__main__":
    for script in sys.argv[1:]:
        print(script, flush=True)
        SCRIPTS[script]()
