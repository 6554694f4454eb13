"""``compare`` and ``bench --peers`` take a model of the user's own."""

import json

import pytest
import torch

import cnnext.nn
from cnnext import cli
from cnnext.cli import own_model, peer_comparison, peers, subjects
from cnnext.testing.model_pair import INFERENCE

NET = "tests.cli.own_models:net"


@pytest.mark.usefixtures("fast_timing")
def test_compare(tmp_path):
    stored = tmp_path / "compare.json"
    arguments = ("compare", NET, "--batch", "3", "--train", "--threads", "1")
    assert cli.main([*arguments, "--json", str(stored)]) == 0
    (row,) = json.loads(stored.read_text())["rows"]
    assert (row["model"], row["batch"], row["agrees"]) == (NET, 3, True)
    assert tuple(row["forward"]["times"]) == INFERENCE


def test_peers_in_processes_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_comparison, "BLOCK_S", 0)
    monkeypatch.setattr(peer_comparison, "BLOCKS", 1)
    stored = tmp_path / "peers.json"
    arguments = ("bench", f"{NET}:1,3", "--peers", "eager,channels_last", "--threads", "1")
    assert cli.main([*arguments, "--json", str(stored)]) == 0
    rows = json.loads(stored.read_text())["rows"]
    assert [row["input"] for row in rows] == [[1, 3, 12, 12], [3, 3, 12, 12]]
    assert all(row["implementations"]["optimized"]["error"] < 1e-5 for row in rows)


def test_the_same_in_every_process_and_the_example_as_often_as_needed():
    first, second = (subjects.build(NET)(torch.nn) for _ in range(2))
    assert torch.equal(first.conv.weight, second.conv.weight)
    assert type(own_model.builder(NET)(cnnext.nn).conv) is cnnext.nn.Conv2d
    images = subjects.seeded_images(NET, 3, 0)
    assert torch.equal(images, subjects.sample(NET, 3).images)
    assert torch.equal(images[2], images[0])
    assert not torch.equal(images[1], images[0])


@pytest.mark.parametrize(
    ("text", "model", "batches"),
    [
        ("resnet50", "resnet50", ""),
        ("resnet50:1,16", "resnet50", "1,16"),
        ("resnet50:x", "resnet50", "x"),
        ("a.b:c", "a.b:c", ""),
        ("a:c:2", "a:c", "2"),
    ],
)
def test_names_and_batches(text, model, batches):
    assert peers._split(text) == (model, batches)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:net", "the module 'no_such_module' cannot be imported"),
        ("tests.cli.own_models:nothing", "the module 'tests.cli.own_models' has no function"),
        ("tests.cli.own_models:without_example", "must return a model and a tensor"),
        ("tests.cli.own_models:of_integers", "must be a batch of float32 images"),
        ("tests.cli.own_models:of_two_results", "must return a tensor, not tuple"),
    ],
)
def test_what_is_none_is_one_sentence(name, message, capsys):
    assert cli.main(["compare", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert cli.main(["bench", "--peers", "eager", name]) == 2
