"""A part of a captured model, computed by a plan of its graph."""

from __future__ import annotations

import operator
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from cnnext.optimization.graph import Graph, Node
from cnnext.optimization.weights import Weight
from cnnext.runtime.fallback import call_instead, fallback_reason
from cnnext.runtime.library import direct
from cnnext.runtime.operator import Operator

_OPTIMIZE = Operator(name="optimize")

#: What is in errors that other inputs might not meet; native computes these, or says what is wrong.
_OF_THESE_INPUTS = ("In the program's line", "the network takes", "inputs must be")


@dataclass(frozen=True)
class Step:
    """A step of a plan.

    Attributes:
        layers: qualified names of the layers that it computes.
        line: its line of the program, or several and `"; "` between them; `"input"`, `"output"` and
            `"copy"` for what moves values.
        kernel: the kernel's name.
        threads: that it runs on.
        images: that it takes at once.
        predicted: seconds for these images.
        measured: seconds for all images, or None.
    """

    layers: tuple[str, ...]
    line: str
    kernel: str
    threads: int
    images: int
    predicted: float
    measured: float | None = None

    def operators(self) -> list[str]:
        """Those of its lines."""
        return [line.split()[0] for line in self.line.split("; ")]


class _OtherDtype(RuntimeError):
    """The model was cast: PyTorch computes, or says what is wrong."""


class _Sources:
    """The tensors that weights were made from: where the model has them, and how they were.

    Every call asks whether they are the same, of which a network has hundreds: so each property is
    read of all of them at once, which takes a sixth of the time of a loop over the tensors. Whether
    their memory is what it was looks the plan, to which that costs next to nothing.
    """

    def __init__(self, model: Module, weights: list[Weight]) -> None:
        paths = _paths_of_sources(model, weights)
        self._names: list[str] = []
        self._places: list[dict[str, Any]] = []
        self._tensors: list[Tensor] = []
        for path in paths:
            owner, _, name = path.rpartition(".")
            module = model.get_submodule(owner)
            held: tuple[dict[str, Any], ...] = (module._parameters, module._buffers, vars(module))
            place = next((each for each in held if name in each), {})
            tensor = place.get(name)
            if not isinstance(tensor, Tensor):
                raise RuntimeError(f"the model has no tensor {path} any more: optimize it again")
            self._names.append(name)
            self._places.append(place)
            self._tensors.append(tensor)
        counted = [*self._tensors, *(tensor for weight in weights for tensor in weight.held())]
        self._counted = [each for each in counted if not each.is_inference()]
        self._versions = list(map(_version_of, self._counted))
        self._memory = [each.detach() for each in self._tensors]  # no other gets its address

    def are_same(self) -> bool:
        """Whether the model still has these tensors, unwritten as far as PyTorch counts."""
        return (
            all(map(operator.is_, map(dict.get, self._places, self._names), self._tensors))
            and list(map(_version_of, self._counted)) == self._versions
        )

    def other_dtype(self) -> torch.dtype | None:
        """That of a tensor that is neither of float32 nor of whole numbers."""
        dtypes = (each.dtype for each in self._tensors)
        others = (each for each in dtypes if each.is_floating_point and each is not torch.float32)
        return next(others, None)

    def be_watched(self, number: int) -> None:
        """Has the plan of that number return nothing once the memory of one is another."""
        direct.plan_watch(number, self._tensors)


_version_of = operator.attrgetter("_version")


def _paths_of_sources(model: Module, weights: list[Weight]) -> list[str]:
    """The paths of the tensors that weights are made from, and of what counts the changes of those
    statistics that a batch norm writes without being seen."""
    paths = dict.fromkeys(path for weight in weights for path in weight.paths())
    for path in list(paths):
        owner, _, name = path.rpartition(".")
        counter = "num_batches_tracked"
        if name == "running_mean" and isinstance(
            model.get_submodule(owner)._buffers.get(counter), Tensor
        ):
            paths[f"{owner}.{counter}" if owner else counter] = None
    return list(paths)


