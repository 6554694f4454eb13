"""tools/check_cuda.py sees what it is there to see."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_cuda", ROOT / "tools/check_cuda.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_cuda = load()
NAMES = {"(Pass)1": "bwd_input", "(Layout)0": "nchw"}

SM_80 = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'cnnext::(anonymous namespace)::multiply<\
cnnext::(anonymous namespace)::ImageProduct<float, (cnnext::Pass)1, \
(cnnext::Layout)0> >' for 'sm_80'
ptxas info    : Function properties for cnnext::(anonymous namespace)::multiply
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 96 registers, used 1 barriers, 8320 bytes smem, 752 bytes cmem[0]
ptxas info    : Compile time = 94.849 ms
ptxas info    : Compiling entry function 'cnnext::add_slices<__half>' for 'sm_80'
ptxas info    : Function properties for cnnext::add_slices<__half>
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 24 registers, used 0 barriers, 488 bytes cmem[0]
"""
SM_90 = SM_80.replace("sm_80", "sm_90").replace(", 752 bytes cmem[0]", "")
SM_90 = SM_90.replace(", 488 bytes cmem[0]", "")
SPILLS = """\
ptxas error   : Local memory used for function 'spill', size of stack frame: 176 bytes
ptxas error   : Registers are spilled to local memory in function 'spill', 200 bytes spill stores
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'spill' for 'sm_90'
ptxas info    : Function properties for spill
    176 bytes stack frame, 200 bytes spill stores, 200 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 176 bytes cumulative stack size
"""


# nvcc's output


@pytest.mark.parametrize("output", [SM_80, SM_90, SM_90.replace("used 1 barriers, ", "")])
def test_resources(output: str) -> None:
    assert check_cuda.resources(output, NAMES) == {
        "multiply<ImageProduct<float, bwd_input, nchw>>": [96, 8320],
        "add_slices<__half>": [24, 0],
    }
    assert check_cuda.complaints(output) == ""


def test_spills() -> None:
    assert check_cuda.resources(SPILLS, NAMES) == {"spill": [32, 0]}
    assert check_cuda.complaints(SPILLS) == "\n".join(SPILLS.splitlines()[:2])


def test_complaints_keep_errors_and_their_context() -> None:
    error = 'csrc/relu/cuda.cu(8): error #177-D: "i" was never referenced\n    int i;\n        ^'
    assert check_cuda.complaints(f"{error}\n\n{SM_80}") == error


def test_unknown_enumerators_stay() -> None:
    assert check_cuda.readable("pool<(cnnext::Mode)2>", NAMES) == "pool<(Mode)2>"


def test_enumerators() -> None:
    names = check_cuda.enumerators(ROOT)
    assert names["(Pass)0"] == "forward"
    assert names["(Layout)1"] == "channels_last"


# The budget

KEY = ("relu", "relu<float>", "9.0")
WHERE = "csrc/relu/cuda.cu: relu<float> for 9.0"


@pytest.mark.parametrize(
    ("measured", "budget", "expected"),
    [
        ({KEY: [16, 0]}, {KEY: [16, 0]}, []),
        ({KEY: [15, 0]}, {KEY: [16, 64]}, []),
        ({KEY: [17, 0]}, {KEY: [16, 0]}, [f"{WHERE}: 17 registers, the budget is 16"]),
        (
            {KEY: [16, 64]},
            {KEY: [16, 0]},
            [f"{WHERE}: 64 bytes of shared memory, the budget is 0"],
        ),
        ({KEY: [16, 0]}, {}, [f"{WHERE}: takes [16, 0], but is not in the budget"]),
        (
            {("relu", "new", "9.0"): [1, 0]},
            {("relu", "new", "9.0"): [1, 0], KEY: [16, 0]},
            [f"{WHERE}: in the budget, but there is no such kernel"],
        ),
        ({KEY: [16, 0]}, {KEY: [16, 0], ("relu", "relu<float>", "8.0"): [16, 0]}, []),
    ],
    ids=["equal", "under", "registers", "shared", "missing", "stale", "another architecture"],
)
def test_budget(measured: dict, budget: dict, expected: list[str]) -> None:
    assert list(check_cuda.budget_violations(measured, budget)) == expected


def test_limits() -> None:
    assert list(check_cuda.limit_violations({KEY: [128, 49152]})) == []
    assert list(check_cuda.limit_violations({KEY: [129, 49153]})) == [
        f"{WHERE}: 129 registers, the limit is 128",
        f"{WHERE}: 49153 bytes of shared memory, the limit is 49152",
    ]


def test_limits_are_of_the_launches() -> None:
    header = (ROOT / "csrc/common/cuda/launch.h").read_text()
    constants = dict(re.findall(r"constexpr int (\w+) = (\d+);", header))
    assert int(constants["kThreads"]) == check_cuda.THREADS
    assert int(constants["kMinBlocks"]) == check_cuda.MIN_BLOCKS


