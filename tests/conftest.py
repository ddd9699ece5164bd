"""What tests of the pipeline share: its scripts as modules, and as programs."""

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from hydra.core.hydra_config import HydraConfig
from project import PROJECT, Script

# What was started in the background ignores Ctrl-C, and so would the programs that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a shell in which this Python is `python`, and W&B stays off."""
    here = str(Path(sys.executable).parent)
    return os.environ | {"PATH": os.pathsep.join([here, os.environ["PATH"]]), "WANDB_MODE": "disabled"}


@pytest.fixture
def script(environment: dict[str, str]) -> Script:
    """Runs `script("train", "data=photos")` as a program and returns how it ended."""

    def run(name: str, *arguments: str, project: Path = PROJECT) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, f"pipelines/{name}.py", *arguments]
        source = {"PYTHONPATH": str(project / "src")}
        return subprocess.run(
            command, cwd=project, env=environment | source, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Runs a script as `script` does, but within this process, which takes a third of the time, and without torch."""

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [f"pipelines/{name}.py", *arguments]
        monkeypatch.setattr(sys, "argv", command)
        monkeypatch.setitem(sys.modules, "torch", None)  # an import of torch fails
        status = 0
        try:
            with patch.dict(os.environ):
                runpy.run_path(str(PROJECT / "pipelines" / f"{name}.py"), run_name="__main__")
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            HydraConfig.instance().cfg = None
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(command, status, printed.out, printed.err)

    return run


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works in a folder of the test's own, without an account of W&B."""
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb"))
