"""What the operator tests check of torch.library, torch.compile and torch.export."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.backends.registry import lookup_backend
from torch.fx import GraphModule

from cnnext.ops.recurrence import recurrence
from tests.ops.support import CNNEXT, Problem, assert_same_sums

#: Unlike any other size, which the compiler would take for the same unknown.
BATCHES = (37, 41, 43)

ALL_CHECKS = (
    "test_schema",
    "test_autograd_registration",
    "test_faketensor",
    "test_aot_dispatch_dynamic",
)
FAKE_CHECK = ("test_faketensor",)  # sizes and strides only


def check_op(name: str, *arguments: Any, checks: tuple[str, ...] = ALL_CHECKS) -> None:
    """torch.library.opcheck of `torch.ops.cnnext.<name>`."""
    torch.library.opcheck(getattr(torch.ops.cnnext, name).default, arguments, test_utils=checks)


def ops_in(graph_module: torch.nn.Module) -> set[str]:
    """The operators of cnnext that a graph calls."""
    assert isinstance(graph_module, GraphModule)
    targets = (node.target for node in graph_module.graph.nodes)
    return {
        target._schema.name.removeprefix("cnnext::")
        for target in targets
        if isinstance(target, torch._ops.OpOverload) and target.namespace == "cnnext"
    }


class Compiled(SimpleNamespace):
    """cnnext.functional and `recurrence`, each compiled into one graph; remembers the graphs."""

    def __init__(self, backend: str, *, dynamic: bool | None = None) -> None:
        torch._dynamo.reset()
        self.graphs: list[GraphModule] = []
        for name in CNNEXT.__all__:
            setattr(self, name, self.compile(getattr(CNNEXT, name), backend, dynamic=dynamic))
        self.recurrence = self.compile(recurrence, backend, dynamic=dynamic)

    def compile(
        self, function: Any, backend: str, *, fullgraph: bool = True, **options: Any
    ) -> Any:
        """Another function or module, compiled as they are."""
        compile_graph = lookup_backend(backend)

        def record(graph: GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
            self.graphs.append(graph)
            return compile_graph(graph, inputs)

        return torch.compile(function, fullgraph=fullgraph, backend=record, **options)


def holds(graph: GraphModule, op: str | None) -> bool:
    """Whether it calls our operator, or none of ours where there is none for graphs."""
    return op in ops_in(graph) if op is not None else not ops_in(graph)


def check_compiled(op: str | None, problem: Problem, backend: str) -> None:
    """Compiled in one piece, `op` gives the right outputs and gradients, with our kernels."""
    library = Compiled(backend)
    problem.check_outputs(problem.outputs(library), what="compiled output")
    problem.check_gradients(problem.gradients(library), what="compiled gradient")
    assert library.graphs
    assert all(holds(graph, op) for graph in library.graphs)


def check_dynamic_batch(op: str | None, problem_of_batch: Callable[[int], Problem]) -> None:
    """The graph of the first batch serves every batch size.

    Where an argument is a fraction, the compiler makes that one twice, to fix it.
    """
    library = Compiled("aot_eager", dynamic=True)
    counts = []
    for batch in BATCHES:
        problem = problem_of_batch(batch)
        problem.check_gradients(problem.gradients(library), what=f"gradient at batch {batch}")
        counts.append(len(library.graphs))
    assert set(counts) == {counts[0]}
    assert holds(library.graphs[-1], op)


def check_exported(
    op: str, module: torch.nn.Module, inputs_of_batch: Callable[[int], tuple[Any, ...]]
) -> None:
    """Exported with a dynamic batch, the module calls `op` and computes what it did."""
    inputs = inputs_of_batch(BATCHES[0])
    dynamic = torch.utils._pytree.tree_map(lambda _: {0: torch.export.Dim("batch")}, inputs)
    for strict in (False, True):
        program = torch.export.export(module, inputs, dynamic_shapes=(*dynamic,), strict=strict)
        assert op in ops_in(program.graph_module), f"strict={strict}"
        for batch in BATCHES:
            inputs = inputs_of_batch(batch)
            with torch.no_grad():
                assert_same_sums(program.module()(*inputs), module(*inputs))