#: Operators that take images, and those whose result has the rank of their operands.
_OF_IMAGES = frozenset(
    {"conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "pad"}
    | {"shuffle", "pixel_shuffle", "upsample_nearest", "upsample_bilinear", "rows"}
)
_KEEPING_RANK = frozenset(
    {"activation", "add", "multiply", "scale_shift", "concat", "slice", "softmax", "log_softmax"}
)


def _known_sizes(graph: Graph) -> list[tuple[int | None, int | None]]:
    """The rank of each input and its number of channels, as far as the graph depends on these."""
    ranks: dict[Node, int | None] = {}
    for node in reversed(graph.nodes):
        rank = ranks.setdefault(node, node.rank)
        if node.operator in _OF_IMAGES or rank == 4 and node.operator in _KEEPING_RANK:
            ranks.update(dict.fromkeys(node.operands, 4))
    return [(ranks[node], node.channels) for node in graph.inputs]


class PlannedPart(Module):
    """Takes the place of a part's own module, which computes what no plan can.

    Args:
        native: the part's own module.
        graph: what it computes; two outputs may be the same value, or an input.
        model: has the tensors that the graph's weights are made from.
    """

    def __init__(self, native: Module, graph: Graph, model: Module) -> None:
        super().__init__()
        self._native = native
        computed = tuple(dict.fromkeys(n for n in graph.outputs if n.operator != "input"))
        self.graph = Graph(graph.nodes, computed)
        # Inputs and what is returned twice are copied: nobody shares memory with a result.
        self._returns = [
            (
                *(node in graph.inputs, node in graph.outputs[:i]),
                (graph.inputs if node in graph.inputs else computed).index(node),
            )
            for i, node in enumerate(graph.outputs)
        ]
        self._returns_one = self._returns == [(False, False, 0)]
        self._known = _known_sizes(graph)
        self._model = (model,)  # not a submodule
        self._weights = graph.weights()
        self._refreshing = threading.Lock()
        self.reason_of_fallback: str | None = None
        self._sources = _Sources(model, self._weights)
        self._number = direct.plan_define(str(self.graph), self._values())
        self._sources.be_watched(self._number)
        weakref.finalize(self, direct.plan_forget, self._number).atexit = False

    @torch.no_grad()
    def _values(self) -> list[Tensor]:
        return [weight.value(self._model[0]) for weight in self._weights]

    def refresh(self) -> None:
        """Makes the weights anew from what the model has."""
        with self._refreshing:
            # What changes meanwhile is noticed by the next call; and so is all, if this fails.
            sources = _Sources(self._model[0], self._weights)
            if (dtype := sources.other_dtype()) is not None:
                raise _OtherDtype(f"the model is of {dtype} now, and its plans of float32")
            sources.be_watched(self._number)
            direct.plan_set_weights(self._number, self._values())
            self._sources = sources

    def forward(self, *inputs: Tensor) -> Any:
        reason = fallback_reason(_OPTIMIZE, inputs) or self._reason_of_kind(inputs)
        if reason is not None:
            return call_instead("optimize", reason, self._native, *inputs)
        try:
            if not self._sources.are_same():
                self.refresh()
            while not (outputs := direct.plan_run(self._number, inputs)):
                self.refresh()
        except _OtherDtype as why:
            return call_instead("optimize", str(why), self._native, *inputs)
        except RuntimeError as error:
            if not any(phrase in str(error) for phrase in _OF_THESE_INPUTS):
                raise
            self.reason_of_fallback = str(error).splitlines()[0]
            return call_instead("optimize", "no plan fits the inputs", self._native, *inputs)
        if self._returns_one:
            return outputs[0]
        results = [
            (inputs if given else outputs)[i].clone(memory_format=torch.contiguous_format)
            if given or again
            else outputs[i]
            for given, again, i in self._returns
        ]
        return results[0] if len(results) == 1 else tuple(results)

    def _reason_of_kind(self, inputs: tuple[Tensor, ...]) -> str | None:
        for each, (rank, channels) in zip(inputs, self._known, strict=True):
            if each.dtype is not torch.float32:
                return "plans are of float32"
            if each.dim() != rank and (rank is not None or each.dim() == 3):
                return "inputs have other dimensions than the example's"
            if channels is not None and each.shape[-1 if rank == 3 else 1] != channels:
                return "inputs have other channels than the example's"
        return None

    def steps(self, inputs: tuple[Tensor, ...], *, profile: bool) -> Iterator[Step]:
        """The steps of the plan for such inputs; measured if `profile`."""
        try:
            lines = direct.plan_report(self._number, inputs).splitlines()
        except RuntimeError:  # they were computed natively
            return
        seconds: list[float | None] = [None] * len(lines)
        if profile:
            direct.plan_run(self._number, inputs)
            seconds = direct.plan_profile(self._number, inputs)
        for line, measured in zip(lines, seconds, strict=True):
            text, kernel, threads, predicted, images = line.split("\t")
            nodes = map(self._node_of, text.split("; "))
            layers = tuple(name for node in nodes if node is not None for name in node.layers)
            yield Step(layers, text, kernel, int(threads), int(images), float(predicted), measured)

    def _node_of(self, line: str) -> Node | None:
        words = line.split()
        return self.graph.nodes[int(words[1])] if len(words) > 1 else None

    def layers(self) -> list[str]:
        """The names of all layers that the part stands for."""
        return list(dict.fromkeys(name for node in self.graph.nodes for name in node.layers))

    def memory(self) -> dict[str, int]:
        """Bytes: `"packed"`, of weights; `"call"`, of a call at most; and the number of plans."""
        packed, call, plans = direct.plan_bytes(self._number)
        return {"packed": packed, "call": call, "plans": plans}
