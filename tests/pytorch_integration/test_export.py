"""torch.export, what can be done with a program, and AOTInductor."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

import cnnext
from cnnext.testing.specs import SPECS
from tests.ops.graphs import BATCHES, ops_in
from tests.ops.support import assert_same_sums
from tests.pytorch_integration.cases import (
    LAYERS,
    OPERATORS,
    Layer,
    Network,
    each_layer,
    each_layer_in_graphs,
    gradients_of,
    grads_of,
    loss_of,
    outcome,
    outputs_of,
)
from tests.pytorch_integration.networks import NETWORKS, SmallNetwork, each_network


def exported(module: nn.Module, inputs_of: Callable[..., Any]) -> torch.export.ExportedProgram:
    """With a dynamic batch; `inputs_of` takes it as `batch`."""
    inputs = inputs_of(batch=BATCHES[0])
    dynamic = torch.utils._pytree.tree_map(lambda _: {0: torch.export.Dim("batch")}, inputs)
    return torch.export.export(module, inputs, dynamic_shapes=(*dynamic,))


def check(run: Any, layer: Layer) -> None:
    native = layer.build(nn)
    with torch.no_grad():
        for batch in BATCHES:
            inputs = layer.inputs(batch=batch)
            assert_same_sums(outputs_of(run(*inputs)), outputs_of(native(*inputs)))


@each_layer
def test_saved_and_loaded(layer: Layer, tmp_path: Path) -> None:
    program = exported(layer.build(cnnext.nn), layer.inputs)
    torch.export.save(program, tmp_path / "program.pt2")
    check(torch.export.load(tmp_path / "program.pt2").module(), layer)


@each_layer_in_graphs
def test_decompositions_keep_our_operators(layer: Layer) -> None:
    program = exported(layer.build(cnnext.nn), layer.inputs)
    decomposed = program.run_decompositions()
    assert ops_in(decomposed.graph_module)
    check(decomposed.module(), layer)


@pytest.mark.parametrize("strict", (False, True), ids=("not_strict", "strict"))
@each_layer
def test_an_exported_module_trains(layer: Layer, strict: bool) -> None:
    """A program exported without gradients has them all the same."""
    module = layer.build(cnnext.nn)
    program = torch.export.export(module, layer.inputs(), strict=strict)
    gradients = []
    for run in (program.module(), module):
        image, *states = layer.inputs()
        image.requires_grad_()
        gradients += torch.autograd.grad(loss_of(run(image, *states)), image)
    assert_same_sums(*gradients)


def test_an_exported_network_trains() -> None:
    ours, native = Network(cnnext.nn), Network(nn)
    images = Network.images()
    program = torch.export.export(ours, (images,))
    run = program.module()
    loss_of(run(images)).backward()
    expected = gradients_of(native, images)
    assert_same_sums(grads_of(run), expected)


@each_network
def test_an_exported_model(network: SmallNetwork) -> None:
    """It calls our operators, and takes batches of any size."""
    model, native = network.pair()
    inputs, batch = network.inputs(2), torch.export.Dim("batch")
    dynamic = tuple({0: batch} for _ in inputs) if network.batched else None
    with torch.no_grad():
        program = torch.export.export(model, inputs, dynamic_shapes=dynamic)
        assert ops_in(program.graph_module)
        for size in (2, 3) if network.batched else (2,):
            inputs = network.inputs(size)
            assert_same_sums(program.module()(*inputs), native(*inputs))


def test_programs_with_named_outputs_are_saved() -> None:
    network = next(each for each in NETWORKS if each.name == "fast_rcnn_head")
    model, native = network.pair()
    inputs, file = network.inputs(2), io.BytesIO()
    with torch.no_grad():
        torch.export.save(torch.export.export(model, inputs), file)
        outputs = torch.export.load(io.BytesIO(file.getvalue())).module()(*inputs)
        assert_same_sums(outputs, native(*inputs))
    assert isinstance(outputs, cnnext.models.FastRCNNOutputs)


def training_step(module: nn.Module) -> Callable[..., Any]:
    """The outputs and all gradients, as a function of tensors alone."""

    def step(parameters: dict[str, Tensor], image: Tensor, *states: Any) -> Any:
        leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
        image = image.detach().requires_grad_()
        outputs = outputs_of(functional_call(module, leaves, (image, *states)))
        return outputs, torch.autograd.grad(loss_of(outputs), (image, *leaves.values()))

    return step


@pytest.mark.parametrize("mode", ("real", "fake", "symbolic"))
@each_layer_in_graphs
def test_make_fx(layer: Layer, mode: str) -> None:
    """The graph calls our operators, in the backward pass too; a symbolic batch serves any."""
    ours, native = layer.pair()
    parameters = {name: p.detach() for name, p in ours.named_parameters()}
    if isinstance(
        outcome(make_fx(training_step(native), tracing_mode=mode), parameters, *layer.inputs()),
        type,
    ):
        pytest.skip("native's running statistics are no fake tensors either")
    graph = make_fx(training_step(ours), tracing_mode=mode)(parameters, *layer.inputs())
    assert len(ops_in(graph)) >= 2
    for batch in (2, 5) if mode == "symbolic" else (2,):
        arguments = (parameters, *layer.inputs(batch=batch))
        assert_same_sums(graph(*arguments), training_step(native)(*arguments))


class EveryLayer(nn.Module):
    """The native counterparts of all our modules, each with inputs of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer.build(nn) for layer in LAYERS)

    def forward(self, inputs: tuple[Any, ...]) -> list[Any]:
        return [layer(*own) for layer, own in zip(self.layers, inputs, strict=True)]

    @staticmethod
    def inputs(batch: int) -> tuple[tuple[Any, ...]]:
        return (tuple(layer.inputs(batch=batch) for layer in LAYERS),)


def packaged(program: torch.export.ExportedProgram, folder: Path) -> str:
    """The file that AOTInductor makes of a program."""
    path = folder / "model.pt2"
    return torch._inductor.aoti_compile_and_package(program, package_path=str(path))


def test_a_package_of_every_layer(tmp_path: Path) -> None:
    model = cnnext.convert(EveryLayer().eval())
    with torch.no_grad():
        program = exported(model, EveryLayer.inputs)
        specs = {op.raw: SPECS[op.name] for op in OPERATORS}
        of_layers = {raw for raw, spec in specs.items() if spec.layers and spec.has_graphs}
        assert ops_in(program.graph_module) >= of_layers
        run = torch._inductor.aoti_load_package(packaged(program, tmp_path))
        for batch in BATCHES:
            inputs = EveryLayer.inputs(batch)
            assert_same_sums(run(*inputs), model(*inputs))


_ALONE = """
import sys
import torch
library, package, values = sys.argv[1:]
torch.ops.load_library(library)
images, expected = torch.load(values)
output = torch._inductor.aoti_load_package(package)(images)
torch.testing.assert_close(output, expected)
assert not any(name.partition(".")[0] == "cnnext" for name in sys.modules)
"""


@pytest.mark.slow
def test_a_package_runs_on_the_library_alone(tmp_path: Path) -> None:
    """As in a program that has no Python."""
    model = nn.Sequential(cnnext.ConvTranspose2d(3, 3, 1), Network(cnnext.nn)).eval()
    with torch.no_grad():
        path = packaged(exported(model, lambda batch: (Network.images(batch),)), tmp_path)
        images = Network.images()
        torch.save((images, model(images)), tmp_path / "values.pt")
    script = (sys.executable, "-c", _ALONE, cnnext._C.__file__, path, tmp_path / "values.pt")
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
