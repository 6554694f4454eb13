"""``env`` reports the machine and the build, and tests every operator."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch

import cnnext.functional
import cnnext.nn
from cnnext import cli
from cnnext.cli import selftest
from cnnext.runtime import library
from cnnext.runtime.operator import OPERATORS
from cnnext.testing import kernels
from cnnext.testing.specs import MEASURED, SPECS

LAYERS = [name for name, spec in SPECS.items() if spec.layers]


def test_text(capsys):
    assert cli.main(["env"]) == 0
    text = capsys.readouterr().out
    assert torch.__version__ in text
    assert kernels.active_isa() in text
    assert text.rstrip().endswith("paste this into an issue.")


def test_json(monkeypatch, capsys):
    monkeypatch.setenv("CNNEXT_EXAMPLE", "1")
    assert cli.main(["env", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["machine"]["cache bytes"] == kernels.cache_bytes()
    assert facts["machine"]["ISAs built"] == list(kernels.built_isas())
    assert facts["environment"]["CNNEXT_EXAMPLE"] == "1"
    assert facts["self-test"] == dict.fromkeys(MEASURED, "ok")
    assert facts["build"] == json.loads(json.dumps(kernels.build_info()))


def test_failing_operator_is_named(monkeypatch, capsys):
    def broken(*args):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(cnnext.functional, "linear", broken)
    assert cli.main(["env", "--json"]) == 1
    results = json.loads(capsys.readouterr().out)["self-test"]
    assert results["linear"] == "RuntimeError on edge_linear_1: no kernel"
    assert {results[op] for op in MEASURED if op != "linear"} == {"ok"}


def test_self_test_of_the_layers():
    assert selftest.run_layers("cpu") == dict.fromkeys(LAYERS, "ok")


def test_layer_that_fails_is_named(monkeypatch):
    class Wrong(torch.nn.ReLU):
        def forward(self, x):
            return 1.01 * super().forward(x)

    def broken(*args, **kwargs):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(cnnext.nn, "ReLU", Wrong)
    monkeypatch.setattr(cnnext.nn, "Conv2d", broken)
    results = selftest.run_layers("cpu")
    assert results["relu"].startswith("error against float64")
    assert results["conv2d"] == "RuntimeError: no kernel"
    assert {results[op] for op in LAYERS if op not in ("relu", "conv2d")} == {"ok"}


def test_cuda_without_a_gpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(library, "why_no_cuda", "this PyTorch has no CUDA")
    assert cli.main(["env", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["CUDA"]["GPU"] == {}
    assert facts["CUDA"]["kernels"] is None
    assert facts["CUDA"]["why no kernels"] == "this PyTorch has no CUDA"
    rules = {name: op.cuda for name, op in OPERATORS.items() if op.cuda is not None}
    assert facts["CUDA"]["auto"] == {
        name: f"{rule.backend}: {rule.reason}" for name, rule in rules.items()
    }
    assert "self-test on CUDA" not in facts


@pytest.fixture
def loaded_kernels(monkeypatch):
    """A build with CUDA kernels whose library is loaded."""
    monkeypatch.setattr(library, "why_no_cuda", None)
    monkeypatch.setattr(library, "_why_not_on_gpu", {})
    cuda = {"version": "13.0", "architectures": ["8.0"]}
    monkeypatch.setitem(library.build_info, "cuda", cuda)
    loaded = SimpleNamespace(__file__="cnnext/_C_cuda.abi3.so")
    monkeypatch.setitem(sys.modules, "cnnext._C_cuda", loaded)


def test_cuda_with_a_gpu(fake_gpu, loaded_kernels, monkeypatch, capsys):
    tested = []
    results = {"relu": "ok"}
    monkeypatch.setattr(selftest, "run_layers", lambda device: tested.append(device) or results)
    assert cli.main(["env", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["CUDA"]["version of PyTorch"] == "13.0"
    gpu = {"name": fake_gpu, "capability": "9.0", "covered by the build": True}
    assert facts["CUDA"]["GPU"] == {"0": gpu}
    assert facts["CUDA"]["kernels"] == "cnnext/_C_cuda.abi3.so"
    assert facts["self-test on CUDA"] == results
    results["relu"] = "RuntimeError: no kernel image"
    assert cli.main(["env"]) == 1
    text = capsys.readouterr().out
    assert "GPU 0 covered by the build  yes" in text
    assert "RuntimeError: no kernel image" in text
    assert tested == ["cuda", "cuda"]
