"""Which kernel runs: by name, and under a cap of the instruction set."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cnnext.testing import kernels
from cnnext.testing.specs import SPECS
from tests.ops.calls import OPS, call, operands_of
from tests.ops.support import CNNEXT, NATIVE, assert_same_sums


@pytest.mark.parametrize("op", kernels.OPERATORS)
def test_every_direction_has_references(op: str) -> None:
    registry = kernels.registry(op)
    for direction in {kernel.direction for kernel in registry}:
        references = [
            k.name for k in registry if k.direction == direction and "reference" in k.name
        ]
        assert sorted(name[-3:] for name in references) == ["f32", "f64"]


def test_unknown_kernels_are_refused() -> None:
    with (
        pytest.raises(ValueError, match="conv2d_magic"),
        kernels.use_kernel("conv2d", "conv2d_magic"),
    ):
        pass


def test_a_kernel_that_does_not_apply_is_not_replaced() -> None:
    image, weight, bias = operands_of("conv2d")
    with (
        kernels.use_kernel("conv2d", "conv2d_pointwise_f32_baseline"),
        pytest.raises(RuntimeError, match="conv2d_pointwise_f32_baseline.*does not apply"),
    ):
        CNNEXT.conv2d(image, weight, bias)
    CNNEXT.conv2d(image, weight, bias)  # free again


#: What an operator's forward pass is to its kernels, where that is another pass.
PASSES = {"conv_transpose2d": "bwd_input"}


@pytest.mark.parametrize("op", OPS)
def test_kernels_above_the_cap_do_not_run(op: str) -> None:
    slice = SPECS[op].kernels[0]
    direction = PASSES.get(op, "forward")
    registry = kernels.registry(slice)
    above = [k for k in registry if k.direction == direction and k.isa != "baseline"]
    for kernel in above:
        with (
            kernels.use_isa("baseline"),
            kernels.use_kernel(slice, kernel.name),
            pytest.raises(RuntimeError, match="does not apply"),
        ):
            call(CNNEXT, op, *operands_of(op))


@pytest.mark.parametrize("op", OPS)
def test_every_isa_computes(op: str) -> None:
    before = kernels.active_isa()
    isas = kernels.built_isas()
    operands = operands_of(op)
    for isa in isas[: isas.index(before) + 1]:
        with kernels.use_isa(isa):
            assert kernels.active_isa() == isa
            assert_same_sums(call(CNNEXT, op, *operands), call(NATIVE, op, *operands))
    assert kernels.active_isa() == before


def test_the_cap_never_raises_the_isa() -> None:
    before = kernels.active_isa()
    with kernels.use_isa(kernels.built_isas()[-1]):
        assert kernels.active_isa() == before


def test_unknown_isas_are_refused() -> None:
    with pytest.raises(RuntimeError, match="sse9"), kernels.use_isa("sse9"):
        pass


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "isa",
    ("baseline", *(pytest.param(isa, marks=pytest.mark.slow) for isa in kernels.built_isas()[1:])),
)
def test_the_environment_caps_the_isa(isa: str) -> None:
    code = "from cnnext.testing import kernels as k; print(k.active_isa(), k.detected_isa())"
    active, detected = run_python(code, CNNEXT_ISA=isa).stdout.split()
    isas = kernels.built_isas()
    assert active == isas[min(isas.index(isa), isas.index(detected))]


@pytest.mark.parametrize(("variable", "value"), [("CNNEXT_ISA", "sse9"), ("CNNEXT_L2", "9G")])
def test_what_the_environment_may_not_say_fails_at_import(variable: str, value: str) -> None:
    failed = run_python("import cnnext", **{variable: value})
    assert failed.returncode != 0
    assert variable in failed.stderr and value in failed.stderr


def test_the_environment_sets_l2() -> None:
    code = "from cnnext.testing import kernels; print(kernels.cache_bytes()['L2'])"
    assert int(run_python(code, CNNEXT_L2="512K").stdout) == 512 << 10
