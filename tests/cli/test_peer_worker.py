"""A worker answers, runs only while it is asked, and leaves nothing behind however it ends."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from cnnext.cli import peer_worker
from cnnext.cli.peer_worker import Worker, WorkerError
from tests.cli.fake_implementations import Subject

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def worker(tmp_path):
    with closing(Worker(Subject(1), environment={"A": "b"}, log=tmp_path / "log")) as made:
        yield made


def state(pid):
    """The letter of proc(5), or None where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def becomes(pid, *states):
    until = time.monotonic() + 30
    while state(pid) not in states and time.monotonic() < until:
        time.sleep(0.01)
    return state(pid) in states


def processor_time(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]


def test_answers_and_is_stopped_between_questions(worker):
    result, pid = worker.ask("add", other=2)
    assert result == 3
    assert pid != os.getpid()
    assert becomes(pid, "T")
    with pytest.raises(WorkerError, match="^ValueError: first line$"):
        worker.ask("fail")
    assert worker.ask("environment", name="A") == "b"
    worker.ask("spin")
    assert becomes(pid, "T")
    before = processor_time(pid)
    time.sleep(0.1)
    assert processor_time(pid) == before
    worker.close()
    assert state(pid) is None


def test_crash_is_told_with_the_last_words(worker):
    with pytest.raises(WorkerError, match=r"ended with SIGSEGV: last words$"):
        worker.ask("crash")
    with pytest.raises(WorkerError, match="ended with SIGSEGV"):
        worker.ask("add", other=2)


def test_hanging_worker_is_given_up_and_ended(worker, monkeypatch):
    _, pid = worker.ask("add", other=2)
    monkeypatch.setattr(peer_worker, "TIMEOUT_S", 0.1)
    with pytest.raises(WorkerError, match=r"^no answer within 0\.1 s$"):
        worker.ask("hang")
    worker.close()
    assert state(pid) is None


def test_ends_with_its_parent_though_stopped(tmp_path):
    script = f"""if True:
        import os, signal
        from pathlib import Path
        from cnnext.cli.peer_worker import Worker
        from tests.cli.fake_implementations import Subject
        worker = Worker(Subject(1), environment={{}}, log=Path({str(tmp_path / "log")!r}))
        print(worker.ask("add", other=2)[1], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert run.returncode == -signal.SIGKILL
    assert becomes(int(run.stdout), None, "Z")
