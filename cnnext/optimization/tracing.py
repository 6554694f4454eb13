"""A model traced by torch.fx, whatever it does: modules that cannot be traced are called whole."""

from __future__ import annotations

import contextlib
import copy
import inspect
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import fx
from torch.fx.immutable_collections import immutable_dict, immutable_list
from torch.nn import Module
from torch.utils import _pytree as pytree

from cnnext.optimization.layers import is_layer
from cnnext.optimization.lowering import EXAMPLE


class Untraceable(Exception):
    """Why a model has no graph: a phrase."""


class Patched(Untraceable):
    """A model replaces what its layers compute while it runs."""


#: By operator of Python that writes in place, the one that writes to memory of its own.
IN_PLACE_OPERATORS: dict[Any, Any] = {
    getattr(operator, f"i{name}"): getattr(operator, name)
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
} | {operator.iand: operator.and_, operator.ior: operator.or_, operator.ixor: operator.xor}


class _Proxy(fx.Proxy):
    """A proxy that records x += y as such, of which fx.Proxy makes an addition.

    It has the length of what `chunk` and `split` give.
    """

    def __len__(self) -> int:
        pieces = _number_of_pieces(self.node)
        return super().__len__() if pieces is None else pieces

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "data":  # of which the graph would know nothing
            raise Untraceable("it assigns .data")
        super().__setattr__(name, value)


for _operator in IN_PLACE_OPERATORS:

    def _record(self: fx.Proxy, other: Any, operator: Any = _operator) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", operator, (self, other), {})

    setattr(_Proxy, f"__{_operator.__name__}__", _record)


class _TensorProxy(_Proxy):
    """A proxy of a tensor of the model, whose sizes are known."""

    def __init__(self, node: fx.Node, tracer: fx.Tracer, tensor: torch.Tensor) -> None:
        super().__init__(node, tracer)
        self.shape, self.ndim = tensor.shape, tensor.ndim
        self.size, self.dim, self.numel = tensor.size, tensor.dim, tensor.numel


class _Rebuilt:
    """Makes a container of its leaves."""

    def __init__(self, spec: pytree.TreeSpec) -> None:
        self.__name__ = self.__qualname__ = "rebuilt"
        self._spec = spec

    def __call__(self, leaves: list[Any]) -> Any:
        return pytree.tree_unflatten(leaves, self._spec)


