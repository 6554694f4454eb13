"""``bench`` checks, times and stores named shapes."""

import json

import pytest
import torch

import cnnext.functional
from cnnext import cli
from cnnext.testing.comparisons import MODES

CELL = ("bench", "--op", "lstm_cell", "--case", "*_b1_32", "--threads", "1")


@pytest.fixture(autouse=True)
def _fast(fast_timing):
    pass


@pytest.mark.parametrize("mode", MODES)
def test_prints_and_stores_rows(mode, tmp_path, capsys):
    stored = tmp_path / "bench.json"
    assert cli.main([*CELL, "--mode", mode, "--json", str(stored)]) == 0
    text = capsys.readouterr().out
    assert f"lstm_cell, {mode}" in text
    (row,) = [line.split() for line in text.splitlines() if line.startswith("lstm_cell_b1_32")]
    assert row[-1].endswith("x")
    document = json.loads(stored.read_text())
    assert document["machine"]["threads"] == 1
    (row,) = document["rows"]
    assert (row["op"], row["case"], row["mode"]) == ("lstm_cell", "lstm_cell_b1_32", mode)
    assert row["sizes"] == {"batch": 1, "input": 32, "hidden": 32}
    assert set(row["times"]) == {"torch", "cnnext"}


def test_batches(tmp_path, capsys):
    stored = tmp_path / "bench.json"
    assert cli.main([*CELL, "--batch", "2,3", "--json", str(stored)]) == 0
    assert "lstm_cell_b1_32_b2" in capsys.readouterr().out
    sizes = [row["sizes"] for row in json.loads(stored.read_text())["rows"]]
    assert sizes == [{"batch": n, "input": 32, "hidden": 32} for n in (2, 3)]


def test_layouts_stand_side_by_side(capsys):
    assert cli.main(["bench", "--op", "conv2d", "--case", "lenet5_conv2*"]) == 0
    text = capsys.readouterr().out
    for header in ("torch NCHW", "torch channels_last", "cnnext NCHW", "cnnext channels_last"):
        assert header in text


def test_wrong_result_fails_and_is_not_timed(monkeypatch, capsys):
    monkeypatch.setattr(cnnext.functional, "relu", lambda x: torch.relu(x) + 1)
    assert cli.main(["bench", "--op", "relu", "--case", "lenet5_relu1"]) == 1
    captured = capsys.readouterr()
    assert "Wrong result: relu lenet5_relu1" in captured.err
    assert "1 of 1 results are wrong" in captured.err
    assert "relu, forward" not in captured.out
