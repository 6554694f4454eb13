"""cnnext.flags, and which backend they choose on CUDA."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import cnnext
from cnnext.runtime import cuda_backend, fallback, flags, library
from cnnext.runtime.operator import OPERATORS
from cnnext.testing import kernels
from tests.ops.calls import OPS
from tests.ops.support import CNNEXT


def test_flags_last_as_long_as_their_context() -> None:
    before = flags.current()
    with cnnext.flags(cuda_backend="own", strict=True):
        with cnnext.flags(cuda_backend="native"):
            assert flags.current() == flags.Flags("native", True)
        assert flags.current() == flags.Flags("own", True)
    assert flags.current() == before


def test_flags_end_with_an_exception() -> None:
    before = flags.current()
    with pytest.raises(KeyError), cnnext.flags(cuda_backend="own"):
        raise KeyError
    assert flags.current() == before


@pytest.mark.parametrize(
    ("call", "error", "mentioned"),
    (
        ({"cuda_backend": "cudnn"}, ValueError, "auto, own, native, got 'cudnn'"),
        ({"cuda_backend": 1}, ValueError, "got 1"),
        ({"conv_algorithm": "fft"}, ValueError, "winograd4, got 'fft'"),
        ({"conv_algorithm": 4}, ValueError, "got 4"),
        ({"strict": "yes"}, TypeError, "strict must be a bool, got 'yes'"),
        ({"cuda": "own"}, TypeError, "cuda"),
    ),
    ids=str,
)
def test_bad_flags(call: dict[str, Any], error: type[Exception], mentioned: str) -> None:
    with pytest.raises(error, match=mentioned), cnnext.flags(**call):
        pass


def test_flags_decorate_functions() -> None:
    @cnnext.flags(cuda_backend="native")
    def asked() -> str:
        return flags.current().cuda_backend

    assert asked() == "native"


@pytest.mark.parametrize("variable", ("0", "1"))
def test_the_strict_flag_goes_before_the_environment(
    variable: str, monkeypatch: pytest.MonkeyPatch, fallbacks: list[str]
) -> None:
    monkeypatch.setenv("CNNEXT_STRICT", variable)
    half = torch.ones(3).half()
    with cnnext.flags(strict=True), pytest.raises(RuntimeError, match="forbids native"):
        CNNEXT.relu(half)
    with cnnext.flags(strict=False):
        CNNEXT.relu(half)
    assert len(fallbacks) == 1


# ---------------------------------------------------------------------------- the backend on CUDA

WITH_KERNELS = tuple(op for op in OPS if cuda_backend.has_kernels(op))
ON_CUDA: Any = SimpleNamespace(is_cuda=True, device=SimpleNamespace(index=0))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[tuple[int, int]], None]:
    """Pretends that there is a GPU of some capability, and kernels for 8.0, 8.6, 9.0 and 10.0."""

    def pretend(capability: tuple[int, int]) -> None:
        built = {"version": "13.0", "architectures": ["8.0", "8.6", "9.0", "10.0"]}
        monkeypatch.setitem(library.build_info, "cuda", built)
        monkeypatch.setattr(library, "why_no_cuda", None)
        monkeypatch.setattr(library, "_why_not_on_gpu", {})
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)

    return pretend


@pytest.mark.parametrize("op", OPS)
def test_every_operator_has_a_rule(op: str) -> None:
    choice = OPERATORS[op].cuda
    assert choice.backend in ("own", "native")
    assert choice.reason
    assert cuda_backend.chosen(op) == choice.backend


@pytest.mark.parametrize("op", OPS)
def test_flags_choose_the_backend(op: str, gpu: Callable[[tuple[int, int]], None]) -> None:
    gpu((9, 0))
    with cnnext.flags(cuda_backend="native"):
        assert fallback._why_not_on_device(op, ON_CUDA) is fallback._CHOSEN
    with cnnext.flags(cuda_backend="own"):
        expected = fallback._CHOSEN if op not in WITH_KERNELS else None
        assert fallback._why_not_on_device(op, ON_CUDA) is expected


def test_linear_is_native_by_design(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "why_no_cuda", "nvcc was not found")
    assert fallback._why_not_on_device("linear", ON_CUDA) is fallback._CHOSEN


@pytest.mark.parametrize("op", WITH_KERNELS)
def test_a_missing_library_is_a_reason_that_is_said(
    op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "why_no_cuda", "nvcc was not found")
    reason = fallback._why_not_on_device(op, ON_CUDA)
    assert reason == "there are no CUDA kernels (nvcc was not found)"
    with cnnext.flags(cuda_backend="native"):  # as the user wants it: nothing to be said
        assert fallback._why_not_on_device(op, ON_CUDA) is fallback._CHOSEN


@pytest.mark.parametrize(
    ("capability", "covered"),
    (
        ((7, 5), False),
        ((8, 0), True),
        ((8, 7), True),  # machine code of 8.6
        ((9, 0), True),
        ((10, 3), True),
        ((12, 0), True),  # PTX of 10.0
    ),
    ids=str,
)
def test_gpus_that_the_kernels_are_not_built_for(
    capability: tuple[int, int], covered: bool, gpu: Callable[[tuple[int, int]], None]
) -> None:
    gpu(capability)
    with cnnext.flags(cuda_backend="own"):
        reason = fallback._why_not_on_device("relu", ON_CUDA)
    said = f"they are not built for compute capability {capability[0]}.{capability[1]}"
    assert reason == (None if covered else f"there are no CUDA kernels ({said})")


def test_no_kernels_without_a_gpu(
    gpu: Callable[[tuple[int, int]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu((9, 0))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert library.why_no_cuda_on(0) == "there is no GPU"


@pytest.mark.parametrize(
    ("torch_cuda", "built", "reason"),
    (
        (None, None, "this PyTorch has no CUDA"),
        ("13.0", None, "cnnext was built without them: CNNEXT_CUDA=0"),
        ("12.8", "13.0", "they are of CUDA 13.0, this PyTorch of CUDA 12.8"),
    ),
)
def test_kernels_that_are_not_loaded(
    torch_cuda: str | None, built: str | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", torch_cuda)
    cuda = built and {"version": built, "architectures": ["9.0"]}
    monkeypatch.setitem(library.build_info, "cuda", cuda)
    monkeypatch.setitem(library.build_info, "why_no_cuda", "CNNEXT_CUDA=0")
    assert library._load_cuda() == reason


def test_operands_on_several_devices_are_for_native_to_reject(fallbacks: list[str]) -> None:
    meta = torch.ones(2, 3, device="meta")
    reason = fallback.fallback_reason(OPERATORS["linear"], (torch.ones(4, 3), meta))
    assert reason is fallback._SEVERAL_DEVICES
    with cnnext.flags(strict=True):  # no fallback: what native says is all that is to be said
        assert fallback.call_instead("linear", reason, lambda: "native") == "native"
    assert not fallbacks


def test_only_the_last_architecture_has_ptx() -> None:
    assert not library.covers((9, 0), ("8.0", "12.0"))
    assert not library.covers((8, 0), ("8.6",))
    assert not library.covers((9, 0), ())


def test_the_compiler_takes_the_gpu_for_a_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "why_no_cuda", None)
    monkeypatch.setattr(library, "_why_not_on_gpu", {0: "they are not built for it"})

    def function(x: Tensor) -> Tensor:
        return x + 1 if library.why_no_cuda_on(0) is None else x - 1

    compiled = torch.compile(function, fullgraph=True, backend="eager")
    assert compiled(torch.zeros(1)).item() == -1


def test_a_chosen_backend_is_no_fallback(
    fallbacks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNNEXT_STRICT", "1")
    result = fallback.call_native(OPERATORS["relu"], fallback._CHOSEN, torch.ones(1))
    assert result.tolist() == [1]
    assert not fallbacks


CONV = cnnext.Conv2d(64, 64, 3, padding=1)
IMAGE = torch.ones(1, 64, 28, 28)


@pytest.mark.parametrize("direction", ("forward", "bwd_input", "bwd_weight"))
def test_the_algorithm_of_conv2d(direction: str) -> None:
    if direction == "bwd_weight" and kernels.active_isa() == "baseline":
        pytest.skip("the baseline has no weight gradient by Winograd")
    best = cnnext.explain(CONV, IMAGE, direction).chosen
    for algorithm, expected in (("exact", False), ("direct", False), ("winograd4", True)):
        with cnnext.flags(conv_algorithm=algorithm):
            chosen = cnnext.explain(CONV, IMAGE, direction).chosen
            assert ("winograd4" in chosen, "winograd" in chosen) == (expected, expected)
            with cnnext.flags(conv_algorithm="auto"):
                assert cnnext.explain(CONV, IMAGE, direction).chosen == best
            assert cnnext.explain(CONV, IMAGE, direction).chosen == chosen
    assert cnnext.explain(CONV, IMAGE, direction).chosen == best


def test_the_algorithm_of_conv2d_decides_the_rounding() -> None:
    image, weight = torch.randn(1, 64, 28, 28), torch.randn(64, 64, 3, 3)
    results = {}
    for algorithm in ("exact", "direct", "winograd2", "winograd4"):
        with cnnext.flags(conv_algorithm=algorithm):
            results[algorithm] = CNNEXT.conv2d(image, weight, padding=1)
    assert torch.equal(results["direct"], results["exact"])
    assert not torch.equal(results["exact"], results["winograd4"])
    assert not torch.equal(results["winograd2"], results["winograd4"])


def test_an_algorithm_that_does_not_apply_leaves_the_choice() -> None:
    strided = cnnext.Conv2d(64, 64, 3, stride=2)
    best = cnnext.explain(strided, IMAGE).chosen
    with cnnext.flags(conv_algorithm="winograd4"):
        assert cnnext.explain(strided, IMAGE).chosen == best
        pointwise = cnnext.Conv2d(64, 64, 1)
        assert "pointwise" in cnnext.explain(pointwise, IMAGE).chosen
