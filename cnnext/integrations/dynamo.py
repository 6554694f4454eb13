"""`torch.compile(model, backend="cnnext")`.

A graph of Dynamo's for inference runs as `cnnext.optimize` runs a model; where gradients are
needed, the functions that autograd records are cnnext's.

The model's tensors are inputs of the graph, and one graph serves all models of a class. So the
plans are kept by these tensors, and as long as these are: whether they were overwritten is asked at
each call.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from cnnext.optimization.capture import Part
from cnnext.optimization.dynamo_graph import divided, is_differentiable, prepared, tensors_of_model
from cnnext.optimization.passes import optimized
from cnnext.optimization.planned_part import PlannedPart
from cnnext.optimization.tracing import Untraceable
from cnnext.optimization.weights import Weight
from cnnext.runtime.fallback import call_instead
from cnnext.runtime.operator import OPERATORS

Compiled = Callable[..., Any]

#: How the names begin by which plans know the tensors of models; their identities follow.
_TENSOR = "tensor_"

#: Our functions by native's.
_FUNCTIONS: dict[Any, Any] = {
    operator.native: operator.function
    for operator in OPERATORS.values()
    if operator.native is not None and operator.function is not None
} | {torch.relu: OPERATORS["relu"].function, torch.max_pool2d: OPERATORS["max_pool2d"].function}

#: What a plan is for: a notice is given where none of these is in one.
_PRODUCTS = frozenset({torch.conv2d, torch.conv_transpose2d, F.linear})


def compiled(module: fx.GraphModule, example_inputs: Sequence[Any]) -> Compiled:
    """What is called in place of a module that Dynamo made: the backend."""
    differentiable = is_differentiable(module.graph)
    products = [node for node in module.graph.nodes if node.target in _PRODUCTS]
    if differentiable:
        module = _with_our_functions(module)
    reason = "there is no plan for any of its convolutions and linear layers"
    try:
        planned = _Planned(module, differentiable)
        if planned.plan_for(example_inputs).parts:
            return planned
    except Untraceable as why:
        reason = str(why)
    if products and not differentiable:
        return functools.partial(call_instead, "compile", reason, module.forward)
    return module.forward


def _with_our_functions(module: fx.GraphModule) -> fx.GraphModule:
    graph = fx.Graph()
    graph.output(graph.graph_copy(module.graph, {}))
    for node in graph.nodes:
        node.target = _FUNCTIONS.get(node.target, node.target)
    return fx.GraphModule(module, graph)


class _Planned:
    """A graph with parts that are planned, for each model that it is called with.

    Args:
        module: the graph, as Dynamo made it.
        differentiable: whether autograd records what is in no part; else it records nothing.
    """

    def __init__(self, module: fx.GraphModule, differentiable: bool) -> None:
        self._module = module
        self._differentiable = differentiable
        self._graph = prepared(module.graph)
        self._inputs = tensors_of_model(module.graph)
        self._used: tuple[int, ...] = ()
        self._plans: dict[tuple[int, ...], _Plan] = {}
        self._planning = threading.Lock()

    def __call__(self, *args: Any) -> Any:
        if self._differentiable or not torch.is_grad_enabled():
            return self._run(args)
        with torch.no_grad():
            return self._run(args)

    def _run(self, args: tuple[Any, ...]) -> Any:
        plan = self._plan_of(args)
        if plan is None:
            with self._planning:
                plan = self._plan_of(args) or self.plan_for(args)
        return plan.run(*args)

    def _plan_of(self, args: Sequence[Any]) -> _Plan | None:
        """The plan for the model that has these tensors, where that is right still."""
        tensors = [args[i] for i in self._used]
        plan = self._plans.get(tuple(map(id, tensors)))
        return plan if plan is not None and plan.is_of(tensors) else None

    def plan_for(self, args: Sequence[Any]) -> _Plan:
        """A new plan."""
        tensors = {name: args[i] for name, i in self._inputs.items()}
        plan = _Plan(self._module, self._graph, tensors)
        self._used = tuple(self._inputs[name] for name in plan.inputs)
        used = [args[i] for i in self._used]
        key = tuple(map(id, used))
        plan.watch(used, functools.partial(_forget, weakref.ref(self), key))
        self._plans[key] = plan
        return plan


def _forget(planned: weakref.ref[_Planned], key: tuple[int, ...], _: object) -> None:
    """Called when a tensor of the plan's model is deleted."""
    if (graph := planned()) is not None:
        graph._plans.pop(key, None)


