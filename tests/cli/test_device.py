"""``--device cuda``: what it becomes, and one clear sentence where it is not possible."""

import pytest
import torch

from cnnext import cli
from cnnext.cli import device
from cnnext.cli.arguments import UserError
from cnnext.runtime import library


@pytest.fixture
def built_for(monkeypatch):
    """Pretends that the CUDA kernels are loaded and built for one architecture."""

    def pretend(architecture):
        cuda = {"version": "13.0", "architectures": [architecture]}
        monkeypatch.setitem(library.build_info, "cuda", cuda)
        monkeypatch.setattr(library, "why_no_cuda", None)
        monkeypatch.setattr(library, "_why_not_on_gpu", {})

    return pretend


def test_cpu():
    assert device.find("cpu", "auto") is device.CPU
    assert device.CPU.synchronize is None


@pytest.mark.parametrize(
    ("cuda", "sentence"), [(None, "this PyTorch has no CUDA"), ("13.0", "no GPU was found")]
)
def test_no_gpu_is_one_sentence(cuda, sentence, monkeypatch, capsys):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.main(["compare", "--device", "cuda"]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"cnnext: --device cuda is not possible: {sentence}\n"
    assert captured.out == ""


@pytest.mark.parametrize("backend", ["auto", "own", "native"])
def test_gpu_with_kernels_for_it(backend, fake_gpu, built_for):
    built_for("9.0")
    found = device.find("cuda", backend)
    assert (found.type, found.gpu, found.cuda_backend) == ("cuda", fake_gpu, backend)
    assert found.synchronize is torch.cuda.synchronize


def test_gpu_that_the_kernels_are_not_built_for(fake_gpu, built_for):
    built_for("12.0")
    with pytest.raises(UserError, match="own is not possible: .* for compute capability 9.0"):
        device.find("cuda", "own")
    for backend in ("auto", "native"):
        assert device.find("cuda", backend).gpu == fake_gpu


def test_own_needs_kernels(fake_gpu, monkeypatch):
    monkeypatch.setattr(library, "why_no_cuda", "cnnext was built without them")
    with pytest.raises(UserError, match="--cuda-backend own is not possible: .* without them"):
        device.find("cuda", "own")
    for backend in ("auto", "native"):
        assert device.find("cuda", backend).cuda_backend == backend
