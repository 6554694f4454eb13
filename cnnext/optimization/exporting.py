"""A model captured by torch.export: what branches on sizes, or handles other objects than tensors.

The program is for the arguments that the example has besides tensors, and for those sizes that
took the same branches; the model itself computes all others.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import dataclasses
import functools
import inspect
import io
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx
from torch._ops import HigherOrderOperator
from torch.nn import Module
from torch.utils import _pytree as pytree

from cnnext.optimization.layers import watched
from cnnext.optimization.tracing import (
    Example,
    Untraceable,
    agree,
    first_line,
    run,
)
from cnnext.runtime.fallback import call_instead

_Shapes = tuple[torch.Size, ...]

#: What may stand in arguments and results beside tensors; its values are part of the program.
_CONSTANTS = (type(None), bool, int, float, str, torch.dtype, torch.device)

#: Sizes below this are never symbols of torch.export, which assumes that all symbols are others.
_SMALLEST_SYMBOL = 2

#: So many tuples of sizes are remembered.
_REMEMBERED = 256

#: Seconds after which torch.export is given up: sizes that are computed from sizes many times, as
#: windows of attention do, keep it busy for minutes.
_PATIENCE = 10.0


class Exported(Module):
    """Computes what the model does by a trace where that is possible, and by the model elsewhere.

    Attributes:
        trace: takes the tensors among the arguments, and returns those (and sizes) in the result.
        result: how the result is made of them.
        example: of the trace.
    """

    def __init__(self, model: Module, example: Example) -> None:
        super().__init__()
        self._model = (model,)  # not a submodule
        self._arguments = _Arguments(model, example.args)
        program, self.result = _exported(model, self._arguments)
        self._guards = _guards(program)
        self.trace = _trace(program, model)
        self.example = Example(self._arguments.tensors, self.result.leaves(example.result))
        self._is_for = functools.lru_cache(_REMEMBERED)(self._find_whether_it_is_for)
        shapes = [each.shape for each in self.example.args]
        others = [torch.Size([size + 2 for size in each[:1]]) + each[1:] for each in shapes]
        if not self._passes(tuple(shapes)) or not self._passes(tuple(others)):
            raise Untraceable("torch.export makes a program of one batch alone")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        tensors = self._arguments.tensors_of(args, kwargs)
        if tensors is None:
            reason = "arguments are not those of the example"
        elif not self._is_for(tuple(each.shape for each in tensors)):
            reason = "torch.export made a program of other sizes"
        else:
            return self.result.rebuilt(self.trace(*tensors))
        return call_instead("optimize", reason, functools.partial(self._model[0], **kwargs), *args)

    def _find_whether_it_is_for(self, shapes: _Shapes) -> bool:
        if not self._passes(shapes):
            return False
        usual = all(size >= _SMALLEST_SYMBOL for shape in shapes for size in shape)
        return usual or self._agrees(shapes)

    def _passes(self, shapes: _Shapes) -> bool:
        """Whether they have what torch.export found that sizes must have."""
        if [len(shape) for shape in shapes] != [each.dim() for each in self._arguments.tensors]:
            return False
        try:
            self._guards(*(torch.empty(shape, device="meta") for shape in shapes))
        except Exception:  # of whatever class: the reason is the same
            return False
        return True

    def _agrees(self, shapes: _Shapes) -> bool:
        """Whether the trace computes for sizes that it was not made for what the model does."""
        given = zip(shapes, self._arguments.tensors, strict=True)
        tensors = [torch.rand(shape).to(example.dtype) for shape, example in given]
        try:
            result = run(self._model[0], self._arguments.around(tensors))
            return agree(list(run(self.trace, tuple(tensors))), self.result.leaves(result))
        except Exception:  # a user's code may fail in any way
            return False


class _Arguments:
    """The tensors among arguments, and what is around them.

    Attributes:
        tensors: those of the example.
    """

    def __init__(self, model: Module, args: tuple[Any, ...]) -> None:
        self._count = len(args)
        self._signature = inspect.signature(model.forward)
        leaves, self._spec = self._flat(args, {})
        for leaf in leaves:
            if not isinstance(leaf, Tensor) and type(leaf) not in _CONSTANTS:
                raise Untraceable(f"is given a {type(leaf).__name__}")
        self._leaves = leaves
        self.tensors = tuple(leaf for leaf in leaves if isinstance(leaf, Tensor))
        if not all(tensor.is_cpu for tensor in self.tensors):
            raise Untraceable("an argument is not on the CPU")
        self._dtypes = [tensor.dtype for tensor in self.tensors]
        self._are_all = all(isinstance(each, Tensor) for each in args)

    def _flat(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Any]:
        given = self._signature.bind(*args, **kwargs).arguments
        parameters = self._signature.parameters
        more = [name for i, name in enumerate(given) if i >= self._count]
        for name in more:
            if given[name] is parameters[name].default:
                del given[name]
        return pytree.tree_flatten(dict(given))

    def tensors_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any] | None:
        """The tensors among these arguments; None if all else is not what it is in the example."""
        if self._are_all and not kwargs and len(args) == self._count:
            leaves = list(args)
        else:
            leaves, spec = self._flat(args, kwargs)
            if spec != self._spec:
                return None
        tensors = []
        for leaf, example in zip(leaves, self._leaves, strict=True):
            if isinstance(example, Tensor):
                if not isinstance(leaf, Tensor) or not leaf.is_cpu:
                    return None
                tensors.append(leaf)
            elif type(leaf) is not type(example) or leaf != example:
                return None
        return tensors if [each.dtype for each in tensors] == self._dtypes else None

    def around(self, tensors: list[Tensor]) -> tuple[Any, ...]:
        """The example's arguments with these tensors for its own."""
        rest = iter(tensors)
        leaves = [next(rest) if isinstance(leaf, Tensor) else leaf for leaf in self._leaves]
        given = pytree.tree_unflatten(leaves, self._spec)
        bound = inspect.BoundArguments(self._signature, given)
        return bound.args


