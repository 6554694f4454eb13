"""``bench --peers`` checks, times and stores; who fails or is missing is named and left out."""

import functools
import gc
import json
from contextlib import closing

import pytest
import torch

import cnnext
from cnnext import cli
from cnnext.cli import implementations, peer_comparison, peers, report, subjects
from cnnext.cli.implementations import OURS, PEERS, Implementation
from cnnext.cli.peer_comparison import BLOCKS, STARTED
from cnnext.cli.peer_worker import Worker, WorkerError
from cnnext.testing import kernels
from cnnext.testing.timing import torch_threads
from tests.cli import fake_implementations as fakes

LENET5 = ("bench", "lenet5", "--peers", "all", "--threads", "1")


class SameProcess:
    """Instead of a worker; nothing but the process is another."""

    environments: list[dict[str, str]] = []

    def __init__(self, subject, *, environment, log):
        self._subject = subject
        self.environments.append(dict(environment))

    def ask(self, method, **arguments):
        try:
            return getattr(self._subject, method)(**arguments)
        except Exception as error:
            raise WorkerError(str(error)) from None

    def close(self):
        pass


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(peer_comparison, "BLOCK_S", 0)
    monkeypatch.setattr(
        peer_comparison, "run_block", functools.partial(peer_comparison.run_block, discard_s=0)
    )


