"""A busy machine is noticed, one's own work is not held against it."""

import os
import subprocess
import sys

import pytest

from cnnext.testing import load
from cnnext.testing.load import OtherLoad

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc/stat")

BUSY = "while __import__('time').process_time() < 0.5: pass"


def test_counts_others_and_not_oneself(monkeypatch):
    busy = iter([100.0, 103.0])
    wall = iter([0.0, 2.0])
    own = iter([10.0, 12.0])
    monkeypatch.setattr(load, "_busy_seconds", lambda: next(busy))
    monkeypatch.setattr(load.time, "perf_counter", lambda: next(wall))
    monkeypatch.setattr(load.time, "process_time", lambda: next(own))
    assert OtherLoad().cores() == pytest.approx(0.5)


def test_another_process_is_seen():
    watch = OtherLoad()
    with subprocess.Popen([sys.executable, "-c", BUSY]) as other:
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it has ended, but as another's
        assert watch.cores() > 0.2


def test_children_waited_for_are_ones_own():
    before = load._own_seconds()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert load._own_seconds() - before >= 0.4  # the kernel counts those of children in ticks


def test_warns_of_a_busy_machine_only(monkeypatch):
    watch = OtherLoad()
    monkeypatch.setattr(watch, "cores", lambda: 0.9)
    assert "kept 0.9 of" in watch.warning()
    for quiet in (0.0, None):
        monkeypatch.setattr(watch, "cores", lambda quiet=quiet: quiet)
        assert watch.warning() is None


def test_unknown_elsewhere(monkeypatch):
    monkeypatch.setattr(load, "_busy_seconds", lambda: None)
    assert OtherLoad().cores() is None