class _Record:
    """Stands for an instance of a dataclass that pytrees have as a leaf."""

    def __init__(self, cls: type, values: list[Any]) -> None:
        self.cls, self.values = cls, values

    @staticmethod
    def rebuilt(values: Any, cls: Any) -> Any:
        instance = object.__new__(cls)
        for field, value in zip(dataclasses.fields(cls), values, strict=True):
            object.__setattr__(instance, field.name, value)
        return instance


pytree.register_pytree_node(
    _Record, lambda record: (record.values, record.cls), lambda *parts: _Record.rebuilt(*parts)
)


def _opened(tree: Any) -> Any:
    """The tree without leaves that are dataclasses."""

    def open_leaf(leaf: Any) -> Any:
        if not dataclasses.is_dataclass(leaf) or isinstance(leaf, type):
            return leaf
        fields = dataclasses.fields(leaf)
        return _Record(type(leaf), [_opened(getattr(leaf, each.name)) for each in fields])

    return pytree.tree_map(open_leaf, tree)


def _is_computed(leaf: Any) -> bool:
    return isinstance(leaf, Tensor | torch.SymInt | torch.SymFloat | torch.SymBool)


class _Result:
    """How a model's result is made of what is computed."""

    def __init__(self, result: Any) -> None:
        leaves, self._spec = pytree.tree_flatten(_opened(result))
        for leaf in leaves:
            if not _is_computed(leaf) and type(leaf) not in _CONSTANTS:
                raise Untraceable(f"returns a {type(leaf).__name__}")
        self._is_computed = [_is_computed(leaf) for leaf in leaves]
        self._constants = [None if _is_computed(leaf) else leaf for leaf in leaves]

    def leaves(self, result: Any) -> list[Any]:
        """What was computed for a result of the same structure.

        Raises:
            Untraceable: it has another structure, or other constants.
        """
        leaves, spec = pytree.tree_flatten(_opened(result))
        if spec != self._spec:
            raise Untraceable("torch.export gives a result of another structure")
        given = list(zip(leaves, self._is_computed, self._constants, strict=True))
        if any(leaf != constant for leaf, is_computed, constant in given if not is_computed):
            raise Untraceable("torch.export gives another result")
        return [leaf for leaf, is_computed, _ in given if is_computed]

    def rebuilt(self, computed: Any) -> Any:
        rest = iter(computed)
        pairs = zip(self._is_computed, self._constants, strict=True)
        leaves = [next(rest) if is_computed else constant for is_computed, constant in pairs]
        return pytree.tree_unflatten(leaves, self._spec)


class _Flat(Module):
    """The model as a module that takes a list of tensors, and returns one."""

    def __init__(self, model: Module, arguments: _Arguments, results: list[_Result]) -> None:
        super().__init__()
        self.model, self._arguments, self.results = model, arguments, results

    def forward(self, tensors: list[Tensor]) -> list[Any]:
        result = self.model(*self._arguments.around(tensors))
        self.results.append(_Result(result))
        return self.results[-1].leaves(result)


#: What precedes the model's names there, and what has them.
_PREFIX, _ROOT = "model.", "model"

