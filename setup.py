"""Compiles cnnext._C and, beside a PyTorch with CUDA, cnnext._C_cuda.

All metadata is in pyproject.toml, all compiler flags are in csrc/isa.json and csrc/cuda.json.

Environment: CNNEXT_CUDA=auto|0|1 (whether to build the CUDA kernels), CXX (the compiler), CXXFLAGS
(appended to the common flags), MAX_JOBS (parallel compilations).
"""

from __future__ import annotations

import atexit
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from setuptools import setup

import build_cuda
from build_backend import new_enough
from build_cuda import fail

CSRC = Path("csrc")
ISA_TABLE: dict[str, dict[str, list[str]]] = json.loads((CSRC / "isa.json").read_text())
ISA_FLAGS = ISA_TABLE.get(platform.machine(), ISA_TABLE["other"])
COMMON_FLAGS = [
    "-DNDEBUG",
    "-DTORCH_TARGET_VERSION=0x020a000000000000",
    "-Wall",
    "-Wno-maybe-uninitialized",  # false alarms in GCC 12's own AVX-512 header
    "-fPIC",
    "-fvisibility=hidden",
]


def require_compiler() -> str:
    candidates = [os.environ["CXX"]] if "CXX" in os.environ else ["c++", "g++", "clang++"]
    for command in candidates:
        if shutil.which(shlex.split(command)[0]):
            return command
    fail(
        f"no C++ compiler was found (looked for {', '.join(candidates)}); "
        "install g++, or set CXX to the compiler you have."
    )


def require_python_headers() -> None:
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        fail(
            "the C headers of this Python are missing; install its development package, "
            "for example python3-dev."
        )


def require_ninja() -> None:
    if not shutil.which("ninja"):
        fail("ninja was not found; run `pip install ninja` and build again.")


def require_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        fail(f"PyTorch cannot be imported ({error}); run `pip install torch` and build again.")
    if not new_enough(torch.__version__):
        fail(
            f"PyTorch 2.10 or newer is needed, this is {torch.__version__}; "
            "run `pip install --upgrade torch` and build again."
        )
    return torch


def sources() -> list[str]:
    """Everything but the NumPy bindings, the CUDA adapters, and ISAs of other processors."""
    foreign = {isa for isas in ISA_TABLE.values() for isa in isas} - ISA_FLAGS.keys()
    return sorted(
        str(path)
        for path in CSRC.rglob("*.cpp")
        if not path.name.startswith("numpy_")
        and path.parent != CSRC / "common/numpy"
        and path.name != "torch_cuda.cpp"
        and path.stem not in foreign
    )


def compile_arguments() -> dict[str, Any]:
    """Arguments of setup() for commands that compile: the extension and the command to build it."""
    os.environ["CXX"] = compiler = require_compiler()
    os.environ["PATH"] += os.pathsep + sysconfig.get_path("scripts")  # a venv that is not activated
    require_python_headers()
    require_ninja()
    torch = require_torch()
    from torch.utils.cpp_extension import CUDA_HOME, BuildExtension, CppExtension

    toolkit = build_cuda.find_toolkit(CUDA_HOME)
    host_compiler = shlex.split(compiler)[0]
    no_cuda = build_cuda.why_no_cuda(
        os.environ.get("CNNEXT_CUDA") or "auto",
        torch.version.cuda,
        toolkit.version if toolkit else None,
        lambda: toolkit and build_cuda.why_nvcc_fails(toolkit.nvcc, host_compiler),
    )
    version_text = subprocess.run(
        [*shlex.split(compiler), "--version"], capture_output=True, text=True
    ).stdout
    compiler_version = version_text.partition("\n")[0]
    extension = CppExtension(
        "cnnext._C",
        sources(),
        include_dirs=[str(CSRC.absolute())],
        extra_compile_args={"cxx": []},
        py_limited_api=True,
    )
    extension.libraries = ["torch_cpu"]  # home of the stable C functions, the only ones we call
    extensions = [extension]
    cuda = None
    if toolkit is not None and no_cuda is None:
        extensions.append(build_cuda.extension(toolkit, host_compiler, [str(CSRC.absolute())]))
        cuda = {
            "version": toolkit.version,
            "architectures": build_cuda.architectures(toolkit.nvcc),
        }
    isas = [isa for isa in ISA_FLAGS if any(Path(s).stem == isa for s in extension.sources)]
    build_info = {
        "torch": str(torch.__version__),
        "compiler": compiler_version,
        "isas": isas,
        "flags": ISA_FLAGS,
        "cuda": cuda,
        "why_no_cuda": no_cuda,
    }
    # Messages name csrc/... and torch/..., wherever the binary was built.
    roots = (Path.cwd(), Path(torch.__file__).parents[1])
    path_flags = [f"-ffile-prefix-map={root}/=" for root in roots]
    cuda_text = f"CUDA: {', '.join(cuda['architectures'])}" if cuda else f"no CUDA: {no_cuda}"
    flags_by_stem = {isa: ISA_FLAGS[isa] for isa in isas}
    flags_by_stem["build_info"] = [
        *ISA_FLAGS["baseline"],
        f"-DCNNEXT_BUILD_INFO={json.dumps(json.dumps(build_info))}",
    ]

    class BuildPerIsa(BuildExtension):
        """Compiles every csrc/**/<isa>.cpp with that ISA's flags, the rest at the baseline."""

        def initialize_options(self) -> None:
            super().initialize_options()

        def build_extensions(self) -> None:
            # The same flags on every machine: not those that its Python was compiled with.
            user_flags = shlex.split(os.environ.get("CXXFLAGS", ""))
            self.compiler.compiler_so = [compiler, *COMMON_FLAGS, *path_flags, *user_flags]
            super().build_extensions()
            atexit.register(
                print,
                f"cnnext: built {', '.join(isas)} kernels for PyTorch 2.10 and newer with "
                f"{compiler_version}; {cuda_text}",
            )

        def build_extension(self, ext: Any) -> None:
            # Kept between builds, so that ninja redoes what changed.
            self.build_temp = "build/objects" if ext is extension else "build/objects/cuda"
            common = ext.extra_compile_args["cxx"]
            for stem, flags in flags_by_stem.items():
                chosen = [source for source in ext.sources if Path(source).stem == stem]
                if not chosen:
                    continue
                ext.sources = [source for source in ext.sources if source not in chosen]
                ext.extra_objects += self.compiler.compile(
                    chosen,
                    output_dir=os.path.join(self.build_temp, stem),  # each has its build.ninja
                    include_dirs=ext.include_dirs,
                    extra_postargs={"cxx": [*common, *flags]},
                )
            ext.extra_compile_args["cxx"] = [*common, *ISA_FLAGS["baseline"]]
            super().build_extension(ext)

    return {"ext_modules": extensions, "cmdclass": {"build_ext": BuildPerIsa}}


if __name__ == "__main__":
    # Metadata and an sdist need neither torch nor a compiler.
    compiles = not {"dist_info", "egg_info", "sdist"}.intersection(sys.argv)
    setup(
        options={"bdist_wheel": {"py_limited_api": "cp310"}},
        **(compile_arguments() if compiles else {}),
    )
