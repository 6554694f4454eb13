"""torch.func and forward-mode differentiation: native's values, or native's errors, never zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from tests.ops.support import CNNEXT, NATIVE, assert_same_sums
from tests.pytorch_integration.cases import (
    LIBRARIES,
    OPERATORS,
    Layer,
    Operator,
    assert_same_bits,
    assert_same_outcome,
    each_layer,
    each_operator,
    each_trainable_layer,
    loss_of,
    outcome,
    outputs_of,
)

pytestmark = [
    pytest.mark.usefixtures("fallbacks"),
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
]

Function = Callable[[Tensor], Any]

#: Why native computes; torch linearizes by forward mode, outside of any transform.
TRANSFORMED = "a torch.func transform is active"
FORWARD_MODE = "forward-mode automatic differentiation is active"

#: What a transform makes of a function and its argument.
TRANSFORMS: dict[str, Callable[[Function, Tensor], Any]] = {
    "grad": lambda f, x: grad(lambda v: loss_of(f(v)))(x),
    "vjp": lambda f, x: _vjp(f, x),
    "jacrev": lambda f, x: jacrev(f)(x),
    "jacfwd": lambda f, x: jacfwd(f)(x),
    "hessian": lambda f, x: hessian(lambda v: loss_of(f(v)))(x),
    "jvp": lambda f, x: jvp(f, (x,), (torch.cos(x),)),
    "linearize": lambda f, x: torch.func.linearize(f, x)[1](torch.cos(x)),
    "grad_of_grad": lambda f, x: grad(lambda v: loss_of(grad(lambda u: loss_of(f(u)))(v)))(x),
    "functionalize": lambda f, x: torch.func.functionalize(f)(x),
    "vmap_of_jvp": lambda f, x: vmap(lambda t: jvp(f, (x,), (t,)))(torch.stack((x, torch.cos(x)))),
}


def _vjp(f: Function, x: Tensor) -> Any:
    outputs, pull_back = vjp(f, x)
    return outputs, pull_back(tuple(torch.cos(t) for t in outputs))


def of_operand(op: Operator, library: Any, place: int) -> tuple[Function, Tensor]:
    """The operator as a function of one operand alone."""
    operands = op.operands(torch.float64)

    def function(value: Tensor) -> Any:
        return op.call(library, *operands[:place], value, *operands[place + 1 :])

    return function, operands[place]


each_operand = [
    pytest.param(op, place, id=f"{op.name}-{place}")
    for op in OPERATORS
    for place in range(len(op.shapes))
]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(("op", "place"), each_operand)
def test_transform(op: Operator, place: int, transform: str, fallbacks: list[str]) -> None:
    apply = TRANSFORMS[transform]

    def results_of() -> list[Any]:
        return [outcome(apply, *of_operand(op, library, place)) for library in (CNNEXT, NATIVE)]

    results = results_of()
    if KeyError in results:  # torch's tracer behind linearize now and then loses a tensor
        results = results_of()
    assert_same_outcome(*results)
    if not isinstance(results[0], type):
        why = FORWARD_MODE if transform == "linearize" else TRANSFORMED
        assert fallbacks == [f"cnnext.{op.name} uses native PyTorch: {why}"]


# -------------------------------------------------------------------------------------- vmap


@pytest.mark.parametrize(
    ("op", "mapped"),
    [
        pytest.param(op, mapped, id=f"{op.name}-{''.join(map(str, mapped))}")
        for op in OPERATORS
        for mapped in [(place,) for place in range(len(op.shapes))] + [range(len(op.shapes))]
    ],
)
@pytest.mark.parametrize("axis", (0, 1, -1))
def test_vmap(op: Operator, mapped: Any, axis: int) -> None:
    """Over any operand, and over all; the new axis anywhere."""
    operands = list(op.operands())
    for place in mapped:
        operands[place] = torch.stack([operands[place] * k for k in (1, 2, 3)], dim=axis)
    in_dims = tuple(axis if place in mapped else None for place in range(len(operands)))
    results = [
        outcome(
            vmap(lambda *v, library=library: op.call(library, *v), in_dims, out_dims=1), *operands
        )
        for library in (CNNEXT, NATIVE)
    ]
    assert_same_outcome(*results)


@each_operator
def test_vmap_of_vmap(op: Operator) -> None:
    first, *rest = op.operands()
    grid = torch.stack([torch.stack((first, -first)), torch.stack((first * 2, first * 3))])
    results = [
        outcome(vmap(vmap(lambda v, library=library: op.call(library, v, *rest))), grid)
        for library in (CNNEXT, NATIVE)
    ]
    assert_same_outcome(*results)


# -------------------------------------------------------------------------------- dual numbers


@pytest.mark.parametrize(("op", "place"), each_operand)
def test_dual_numbers(op: Operator, place: int, fallbacks: list[str]) -> None:
    tangents = []
    for library in (CNNEXT, NATIVE):
        function, operand = of_operand(op, library, place)
        with forward_ad.dual_level():
            output = function(forward_ad.make_dual(operand, operand.cos()))[0]
            tangents.append(forward_ad.unpack_dual(output).tangent)
    assert_same_sums(*tangents)
    assert tangents[0].abs().sum() > 0
    assert fallbacks == [f"cnnext.{op.name} uses native PyTorch: {FORWARD_MODE}"]


# ----------------------------------------------------------------------------------- modules


@each_trainable_layer
def test_per_sample_gradients(layer: Layer) -> None:
    def gradients(layers: Any) -> Any:
        module = layer.build(layers)
        parameters = {name: p.detach() for name, p in module.named_parameters()}

        def loss(parameters: dict[str, Tensor], *sample: Any) -> Tensor:
            batch = torch.utils._pytree.tree_map(lambda t: t.unsqueeze(0), sample)
            return loss_of(functional_call(module, parameters, batch))

        in_dims = (None, *(0 for _ in layer.inputs()))
        return vmap(grad(loss), in_dims)(parameters, *layer.inputs())

    assert_same_outcome(*(outcome(gradients, layers) for _, layers in LIBRARIES))


@each_trainable_layer
def test_ensemble(layer: Layer) -> None:
    """One module, vmapped over the stacked parameters of several."""

    def outputs(layers: Any) -> Any:
        modules = [layer.build(layers) for _ in range(3)]
        with torch.no_grad():
            for factor, module in enumerate(modules):
                for parameter in module.parameters():
                    parameter *= factor
        parameters, buffers = torch.func.stack_module_state(modules)
        inputs = layer.inputs()
        return vmap(lambda *state: functional_call(modules[0], state, inputs))(parameters, buffers)

    assert_same_outcome(*(outcome(outputs, layers) for _, layers in LIBRARIES))


@each_layer
def test_functional_call_computes_by_our_kernels(layer: Layer, fallbacks: list[str]) -> None:
    module = layer.build(LIBRARIES[0][1])
    parameters = {name: 2 * p.detach() for name, p in module.named_parameters()}
    ours = outputs_of(functional_call(module, parameters, layer.inputs()))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter *= 2
    assert_same_bits(ours, layer.outputs(module))
    assert not fallbacks


@each_trainable_layer
def test_dual_parameters(layer: Layer) -> None:
    tangents = []
    for module in layer.pair():
        with forward_ad.dual_level():
            duals = {
                name: forward_ad.make_dual(p.detach(), torch.ones_like(p))
                for name, p in module.named_parameters()
            }
            outputs = outputs_of(functional_call(module, duals, layer.inputs()))
            tangents.append([forward_ad.unpack_dual(t).tangent for t in outputs])
    assert_same_sums(*tangents)
    assert all(tangent.abs().sum() > 0 for tangent in tangents[0])


# ----------------------------------------------------------------- torch.autograd.functional


@pytest.mark.parametrize("create_graph", (False, True))
@pytest.mark.parametrize("strategy", ("reverse-mode", "forward-mode"))
@each_operator
def test_vectorized_jacobian(op: Operator, strategy: str, create_graph: bool) -> None:
    results = [
        outcome(
            torch.autograd.functional.jacobian,
            lambda *v, library=library: op.call(library, *v),
            op.operands(torch.float64),
            vectorize=True,
            strategy=strategy,
            create_graph=create_graph,
        )
        for library in (CNNEXT, NATIVE)
    ]
    assert_same_outcome(*results)


@pytest.mark.parametrize("product", ("jvp", "vjp", "hvp", "vhp"))
@each_operator
def test_products(op: Operator, product: str) -> None:
    """jvp differentiates twice backwards here."""
    results = []
    for library in (CNNEXT, NATIVE):
        operands = op.operands(torch.float64)

        def function(*values: Tensor, library: Any = library) -> Any:
            outputs = op.call(library, *values)
            return loss_of(outputs) if product in ("hvp", "vhp") else outputs

        outputs = tuple(output.cos() for output in op.call(NATIVE, *operands))
        cotangents = outputs if product == "vjp" else operands
        apply = getattr(torch.autograd.functional, product)
        results.append(outcome(apply, function, operands, cotangents))
    assert_same_outcome(*results)


# ------------------------------------------------------------------------ double backward


@each_operator
def test_gradient_penalty(op: Operator) -> None:
    """The gradient of a gradient's norm, in float32."""
    results = []
    for library in (CNNEXT, NATIVE):
        leaves = op.leaves()
        loss = loss_of(op.call(library, *leaves))
        penalty = loss_of(torch.autograd.grad(loss, leaves, create_graph=True))
        results.append(torch.autograd.grad(penalty, leaves, materialize_grads=True))
    assert_same_sums(*results)
    assert any(t.abs().sum() > 0 for t in results[0])


@each_operator
def test_gradients_of_batched_gradients(op: Operator) -> None:
    """Another term has a graph of its own, so that a lost one would not be an error."""
    results = []
    for library in (CNNEXT, NATIVE):
        leaves = op.leaves(torch.float64)
        output = op.call(library, *leaves)[0].square()
        seeds = torch.stack((output, output.cos(), output.sin())).detach()
        found = torch.autograd.grad(
            output, leaves, seeds, is_grads_batched=True, create_graph=True, materialize_grads=True
        )
        results.append(torch.autograd.grad(loss_of((*found, *leaves)), leaves))
    assert_same_sums(*results)
