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


_VGG16_CONVOLUTIONS = 15_346_630_656

# Input, last output, parameters and their size, multiply-adds.
WITHOUT_IMAGES = {
    "fast_rcnn_head": (
        *("1 x 3 x 224 x 224 and 64 x 5", "64x84", 134_690_729, "538.76 MB"),
        _VGG16_CONVOLUTIONS + 64 * 4096 * (512 * 49 + 4096 + 21 + 84),
    ),
    "gcn": (
        *("34 x 1433 and 34 x 34", "34x7", 23_063, "92.25 kB"),
        34 * (1433 * 16 + 34 * 16 + 16 * 7 + 34 * 7),
    ),
    "simple_gru": ("1 x 50 x 1", "1x50x1", 3_393, "13.57 kB", 50 * (3 * 32 * 33 + 32)),
    "simple_lstm": ("1 x 50 x 1", "1x50x1", 4_513, "18.05 kB", 50 * (4 * 32 * 33 + 32)),
    "simple_rnn": ("1 x 50 x 1", "1x50x1", 1_153, "4.61 kB", 50 * (32 * 33 + 32)),
}


def test_all_models_without_images_are_listed_here():
    assert set(WITHOUT_IMAGES) == set(subjects.all_names()) - set(subjects.names())


@pytest.mark.parametrize("model", WITHOUT_IMAGES)
def test_models_without_images(model, capsys):
    inputs, output, parameters, size, multiply_adds = WITHOUT_IMAGES[model]
    assert cli.main(["summary", model]) == 0
    heading, *lines = capsys.readouterr().out.replace(" x ", "x").splitlines()
    assert heading == f"{model}, input {inputs}".replace(" x ", "x")
    assert f"The parameters take {size}." in lines
    total = next(i for i, line in enumerate(lines) if line.startswith("total"))
    assert lines[total - 1].split()[2] == output
    assert lines[total].split() == ["total", f"{parameters:,}", f"{multiply_adds:,}"]


def test_batches_without_images(table):
    rows = {row[0]: row for row in table("fast_rcnn_head", "--batch", "2", "--size", "32x48")}
    assert rows["features.0"][2] == "2x64x32x48"
    assert rows["deltas"][2] == "128x84"
    assert table("simple_lstm", "--batch", "3")[0][2] == "3x50x32"


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
        (["simple_rnn", "--size", "8"], "--size: the input of simple_rnn has no height and width"),
        (["gcn", "--size", "8"], "--size: the input of gcn has no height and width"),
        (["gcn", "--batch", "2"], "--batch: the input of gcn has no batch"),
        (
            ["fast_rcnn_head", "--size", "8"],
            "fast_rcnn_head cannot be called with an input of 1 x 3 x 8 x 8 and 64 x 5: features.",
        ),
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