def test_budget_is_a_line_a_kernel() -> None:
    measured = {
        ("relu", "relu<float>", "12.0"): [18, 0],
        KEY: [16, 0],
        ("relu", "a", "9.0"): [1, 2],
    }
    text = check_cuda.budget_text("13.0", measured)
    assert text.splitlines()[3:5] == [
        '    "a": {"9.0": [1, 2]},',
        '    "relu<float>": {"9.0": [16, 0], "12.0": [18, 0]}',
    ]
    assert check_cuda.read_budget(text) == ("13.0", measured)


def test_committed_budget_is_as_written() -> None:
    text = (ROOT / "csrc/cuda_budget.json").read_text()
    version, budget = check_cuda.read_budget(text)
    assert check_cuda.budget_text(version, budget) == text
    architectures = json.loads((ROOT / "csrc/cuda.json").read_text())["architectures"]
    assert {architecture for _, _, architecture in budget} == set(architectures)
    assert list(check_cuda.limit_violations(budget)) == []


# The sources


def test_sources() -> None:
    assert list(check_cuda.source_violations(ROOT)) == []


def test_source_rules_find_violations(tmp_path: Path) -> None:
    sources = {
        "csrc/conv2d/cuda.cu": "void f() {\n  k<<<1, 2>>>();\n  atomicAdd(p, 1.0f);\n}",
        "csrc/common/cuda/primitives.h": 'asm volatile("" ::);',
        "csrc/common/simd/math.h": '// no asm\nasm volatile("" ::);\n__asm__ (""); asm("");',
        "csrc/relu/kernels.inc": "atomicAdd_block(p, 1)",
        "csrc/relu/cuda.cu": "int x = 1 << 3; // what asm and atomics do",
    }
    for path, text in sources.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = [
        line.removeprefix(f"{tmp_path}/").split(" is forbidden")[0]
        for line in check_cuda.source_violations(tmp_path)
    ]
    assert found == [
        "csrc/common/simd/math.h:2: `asm volatile(`",
        "csrc/common/simd/math.h:3: `__asm__ (`",
        "csrc/common/simd/math.h:3: `asm(`",
        "csrc/conv2d/cuda.cu:2: `<<<`",
        "csrc/conv2d/cuda.cu:3: `atomicAdd`",
        "csrc/relu/kernels.inc:1: `atomicAdd_block`",
    ]


# nvcc


def test_known_to_nvcc() -> None:
    listed = "compute_80\ncompute_90\ncompute_100\n"
    assert check_cuda.known_to_nvcc(listed, ["8.0", "10.0", "12.0"]) == ["8.0", "10.0"]


def test_without_nvcc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    assert list(check_cuda.violations(tmp_path, check_cuda.parse([]))) == []
    assert capsys.readouterr().out == "no nvcc: CUDA kernels not compiled\n"


CLEAN = """
namespace cnnext {
namespace {
template <class T>
__global__ void clean(T* out) {
  __shared__ T values[64];
  values[threadIdx.x] = out[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = values[63 - threadIdx.x];
}
}  // namespace
const void* kernel() { return reinterpret_cast<const void*>(&clean<float>); }
}  // namespace cnnext
"""
LOCAL = """
__global__ void look_up(const int* at, float* out) {
  float table[64];
  for (int i = 0; i < 64; ++i) table[i] = out[i];
  for (int i = 0; i < 64; ++i) table[at[i]] += table[at[i + 1]];
  out[threadIdx.x] = table[at[threadIdx.x]];
}
"""
SPILLED = """
__global__ void __launch_bounds__(1024, 2) spill(float* out) {
  float values[100];
#pragma unroll
  for (int i = 0; i < 100; ++i) values[i] = out[i];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 100; ++i) out[i] = values[99 - i] * values[i];
}
"""
UNUSED = "void f() { int unused; }"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc")
def test_with_nvcc(tmp_path: Path) -> None:
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc/cuda.json").write_text('{"architectures": ["9.0"], "flags": ["-O3"]}')

    def found(source: str, *arguments: str) -> str:
        (tmp_path / "csrc/op").mkdir(exist_ok=True)
        (tmp_path / "csrc/op/cuda.cu").write_text(source)
        return "\n".join(check_cuda.violations(tmp_path, check_cuda.parse(list(arguments))))

    assert "error   : Local memory used for function 'look_up'" in found(LOCAL)
    assert "Registers are spilled to local memory in function 'spill'" in found(SPILLED)
    assert re.search(r'csrc/op/cuda.cu\(1\): error .*"unused"', found(UNUSED))

    assert found(CLEAN, "--write-budget") == ""
    _, budget = check_cuda.read_budget((tmp_path / "csrc/cuda_budget.json").read_text())
    [(key, (registers, shared))] = budget.items()
    assert key == ("op", "clean<float>", "9.0")
    assert 0 < registers < 64
    assert shared == 256
    assert found(CLEAN) == ""
    larger = found(CLEAN.replace("values[64]", "values[128]"))
    assert larger == (
        "csrc/op/cuda.cu: clean<float> for 9.0: 512 bytes of shared memory, the budget is 256"
    )
