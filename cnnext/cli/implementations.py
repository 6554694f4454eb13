"""Who takes part in ``bench --peers``: what each needs, and how it is set up for a model."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

import cnnext

#: Runs the network on its input; returns a tensor or an array, or a list of one for each image.
Call = Callable[[], Any]

#: Writes files that a network is read from.
Export = Callable[[Module, Tensor, Path], None]

#: Keywords of `Module.to` and `Tensor.contiguous`.
CHANNELS_LAST: Any = {"memory_format": torch.channels_last}


@dataclass(frozen=True)
class Implementation:
    """One way to run a network.

    Args:
        name: as the command line and the tables have it.
        prepare: sets the network up for the images; timed, as is the first call. It is given the
            native network in eval mode, or, with an ``export``, the folder that this wrote to, and
            the images, which outlive the call. The threads to use are PyTorch's.
        ours: it is cnnext, held to the numerics contract and measured against the others.
        export: writes the network for the images to a folder, in a process before, so that the
            memory that this takes is not counted. Those with the same function share the files.
        packages: Python modules of the extra ``cnnext[peers]`` that it runs on; they are imported
            before anything is timed, as PyTorch is.
        export_packages: others that the ``export`` needs.
        obeys_limits: it keeps to the ISA that the environment (``ISA_LIMITS``) allows.
        unavailable: the reason why it cannot take part; None if it can.
    """

    name: str
    prepare: Callable[[Any, Tensor], Call]
    ours: bool = False
    export: Export | None = None
    packages: tuple[str, ...] = ()
    export_packages: tuple[str, ...] = ()
    obeys_limits: bool = True
    unavailable: Callable[[], str | None] | None = None

    def why_left_out(self, limit: str | None) -> str | None:
        """Why it cannot take part under a limit of ISA (None: no limit); None if it can."""
        for package in (*self.packages, *self.export_packages):
            if importlib.util.find_spec(package) is None:
                return f'the Python module {package!r} is missing: pip install "cnnext[peers]"'
        if limit is not None and not self.obeys_limits:
            return f"it cannot be limited to {limit}"
        return None if self.unavailable is None else self.unavailable()


_ONNX_FILE = "network.onnx"

#: What limits native PyTorch and its compiler to an ISA of ours; CNNEXT_ISA does it for ours alone.
ISA_LIMITS = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "TORCHINDUCTOR_CPP_MARCH": "x86-64-v3",
    },
    "baseline": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "TORCHINDUCTOR_CPP_MARCH": "x86-64-v2",
    },
}


def eager(network: Any, images: Tensor) -> Call:
    return lambda: network(images)


def eager_channels_last(network: Any, images: Tensor) -> Call:
    return eager(network.to(**CHANNELS_LAST), images.contiguous(**CHANNELS_LAST))


def inductor(network: Module, images: Tensor) -> Call:
    inductor_config: Any = import_module("torch._inductor.config")
    inductor_config.freezing = True
    return eager_channels_last(torch.compile(network), images)


def export_onnx(network: Module, images: Tensor, folder: Path) -> None:
    torch.onnx.export(network, (images,), folder / _ONNX_FILE, dynamo=True)


def openvino(folder: Path, images: Tensor) -> Call:
    openvino = import_module("openvino")
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # or it computes in bfloat16 where the processor can
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = openvino.Core().compile_model(folder / _ONNX_FILE, "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(images.numpy(), shared_memory=True))

    def call() -> Any:
        request.infer()
        return request.get_output_tensor().data

    return call


def onnxruntime(folder: Path, images: Tensor) -> Call:
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = runtime.InferenceSession(
        folder / _ONNX_FILE, options, providers=["CPUExecutionProvider"]
    )
    feed = {session.get_inputs()[0].name: images.numpy()}
    return lambda: session.run(None, feed)[0]


def export_ncnn(network: Module, images: Tensor, folder: Path) -> None:
    # Weights would be rounded to fp16, whatever the options of the call are.
    import_module("pnnx").export(network, str(folder / "network.pt"), (images[:1],), fp16=False)


def ncnn(folder: Path, images: Tensor) -> Call:
    """One image after the other: a batch is no dimension of ncnn's."""
    ncnn, numpy = import_module("ncnn"), import_module("numpy")
    net = ncnn.Net()
    net.opt.num_threads = torch.get_num_threads()
    for half in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{half}", False)
    for load, kind in ((net.load_param, "param"), (net.load_model, "bin")):
        if load(str(folder / f"network.ncnn.{kind}")):
            raise RuntimeError(f"ncnn cannot load its file {kind}")
    (name_in,), (name_out,) = net.input_names(), net.output_names()
    inputs = [ncnn.Mat(image) for image in images.numpy()]

    def compute(input: Any) -> Any:
        extractor = net.create_extractor()
        extractor.input(name_in, input)
        return numpy.array(extractor.extract(name_out)[1])

    return lambda: [compute(input) for input in inputs]


def converted(network: Module, images: Tensor) -> Call:
    return eager(cnnext.convert(network), images)


def optimized(network: Module, images: Tensor) -> Call:
    return eager(cnnext.optimize(network, images), images)


def compiled(network: Module, images: Tensor) -> Call:
    return eager(torch.compile(network, backend="cnnext"), images)


def _no_backend() -> str | None:
    found = entry_points(group="torch_dynamo_backends", name="cnnext")
    return None if found else 'torch.compile finds no backend "cnnext"'


#: Native PyTorch without a compiler, in its two layouts.
NATIVE = (
    Implementation("eager", eager),
    Implementation("channels_last", eager_channels_last),
)

PEERS = (
    *NATIVE,
    Implementation("inductor", inductor),
    Implementation(
        "openvino",
        openvino,
        export=export_onnx,
        packages=("openvino",),
        export_packages=("onnx", "onnxscript"),
        obeys_limits=False,
    ),
    Implementation(
        "onnxruntime",
        onnxruntime,
        export=export_onnx,
        packages=("onnxruntime",),
        export_packages=("onnx", "onnxscript"),
        obeys_limits=False,
    ),
    Implementation(
        "ncnn",
        ncnn,
        export=export_ncnn,
        packages=("ncnn",),
        export_packages=("pnnx",),
        obeys_limits=False,
    ),
)

OURS = (
    Implementation("converted", converted, ours=True),
    Implementation("optimized", optimized, ours=True),
    Implementation("compiled", compiled, ours=True, unavailable=_no_backend),
)
