"""The runs of a list train side by side with the bytes of a single training, and each goes on by itself."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from project import PROJECT, Script

SIZES = """# @package _global_
data: {seq_len: 16, batch_size: 2, eval_sequences: 3}
model: {n_layers: 1, d_model: 12, d_ff: 20, n_heads: 2, d_head: 6, chunk_len: 4}
trainer: {max_steps: 6, val_every: 4, threads: 1}
"""
RUN = "lsh-2_reversible"
FAILS = f"{RUN}_lr-1e+38"
LISTED = "data/configs/train/duplication"


def name(seed: int, run: str = RUN) -> str:
    return f"duplication_{run}_seed-{seed}"


class Copy:
    """A copy of the project, with a list of runs of a second."""

    def __init__(self, folder: Path, script: Script) -> None:
        self.folder, self.script = folder, script
        for part in ("conf", "pipelines", "src"):
            shutil.copytree(PROJECT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROJECT / "dvc.yaml", folder)
        (folder / "conf" / "profile" / "cpu" / "duplication.yaml").write_text(SIZES)

    def list(self, *runs: str, seeds: tuple[int, ...], **settings: object) -> None:
        """Lists runs, and resolves them."""
        params = {
            "profile": "cpu",
            "text": "wikipedia",
            "images": "emoji",
            "samples": {"text": [], "images": []},
            "runs": {"duplication": list(runs), "text": [], "images": []},
            "seeds": {"duplication": list(seeds)},
            **settings,
        }
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params))
        assert self.script("compose", project=self.folder).returncode == 0

    def train(self) -> subprocess.CompletedProcess[str]:
        return self.script("train_list", "part=duplication", project=self.folder)

    def weights(self, *seeds: int) -> dict[str, bytes]:
        """Bytes of the weights that the list has left."""
        folder = self.folder / "data" / "runs" / "duplication"
        return {name(seed): (folder / name(seed) / "weights.safetensors").read_bytes() for seed in seeds}

    def times(self) -> dict[str, int]:
        runs = (self.folder / "data" / "runs" / "duplication").glob("*/*")
        return {str(path): path.stat().st_mtime_ns for path in runs if not path.name.startswith(".")}


@pytest.fixture
def copy(tmp_path: Path, script: Script) -> Copy:
    return Copy(tmp_path, script)


@pytest.mark.slow
def test_runs_side_by_side_end_as_alone_and_one_that_fails_stops_no_other(copy: Copy) -> None:
    copy.list(RUN, FAILS, seeds=(1, 2))
    done = copy.train()
    assert done.returncode == 1
    *each, last = done.stderr.splitlines()
    assert sorted(line.partition(": the loss of step")[0] for line in each) == [
        f"error: {name(seed, FAILS)}: {name(seed, FAILS)}" for seed in (1, 2)
    ]
    assert last.startswith("error: 2 of 4 runs failed: ")
    assert all(name(seed, FAILS) in last for seed in (1, 2))
    listed = copy.weights(1, 2)
    assert len(set(listed.values())) == 2
    alone = copy.script(
        "train", f"--config-dir={LISTED}", f"--config-name={name(2)}", "root=alone", "part=''", project=copy.folder
    )
    assert alone.returncode == 0, alone.stderr
    assert (copy.folder / "alone" / "runs" / name(2) / "weights.safetensors").read_bytes() == listed[name(2)]


@pytest.mark.slow
def test_a_seed_or_a_run_added_to_the_list_trains_alone(copy: Copy) -> None:
    copy.list(RUN, seeds=(1, 2))
    assert copy.train().returncode == 0
    before = copy.times()
    done = copy.train()
    assert done.stdout == "train duplication: 2 of 2 runs are finished already\n"
    copy.list(RUN, "full_reversible", seeds=(1, 2, 3))
    done = copy.train()
    assert "train duplication: 2 of 6 runs are finished already\n" in done.stdout
    after = copy.times()
    assert {path: after[path] for path in before} == before
    assert len(after) == 3 * len(before)


@pytest.fixture
def training(copy: Copy, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A list whose runs take a minute, after the first checkpoint of two of them."""
    copy.list(RUN, seeds=(1, 2, 3), trainer={"max_steps": 3000, "val_every": 10})
    command = [sys.executable, "pipelines/train_list.py", "part=duplication"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    source = environment | {"PYTHONPATH": str(copy.folder / "src")}
    process = subprocess.Popen(command, cwd=copy.folder, env=source, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload]
    end = time.monotonic() + 120
    while len(list(copy.folder.glob(".checkpoints/*/last.ckpt"))) < min(2, len(os.sched_getaffinity(0))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def living(group: int) -> list[str]:
    """The processes of a group, without those that have ended."""
    shown = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in shown.splitlines()]
    return [args for pgid, state, args in rows if int(pgid) == group and not state.startswith("Z")]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.skipif(sys.platform != "linux", reason="asks for the processes of a group")
def test_a_list_that_is_stopped_leaves_no_process_and_goes_on(
    copy: Copy, training: subprocess.Popen[str], number: int
) -> None:
    if number == signal.SIGINT:
        os.killpg(training.pid, number)  # as a terminal does
    else:
        training.send_signal(number)
    training.wait(60)
    assert training.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[signal.Signals(number)]
    end = time.monotonic() + 20
    while living(training.pid):
        assert time.monotonic() < end, living(training.pid)
        time.sleep(0.1)
    assert not list(copy.folder.glob("data/runs/duplication/*/train.json"))
    begun = list(copy.folder.glob(".checkpoints/*/last.ckpt"))
    assert begun
    for path in copy.folder.glob("data/configs/train/duplication/*"):
        assert "max_steps: 3000" in path.read_text()


@pytest.mark.slow
def test_a_killed_list_ends_with_the_bytes_of_an_undisturbed_one(copy: Copy, training: subprocess.Popen[str]) -> None:
    training.kill()
    training.wait(60)
    done = copy.train()
    assert done.returncode == 0, done.stderr
    killed = copy.weights(1, 2, 3)
    shutil.rmtree(copy.folder / "data" / "runs")
    assert not list(copy.folder.glob(".checkpoints/*"))
    assert copy.train().returncode == 0
    assert copy.weights(1, 2, 3) == killed