@pytest.fixture
def same_process(monkeypatch):
    monkeypatch.setattr(peer_comparison, "Worker", SameProcess)
    monkeypatch.setattr(SameProcess, "environments", [])
    # There is nothing to collect but what other tests have left, which takes longer than all else.
    monkeypatch.setattr(gc, "collect", lambda: 0)
    with torch_threads(1):
        yield SameProcess


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs the command with these implementations; its exit code, output, errors and document."""

    def run(peers, ours=(fakes.OURS,), arguments=LENET5):
        monkeypatch.setattr(implementations, "PEERS", tuple(peers))
        monkeypatch.setattr(implementations, "OURS", tuple(ours))
        stored = tmp_path / "peers.json"
        code = cli.main([*arguments, "--json", str(stored)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err, json.loads(stored.read_text())

    return run


def table_row(text, title, model="lenet5"):
    lines = text.split(title)[1].splitlines()
    return next(line.split() for line in lines if line.startswith(model))


def test_processes_of_their_own(run):
    peers = [fakes.EAGER, Implementation("crashing", fakes.crashing)]
    code, out, err, document = run(peers, [OURS[0]])
    assert code == 1
    assert "lenet5 (batch 1), crashing: its process ended with SIGSEGV: last words" in err
    assert "100%" in err
    assert document["command"] == "peers"
    (row,) = document["rows"]
    assert row["machine"]["threads"] == 1
    assert (row["model"], row["batch"], row["input"]) == ("lenet5", 1, [1, 1, 32, 32])
    assert row["parameters"] == 61706
    entries = row["implementations"]
    assert list(entries) == ["eager", "crashing", "converted"]
    assert [entry["ours"] for entry in entries.values()] == [False, False, True]
    assert entries["crashing"]["times"] is None
    for name in ("eager", "converted"):
        assert entries[name]["failure"] is None
        assert entries[name]["times"]["n"] >= BLOCKS
        assert 0 < entries[name]["error"] < 1e-5
        assert entries[name]["prepare_s"] < entries[name]["times"]["n"]
    assert table_row(out, "Forward:")[3] == "-"
    assert table_row(out, "Forward:")[-1].endswith("x")


@pytest.mark.parametrize(
    ("prepare", "ours", "failure"),
    [
        (fakes.off_by_one, False, "wrong result: the error is"),
        (fakes.of_another_shape, False, "wrong result: shape (1, 9) differs"),
        (fakes.slightly_off, False, None),
        (fakes.remembering_where_the_images_are, False, None),
        (fakes.slightly_off, True, "wrong result: it breaks the numerics contract"),
        (fakes.failing_later, False, "the second call"),
    ],
)
def test_who_is_wrong_is_not_timed(prepare, ours, failure, run, same_process):
    it = Implementation("it", prepare, ours=ours)
    code, out, err, document = run([fakes.EAGER, it])
    entry = document["rows"][0]["implementations"]["it"]
    if failure is None:
        assert (code, entry["failure"]) == (0, None)
    else:
        assert code == 1
        assert f"lenet5 (batch 1), it: {failure}" in err
        assert entry["failure"].startswith(failure)
    assert (entry["times"] is None) is (failure is not None)
    assert table_row(out, "Forward:")[2] != "-"


def test_files_are_exported_once_for_all(run, same_process):
    pair = [Implementation(name, fakes.from_weights, export=fakes.export_weights) for name in "ab"]
    code, _, err, document = run(pair)
    assert code == 0, err
    assert all(document["rows"][0]["implementations"][name]["error"] < 1e-5 for name in "ab")


def test_failed_export_is_told_by_all_that_need_it(run, same_process):
    pair = [Implementation(name, fakes.from_weights, export=fakes.export_nothing) for name in "ab"]
    code, out, err, document = run(pair)
    assert code == 1
    for name in "ab":
        assert f"{name}: the network cannot be exported: no such operator" in err
    assert table_row(out, "Forward:")[-2:] == ["-", "-"]


def test_missing_package_is_one_line(run, same_process):
    absent = Implementation("absent", fakes.off_by_one, packages=("no_such_package",))
    code, _, err, document = run([fakes.EAGER, absent])
    assert code == 0
    assert (
        "absent is left out: the Python module 'no_such_package' is missing:"
        ' pip install "cnnext[peers]"' in err.splitlines()
    )
    assert "absent" not in document["rows"][0]["implementations"]


def test_what_was_not_installed_is_left_out(run, same_process, monkeypatch):
    monkeypatch.setattr(implementations, "entry_points", lambda **group: ())
    code, _, err, _ = run([fakes.EAGER], [fakes.OURS, OURS[2]])
    assert code == 0
    assert 'compiled is left out: torch.compile finds no backend "cnnext"' in err


def test_optimized_is_what_is_held_against_the_best_peer(run, same_process, monkeypatch):
    monkeypatch.setattr(cnnext, "optimize", lambda model, images: model)
    code, out, _, _ = run([fakes.EAGER], [fakes.OURS, OURS[1]])
    assert code == 0
    assert "best peer  optimized over it" in out


@pytest.mark.parametrize(
    ("active", "option"), [("avx2", ()), ("avx512", ("--isa", "avx2"))], ids=["variable", "option"]
)
def test_limited_isa_limits_all_or_leaves_them_out(active, option, run, same_process, monkeypatch):
    monkeypatch.setattr(kernels, "active_isa", lambda: active)
    monkeypatch.setattr(kernels, "detected_isa", lambda: "avx512")
    free = Implementation("free", fakes.off_by_one, obeys_limits=False)
    code, _, err, document = run([fakes.EAGER, free], arguments=(*LENET5, *option))
    assert code == 0
    assert "free is left out: it cannot be limited to avx2" in err
    for each in same_process.environments:
        assert (each["CNNEXT_ISA"], each["ATEN_CPU_CAPABILITY"]) == ("avx2", "avx2")
    (row,) = document["rows"]
    assert (row["machine"]["isa"], row["machine"]["torch_isa"]) == ("avx2", "AVX2")


def test_isa_of_the_machine_is_no_limit(run, same_process, monkeypatch):
    monkeypatch.setattr(kernels, "detected_isa", lambda: "avx2")
    monkeypatch.setattr(kernels, "active_isa", lambda: "baseline")
    free = Implementation("free", fakes.slightly_off, obeys_limits=False)
    code, *_ = run([free], arguments=(*LENET5, "--isa", "avx2"))
    assert code == 0
    assert all("ATEN_CPU_CAPABILITY" not in each for each in same_process.environments)
    assert all(each["CNNEXT_ISA"] == "avx2" for each in same_process.environments)


def test_isa_that_the_machine_lacks(monkeypatch, capsys):
    monkeypatch.setattr(kernels, "detected_isa", lambda: "avx2")
    assert cli.main([*LENET5, "--isa", "avx512"]) == 2
    assert (
        "--isa avx512 is not possible: this machine, or build, has avx2" in capsys.readouterr().err
    )


@pytest.mark.skipif(kernels.detected_isa() == "baseline", reason="nothing to limit")
@pytest.mark.parametrize(("isa", "of_torch"), [("avx2", "AVX2"), ("baseline", "DEFAULT")])
def test_limits_reach_the_processes(isa, of_torch, tmp_path):
    environment = {"CNNEXT_ISA": isa, **implementations.ISA_LIMITS[isa]}
    subject, log = fakes.Subject(1), tmp_path / "log"
    with closing(Worker(subject, environment=environment, log=log)) as worker:
        assert worker.ask("isas") == (isa, of_torch)


def test_those_that_are_no_pytorch_cannot_be_limited():
    names = {each.name for each in (*PEERS, *OURS) if not each.obeys_limits}
    assert names == {"openvino", "onnxruntime", "ncnn"}
    assert set(implementations.ISA_LIMITS) == {"avx2", "baseline"}


@pytest.mark.parametrize(
    ("arguments", "shapes"),
    [
        (("lenet5", "lenet5:2,3", "--batch", "3"), [[2, 1, 32, 32], [3, 1, 32, 32]]),
        (("lenet5", "--batch", "2,1,2"), [[1, 1, 32, 32], [2, 1, 32, 32]]),
    ],
)
def test_batches_and_plot(arguments, shapes, run, same_process, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "speed.svg"
    arguments = ("bench", *arguments, "--peers", "all", "--plot", str(picture))
    code, _, _, document = run([fakes.EAGER], arguments=arguments)
    assert code == 0
    assert [row["input"] for row in document["rows"]] == shapes
    assert "<svg" in picture.read_text()


def test_networks_are_added_to_those_that_the_file_has(run, same_process):
    for batch in ("1", "3", "2,3"):
        _, _, _, document = run([fakes.EAGER], arguments=(*LENET5, "--batch", batch))
    assert [row["batch"] for row in document["rows"]] == [1, 2, 3]


def test_file_of_something_else_is_found_before_anything_runs(tmp_path, capsys):
    stored = tmp_path / "some.json"
    stored.write_text("{}")
    assert cli.main([*LENET5, "--json", str(stored)]) == 2
    assert "holds something else than rows of peers" in capsys.readouterr().err
    assert stored.read_text() == "{}"


def test_nothing_to_plot_without_a_peer_that_ran(run, same_process, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "speed.svg"
    wrong = Implementation("wrong", fakes.off_by_one)
    code, *_ = run([wrong], arguments=(*LENET5, "--plot", str(picture)))
    assert code == 1
    assert not picture.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet5"], "argument MODEL: only valid with --peers"),
        (["--isa", "avx2"], "argument --isa: only valid with --peers"),
        (["--plot", "a.png"], "argument --plot: only valid with --peers"),
        (["--peers", "all", "--op", "relu"], "argument --op: only valid without --peers"),
        (["--peers", "all", "--case", "a*"], "argument --case: only valid without --peers"),
        (["--peers", "all", "--mode", "training"], "argument --mode: only valid without --peers"),
        (["--peers", "eager,tvm"], "unknown peer 'tvm': choose from all, eager, channels_last"),
        (["--peers", "eager", "--batch", "0"], "must be a positive integer, got '0'"),
        (["--peers", "eager", "--threads", "99999"], "must be at most"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["bench", *arguments])
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_unknown_model_batch_and_picture(tmp_path, capsys):
    assert cli.main(["bench", "lenet6", "--peers", "eager"]) == 2
    assert "unknown model 'lenet6'" in capsys.readouterr().err
    assert cli.main(["bench", "lenet5:1,x", "--peers", "eager"]) == 2
    assert (
        "the batch of 'lenet5:1,x' must be a positive integer, got 'x'" in capsys.readouterr().err
    )
    pytest.importorskip("matplotlib")
    assert cli.main(["bench", "--peers", "eager", "--plot", str(tmp_path / "a.xyz")]) == 2
    assert "cannot plot" in capsys.readouterr().err


def measured(model, batch, **milliseconds):
    """A stored row, with one of ours and one that failed."""
    entries = {
        name: {
            "ours": name == "converted",
            "failure": None if time else "some",
            **dict.fromkeys(STARTED, 1e-7),
            "times": {"median": time / 1e3} if time else None,
        }
        for name, time in milliseconds.items()
    }
    return {"model": model, "batch": batch, "weight_bytes": 0, "implementations": entries}


def test_speed_up_over_the_best_peer():
    rows = [
        measured("lenet5", 1, eager=2.0, ncnn=1.0, openvino=None, converted=0.25),
        measured("vgg16", 16, eager=2.0, ncnn=4.0, openvino=3.0, converted=2.0),
        measured("vgg16", 1, eager=2.0, ncnn=4.0, channels_last=1.5, converted=None),
        measured("vgg11", 1, eager=None, converted=1.0),
    ]
    assert [report.best_native(row) for row in rows[2:]] == [1.5e-3, None]
    agreement, forward, *_ = report.reports("peers", rows)
    assert forward.headers[-3:] == ("best peer", "converted over it", "over native")
    assert [row[-3:] for row in forward.rows] == [
        ("ncnn", "4.00x", "8.00x"),
        ("eager", "1.00x", "1.00x"),
        ("channels_last", "-", "-"),
        ("-", "-", "-"),
    ]
    assert "converted over the best peer 2.00x in the geometric mean, 1.00x at worst" in (
        forward.title
    )
    assert "over native PyTorch 2.83x in the geometric mean, 1.00x at worst" in forward.title
    assert agreement.rows[0] == ("lenet5", "1", "1.0e-07", "1.0e-07", "-", "1.0e-07", "-")
    assert agreement.rows[3] == ("vgg11", "1", "-", "-", "-", "1.0e-07", "-")


def test_memory_beyond_the_weights_and_time_until_the_first_result():
    row = measured("lenet5", 1, eager=1.0, ncnn=None, converted=1.0)
    entries = row["implementations"]
    entries["eager"] |= {"resident_bytes": 3 << 20, "peak_bytes": 5 << 20}
    entries["converted"] |= {"resident_bytes": None, "peak_bytes": None}
    entries["eager"] |= {"prepare_s": 0.5, "first_call_s": 1.25}
    *_, first_call, memory = report.reports("peers", [row | {"weight_bytes": 2 << 20}])
    assert memory.headers == ("model", "batch", "weights", "eager", "ncnn", "converted")
    assert memory.rows == [("lenet5", "1", "2.0", "1.0 / 3.0", "-", "-")]
    assert first_call.rows[0][2] == "0.500 + 1.250"


def test_default_networks_and_their_images():
    chosen = {batches: peers._networks([], batches) for batches in (None, (2,))}
    assert chosen[None][:4] == [("lenet5", 1), ("lenet5", 16), ("lenet5", 512), ("alexnet", 1)]
    assert {batch for _, batch in chosen[(2,)]} == {2}
    sizes = {model: subjects.seeded_images(model, 1, 0).shape[1:] for model, _ in chosen[(2,)]}
    assert len(sizes) == 11
    others = {"lenet5": (1, 32, 32), "crnn": (1, 32, 256), "unet": (3, 256, 256)}
    for model, size in sizes.items():
        assert size == others.get(model, (3, 224, 224)), model


def test_every_process_has_the_same_network_and_images():
    task = peer_comparison.Task("lenet5", 2, 1, None)
    torch.testing.assert_close(task.images(), task.images(), rtol=0, atol=0)
    for first, second in zip(task.network().parameters(), task.network().parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("implementation", (*PEERS, *OURS), ids=lambda each: each.name)
def test_every_implementation_is_right(implementation, run):
    if (reason := implementation.why_left_out(None)) is not None:
        pytest.skip(reason)
    code, _, err, document = run([implementation], [], arguments=(*LENET5, "--batch", "2"))
    assert code == 0, err
    entry = document["rows"][0]["implementations"][implementation.name]
    assert all(entry[name] is not None for name in STARTED)
    assert entry["error"] < 1e-5, "weights or products of another type than float32"
