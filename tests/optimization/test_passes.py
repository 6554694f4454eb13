"""Each pass against the graph before it, in float64, and what it makes of a pattern."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnext.optimization.graph import Graph, Node
from cnnext.optimization.passes import PASSES, optimized
from tests.optimization.networks import NAMES, network
from tests.optimization.support import assert_close, graph_of, randomized, run


class Model(nn.Module):
    """Calls a function with its layers and the input."""

    def __init__(self, forward: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self._forward(self, x)


def conv(c_in: int = 3, c_out: int = 6, kernel: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, **options)


def sequence(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


def hard_swish(x: Tensor) -> Tensor:
    return x * F.relu6(x + 3) / 6


def images() -> Tensor:
    return torch.randn(2, 3, 12, 12)


def operators(graph: Graph) -> list[str]:
    """One word a node: the operator, in parentheses its prologue, in brackets its epilogue."""
    return [_word(node) for node in graph.nodes[1:]]


def _word(node: Node) -> str:
    given = node.attributes
    prologue = [role for role in ("scale", "shift") if f"x_{role}" in node.weights]
    prologue += ["factors"] if "x_scale" in given else []
    prologue += [str(given["x_activation"])] if "x_activation" in given else []
    activation = given.get("activation", ())
    epilogue = [str(activation[0])] if isinstance(activation, tuple) and activation else []
    epilogue += [str(given["residual"])] if "residual" in given else []
    epilogue += ["pool"] if "pool" in given else []
    word = f"{node.operator}({','.join(prologue)})" if prologue else node.operator
    return f"{word}[{','.join(epilogue)}]" if epilogue else word


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("each", PASSES, ids=lambda each: each.__name__)
def test_a_pass_changes_no_value(each: Callable[[Graph], Graph], name: str) -> None:
    model = randomized(network(name))
    x = torch.randn(2, 3, 16, 16)
    graph = graph_of(model)
    for earlier in PASSES[: PASSES.index(each)]:
        graph = earlier(graph)
    assert_close(run(each(graph), model, x), run(graph, model, x))


def residual(model: Any, x: Tensor) -> Tensor:
    return F.relu(model.a(x) + model.b(x))


def pooled(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 1, 1)


def gate_with_two_users(model: Any, x: Tensor) -> Tensor:
    y = model.a(x)
    gate = torch.sigmoid(y)
    return y * gate + gate


# By name: the model, and the operators that are left of it.
PATTERNS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "norm-after-conv": (lambda: sequence(conv(), nn.BatchNorm2d(6)), ["conv2d"]),
    "norm-after-conv-without-bias": (
        lambda: sequence(conv(bias=False), nn.BatchNorm2d(6)),
        ["conv2d"],
    ),
    "norm-without-weights": (
        lambda: sequence(conv(), nn.BatchNorm2d(6, affine=False)),
        ["conv2d"],
    ),
    "norm-after-depthwise": (
        lambda: sequence(conv(3, 6, groups=3), nn.BatchNorm2d(6)),
        ["conv2d"],
    ),
    "norm-after-transposed": (
        lambda: sequence(nn.ConvTranspose2d(3, 6, 2, 2), nn.BatchNorm2d(6)),
        ["conv_transpose2d"],
    ),
    "norm-after-grouped-transposed": (
        lambda: sequence(nn.ConvTranspose2d(3, 6, 3, groups=3, bias=False), nn.BatchNorm2d(6)),
        ["conv_transpose2d"],
    ),
    "norm-after-linear": (
        lambda: sequence(nn.Flatten(), nn.Linear(432, 6), nn.BatchNorm1d(6), nn.ReLU()),
        ["flatten", "linear[relu]"],
    ),
    "two-norms": (
        lambda: sequence(conv(), nn.BatchNorm2d(6), nn.BatchNorm2d(6)),
        ["conv2d"],
    ),
    "norm-before-conv": (
        lambda: sequence(nn.BatchNorm2d(3), nn.ReLU(), conv()),
        ["conv2d(scale,shift,relu)"],
    ),
    "norm-alone-before-conv": (
        lambda: sequence(nn.BatchNorm2d(3), conv(bias=False), nn.BatchNorm2d(6), nn.MaxPool2d(2)),
        ["conv2d(scale,shift)[pool]"],
    ),
    "norm-with-other-activation-before-conv": (
        lambda: sequence(nn.BatchNorm2d(3), nn.ReLU6(), conv()),
        ["scale_shift[clamp]", "conv2d"],
    ),
    "norm-before-two-convs": (
        lambda: Model(
            lambda m, x: m.a(y := F.relu(m.norm(x))) + m.b(y),
            **{"norm": nn.BatchNorm2d(3), "a": conv(), "b": conv(3, 6, 5)},
        ),
        ["conv2d(scale,shift,relu)", "conv2d(scale,shift,relu)[before]"],
    ),
    "norm-before-siblings": (
        lambda: Model(
            lambda m, x: m.c(m.a(y := m.norm(x))) + m.d(m.b(y)),
            **{"norm": nn.BatchNorm2d(3), "a": conv(3, 4, 1), "b": conv(3, 5, 1)},
            **{"c": conv(4, 6), "d": conv(5, 6)},
        ),
        ["conv2d(scale,shift)", "slice", "conv2d", "slice", "conv2d[before]"],
    ),
    "norm-before-conv-and-pool": (
        lambda: Model(
            lambda m, x: m.a(y := m.norm(x)) + pooled(y), norm=nn.BatchNorm2d(3), a=conv(3, 3)
        ),
        ["scale_shift", "max_pool2d", "conv2d[before]"],
    ),
    "relu-before-conv": (
        lambda: Model(lambda m, x: m.a(F.relu(x)) + x, a=conv(3, 3)),
        ["conv2d(scale,relu)[before]"],
    ),
    "relu-before-depthwise": (
        lambda: sequence(nn.MaxPool2d(3, 1), nn.ReLU(), conv(groups=3)),
        ["max_pool2d", "conv2d(scale,relu)"],
    ),
    "relu-before-conv-and-residual": (
        lambda: Model(lambda m, x: m.a(y := F.relu(x)) + y, a=conv(3, 3)),
        ["activation[relu]", "conv2d[before]"],
    ),
    "relu-before-conv-and-output": (
        lambda: Model(lambda m, x: (m.a(y := F.relu(x)), y), a=conv(3, 3)),
        ["activation[relu]", "conv2d"],
    ),
    "gate-before-conv": (
        lambda: Model(
            lambda m, x: m.b(torch.sigmoid(m.a(F.adaptive_avg_pool2d(x, 1))) * x) + x,
            **{"a": conv(3, 3, 1), "b": conv(3, 3)},
        ),
        ["adaptive_avg_pool2d", "conv2d[sigmoid]", "conv2d(factors)[before]"],
    ),
    "product-before-conv": (
        lambda: Model(lambda m, x: m.b(m.a(x) * x), a=conv(3, 3), b=conv()),
        ["conv2d", "multiply", "conv2d"],
    ),
    "norm-after-activation": (
        lambda: sequence(conv(), nn.ReLU(), nn.BatchNorm2d(6)),
        ["conv2d[relu]", "scale_shift"],
    ),
    "two-activations": (
        lambda: sequence(conv(), nn.Tanh(), nn.ReLU6()),
        ["conv2d[tanh]", "activation[clamp]"],
    ),
    "activation-after-pool": (
        lambda: sequence(conv(), nn.MaxPool2d(2), nn.ReLU()),
        ["conv2d[relu,pool]"],
    ),
    "activation-after-pool-that-does-not-commute": (
        lambda: sequence(conv(), nn.MaxPool2d(2), nn.SiLU()),
        ["conv2d[pool]", "activation[silu]"],
    ),
    "pool-after-activation": (
        lambda: sequence(conv(), nn.SiLU(), nn.MaxPool2d(2)),
        ["conv2d[silu,pool]"],
    ),
    "pool-of-other-windows": (
        lambda: sequence(conv(), nn.MaxPool2d(3, 2, 1)),
        ["conv2d", "max_pool2d"],
    ),
    "pool-with-ceil-mode": (
        lambda: sequence(conv(), nn.MaxPool2d(2, ceil_mode=True)),
        ["conv2d", "max_pool2d"],
    ),
    "average-of-pointwise": (
        lambda: sequence(conv(3, 32, 1), nn.BatchNorm2d(32), nn.AvgPool2d(3, 2), nn.ReLU()),
        ["avg_pool2d", "conv2d[relu]"],
    ),
    "mean-of-pointwise": (
        lambda: sequence(conv(3, 32, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        ["adaptive_avg_pool2d", "conv2d", "flatten"],
    ),
    "average-of-few-channels": (
        lambda: sequence(conv(3, 6, 1), nn.AvgPool2d(2)),
        ["conv2d", "avg_pool2d"],
    ),
    "average-that-does-not-commute": (
        lambda: sequence(
            *(conv(3, 32, 1), nn.ReLU(), nn.AvgPool2d(2)),
            *(conv(32, 32, 1), nn.AvgPool2d(2, padding=1)),
            *(conv(32, 32, 1), nn.AvgPool2d(2, ceil_mode=True)),
            *(conv(32, 32, 1), nn.AvgPool2d(2, divisor_override=3)),
        ),
        ["conv2d[relu]", *["avg_pool2d", "conv2d"] * 3, "avg_pool2d"],
    ),
    "average-of-windows": (
        lambda: sequence(conv(3, 32, 3), nn.AvgPool2d(2)),
        ["conv2d", "avg_pool2d"],
    ),
    "average-of-a-value-with-two-users": (
        lambda: Model(lambda m, x: (F.avg_pool2d(y := m.a(x), 2), y), a=conv(3, 32, 1)),
        ["conv2d", "avg_pool2d"],
    ),
    "two-pools": (
        lambda: sequence(conv(), nn.MaxPool2d(2), nn.MaxPool2d(2)),
        ["conv2d[pool]", "max_pool2d"],
    ),
    "residual-before": (
        lambda: Model(residual, a=conv(), b=conv()),
        ["conv2d", "conv2d[relu,before]"],
    ),
    "residual-after": (
        lambda: Model(lambda m, x: F.silu(m.a(x)) + F.relu(m.b(x)), a=conv(), b=conv()),
        ["conv2d[silu]", "conv2d[relu,after]"],
    ),
    "residual-between-activations": (
        lambda: Model(lambda m, x: F.relu(x + F.silu(m.a(x))), a=conv(3, 3)),
        ["conv2d[silu]", "add[relu]"],
    ),
    "residual-into-the-earlier": (
        lambda: Model(lambda m, x: m.a(x) + F.max_pool2d(x, 3, 1, 1), a=conv(3, 3)),
        ["max_pool2d", "conv2d[before]"],
    ),
    "residual-of-linear": (
        lambda: Model(lambda m, x: x.mean((2, 3)) + m.a(x.mean((2, 3))), a=nn.Linear(3, 3)),
        ["adaptive_avg_pool2d", "flatten", "adaptive_avg_pool2d", "flatten", "linear[before]"],
    ),
    "two-residuals": (
        lambda: Model(lambda m, x: x + (m.a(x) + x), a=conv(3, 3)),
        ["conv2d[before]", "add"],
    ),
    "value-added-to-itself": (
        lambda: Model(lambda m, x: (lambda y: y + y)(m.a(x)), a=conv()),
        ["conv2d", "add"],
    ),
    "pool-of-residual": (
        lambda: Model(lambda m, x: F.max_pool2d(m.a(x) + x, 2), a=conv(3, 3)),
        ["conv2d[before]", "max_pool2d"],
    ),
    "product-that-is-silu": (
        lambda: Model(lambda m, x: (lambda y: y * torch.sigmoid(y))(m.a(x)), a=conv()),
        ["conv2d[silu]"],
    ),
    "quotient-that-is-hardsigmoid": (
        lambda: Model(lambda m, x: F.relu6(m.a(x) + 3) / 6, a=conv()),
        ["conv2d[hardsigmoid]"],
    ),
    "quotient-that-is-hardswish": (
        lambda: Model(lambda m, x: hard_swish(m.a(x)), a=conv()),
        ["conv2d[hardswish]"],
    ),
    "quotient-that-is-no-hardsigmoid": (
        lambda: Model(lambda m, x: F.relu6(m.a(x) + 3) / 5, a=conv()),
        ["conv2d[clamp]", "scale_shift"],
    ),
    "product-with-another-that-is-no-hardswish": (
        lambda: Model(lambda m, x: m.b(x) * F.relu6(m.a(x) + 3) / 6, a=conv(), b=conv()),
        ["conv2d", "conv2d[clamp]", "multiply", "scale_shift"],
    ),
    "scales": (
        lambda: Model(
            lambda m, x: m.norm(F.relu(m.a(x)) * 2 + 1), a=conv(), norm=nn.BatchNorm2d(6)
        ),
        ["conv2d[relu]", "scale_shift"],
    ),
    "product-that-is-hardswish": (
        lambda: Model(lambda m, x: (lambda y: F.hardsigmoid(y) * y)(m.a(x)), a=conv()),
        ["conv2d[hardswish]"],
    ),
    "gate-with-two-users": (
        lambda: Model(gate_with_two_users, a=conv()),
        ["conv2d", "activation[sigmoid]", "multiply", "add"],
    ),
    "siblings": (
        lambda: Model(
            lambda m, x: m.c(F.relu(m.a(x))) + m.d(F.relu(m.b(x))),
            **{"a": conv(3, 4, 1), "b": conv(3, 5, 1), "c": conv(4, 6), "d": conv(5, 6)},
        ),
        ["conv2d[relu]", "slice", "conv2d", "slice", "conv2d[before]"],
    ),
    "siblings-of-siblings": (
        lambda: Model(
            lambda m, x: m.e(pooled(m.c(y := m.a(x))) + pooled(m.d(y))) + m.e(m.b(x)),
            **{"a": conv(3, 4, 1), "b": conv(3, 4, 1), "c": conv(4, 4, 1), "d": conv(4, 4, 1)},
            e=conv(4, 6),
        ),
        ["conv2d", "slice", "conv2d", "slice", "max_pool2d", "slice", "max_pool2d", "add"]
        + ["conv2d", "slice", "conv2d[before]"],
    ),
    "siblings-with-other-activations": (
        lambda: Model(
            lambda m, x: m.c(F.relu(m.a(x))) + m.d(m.b(x)),
            **{"a": conv(3, 4, 1), "b": conv(3, 5, 1), "c": conv(4, 6), "d": conv(5, 6)},
        ),
        ["conv2d[relu]", "conv2d", "conv2d", "conv2d[before]"],
    ),
    "siblings-that-are-concatenated": (
        lambda: Model(
            lambda m, x: torch.cat([m.a(x), m.b(x)], 1), a=conv(3, 4, 1), b=conv(3, 5, 1)
        ),
        ["conv2d", "conv2d", "concat"],
    ),
    "identities": (
        lambda: sequence(
            *(nn.Identity(), nn.MaxPool2d(1), nn.Dropout(), nn.ZeroPad2d(0), nn.AvgPool2d(1)),
            *(nn.Upsample(scale_factor=1), conv(), nn.Flatten(), nn.Flatten()),
        ),
        ["conv2d", "flatten"],
    ),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern(name: str) -> None:
    build, expected = PATTERNS[name]
    model, x = randomized(build()), images()
    graph = graph_of(model)
    after = optimized(graph)
    assert operators(after) == expected
    assert_close(run(after, model, x), run(graph, model, x))


def two_users(model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    y = model.conv(x)
    return model.use(y), F.max_pool2d(y, 3, 1, 1)


@pytest.mark.parametrize(
    "use",
    [nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)],
    ids=["norm", "activation", "pool"],
)
def test_a_value_with_two_users_stays(use: nn.Module) -> None:
    model = randomized(Model(two_users, conv=conv(), use=use))
    graph = graph_of(model)
    assert operators(optimized(graph)) == operators(graph)


@pytest.mark.parametrize(
    "use", [nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)], ids=["norm", "activation", "pool"]
)
def test_a_value_that_is_returned_stays(use: nn.Module) -> None:
    model = randomized(
        Model(lambda m, x: (lambda y: (m.use(y), y))(m.conv(x)), conv=conv(), use=use)
    )
    graph = graph_of(model)
    assert operators(optimized(graph)) == operators(graph)


def test_a_fused_node_stands_for_its_layers() -> None:
    model = randomized(sequence(conv(), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)))
    assert optimized(graph_of(model)).nodes[-1].layers == ("0", "1", "2", "3")
