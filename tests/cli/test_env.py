"""``env`` reports the machine and the build, and tests every operator."""

import json

import torch

import cnnext.functional
from cnnext import cli
from cnnext.testing import kernels
from cnnext.testing.cases import OPS


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
    assert facts["machine"]["ISAs built"] == list(kernels.built_isas())
    assert facts["environment"]["CNNEXT_EXAMPLE"] == "1"
    assert facts["self-test"] == dict.fromkeys(OPS, "ok")
    assert facts["build"] == json.loads(json.dumps(kernels.build_info()))


def test_failing_operator_is_named(monkeypatch, capsys):
    def broken(*args):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(cnnext.functional, "linear", broken)
    assert cli.main(["env", "--json"]) == 1
    results = json.loads(capsys.readouterr().out)["self-test"]
    assert results["linear"] == "RuntimeError on edge_linear_1: no kernel"
    assert {results[op] for op in OPS if op != "linear"} == {"ok"}
