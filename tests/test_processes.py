"""No process outlives the DVC that started it, and no two write into one folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SLEEPER = """
import os, pathlib, signal, sys, time
from reformer.processes import end_with_dvc
def ended(*_):
    pathlib.Path(sys.argv[1] + "-told").write_text("told")
    sys.exit(143)
signal.signal(signal.SIGTERM, ended)
end_with_dvc()
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(60)
"""


def wait_for(path: Path) -> None:
    end = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.05)


def alive(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("shell", ["{python} sleeper.py pid", "{python} sleeper.py pid; true"], ids=["exec", "between"])
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_stage_is_terminated_when_dvc_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, shell: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sleeper.py").write_text(SLEEPER)
    command = shell.format(python=sys.executable)
    dvc = f"import subprocess; subprocess.run(['/bin/sh', '-c', {command!r}])"
    parent = subprocess.Popen([sys.executable, "-c", dvc], env=os.environ | {"DVC_STAGE": "train"})
    wait_for(Path("pid"))
    child = int(Path("pid").read_text())
    assert alive(child)
    parent.send_signal(number)
    parent.wait()
    wait_for(Path("pid-told"))
    end = time.monotonic() + 10
    while alive(child):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_user_started_outlives_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under nohup."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    Path("sleeper.py").write_text(SLEEPER)
    start = f"import subprocess; subprocess.run([{sys.executable!r}, 'sleeper.py', 'pid'])"
    parent = subprocess.Popen([sys.executable, "-c", start])
    wait_for(Path("pid"))
    parent.kill()
    parent.wait()
    time.sleep(0.5)
    child = int(Path("pid").read_text())
    assert alive(child)
    os.kill(child, signal.SIGKILL)
    assert not Path("pid-told").exists()