#: Calls that look at what has been looked at before.
_CHECKS = ("_guards_fn", torch.ops.aten._assert_tensor_metadata.default)


def _exported(model: Module, arguments: _Arguments) -> tuple[fx.GraphModule, _Result]:
    """The program of torch.export, unlifted, and what it makes the result of.

    Raises:
        Untraceable: there is none.
    """
    for name, module in model.named_modules():
        if (reason := watched(module)) is not None:
            raise Untraceable(f"torch.export does not see all: {name} {reason}")
    results: list[_Result] = []
    try:
        # A copy of all but the tensors, as the model may keep what it computes with.
        flat = _Flat(_with_same_tensors(model), arguments, results)
        tensors = [_of_two_images(each) for each in arguments.tensors]
        dims = [dict.fromkeys(_free(each), torch.export.Dim.AUTO) for each in tensors]
        with torch.no_grad(), _silence(), _deadline():
            program = torch.export.export(
                flat.eval(), (tensors,), dynamic_shapes=(dims,), strict=False
            )
            unlifted: Any = program.module()
    except Exception as error:  # a user's code may fail in any way where tensors are symbolic
        raise Untraceable(f"torch.export fails: {first_line(error)}") from error
    return unlifted, results[-1]


def _of_two_images(tensor: Tensor) -> Tensor:
    """The tensor for more than one image: torch.export makes a constant of a size of one."""
    return torch.cat([tensor, tensor]) if tensor.dim() > 0 and tensor.shape[0] == 1 else tensor


def _free(tensor: Tensor) -> list[int]:
    """The dimensions of which other sizes are to be expected: not channels or features."""
    return [dim for dim in range(tensor.dim()) if dim != 1 or tensor.dim() == 3]


def _with_same_tensors(model: Module) -> Module:
    memo: dict[int, Any] = {}
    for module in model.modules():
        for held in (module._parameters, module._buffers, vars(module)):
            memo |= {id(each): each for each in held.values() if isinstance(each, Tensor)}
    return copy.deepcopy(model, memo)


class _TooLong(Exception):
    """So that it names the reason wherever it is raised."""

    def __str__(self) -> str:
        return f"it takes more than {_PATIENCE} s"


@contextlib.contextmanager
def _deadline() -> Iterator[None]:
    """Raises in the midst of what takes too long: nothing in torch.export asks for the time."""
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    thread, done = ctypes.c_ulong(threading.get_ident()), threading.Event()

    def watch() -> None:
        wait = _PATIENCE
        while not done.wait(wait):
            raise_in(thread, ctypes.py_object(_TooLong))
            wait = 1.0  # whatever has caught it

    watcher = threading.Thread(target=watch, daemon=True)
    try:
        watcher.start()
        yield
    finally:
        while watcher.is_alive():
            with contextlib.suppress(_TooLong):  # it may come even here
                done.set()
                watcher.join()
        raise_in(thread, None)  # what was to be raised, but has not been yet


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Meanwhile nothing is said: another road is open."""
    level, nowhere = logging.root.manager.disable, io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(level)


def _guards(program: fx.GraphModule) -> Callable[..., Any]:
    """What raises where tensors have not the sizes that the program is for."""
    guards: Any = program._modules.get("_guards_fn")
    if guards is None:
        raise Untraceable("torch.export does not tell for what sizes its program is")
    return guards


def _trace(program: fx.GraphModule, model: Module) -> fx.GraphModule:
    """The program as a trace of the model: by the model's names, and without guards."""
    graph = fx.Graph()
    result: Any = graph.graph_copy(program.graph, {})
    graph.output(list(result))
    attributes: dict[str, Any] = {}
    for node in graph.nodes:
        if isinstance(node.target, HigherOrderOperator):
            raise Untraceable(f"torch.export records a {node.target}")
        if node.op == "get_attr":
            value = functools.reduce(getattr, str(node.target).split("."), program)
            node.target = str(node.target).removeprefix(_PREFIX)
            attributes[node.target] = value
        if node.target is torch.ops.aten.detach_.default:  # writes nothing
            node.target = torch.ops.aten.detach.default
        stack = node.meta.get("nn_module_stack", {}).values()
        paths = [(path.removeprefix(_PREFIX), kind) for path, kind in stack]
        node.meta["nn_module_stack"] = {path: kind for path, kind in paths if path != _ROOT}
    for node in reversed(graph.nodes):
        if node.target in _CHECKS:
            graph.erase_node(node)
    graph.eliminate_dead_code()
    return fx.GraphModule(attributes, graph, type(model).__name__)
