"""The commit that a measurement is recorded with."""

import subprocess
from pathlib import Path

import pytest

from reformer.machine import commit_of


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=someone", "-c", "user.email=someone@somewhere"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("file", "mark"),
    [
        ("src/package/training/here.py", "+changes"),
        ("src/package/model/layer.py", "+changes"),
        ("pipelines/train.py", "+changes"),
        ("conf/train.yaml", "+changes"),
        ("params.yaml", ""),
        ("README.md", ""),
    ],
)
def test_a_change_of_code_or_settings_anywhere_marks_the_commit(tmp_path, file, mark):
    for name in ("src/package/training/here.py", file):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    here, head = tmp_path / "src/package/training", git(tmp_path, "rev-parse", "HEAD")
    assert commit_of(here) == head
    (tmp_path / file).write_text("2\n")
    assert commit_of(here) == head + mark


def test_outside_a_repository_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit_of(tmp_path) == "unknown"
