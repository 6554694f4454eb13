"""The passes over a graph, in their order: each is a pure function from graph to graph.

The order matters: a batch normalization stands between a convolution and its activation until it is
part of the weight, an addition has its activation in it when it becomes a residual, and siblings
take the same value until what precedes them is a part of each.
"""

from __future__ import annotations

from collections.abc import Callable

from cnnext.optimization.graph import Graph
from cnnext.optimization.passes.average_first import average_first
from cnnext.optimization.passes.fold_batch_norm import fold_batch_norm
from cnnext.optimization.passes.fuse_activation import fuse_activation
from cnnext.optimization.passes.fuse_pool import fuse_pool
from cnnext.optimization.passes.fuse_prologue import fuse_prologue
from cnnext.optimization.passes.fuse_residual import fuse_residual
from cnnext.optimization.passes.merge_siblings import merge_siblings
from cnnext.optimization.passes.recognize_activations import recognize_activations
from cnnext.optimization.passes.remove_identities import remove_identities

PASSES: tuple[Callable[[Graph], Graph], ...] = (
    remove_identities,
    recognize_activations,
    fold_batch_norm,
    average_first,
    fuse_activation,
    fuse_residual,
    fuse_pool,
    merge_siblings,
    fuse_prologue,
)


def optimized(graph: Graph) -> Graph:
    """The graph after all passes."""
    for each in PASSES:
        graph = each(graph)
    return graph