class _Plan:
    """A graph with planned parts, for one model.

    It has aliases of the model's tensors: they count changes as these do, and keep none of them.

    Attributes:
        parts: the planned parts.
        inputs: the inputs of the graph that are tensors of the model which the parts are made from.
        run: takes the inputs of the graph.
    """

    def __init__(
        self, module: fx.GraphModule, graph: fx.Graph, tensors: Mapping[str, Tensor]
    ) -> None:
        names = {input: f"{_TENSOR}{id(tensor)}" for input, tensor in tensors.items()}
        model = fx.GraphModule(module, graph)
        aliases = {name: tensors[input].detach() for input, name in names.items()}
        for name, alias in aliases.items():
            setattr(model, name, alias)
        whole, parts = divided(graph, model, names)
        originals = {names[input]: tensor for input, tensor in tensors.items()}
        self.parts: list[PlannedPart] = []
        for part in parts:
            planned = _planned(part, model, originals)
            setattr(part.owner, part.name, planned)
            self.parts.append(planned)
        used = {path for part in self.parts for path in _paths(part.graph.weights())}
        self.inputs = [input for input, name in names.items() if name in used]
        self._pointers = [tensors[input].data_ptr() for input in self.inputs]
        self._statistics = [
            aliases[name] for name in map(names.get, _statistics(graph)) if name in used
        ]
        self._seen = self._values_of_statistics()
        self._watched: list[weakref.ref[Tensor]] = []
        self.run = _callable(whole, self.parts)

    def watch(self, tensors: list[Tensor], forget: Callable[[object], None]) -> None:
        """Has `forget` called when one of the tensors is deleted."""
        self._watched = [weakref.ref(tensor, forget) for tensor in tensors]

    def is_of(self, tensors: list[Tensor]) -> bool:
        """Whether these tensors, which it was made from, lie where they did."""
        if [tensor.data_ptr() for tensor in tensors] != self._pointers:
            return False
        if self._statistics:
            values = self._values_of_statistics()
            if not torch.equal(values, self._seen):
                for part in self.parts:
                    part.refresh()
                self._seen = values
        return True

    def _values_of_statistics(self) -> Tensor:
        """Those of batch normalizations, which are written to without being counted."""
        return torch.cat([*self._statistics, torch.empty(0)])


def _paths(weights: Iterable[Weight]) -> Iterator[str]:
    return (path for weight in weights for path in weight.paths())


def _statistics(graph: fx.Graph) -> list[str]:
    """The inputs that are means and variances of batch normalizations."""
    calls = graph.find_nodes(op="call_function", target=F.batch_norm)
    return [str(each.target) for call in calls for each in call.args[1:3] if each is not None]


def _callable(whole: fx.GraphModule, parts: list[PlannedPart]) -> Compiled:
    """What the module calls, without the way to it where that is one part."""
    inputs = whole.graph.find_nodes(op="placeholder")
    call, output = list(whole.graph.nodes)[-2:]
    is_part = len(parts) == 1 and call.op == "call_module" and call.all_input_nodes == [*call.args]
    if len(whole.graph.nodes) > len(inputs) + 2 or output.args != ((call,),) or not is_part:
        return whole.forward
    (part,), used = parts, [inputs.index(each) for each in call.args]
    return lambda *args: (part.forward(*[args[i] for i in used]),)


class _OfOriginals(PlannedPart):
    """A part that knows the tensors whose aliases it is made from, and where they were."""

    originals: list[tuple[weakref.ref[Tensor], int]]

    def is_of(self, tensors: list[Tensor]) -> bool:
        return all(
            original() is tensor and pointer == tensor.data_ptr()
            for (original, pointer), tensor in zip(self.originals, tensors, strict=True)
        )


#: By program and recipes, so that the graphs for several shapes of inputs pack weights once.
_parts: weakref.WeakValueDictionary[Any, _OfOriginals] = weakref.WeakValueDictionary()


def _planned(part: Part, model: fx.GraphModule, originals: Mapping[str, Tensor]) -> PlannedPart:
    """The planned part, which may be that of another graph of the same model."""
    graph, native = optimized(part.graph), getattr(part.owner, part.name)
    paths = list(dict.fromkeys(_paths(graph.weights())))
    if not originals.keys() >= set(paths):
        return PlannedPart(native, graph, model)
    key, read = (str(graph), *graph.weights()), [originals[path] for path in paths]
    shared = _parts.get(key)
    if shared is None or not shared.is_of(read):
        shared = _parts[key] = _OfOriginals(native, graph, model)
        shared.originals = [(weakref.ref(tensor), tensor.data_ptr()) for tensor in read]
    return shared
