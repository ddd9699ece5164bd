"""Runs side by side: as many as the cores allow, each in a process of its own, and none left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_work import fail_as_named, take_a_while
from project import PROJECT
from tiny import tiny_run

from cli import listed
from reformer.runs.config import RunConfig
from reformer.runs.side_by_side import places, side_by_side
from reformer.settings import SettingError


def named(root: Path, *names: str) -> list[RunConfig]:
    return [replace(tiny_run(str(root)), name=name) for name in names]


def noted(root: Path, what: str) -> dict[str, str]:
    return {path.stem: path.read_text() for path in root.glob(f"*.{what}")}


@pytest.mark.parametrize("at_once", [1, 3])
def test_so_many_processes_work_at_a_time_and_no_more(tmp_path: Path, at_once: int) -> None:
    names = ["d", "c", "b", "a"]
    assert side_by_side(take_a_while, named(tmp_path, *names), at_once) == []
    begins, ends = ({name: float(at) for name, at in noted(tmp_path, what).items()} for what in ("begin", "end"))
    working = [sum(begins[other] <= begins[name] < ends[other] for other in names) for name in names]
    assert max(working) == at_once
    first = sorted(names, key=lambda name: begins[name])[:at_once]
    assert set(first) == set(names[:at_once])
    pids = noted(tmp_path, "pid").values()
    assert len({*pids, str(os.getpid())}) == 5
    assert set(noted(tmp_path, "tty").values()) == {"0"}


def test_a_run_that_fails_is_named_and_stops_no_other(tmp_path: Path) -> None:
    runs = named(tmp_path, "exits", "good", "raises", "is killed", "good too")
    assert sorted(side_by_side(fail_as_named, runs, 2)) == ["exits", "is killed", "raises"]
    assert sorted(noted(tmp_path, "end")) == ["good", "good too"]


def gone(pid: str, deadline: float = 20) -> bool:
    """Waits until a process has ended."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def started(tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Starts four long runs, two at a time, and waits for the first two."""

    def start() -> subprocess.Popen[str]:
        code = f"""
import sys
sys.path[:0] = {[str(PROJECT / "tests"), str(PROJECT / "tests" / "runs"), str(PROJECT / "pipelines")]!r}
from pathlib import Path
from fake_work import wait_long
from reformer.runs import side_by_side
from test_runs_side_by_side import named

if __name__ == "__main__":
    side_by_side.PRELOADED = []
    print(side_by_side.side_by_side(wait_long, named(Path({str(tmp_path)!r}), "a", "b", "c", "d"), 2))
"""
        (tmp_path / "script.py").write_text(code)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([sys.executable, str(tmp_path / "script.py")], **pipes)  # type: ignore[call-overload]
        deadline = time.monotonic() + 60
        while len([pid for pid in noted(tmp_path, "pid").values() if pid]) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert process.poll() is None
        return process  # type: ignore[no-any-return]

    return start


def test_ctrl_c_lets_all_runs_save_and_ends_them(started: Callable[[], subprocess.Popen[str]], tmp_path: Path) -> None:
    """Sent to the first process alone, as by a job scheduler."""
    process = started()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    assert out == ""
    assert sorted(noted(tmp_path, "pid")) == sorted(noted(tmp_path, "saved")) == ["a", "b"]
    assert all(gone(pid, 2) for pid in noted(tmp_path, "pid").values())


def test_runs_end_with_the_process_that_started_them_however_it_ends(
    started: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = started()
    process.kill()
    process.communicate(timeout=30)
    assert all(gone(pid) for pid in noted(tmp_path, "pid").values())


@pytest.mark.parametrize(("threads", "at_once"), [(0, 1), (1, 7), (2, 3), (3, 2), (4, 1), (7, 1), (8, 1)])
def test_the_cores_of_this_process_are_shared_by_threads(
    monkeypatch: pytest.MonkeyPatch, threads: int, at_once: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(20, 27)), raising=False)
    assert places(threads) == at_once


def test_a_list_runs_as_its_threads_allow_and_tells_what_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def failing(work: object, runs: list[RunConfig], at_once: int) -> list[str]:
        asked.append((work, [run.name for run in runs], at_once))
        return [run.name for run in runs][1:]

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(listed, "side_by_side", failing)
    runs = named(tmp_path, "a", "b", "c")
    runs[0].trainer.threads, runs[1].trainer.threads = 1, 2
    with pytest.raises(SettingError, match=r"^2 of 3 runs failed: b, c$"):
        listed.for_each(take_a_while, runs)
    listed.for_each(take_a_while, runs[:1])
    listed.for_each(take_a_while, [])
    assert asked == [(take_a_while, ["a", "b", "c"], 3), (take_a_while, ["a"], 6)]
