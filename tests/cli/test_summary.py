"""``summary`` lists layers with shapes, parameters and multiply-adds, and their totals."""

from __future__ import annotations

import pytest

from cnnext import cli
from cnnext.cli import subjects

OWN = "tests.cli.own_models"


@pytest.fixture
def table(capsys):
    """Calls ``summary`` and returns the cells of its rows, the total's last."""

    def run(*arguments: str) -> list[list[str]]:
        assert cli.main(["summary", *arguments]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        _, text, _ = captured.out.split("\n\n")
        return [line.replace(" x ", "x").split() for line in text.splitlines()[2:]]

    return run


def test_lenet5(capsys):
    assert cli.main(["summary", "lenet5"]) == 0
    assert (
        capsys.readouterr().out
        == """\
lenet5, input 1 x 1 x 32 x 32

layer              kind            output  parameters  multiply-adds
------------  ---------  ----------------  ----------  -------------
features.0       Conv2d   1 x 6 x 28 x 28         156        117,600
features.1         ReLU   1 x 6 x 28 x 28           0              0
features.2    MaxPool2d   1 x 6 x 14 x 14           0              0
features.3       Conv2d  1 x 16 x 10 x 10       2,416        240,000
features.4         ReLU  1 x 16 x 10 x 10           0              0
features.5    MaxPool2d    1 x 16 x 5 x 5           0              0
classifier.0     Linear           1 x 120      48,120         48,000
classifier.1       ReLU           1 x 120           0              0
classifier.2     Linear            1 x 84      10,164         10,080
classifier.3       ReLU            1 x 84           0              0
classifier.4     Linear            1 x 10         850            840
total                                          61,706        416,520

The parameters take 0.25 MB.
Multiply-adds are those of convolutions, linear and recurrent layers, and matrix products;\
 the rest counts as 0.
"""
    )


@pytest.mark.parametrize(
    ("model", "parameters", "multiply_adds", "megabytes"),
    [
        ("alexnet", "61,100,840", "714,188,480", "244.40 MB"),
        ("vgg16", "138,357,544", "15,470,264,320", "553.43 MB"),
        ("resnet50", "25,557,032", "4,089,184,256", "102.23 MB"),
    ],
)
def test_totals_of_textbooks(model, parameters, multiply_adds, megabytes, capsys):
    assert cli.main(["summary", model]) == 0
    text = capsys.readouterr().out
    (total,) = [line.split() for line in text.splitlines() if line.startswith("total")]
    assert total == ["total", parameters, multiply_adds]
    assert f"The parameters take {megabytes}.\n" in text


@pytest.mark.parametrize("model", subjects.names())
def test_every_model(model, table):
    layers = table(model)[:-1]
    assert layers
    assert all(output.startswith("1x") or model == "crnn" for _, _, output, *_ in layers)


def test_batch_and_size(table):
    first, *_, total = table("vgg16", "--batch", "3", "--size", "32x64")
    assert first == ["features.0", "Conv2d", "3x64x32x64", "1,792", f"{3 * 32 * 64 * 27 * 64:,}"]
    assert total[1] == "138,357,544"
    assert table("unet", "--size", "64")[0][2] == "1x64x64x64"


@pytest.mark.parametrize(
    ("function", "kind", "output", "parameters", "multiply_adds"),
    [
        # Two directions of two layers; the second one's input has both directions of the first.
        ("lstm", "LSTM", "1x11x14", 2 * 4 * 7 * (5 + 14 + 2 * (7 + 2)), 11 * 2 * 28 * (12 + 21)),
        ("lstm_of_ours", "LSTM", "1x11x7", 4 * 7 * (5 + 7 + 2), 11 * 4 * 7 * (5 + 7)),
        ("gru", "GRU", "1x11x7", 3 * 7 * (5 + 7 + 2), 11 * 3 * 7 * (5 + 7)),
        ("rnn", "RNN", "1x11x7", 7 * (5 + 7 + 2), 11 * 7 * (5 + 7)),
    ],
)
def test_recurrent_layers(function, kind, output, parameters, multiply_adds, table):
    cells = [f"{parameters:,}", f"{multiply_adds:,}"]
    assert table(f"{OWN}:{function}") == [["(model)", kind, output, *cells], ["total", *cells]]


def test_packed_sequences_count_their_steps(table):
    assert table(f"{OWN}:packed", "--batch", "3")[0] == [
        *("lstm", "LSTM", "7x7", "392"),
        f"{(3 + 2 + 2) * 4 * 7 * (5 + 7):,}",
    ]


def test_grouped_and_transposed_convolutions(table):
    assert table(f"{OWN}:convolutions") == [
        ["0", "Conv2d", "1x8x4x4", "152", f"{8 * 4 * 4 * 2 * 9:,}"],
        ["1", "ConvTranspose2d", "1x4x8x8", "68", f"{8 * 4 * 4 * 2 * 4:,}"],
        ["total", "220", "3,328"],
    ]


def test_shared_layers_have_a_row_a_call_and_are_counted_once(table):
    assert table(f"{OWN}:shared") == [
        ["block.0", "Linear", "1x6", "42", "36"],
        ["block.1", "Tanh", "1x6", "0", "0"],
        ["block.0", "Linear", "1x6", "0", "36"],
        ["block.1", "Tanh", "1x6", "0", "0"],
        ["tied", "Linear", "1x6", "0", "36"],
        ["spare", "Linear", "not", "called", "21", "0"],
        ["total", "63", "108"],
    ]


def test_containers_with_something_of_their_own_have_a_row(table):
    assert table(f"{OWN}:own") == [
        ["0.embedding", "Embedding", "4x5", "20", "0"],
        ["0", "Own", "1x4x5", "30", f"{4 * 6 * 5}"],
        ["total", "50", "120"],
    ]


def test_products_of_attention(table):
    rows = {line[0]: line for line in table(f"{OWN}:attention")}
    projections, attention = 4 * 5 * 8 * 8, 2 * 5 * 5 * 8
    assert rows["self_attn"][-1] == f"{projections + attention:,}"
    assert rows["total"][1:] == ["600", f"{projections + attention + 2 * 5 * 8 * 16:,}"]


def test_several_results(table):
    assert table(f"{OWN}:of_two_results")[-1] == ["total", "285", "31,144"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet6"], "unknown model 'lenet6': choose from"),
        ([f"{OWN}:nothing"], f"the module {OWN!r} has no function 'nothing'"),
        ([f"{OWN}:lazy"], "lazy returns a model with lazy layers: call it once before"),
        ([f"{OWN}:lstm", "--size", "8"], "has no height and width"),
        (
            ["lenet5", "--size", "5"],
            "lenet5 cannot be called with an input of 1 x 1 x 5 x 5: features.2: RuntimeError: ",
        ),
        (
            [f"{OWN}:unfit"],
            f"{OWN}:unfit cannot be called with an input of 1 x 6: RuntimeError: ",
        ),
    ],
)
def test_what_cannot_be_listed_is_one_sentence(arguments, message, capsys):
    assert cli.main(["summary", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert message in line
