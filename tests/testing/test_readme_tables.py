"""The README's tables come from stored results, and stay so."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MACHINE = {
    "cpu": "Some CPU",
    "isa": "avx2",
    "threads": 2,
    "torch": "2.13.0",
    "cnnext": "0.1.0",
    "date": "2026-01-02",
}


@pytest.fixture(scope="module")
def readme_tables():
    path = ROOT / "benchmarks" / "readme_tables.py"
    spec = importlib.util.spec_from_file_location("readme_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def results(tmp_path):
    """A folder with one stored result, ``bench.json``."""
    row = {
        "op": "relu",
        "case": "some_relu",
        "mode": "forward",
        "times": {"torch": {"median": 2e-3}, "cnnext": {"median": 1e-3}},
    }
    document = {"command": "bench", "machine": MACHINE, "rows": [row]}
    (tmp_path / "bench.json").write_text(json.dumps(document))
    return tmp_path


def block(name, content=""):
    return f"<!-- begin: {name} -->\n{content}<!-- end: {name} -->"


def test_fills_a_block_with_table_and_machine(readme_tables, results):
    text = f"before\n{block('bench/relu-forward', 'old')}\nafter"
    filled = readme_tables.fill(text, results)
    assert filled.startswith("before\n<!-- begin")
    assert filled.endswith("-->\nafter")
    assert "| some_relu | 2 | 1 | 2.00x |" in filled
    for fact in ("Some CPU", "avx2", "2 threads", "torch 2.13.0", "2026-01-02"):
        assert fact in filled
    assert "old" not in filled
    assert readme_tables.fill(filled, results) == filled


@pytest.fixture
def peers(results):
    """Adds ``peers.json`` with rows of two machines."""

    def row(isa, ours):
        entries = {
            name: {"ours": name == "optimized", "failure": None, "times": {"median": time}}
            | dict.fromkeys(("error", "prepare_s", "first_call_s"), 0)
            | dict.fromkeys(("resident_bytes", "peak_bytes"))
            for name, time in (("eager", 4e-3), ("optimized", ours))
        }
        return {
            "model": "lenet5",
            "batch": 1,
            "weight_bytes": 0,
            "implementations": entries,
            "machine": MACHINE | {"isa": isa, "peers": {"ncnn": "1.0"}},
        }

    document = {"command": "peers", "rows": [row("avx512", 1e-3), row("avx2", 2e-3)]}
    (results / "peers.json").write_text(json.dumps(document))
    return results


def test_a_table_for_each_machine(readme_tables, peers):
    filled = readme_tables.fill(block("peers/forward"), peers)
    first, second = filled.split("Some CPU, avx512, 2 threads, torch 2.13.0, cnnext 0.1.0, ncnn")
    assert "| lenet5 | 1 | 4 | 1 | eager | 4.00x | 4.00x |" in first
    assert "| lenet5 | 1 | 4 | 2 | eager | 2.00x | 2.00x |" in second
    assert "Some CPU, avx2, 2 threads" in second
    assert readme_tables.fill(filled, peers) == filled


def test_plot_is_drawn_again_when_rows_change(readme_tables, peers, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(readme_tables, "RESULTS", peers)
    readme, picture, rows = (tmp_path / name for name in ("README.md", "peers.svg", "peers.json"))
    readme.write_text(block("peers/plot"))
    assert readme_tables.main([str(readme)]) == 0
    assert "](benchmarks/results/peers.svg)" in readme.read_text()
    assert readme_tables.main(["--check", str(readme)]) == 0
    drawn = picture.read_text()
    rows.write_text(rows.read_text().replace("0.002", "0.003"))
    assert readme_tables.main(["--check", str(readme)]) == 1
    assert picture.read_text() == drawn
    assert readme_tables.main([str(readme)]) == 0
    assert picture.read_text() != drawn
    assert readme_tables.main(["--check", str(readme)]) == 0
    picture.unlink()
    assert readme_tables.main(["--check", str(readme)]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (block("nowhere/relu-forward"), "no stored result"),
        (block("bench/plot"), "no table 'plot', only relu-forward"),
        (block("bench/conv2d-forward"), "no table 'conv2d-forward', only relu-forward"),
        ("<!-- begin: bench/relu-forward -->\n", "1 blocks begin but 0 are well-formed"),
    ],
)
def test_bad_marker(readme_tables, results, text, message):
    with pytest.raises(readme_tables.TableError, match=message):
        readme_tables.fill(text, results)


def test_check_writes_nothing(readme_tables, results, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(readme_tables, "RESULTS", results)
    readme = tmp_path / "README.md"
    readme.write_text(block("bench/relu-forward"))
    assert readme_tables.main(["--check", str(readme)]) == 1
    assert "out of date" in capsys.readouterr().err
    assert readme.read_text() == block("bench/relu-forward")
    assert readme_tables.main([str(readme)]) == 0
    assert readme_tables.main(["--check", str(readme)]) == 0
    readme.write_text(block("bench/nothing"))
    assert readme_tables.main([str(readme)]) == 2


def test_the_readme_is_up_to_date(readme_tables):
    assert readme_tables.main(["--check"]) == 0
