"""The description of the machine: complete, storable, and one OpenMP runtime only."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cnnext.testing import kernels, machine


def test_description_is_complete_and_storable():
    described = json.loads(json.dumps(machine.describe()))
    assert described["torch"] == torch.__version__
    assert described["threads"] == torch.get_num_threads()
    assert described["isa"] == kernels.active_isa()
    assert described["cores"] >= 1
    assert all(described[key] for key in ("cpu", "torch_isa", "cnnext", "python", "os", "date"))


def test_summary_names_what_a_speed_claim_must_show():
    described = machine.describe()
    line = machine.summary(described)
    for key in ("cpu", "isa", "torch", "cnnext", "date"):
        assert described[key] in line
    assert f"{described['threads']} thread" in line


@pytest.mark.parametrize(
    ("mapped", "found"),
    [
        ("/venv/torch/lib/libgomp.so.1", True),
        ("/venv/scikit_learn.libs/libgomp-a34b3233.so.1.0.0", True),
        ("/usr/lib/libomp.so", True),
        ("/opt/intel/libiomp5.so", True),
        ("/usr/lib/libcompress.so.1", False),
        ("/home/libgomp.so.1/file", False),
    ],
)
def test_openmp_libraries_are_recognised(monkeypatch, mapped, found):
    text = f"7f00-7f01 r-xp 00000000 08:01 42    {mapped}\n7f02-7f03 rw-p 00000000 00:00 0\n"
    monkeypatch.setattr(Path, "read_text", lambda self: text * 2)
    assert machine.openmp_libraries() == [mapped] * found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="libraries are read from /proc")
def test_cnnext_brings_no_openmp_runtime_of_its_own():
    script = "import cnnext; from cnnext.testing import machine; print(machine.openmp_libraries())"
    output = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout
    assert len(json.loads(output.replace("'", '"'))) == 1


def test_no_gpu_without_cuda_or_without_a_device(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert machine.why_no_gpu() == "this PyTorch has no CUDA"
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine.why_no_gpu() == "no GPU was found"
    assert machine.gpus() == []


def test_gpus_and_their_place_in_the_description(fake_gpu):
    assert machine.why_no_gpu() is None
    assert machine.gpus() == [(fake_gpu, (9, 0))]
    described = machine.describe() | machine.describe_gpu()
    assert described["gpu"] == fake_gpu
    assert machine.summary(described).startswith(f"{fake_gpu}, CUDA 13.0, {described['cpu']}, ")