class Tracer(fx.Tracer):
    """Records layers as calls, and traces all other modules as far as that is possible.

    Args:
        fixed: values of the model's arguments that are no inputs of the graph, by name.

    Attributes:
        untraceable: why a module is called whole, by its qualified name.
    """

    proxy_buffer_attributes = True

    def __init__(self, fixed: dict[str, Any]) -> None:
        super().__init__()
        self._fixed = fixed
        self.untraceable: dict[str, str] = {}

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        return is_layer(m)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_proxy(
        self, kind: str, target: Any, args: Any, kwargs: Any, *options: Any, **others: Any
    ) -> fx.Proxy:
        if kind == "call_function" and _is_of_a_user(target):
            result = self._inside(target, args, kwargs)
            if result is not None:
                return result
        return super().create_proxy(kind, target, args, kwargs, *options, **others)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Called for each attribute of a module that is read."""
        value = super().getattr(attr, attr_val, parameter_proxy_cache)
        if isinstance(value, fx.Proxy):
            return _TensorProxy(value.node, self, attr_val)
        return value

    def _inside(
        self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> fx.Proxy | None:
        """What a function gives that was marked by `torch.fx.wrap`; None if it has to be called."""
        last = next(reversed(self.graph.nodes), None)
        with contextlib.suppress(Exception):  # as for modules
            result = function(*args, **kwargs)
            if isinstance(result, fx.Proxy):
                return result
        self._forget_after(last)
        return None

    def iter(self, obj: Any) -> Iterator[Any]:
        """Called for what is not unpacked into a known number of names."""
        pieces = _number_of_pieces(obj.node)
        return super().iter(obj) if pieces is None else iter([obj[i] for i in range(pieces)])

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, dict) and type(a) is not dict:  # of which fx.Tracer makes a plain one
            leaves, spec = pytree.tree_flatten(a)
            if len(leaves) == 1 and leaves[0] is a:
                raise Untraceable(f"a {type(a).__name__} is passed on")
            return self.create_proxy("call_function", _Rebuilt(spec), (leaves,), {}).node
        return super().create_arg(a)

    def call_module(
        self, m: Module, forward: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> Any:
        last, depth = next(reversed(self.graph.nodes), None), len(self.module_stack)
        before = _attributes(m)
        try:
            result = super().call_module(m, forward, args, kwargs)
            if _is_assigned(m):
                raise Untraceable("it assigns attributes")
            return result
        except Exception as error:  # a user's code may fail in any way when it is given proxies
            path = self.path_of_module(m)
            if self.is_leaf_module(m, path):
                raise
            self._forget_after(last)
            while len(self.module_stack) > depth:
                self.module_stack.popitem()
            _restore(m, before)
            self.untraceable[path] = f"cannot be traced: {first_line(error)}"
            return self.create_proxy("call_module", path, args, kwargs)

    def _forget_after(self, last: fx.Node | None) -> None:
        """Erases the nodes after this one, but not what reads attributes: the tracer keeps that."""
        for node in reversed(self.graph.nodes):
            if node is last:
                return
            if node.op != "get_attr":
                self.graph.erase_node(node)

    def _proxy_placeholder(self, name: str, *args: Any) -> Any:
        """Called for each argument of the model."""
        if name in self._fixed:
            return self._fixed[name]
        return super()._proxy_placeholder(name, *args)


def _is_of_a_user(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    is_ours = module == "torch" or module.startswith(("torch.", "cnnext."))
    return isinstance(function, FunctionType) and not is_ours


def _number_of_pieces(node: fx.Node) -> int | None:
    """How many tensors a call of `chunk` or `split` gives, None if that depends on their sizes."""
    if node.target in (torch.chunk, "chunk"):
        number = node.kwargs.get("chunks", node.args[1] if len(node.args) > 1 else None)
        return number if isinstance(number, int) else None
    if node.target in (torch.split, "split"):
        sizes = node.args[1] if len(node.args) > 1 else next(iter(node.kwargs.values()), None)
        return len(sizes) if isinstance(sizes, list | tuple) else None
    return None


def traced(model: Module, fixed: dict[str, Any]) -> tuple[fx.GraphModule, dict[str, str]]:
    """The graph of a model's forward pass, and why it calls some modules whole.

    Args:
        model: any module.
        fixed: values of arguments that are no inputs of the graph, by name.

    Raises:
        Untraceable: the model's own forward pass cannot be traced.
    """
    tracer = Tracer(fixed)
    try:
        with _attributes_kept(model):
            graph = tracer.trace(model)
            module = fx.GraphModule(model, graph, type(model).__name__)
    except Patched:
        raise
    except Exception as error:  # as above
        raise Untraceable(f"cannot be traced: {first_line(error)}") from error
    return module, tracer.untraceable


def first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


class _NoKeywords(dict[str, Any]):
    """A dictionary that torch.fx takes as it is: of a plain one it makes an argument an item."""


def fixed_arguments(model: Module, example: Example | None) -> dict[str, Any]:
    """The defaults of the arguments that an example does not give, named as torch.fx does."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    rest = parameters[len(example.args) if example else 0 :]
    fixed = {each.name: each.default for each in rest if each.default is not each.empty}
    for each in rest:
        if each.kind is each.VAR_KEYWORD:
            fixed[f"**{each.name}"] = _NoKeywords()
    return fixed


@contextlib.contextmanager
def _attributes_kept(model: Module) -> Iterator[None]:
    """Gives the model, and what it calls, the attributes again that they had.

    The tracer leaves tensors there that were computed meanwhile, a forward pass what it assigns.

    Raises:
        Untraceable: a forward pass assigns what it computes, which a trace would not.
        Patched: it left a layer with another forward pass.
    """
    before = [(module, _attributes(module)) for module in model.modules()]
    try:
        yield
        if any(_is_assigned(module) for module, _ in before):
            raise Untraceable("it assigns attributes")
    finally:
        forwards = [vars(module).get("forward") for module, _ in before]
        for module, attributes in before:
            _restore(module, attributes)
        if any(vars(m).get("forward") is not f for (m, _), f in zip(before, forwards, strict=True)):
            raise Patched("it replaces what its layers compute")


