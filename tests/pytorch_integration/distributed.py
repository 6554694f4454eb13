"""What test_parallel runs in two processes: as `python -m tests.pytorch_integration.distributed`.

Each rank trains on its half of the images; the gradients must be those of one process on all.
"""

import copy
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

import cnnext
from tests.ops.support import assert_same_sums
from tests.pytorch_integration.cases import Network, grads_of, loss_of

RANKS = 2


class Branching(nn.Module):
    """A network with a branch that no step uses."""

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.used = Network(layers)
        self.unused = Network(layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.used(images)


def gradients_of_one_process(steps: int = 1, accumulated: int = 1) -> dict[str, Tensor]:
    """Native's, of the mean over the ranks, after that many steps of SGD."""
    model = Network(nn)
    images = Network.images(2 * RANKS)
    for step in range(steps):
        if step > 0:
            descend(model)
        model.zero_grad()
        for _ in range(accumulated):
            (loss_of(model(images)) / RANKS).backward()
    return grads_of(model)


def descend(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.01 * parameter.grad


def part(rank: int) -> Tensor:
    return Network.images(2 * RANKS)[2 * rank : 2 * rank + 2]


def whole(gradient: Tensor) -> Tensor:
    return gradient.full_tensor() if isinstance(gradient, DTensor) else gradient


def check(model: nn.Module, expected: dict[str, Tensor], prefix: str = "") -> None:
    gradients = {
        name.removeprefix("module.").removeprefix(prefix): whole(p.grad)
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    assert_same_sums({name: gradients[name] for name in expected}, expected)


def train(model: nn.Module, rank: int, steps: int = 1) -> None:
    for step in range(steps):
        if step > 0:
            descend(model)
        model.zero_grad()
        loss_of(model(part(rank))).backward()


def ddp(**options: Any) -> Callable[[int], None]:
    def run(rank: int) -> None:
        model = DistributedDataParallel(Network(cnnext.nn), **options)
        train(model, rank, steps=3)
        check(model, gradients_of_one_process(steps=3))

    return run


def ddp_with_unused_parameters(rank: int) -> None:
    model = DistributedDataParallel(Branching(cnnext.nn), find_unused_parameters=True)
    train(model, rank, steps=2)
    check(model, gradients_of_one_process(steps=2), prefix="used.")
    assert all(p.grad is None or not p.grad.any() for p in model.module.unused.parameters())


def ddp_with_accumulation(rank: int) -> None:
    model = DistributedDataParallel(Network(cnnext.nn))
    for last in (False, True):
        context: AbstractContextManager[Any] = nullcontext() if last else model.no_sync()
        with context:
            loss_of(model(part(rank))).backward()
    check(model, gradients_of_one_process(accumulated=2))


def ddp_compiled(rank: int) -> None:
    model = DistributedDataParallel(Network(cnnext.nn))
    train(torch.compile(model, backend="aot_eager"), rank)
    check(model, gradients_of_one_process())


def sharded(rank: int) -> None:
    """fully_shard: every layer's parameters lie in parts on the ranks, as DTensors."""
    model = Network(cnnext.nn)
    for layer in (model.features[0], model.linear, model.cell):
        fully_shard(layer)
    fully_shard(model)
    train(model, rank, steps=3)
    check(model, gradients_of_one_process(steps=3))


def fully_sharded(rank: int) -> None:
    """The older wrapper, whose parameters are views of one flat tensor."""
    model = FullyShardedDataParallel(
        Network(cnnext.nn), use_orig_params=True, device_id=torch.device("cpu")
    )
    train(model, rank)
    with FullyShardedDataParallel.summon_full_params(model, with_grads=True):
        check(model, gradients_of_one_process(), prefix="_fsdp_wrapped_module.")


def tensor_parallel(rank: int) -> None:
    """Linear layers in parts, on DTensors: native's business, and said so."""
    mesh = init_device_mesh("cpu", (RANKS,))
    torch.manual_seed(0)
    whole_model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6))
    model = cnnext.convert(copy.deepcopy(whole_model))
    parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    rows = torch.randn(4, 6)
    loss_of(whole_model(rows)).backward()
    with cnnext.flags(strict=False):
        loss_of(model(rows)).backward()
    check(model, grads_of(whole_model))


CHECKS = {
    "ddp": ddp(),
    "ddp_static_graph": ddp(static_graph=True),
    "ddp_bucket_views": ddp(gradient_as_bucket_view=True, bucket_cap_mb=0.0001),
    "ddp_with_unused_parameters": ddp_with_unused_parameters,
    "ddp_with_accumulation": ddp_with_accumulation,
    "ddp_compiled": ddp_compiled,
    "fully_shard": sharded,
    "fully_sharded_data_parallel": fully_sharded,
    "tensor_parallel": tensor_parallel,
}


def run_rank(rank: int, names: list[str], address: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=RANKS)
    for name in names:
        if rank == 0:
            print(name, flush=True)
        CHECKS[name](rank)
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    address, *names = sys.argv[1:]
    mp.start_processes(run_rank, args=(names, address), nprocs=RANKS, start_method="fork")
