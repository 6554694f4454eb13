"""Memory that outlives its use: of large results and of scratch (csrc/common/kernel/arena.h)."""

from __future__ import annotations

from cnnext.runtime.library import ops


def empty_cache() -> None:
    """Gives the memory that cnnext keeps for results to come back to the system.

    As `torch.cuda.empty_cache` does on GPUs. On Linux, the memory of large results on the CPU is
    kept when these are gone, because fresh memory costs more than most kernels take to fill it; at
    most about what was in use at once is kept. With `CNNEXT_KEEP_MEMORY=0` in the environment,
    that of results is not, and scratch memory is up to 128 MB.
    """
    ops.release_memory()
