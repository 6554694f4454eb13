"""dropout: native's bits, native's state of the generator, and what goes to native."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import cnnext
from cnnext.ops import dropout as dropout_module
from cnnext.testing.errors import assert_bitwise_equal
from tests.ops.support import CNNEXT, DTYPES, NATIVE

#: The first are those that the kernels' vectors and the generator's state are made of; two numbers
#: of the state make an element.
SIZES = (0, 1, 15, 16, 17, 311, 312, 313, 623, 624, 625, 1001, 16383, 16384, 16385, 100_003)
PROBABILITIES = (0.1, 0.25, 0.5, 0.9)

each_size = pytest.mark.parametrize("size", SIZES)
each_p = pytest.mark.parametrize("p", PROBABILITIES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)

needs_our_numbers = pytest.mark.skipif(
    not dropout_module.draws_as_bernoulli(), reason="bernoulli_ has other random numbers here"
)

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "nchw": lambda t: t,
    "channels_last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "transposed": lambda t: t.transpose(1, 3),
    "permuted": lambda t: t.permute(3, 0, 2, 1),
    "gaps": lambda t: t[:, ::2, :, 1:],
    "gaps_in_channels_last": lambda t: LAYOUTS["channels_last"](t)[:, 1:, ::2],
    "expanded": lambda t: t[:, :1].expand(-1, 4, -1, -1),
    "one_channel": lambda t: LAYOUTS["channels_last"](t[:, :1]),
    "offset": lambda t: t.flatten()[3:],
    "negative": lambda t: torch._neg_view(t),
}


def drawn(library: Any, input: Tensor, p: float, offset: int = 0) -> tuple[Tensor, ...]:
    """Two calls with other draws around them; all that they leave."""
    torch.manual_seed(5)
    before = torch.rand(offset)
    first = library.dropout(input, p)
    between = torch.rand(3)
    second = library.dropout(input, p)
    return before, first, between, second, torch.randn(17), torch.get_rng_state()


def assert_natives(*arguments: Any) -> None:
    for ours, native in zip(drawn(CNNEXT, *arguments), drawn(NATIVE, *arguments), strict=True):
        assert_bitwise_equal(ours, native)
        assert ours.stride() == native.stride()


@each_dtype
@each_p
@each_size
def test_bits_and_state_are_natives(size: int, p: float, dtype: torch.dtype) -> None:
    for offset in (0, 1, 622, 623, 624):
        assert_natives(torch.randn(size, dtype=dtype), p, offset)


@each_dtype
def test_special_values(dtype: torch.dtype) -> None:
    values = [torch.nan, torch.inf, -torch.inf, 0.0, -0.0, torch.finfo(dtype).max, 1e-45]
    assert_natives(torch.tensor(values, dtype=dtype).repeat(9), 0.5)


@pytest.mark.parametrize("p", (2.0**-60, 1e-9, 1 - 2.0**-53, 1 / 3))
def test_odd_probabilities(p: float) -> None:
    assert_natives(torch.randn(4097), p)


@each_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, dtype: torch.dtype) -> None:
    """Numbers are drawn in the order of memory."""
    assert_natives(LAYOUTS[layout](torch.randn(2, 7, 6, 5, dtype=dtype)), 0.3)


@needs_our_numbers
def test_several_threads() -> None:
    torch.set_num_threads(3)
    try:
        assert_natives(torch.randn(3_000_001), 0.4)
    finally:
        torch.set_num_threads(1)


# ----------------------------------------------------------------------------------- gradients


def trained(library: Any, input: Tensor, seed: Tensor) -> tuple[Tensor, ...]:
    """The output, the gradient, and the gradient of that."""
    torch.manual_seed(11)
    leaf, of_gradient = input.detach().requires_grad_(), seed.detach().requires_grad_()
    output = library.dropout(leaf, 0.3)
    assert library is not CNNEXT or "DropoutFunction" in output.grad_fn.name()
    (plain,) = torch.autograd.grad(output, leaf, seed, retain_graph=True)
    (gradient,) = torch.autograd.grad(output, leaf, of_gradient, create_graph=True)
    (second,) = torch.autograd.grad(gradient, of_gradient, torch.linspace(-1, 1, 420).view_as(seed))
    return output, plain, gradient, second, torch.get_rng_state()


@needs_our_numbers
@each_dtype
@pytest.mark.parametrize("of_gradient", ("nchw", "channels_last", "expanded"))
@pytest.mark.parametrize("layout", ("nchw", "channels_last"))
def test_gradients(layout: str, of_gradient: str, dtype: torch.dtype) -> None:
    input = LAYOUTS[layout](torch.randn(2, 7, 6, 5, dtype=dtype))
    seed = torch.randn((), dtype=dtype).expand(2, 7, 6, 5)
    if of_gradient != "expanded":
        seed = LAYOUTS[of_gradient](torch.randn(2, 7, 6, 5, dtype=dtype))
    ours, native = (trained(library, input, seed) for library in (CNNEXT, NATIVE))
    for result, expected in zip(ours, native, strict=True):
        assert_bitwise_equal(result, expected)


@needs_our_numbers
def test_a_byte_an_element_is_kept() -> None:
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        CNNEXT.dropout(torch.randn(1000, requires_grad=True))
    assert [t.nbytes for t in kept] == [1000]


def test_checkpoints_draw_the_same_again() -> None:
    gradients = []
    for library in (CNNEXT, NATIVE):
        torch.manual_seed(3)
        leaf = torch.linspace(-1, 1, 5000, requires_grad=True)
        output = torch.utils.checkpoint.checkpoint(library.dropout, leaf, use_reentrant=False)
        output.square().sum().backward()
        gradients.append(leaf.grad)
    assert_bitwise_equal(*gradients)


# --------------------------------------------------------------------------------- who computes


class Calls(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert not str(func).startswith("cnnext")
        return func(*args, **(kwargs or {}))


def is_ours(input: Tensor, *arguments: Any, **named: Any) -> bool:
    """Whether our kernels compute the call, whose result is native's in any case."""
    leaf = input.detach().requires_grad_()
    results = []
    for library in (CNNEXT, NATIVE):
        torch.manual_seed(2)
        results.append(library.dropout(leaf * 1, *arguments, **named))
    assert_bitwise_equal(*results)
    return "DropoutFunction" in results[0].grad_fn.name()