def _attributes(module: Module) -> list[tuple[str, Any, Any]]:
    """Their names, the attributes, and copies of containers."""
    kept = []
    for name, value in vars(module).items():
        is_container = type(value) in (dict, OrderedDict, list)
        kept.append((name, value, copy.copy(value) if is_container else None))
    return kept


def _restore(module: Module, attributes: list[tuple[str, Any, Any]]) -> None:
    for name in vars(module).keys() - {name for name, *_ in attributes}:
        delattr(module, name)
    for name, value, items in attributes:
        vars(module)[name] = value
        if items is None or _has_same_items(value, items):
            continue
        value.clear()
        value.extend(items) if isinstance(value, list) else value.update(items)


def _has_same_items(container: Any, other: Any) -> bool:
    if isinstance(container, dict):
        if [*container] != [*other]:
            return False
        container, other = container.values(), other.values()
    return len(container) == len(other) and all(map(operator.is_, container, other))


def _is_assigned(module: Module) -> bool:
    """Whether a value of the trace became an attribute, or an item of one."""
    leaves = pytree.tree_leaves(list(vars(module).values()))
    return any(isinstance(leaf, fx.Proxy) for leaf in leaves)


def share_tensors(trace: fx.GraphModule, model: Module) -> None:
    """Lets the trace read what the model has when it is called: a parameter may be replaced."""
    for node in trace.graph.find_nodes(op="get_attr"):
        path, _, _ = str(node.target).rpartition(".")
        try:
            holder, owner = trace.get_submodule(path), model.get_submodule(path)
        except AttributeError:  # the tracer's, not the model's
            continue
        if holder is owner:
            continue
        for kind in ("_parameters", "_buffers"):
            own, shared = vars(holder)[kind], vars(owner)[kind]
            vars(holder).update({name: own[name] for name in own.keys() - shared.keys()})
            vars(holder)[kind] = shared


class _ExampleRecorder(fx.Interpreter):
    """Notes in each node's `meta` what kind of tensor it gives."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        is_tensor = isinstance(result, torch.Tensor)
        n.meta[EXAMPLE] = torch.empty_like(result, device="meta") if is_tensor else None
        return result


def _plain(result: Any) -> Any:
    """What an interpreter returns, with the containers that the trace itself returns."""
    if isinstance(result, immutable_dict):
        return {key: _plain(value) for key, value in result.items()}
    if isinstance(result, immutable_list):
        return [_plain(value) for value in result]
    if type(result) is tuple:
        return tuple(map(_plain, result))
    return result


@dataclass(frozen=True)
class Example:
    """What a model was called with, and what it returned."""

    args: tuple[Any, ...]
    result: Any


def record(trace: fx.GraphModule, example: Example) -> None:
    """Runs the trace, notes what kind of tensors there are, and sees that the result is right.

    Raises:
        Untraceable: it is not, so that the trace depends on something that it does not know.
    """
    try:
        with buffers_kept(trace):
            result = _plain(run(_ExampleRecorder(trace).run, example.args))
    except Exception as error:
        raise Untraceable(f"its trace fails: {first_line(error)}") from error
    if not agree(result, example.result):
        raise Untraceable("its trace computes something else")


@contextlib.contextmanager
def buffers_kept(model: Module) -> Iterator[None]:
    """Undoes what calls write to a model's buffers meanwhile."""
    before = [(each, each._version, each.clone()) for each in model.buffers() if _counts(each)]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, version, copy in before:
                if buffer._version != version:
                    buffer.copy_(copy)


def _counts(tensor: torch.Tensor) -> bool:
    return not tensor.is_inference()


@torch.no_grad()
def run(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """What the function makes of copies of the arguments, always with the same random numbers."""
    copies = (each.clone() if isinstance(each, torch.Tensor) else each for each in args)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return function(*copies)


def agree(actual: Any, expected: Any) -> bool:
    """Whether two results of the same calls are equal, but for a rounding."""
    actual, structure = pytree.tree_flatten(actual)
    expected, expected_structure = pytree.tree_flatten(expected)
    return structure == expected_structure and all(map(_agree, actual, expected))


def _agree(actual: Any, expected: Any) -> bool:
    if not isinstance(expected, torch.Tensor):
        return type(actual) is type(expected)
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return False
    if not expected.is_floating_point() or expected.numel() == 0:
        return True
    tolerance = 1e-4 * float(expected.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(actual, expected, rtol=0, atol=tolerance, equal_nan=True)
