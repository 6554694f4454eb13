"""What a build must be, whatever it computes: portable, free of OpenMP, and clear when it fails."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from torch.utils.cpp_extension import include_paths

import cnnext._C
from cnnext.runtime import library

ROOT = Path(__file__).parents[1]
ISA_TABLE = json.loads((ROOT / "csrc/isa.json").read_text())


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The binary


def test_binary_needs_only_stable_torch_functions() -> None:
    command = ["nm", "-DC", "--undefined-only", cnnext._C.__file__]
    symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "aoti_torch_" in symbols
    assert not re.findall(r".*\b(?:at|c10|caffe2|torch)::.*", symbols)


def test_binary_is_for_every_python() -> None:
    assert cnnext._C.__file__.endswith(".abi3.so")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_openmp_library() -> None:
    query = "import cnnext; print(open('/proc/self/maps').read())"
    command = [sys.executable, "-c", query]
    maps = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(set(re.findall(r"\S*/lib[gi]?omp\S*", maps))) == 1


# The source


def test_layers() -> None:
    assert list(load("tools/check_layers.py").violations(ROOT)) == []


#: One of each kind: the sources that hold it, and what is found.
VIOLATIONS = {
    "torch_header_in_a_contract": (
        {"csrc/elementwise/relu.h": "#include <torch/csrc/stable/tensor.h>"},
        "csrc/elementwise/relu.h: includes torch/csrc/stable/tensor.h",
    ),
    "library_in_an_isa_file": (
        {"csrc/elementwise/avx2.cpp": "#include <cstdint>\n#include <vector>"},
        "csrc/elementwise/avx2.cpp: includes <vector>",
    ),
    "include_upwards": (
        {"csrc/common/simd/math.h": '#include "elementwise/relu.h"'},
        "csrc/common/simd/math.h: includes elementwise/relu.h",
    ),
    "include_upwards_in_common": (
        {"csrc/common/kernel/isa.h": '#include "common/simd/simd.h"'},
        "csrc/common/kernel/isa.h: includes common/simd/simd.h, which is not below common/kernel",
    ),
    "adapters_header_in_a_kernel": (
        {"csrc/elementwise/simd.h": '#include "common/torch/checks.h"'},
        "csrc/elementwise/simd.h: includes common/torch/checks.h, which only files of torch may",
    ),
    "bindings_header_in_an_adapter": (
        {"csrc/elementwise/torch_cpu.cpp": '#include "common/numpy/bindings.h"'},
        "csrc/elementwise/torch_cpu.cpp: includes common/numpy/bindings.h, which only files of "
        "numpy may",
    ),
    "include_across": (
        {"csrc/elementwise/relu.h": '#include "linear/linear.h"'},
        "csrc/elementwise/relu.h: includes linear/linear.h",
    ),
    "folder_without_a_layer": ({"csrc/new/new.h": ""}, "csrc/new/new.h: the folder has no layer"),
    "import_upwards": (
        {"cnnext/ops/relu.py": "from cnnext.models import vgg16"},
        "cnnext.ops.relu: imports cnnext.models",
    ),
    "import_upwards_at_run_time": (
        {"cnnext/runtime/flags.py": "def read():\n    import cnnext.ops.relu"},
        "cnnext.runtime.flags: imports cnnext.ops.relu",
    ),
    "import_upwards_by_name": (
        {"cnnext/runtime/flags.py": "importlib.import_module('cnnext.functional')"},
        "cnnext.runtime.flags: imports cnnext.functional",
    ),
    "module_without_a_layer": ({"cnnext/new.py": ""}, "cnnext.new: the module has no layer"),
    "circle": (
        {
            "cnnext/ops/relu.py": "from cnnext.ops import linear",
            "cnnext/ops/linear.py": "def forward():\n    from cnnext.ops.relu import relu",
        },
        "a circle of imports: cnnext.ops.linear, cnnext.ops.relu",
    ),
}


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_layers_find_violations(kind: str, tmp_path: Path) -> None:
    sources, expected = VIOLATIONS[kind]
    inside = {
        "csrc/isa.json": json.dumps(ISA_TABLE),
        "csrc/elementwise/torch_cpu.cpp": "#include <torch/csrc/stable/tensor.h>",
        "cnnext/nn.py": "",
        "cnnext/models/vgg.py": "from cnnext import nn\nfrom cnnext.runtime.library import ops",
    }
    for path, text in {**inside, **sources}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = list(load("tools/check_layers.py").violations(tmp_path))
    assert [line.removeprefix(f"{tmp_path}/").startswith(expected) for line in found] == [True]


@pytest.mark.skipif(not (ROOT / "build/objects").exists(), reason="not built in this tree")
def test_isa_objects_have_no_weak_symbols() -> None:
    checker = load("tools/check_symbols.py")
    assert checker.isa_objects(ROOT)
    assert list(checker.violations(ROOT)) == []


@pytest.mark.parametrize("processor", ISA_TABLE)
def test_isa_table(processor: str) -> None:
    assert "baseline" in ISA_TABLE[processor]
    forbidden = re.compile(r"-std=|-march=native|-mtune=|-fopenmp|-ffast-math|-Ofast")
    for isa, flags in ISA_TABLE[processor].items():
        assert not [flag for flag in flags if forbidden.match(flag)]
        assert "-ffp-contract=fast" in flags
        missing = [flag for flag in ISA_TABLE[processor]["baseline"] if flag not in flags]
        assert not missing, f"{isa} lacks {missing}"


def test_isa_files_use_what_the_processor_is_asked_for() -> None:
    detection = (ROOT / "csrc/common/kernel/isa.cpp").read_text()
    asked_for = {
        isa: set(re.findall(r'cpu_supports\("(\w+)"\)', conditions))
        for isa, conditions in re.findall(r"const bool (\w+) = ([^;]+);", detection)
    }
    used: dict[str, set[str]] = {"baseline": set()}
    for isa, features in asked_for.items():  # each has what those before it have
        used[isa] = features.union(*used.values())
    enabled = {
        isa: {flag.removeprefix("-m") for flag in flags if re.match("-m(?!arch=)", flag)}
        for isa, flags in ISA_TABLE["x86_64"].items()
    }
    assert enabled == used


# The backend


def torch_folder(folder: Path, version: str) -> str:
    metadata = folder / f"torch-{version}.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
    return str(folder)


def test_backend_builds_with_the_installed_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = load("build_backend.py")
    monkeypatch.delenv("CNNEXT_TORCH_PATH", raising=False)
    monkeypatch.setenv("PYTHONPATH", "/nowhere")  # as pip's isolation does
    assert backend.get_requires_for_build_wheel() == []
    assert backend.get_requires_for_build_editable() == []


def test_backend_asks_for_torch_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backend = load("build_backend.py")
    monkeypatch.delenv("CNNEXT_TORCH_PATH", raising=False)
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert backend.get_requires_for_build_wheel() == ["torch>=2.10"]


def test_backend_follows_torch_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    backend = load("build_backend.py")
    monkeypatch.setenv("CNNEXT_TORCH_PATH", torch_folder(tmp_path, "2.10.0+cu128"))
    assert backend.get_requires_for_build_wheel() == []
    assert backend.installed_torch() == str(tmp_path)


def test_backend_refuses_torch_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    backend = load("build_backend.py")
    monkeypatch.setenv("CNNEXT_TORCH_PATH", torch_folder(tmp_path, "2.9.1"))
    with pytest.raises(SystemExit, match="holds no PyTorch 2.10 or newer; set it to"):
        backend.get_requires_for_build_wheel()


# Errors of setup.py: one sentence that says what to do


@pytest.fixture
def setup_py(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    return load("setup.py")


def test_no_compiler(setup_py: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(SystemExit, match=r"no C\+\+ compiler .* install g\+\+"):
        setup_py.require_compiler()
    monkeypatch.setenv("CXX", "my-compiler -pipe")
    with pytest.raises(SystemExit, match="looked for my-compiler"):
        setup_py.require_compiler()


def test_no_ninja(setup_py: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="run `pip install ninja`"):
        setup_py.require_ninja()


def test_no_torch(setup_py: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match="run `pip install torch`"):
        setup_py.require_torch()


def test_old_torch(setup_py: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    old = ModuleType("torch")
    old.__version__ = "2.9.1+cpu"
    monkeypatch.setitem(sys.modules, "torch", old)
    with pytest.raises(SystemExit, match=r"2\.10 or newer .* 2\.9\.1\+cpu; run `pip install --up"):
        setup_py.require_torch()


# The CUDA half

NVCC = shutil.which("nvcc")
TOOLKIT = load("build_cuda.py").find_toolkit(
    os.environ.get("CUDA_HOME") or (str(Path(NVCC).parents[1]) if NVCC else None)
)


@pytest.fixture
def build_cuda() -> ModuleType:
    return load("build_cuda.py")


@pytest.mark.parametrize(
    ("torch_cuda", "nvcc", "reason"),
    [
        (None, None, "this PyTorch has no CUDA"),
        ("13.0", None, "nvcc was not found"),
        ("13.0", "12.8", "nvcc is of CUDA 12.8 but PyTorch of CUDA 13.0"),
    ],
)
def test_no_cuda(
    build_cuda: ModuleType, torch_cuda: str | None, nvcc: str | None, reason: str
) -> None:
    assert build_cuda.why_no_cuda("auto", torch_cuda, nvcc) == reason
    with pytest.raises(SystemExit, match=f"CNNEXT_CUDA=1, but {reason}; .*or set CNNEXT_CUDA=0"):
        build_cuda.why_no_cuda("1", torch_cuda, nvcc)
    assert build_cuda.why_no_cuda("0", torch_cuda, nvcc) == "CNNEXT_CUDA=0"


def test_cuda_where_the_major_versions_agree(build_cuda: ModuleType) -> None:
    for choice in ("auto", "1"):
        assert build_cuda.why_no_cuda(choice, "13.0", "13.2") is None
    assert build_cuda.why_no_cuda("0", "13.0", "13.2") == "CNNEXT_CUDA=0"


def test_unknown_cuda_choice(build_cuda: ModuleType) -> None:
    with pytest.raises(SystemExit, match="CNNEXT_CUDA=yes is not one of auto, 0, 1"):
        build_cuda.why_no_cuda("yes", None, None)


#: The part of nvcc's output that tells where the toolkit is.
PLAN = """\
#\\$ TOP=/some where/bin/..
#\\$ INCLUDES="-I/some where/targets/x86_64-linux/include"
#\\$ LIBRARIES=  "-L/some where/lib/stubs" "-L/some where/lib"
"""


def fake_nvcc(folder: Path, release: str, known: str) -> Path:
    nvcc = folder / "bin/nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = --list-gpu-arch ] && printf "{known}"\n'
        f'[ "$1" = --version ] && echo "Cuda compilation tools, release {release}, V1"\n'
        f'[ "$1" = --dryrun ] && cat <<END\n{PLAN}END\n'
        "exit 0\n"
    )
    nvcc.chmod(0o755)
    return nvcc


def test_toolkit_is_where_nvcc_says(build_cuda: ModuleType, tmp_path: Path) -> None:
    nvcc = fake_nvcc(tmp_path, "13.0", "")
    toolkit = build_cuda.find_toolkit(str(tmp_path))
    assert toolkit.nvcc == str(nvcc)
    assert toolkit.version == "13.0"
    assert toolkit.include == ["/some where/targets/x86_64-linux/include"]
    assert toolkit.libraries == ["/some where/lib/stubs", "/some where/lib"]
    assert build_cuda.find_toolkit(str(tmp_path / "elsewhere")) is None
    assert build_cuda.find_toolkit(None) is None


def test_nvcc_that_fails_is_a_reason(build_cuda: ModuleType, tmp_path: Path) -> None:
    nvcc = fake_nvcc(tmp_path, "13.0", "compute_90\\n")
    assert build_cuda.why_nvcc_fails(str(nvcc), "c++") is None
    nvcc.write_text(nvcc.read_text().replace("exit 0", "echo unsupported GNU version >&2; exit 1"))
    reason = build_cuda.why_nvcc_fails(str(nvcc), "c++")
    assert reason == "nvcc does not work with c++: unsupported GNU version"
    assert build_cuda.why_no_cuda("auto", "13.0", "13.0", lambda: reason) == reason
    with pytest.raises(SystemExit, match="set CXX to a compiler that nvcc supports"):
        build_cuda.why_no_cuda("1", "13.0", "13.0", lambda: reason)
    nvcc.write_text(nvcc.read_text().replace("compute_90", "compute_50"))
    assert "knows none of the GPUs 8.0" in build_cuda.why_nvcc_fails(str(nvcc), "c++")


def test_architectures_are_those_that_nvcc_knows(build_cuda: ModuleType, tmp_path: Path) -> None:
    nvcc = fake_nvcc(tmp_path, "12.4", "compute_80\\ncompute_86\\ncompute_89\\ncompute_90\\n")
    assert build_cuda.architectures(str(nvcc)) == ["8.0", "8.6", "8.9", "9.0"]


def test_ptx_comes_last(build_cuda: ModuleType) -> None:
    assert build_cuda.architecture_flags(["8.0", "12.0"]) == [
        "-gencode=arch=compute_80,code=sm_80",
        "-gencode=arch=compute_120,code=sm_120",
        "-gencode=arch=compute_120,code=compute_120",
    ]


@pytest.mark.slow
@pytest.mark.skipif(TOOLKIT is None, reason="there is no CUDA toolkit")
@pytest.mark.parametrize("source", sorted(ROOT.glob("csrc/*/torch_cuda.cpp")), ids=str)
def test_adapters_compile_against_any_torch(source: Path) -> None:
    """Also against one without CUDA."""
    includes = [ROOT / "csrc", *TOOLKIT.include, *include_paths()]
    command = ["c++", "-std=c++17", "-fsyntax-only", "-DUSE_CUDA", "-Wall", "-Werror"]
    command += ["-fvisibility=hidden"]
    command += ["-DTORCH_TARGET_VERSION=0x020a000000000000", *(f"-I{path}" for path in includes)]
    subprocess.run([*command, source], check=True)


@pytest.mark.skipif(library.build_info["cuda"] is None, reason="built without CUDA")
def test_cuda_binary_needs_no_cuda_runtime() -> None:
    import cnnext._C_cuda

    needed = subprocess.run(
        ["readelf", "-d", cnnext._C_cuda.__file__], capture_output=True, text=True, check=True
    ).stdout
    assert "libtorch_cuda" in needed
    assert "libcudart" not in needed


def test_sources(setup_py: ModuleType) -> None:
    sources = [Path(source) for source in setup_py.sources()]
    assert Path("csrc/common/kernel/isa.cpp") in sources
    assert not [path for path in sources if path.name.startswith("numpy_")]
    assert setup_py.ISA_FLAGS.keys() >= {path.stem for path in sources} & {"avx2", "avx512"}