@needs_our_numbers
def test_small_tensors_are_natives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropout_module, "_MIN_ELEMENTS_FOR_FUNCTION", 4096)
    assert is_ours(torch.randn(4096)) and not is_ours(torch.randn(4095))
    monkeypatch.setattr(dropout_module, "_MIN_ELEMENTS", 4098)
    assert is_ours(torch.randn(4098)) and not is_ours(torch.randn(4097))


def test_small_tensors_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which native would read all the same."""
    tensors = torch.randn(100), torch.randn(10, 10).t()
    for tensor in tensors:
        tensor.untyped_storage().resize_(40)
    for name in ("_MIN_ELEMENTS_FOR_FUNCTION", "_MIN_ELEMENTS"):
        monkeypatch.setattr(dropout_module, name, 1000)
        for tensor in tensors:
            with pytest.raises(RuntimeError, match="its data is not allocated yet"):
                CNNEXT.dropout(tensor.requires_grad_())


@needs_our_numbers
@pytest.mark.parametrize(
    ("arguments", "ours"),
    [
        ((0.5, True, False), True),
        ((0.5, True, True), False),
        ((0.5, False), False),
        ((0.0,), False),
        ((1.0,), False),
        ((1,), False),
    ],
    ids=str,
)
def test_who_computes(arguments: tuple[Any, ...], ours: bool) -> None:
    assert is_ours(torch.randn(1000), *arguments) == ours


def test_other_random_numbers_are_natives(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where ATen asks another library for them."""
    monkeypatch.setattr(dropout_module, "draws_as_bernoulli", lambda: False)
    assert not is_ours(torch.randn(1000))
    assert_natives(torch.randn(1000), 0.5)


def test_other_random_numbers_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = dropout_module.draws_as_bernoulli.__wrapped__
    assert asked() == dropout_module.draws_as_bernoulli()
    draw = Tensor.bernoulli_
    for others in (
        lambda t, p, generator: draw(t, 1 - p, generator=generator),
        lambda t, p, generator: draw(torch.empty(2 * len(t)), p, generator=generator)[: len(t)],
    ):
        monkeypatch.setattr(Tensor, "bernoulli_", others)
        assert not asked()


def test_the_question_leaves_the_generator_alone() -> None:
    state = torch.get_rng_state()
    dropout_module.draws_as_bernoulli.__wrapped__()
    assert torch.equal(state, torch.get_rng_state())


def test_modes_of_dispatch_see_natives() -> None:
    with Calls():
        CNNEXT.dropout(torch.randn(1000))


def test_subclasses_are_natives() -> None:
    class Other(Tensor):
        __torch_function__ = torch._C._disabled_torch_function_impl

    output = CNNEXT.dropout(torch.randn(1000).as_subclass(Other).requires_grad_())
    assert "DropoutFunction" not in output.grad_fn.name()


@pytest.mark.parametrize("backend", ("aot_eager", "inductor"))
def test_graphs_hold_natives(backend: str) -> None:
    torch._dynamo.reset()
    ours, native = (
        torch.compile(layers.Dropout(0.25), backend=backend, fullgraph=True)
        for layers in (cnnext.nn, torch.nn)
    )
    results = []
    for model in (ours, native):
        torch.manual_seed(9)
        results.append(model(torch.ones(1000)))
    assert_bitwise_equal(*results)


@needs_our_numbers
def test_threads_draw_numbers_of_their_own() -> None:
    """Together they draw what one would, whatever their order."""
    size, count = 100_000, 4
    masks: list[Tensor] = []

    def draw() -> None:
        masks.append(CNNEXT.dropout(torch.ones(size)))

    torch.manual_seed(1)
    threads = [threading.Thread(target=draw) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = torch.get_rng_state()
    torch.manual_seed(1)
    expected = NATIVE.dropout(torch.ones(size * count))
    assert torch.equal(state, torch.get_rng_state())
    assert sum(int(mask.count_nonzero()) for mask in masks) == int(expected.count_nonzero())


# ------------------------------------------------------------------------------------- module


def test_the_module_is_natives_in_training_and_in_evaluation() -> None:
    ours, native = cnnext.Dropout(0.25), torch.nn.Dropout(0.25)
    assert repr(ours) == repr(native)
    input = torch.randn(5000)
    for training in (True, False):
        results = []
        for module in (ours.train(training), native.train(training)):
            torch.manual_seed(4)
            results.append(module(input))
        assert_bitwise_equal(*results)
    assert ours(input) is input


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted() -> None:
    results = []
    for module in (torch.jit.script(cnnext.Dropout(0.25)), torch.nn.Dropout(0.25)):
        torch.manual_seed(7)
        results.append(module(torch.ones(2000)))
    assert_bitwise_equal(*results)
