"""Rows of several machines in one document: added, replaced, and read by machine."""

import json

import pytest

from cnnext.cli import results
from cnnext.cli.arguments import UserError

MACHINE = {
    "cpu": "Some CPU",
    "isa": "avx2",
    "torch_isa": "AVX2",
    "threads": 2,
    "torch": "2.13.0",
    "cnnext": "0.1.0",
    "date": "2026-01-02",
    "cores_busy_with_others": 0.1,
}


def row(model, batch, value=0, **machine):
    return {"model": model, "batch": batch, "value": value, "machine": MACHINE | machine}


def test_a_row_takes_the_place_of_the_older_one_and_models_stay_together(tmp_path):
    path = tmp_path / "rows.json"
    added = [
        row("lenet5", 16),
        row("vgg16", 1),
        row("lenet5", 1),
        row("lenet5", 1, isa="avx512"),
        row("lenet5", 1, threads=1),
        row("lenet5", 16, 7, date="2026-01-03", torch="2.14.0"),
    ]
    for each in added:
        results.add(path, "peers", each)
    assert results.added(path, "peers") == [added[place] for place in (2, 3, 4, 5, 1)]
    assert results.read(path).keys() == {"command", "rows"}


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "{}",
        json.dumps({"command": "bench", "rows": []}),
        json.dumps({"command": "peers", "rows": [], "machine": MACHINE}),
    ],
)
def test_nothing_is_added_to_other_files(text, tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(UserError, match="holds something else than rows of peers"):
        results.add(path, "peers", row("lenet5", 1))
    assert path.read_text() == text


def test_rows_by_machine():
    rows = [
        row("lenet5", 1, date="2026-01-04"),
        row("lenet5", 16, cores_busy_with_others=0.2),
        row("vgg16", 1, isa="avx512"),
        row("vgg16", 16, peers={"ncnn": "1.0"}),
    ]
    first, second, third = results.by_machine({"rows": rows})
    assert first == (MACHINE | {"date": "2026-01-02 to 2026-01-04"}, rows[:2])
    assert second == (rows[2]["machine"], rows[2:3])
    assert third == (rows[3]["machine"], rows[3:])
    assert results.by_machine({"rows": rows, "machine": MACHINE}) == [(MACHINE, rows)]
