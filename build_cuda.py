"""How the CUDA kernels are built: whether, with which toolkit, for which GPUs (csrc/cuda.json)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

TABLE: dict[str, list[str]] = json.loads(
    Path(__file__).with_name("csrc").joinpath("cuda.json").read_text()
)


def fail(sentence: str) -> NoReturn:
    sys.exit(f"cnnext: {sentence}")


class Toolkit(NamedTuple):
    """nvcc, and the folders of headers and libraries that it uses itself."""

    nvcc: str
    version: str
    include: list[str]
    libraries: list[str]


def output_of(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    return result.stdout + result.stderr


def find_toolkit(cuda_home: str | None) -> Toolkit | None:
    """The toolkit of `cuda_home`, or None if it has no nvcc."""
    nvcc = shutil.which("nvcc", path=f"{cuda_home}/bin") if cuda_home else None
    release = re.search(r"release ([\d.]+)", output_of(nvcc, "--version")) if nvcc else None
    if nvcc is None or release is None:
        return None
    # nvcc may be a link or a script, and layouts differ: it knows itself where everything is.
    plan = output_of(nvcc, "--dryrun", "-x", "cu", "-c", "/dev/null")
    return Toolkit(
        nvcc, release[1], folders(plan, "INCLUDES", "-I"), folders(plan, "LIBRARIES", "-L")
    )


def folders(plan: str, variable: str, option: str) -> list[str]:
    """The folders that a variable in the output of nvcc --dryrun gives to the compiler."""
    line = re.search(rf"^#\$ {variable}=(.*)$", plan, re.MULTILINE)
    return re.findall(rf'"{option}([^"]+)"', line[1]) if line else []


def why_no_cuda(
    choice: str,
    torch_cuda: str | None,
    nvcc: str | None,
    why_nvcc_fails: Callable[[], str | None] = lambda: None,
) -> str | None:
    """The reason for building without CUDA, which `choice` (CNNEXT_CUDA) = "1" makes an error.

    `torch_cuda` and `nvcc` are CUDA versions, None where there is none; `why_nvcc_fails` is asked
    last.
    """
    if choice not in ("auto", "0", "1"):
        fail(f"CNNEXT_CUDA={choice} is not one of auto, 0, 1.")
    if choice == "0":
        return "CNNEXT_CUDA=0"
    if torch_cuda is None:
        reason, remedy = "this PyTorch has no CUDA", "install one that has"
    elif nvcc is None:
        reason, remedy = "nvcc was not found", "install the CUDA toolkit and set CUDA_HOME"
    elif nvcc.split(".")[0] != torch_cuda.split(".")[0]:
        reason = f"nvcc is of CUDA {nvcc} but PyTorch of CUDA {torch_cuda}"
        remedy = "make their major versions agree"
    elif (failure := why_nvcc_fails()) is not None:
        reason, remedy = failure, "set CXX to a compiler that nvcc supports"
    else:
        return None
    if choice == "1":
        fail(f"CNNEXT_CUDA=1, but {reason}; {remedy}, or set CNNEXT_CUDA=0.")
    return reason


def why_nvcc_fails(nvcc: str, compiler: str) -> str | None:
    """Why nvcc cannot compile with this C++ compiler; None if it can."""
    if not architectures(nvcc):
        return f"{nvcc} knows none of the GPUs {', '.join(TABLE['architectures'])}"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "empty.cu")
        source.touch()
        command = [nvcc, "-ccbin", compiler, "-c", str(source), "-o", f"{folder}/empty.o"]
        result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode == 0:
        return None
    return f"nvcc does not work with {compiler}: {(result.stderr or result.stdout).strip()}"


def architectures(nvcc: str) -> list[str]:
    """Those of the table that this nvcc compiles for, oldest first."""
    known = set(re.findall(r"compute_(\d+)", output_of(nvcc, "--list-gpu-arch")))
    return [name for name in TABLE["architectures"] if name.replace(".", "") in known]


def architecture_flags(names: list[str]) -> list[str]:
    """Machine code for each, and PTX of the last, which newer GPUs compile for themselves."""
    numbers = [name.replace(".", "") for name in names]
    return [
        *(f"-gencode=arch=compute_{number},code=sm_{number}" for number in numbers),
        f"-gencode=arch=compute_{numbers[-1]},code=compute_{numbers[-1]}",
    ]


def extension(toolkit: Toolkit, compiler: str, include_dirs: list[str]) -> Any:
    """cnnext._C_cuda: the CUDA kernels and their adapters."""
    from torch.utils.cpp_extension import CppExtension

    csrc = Path("csrc")
    shared = [csrc / "common/torch/module.cpp", csrc / "common/kernel/arena.cpp"]
    sources = [*csrc.glob("*/torch_cuda.cpp"), *csrc.glob("*/cuda.cu"), *shared]
    result = CppExtension(
        "cnnext._C_cuda",
        sorted(map(str, sources)),
        include_dirs=[*include_dirs, *toolkit.include],
        library_dirs=toolkit.libraries,
        extra_compile_args={
            "cxx": ["-DUSE_CUDA"],  # torch's headers declare streams only then
            "nvcc": [
                *TABLE["flags"],
                *architecture_flags(architectures(toolkit.nvcc)),
                f"--threads={os.environ.get('MAX_JOBS') or 0}",
                *("-ccbin", compiler),
                "-Xcompiler=-fvisibility=hidden",
            ],
        },
        # CUDA's runtime is linked in, and kept to ourselves: torch has one of its own.
        extra_link_args=["-Wl,--exclude-libs,ALL"],
        py_limited_api=True,
    )
    result.libraries = ["torch_cpu", "torch_cuda", "cudart_static", "rt", "pthread", "dl"]
    return result
