"""What a training keeps when it is stopped, when its checkpoint is damaged, and when it diverges."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from tiny import tiny_run

from reformer.files import DataError
from reformer.processes import LOCK, alone_in
from reformer.runs.divergence import Diverged
from reformer.settings import SettingError
from reformer.training import train
from reformer.training.checkpoints import DIGESTS, EARLIER, LAST, LastTwo
from reformer.training.interruption import Stopped

pytestmark = pytest.mark.usefixtures("own_folder")

FILES = ("curve.csv", "train.json", "weights.safetensors")


def contents(root: str) -> dict[str, bytes]:
    return {name: (Path(root) / "runs" / "tiny" / name).read_bytes() for name in FILES}


class At(Callback):
    """Does something once: in the training step of this number, or in the validation after it."""

    def __init__(self, step: int, act: Callable[[], None], validating: bool = False) -> None:
        self.step, self.act, self.validating = step, act, validating

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if not self.validating and trainer.global_step + 1 == self.step:
            self.step = 0
            self.act()

    def on_validation_batch_start(self, trainer: Any, *_: Any) -> None:
        if self.validating and trainer.global_step == self.step:
            self.step = 0
            self.act()


@pytest.fixture
def train_with(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Trains with a further callback."""

    def start(run: Any, callback: Callback) -> dict[str, Any]:
        build = train._trainer
        with monkeypatch.context() as patch:
            patch.setattr(
                train, "_trainer", lambda run, callbacks, *others: build(run, [*callbacks, callback], *others)
            )
            return train.train(run, "")

    return start


def first_step(monkeypatch: pytest.MonkeyPatch, run: Any) -> int:
    """Trains, and returns the step that the training goes on from."""
    starts = []
    with monkeypatch.context() as patch:
        patch.setattr(train.LearningCurve, "on_train_start", lambda _, trainer, __: starts.append(trainer.global_step))
        train.train(run, "")
    return starts[0]


@pytest.mark.parametrize(
    ("number", "status", "step", "validating", "accumulate"),
    [
        (signal.SIGTERM, 143, 3, False, 1),
        (signal.SIGINT, 130, 4, False, 1),  # before the validation of step 4
        (signal.SIGTERM, 143, 4, True, 1),
        (signal.SIGTERM, 143, 3, False, 2),
        (signal.SIGTERM, 143, 2, True, 2),
    ],
)
def test_a_signal_saves_the_step_and_the_run_ends_as_if_there_had_been_none(
    monkeypatch: pytest.MonkeyPatch,
    train_with: Any,
    number: int,
    status: int,
    step: int,
    validating: bool,
    accumulate: int,
) -> None:
    train.train(tiny_run("whole", accumulate=accumulate), "")
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(Stopped) as stopped:
        train_with(tiny_run("cut", accumulate=accumulate), At(step, lambda: os.kill(os.getpid(), number), validating))
    assert stopped.value.code == status
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert not Path("cut/runs/tiny").exists()
    assert first_step(monkeypatch, tiny_run("cut", accumulate=accumulate)) == step
    assert contents("cut") == contents("whole")


def test_a_signal_in_the_last_validation_loses_no_step(train_with: Any) -> None:
    train.train(tiny_run("whole"), "")
    with pytest.raises(Stopped):
        train_with(tiny_run("cut"), At(5, lambda: os.kill(os.getpid(), signal.SIGTERM), validating=True))
    steps = []
    train_with(tiny_run("cut"), At(5, lambda: steps.append(5)))
    assert steps == []
    assert contents("cut") == contents("whole")


def test_a_checkpoint_is_saved_between_validations_after_some_minutes(
    monkeypatch: pytest.MonkeyPatch, train_with: Any
) -> None:
    def fail() -> None:
        raise OSError("the machine went away")

    train.train(tiny_run("whole"), "")
    with pytest.raises(OSError, match="went away"):
        train_with(tiny_run("cut", checkpoint_minutes=1e-9), At(4, fail))
    assert first_step(monkeypatch, tiny_run("cut")) == 3
    assert contents("cut") == contents("whole")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def another_dictionary(path: Path) -> None:
    torch.save({"some": torch.ones(1000)}, path)


@pytest.mark.parametrize("damage", [flip_a_bit, empty, another_dictionary])
@pytest.mark.parametrize(
    ("damaged", "begins_at", "told"),
    [
        ([LAST], 4, "damaged, going on from earlier.ckpt, the checkpoint before it"),
        ([LAST, EARLIER], 0, "damaged, training from the start"),
    ],
)
def test_a_checkpoint_that_was_altered_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    train_with: Any,
    damage: Callable[[Path], None],
    damaged: list[str],
    begins_at: int,
    told: str,
) -> None:
    train.train(tiny_run("whole"), "")
    with pytest.raises(Stopped):
        train_with(tiny_run("cut"), At(5, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    (folder,) = Path(".checkpoints").iterdir()
    for name in damaged:
        damage(folder / name)
    capsys.readouterr()
    assert first_step(monkeypatch, tiny_run("cut")) == begins_at
    assert [line.endswith(told) for line in capsys.readouterr().out.splitlines() if "damaged" in line] == [True]
    assert contents("cut") == contents("whole")


@pytest.mark.parametrize("fails_at", range(6))
def test_a_kill_at_any_moment_of_a_save_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """Each file operation of a save in turn does not happen, nor does anything after it."""
    files, done = LastTwo(tmp_path), []
    for step in (1, 2):
        files.save_checkpoint({"step": step}, "")
    replace, sync = Path.replace, os.fsync

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            if len(done) == fails_at:
                raise KeyboardInterrupt
            done.append(operation)
            return operation(*arguments)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", counted(replace))
        patch.setattr(os, "fsync", counted(sync))
        with pytest.raises(KeyboardInterrupt):
            files.save_checkpoint({"step": 3}, "")
    found, message = LastTwo(tmp_path).find()
    assert found is not None
    assert torch.load(found)["step"] in (2, 3)
    assert message == ""
    again = LastTwo(tmp_path)
    again.find()
    again.save_checkpoint({"step": 4}, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([DIGESTS, EARLIER, LAST])
    assert torch.load(tmp_path / LAST) == {"step": 4}
    assert torch.load(tmp_path / EARLIER)["step"] in (2, 3)


def test_a_damaged_checkpoint_replaces_no_whole_one(tmp_path: Path) -> None:
    files = LastTwo(tmp_path)
    for step in (1, 2):
        files.save_checkpoint({"step": step}, "")
    flip_a_bit(tmp_path / LAST)
    again = LastTwo(tmp_path)
    assert again.find()[0] == tmp_path / EARLIER
    again.save_checkpoint({"step": 3}, "")
    assert [torch.load(tmp_path / name)["step"] for name in (EARLIER, LAST)] == [1, 3]


def test_a_loss_that_is_not_finite_ends_the_training_within_a_few_steps(capsys: pytest.CaptureFixture[str]) -> None:
    run = tiny_run("data", max_steps=40, val_every=11)
    run.optimizer.lr, run.optimizer.warmup_steps = 1e30, 1
    with pytest.raises(Diverged) as error:
        train.train(run, "")
    message = str(error.value)
    assert message.startswith(
        "tiny: the loss of step 2 is not finite; last good checkpoint: none; norms of the gradient"
    )
    assert "in the steps before: 1." in message
    assert "try a smaller optimizer.lr" in message
    assert "\n" not in message
    assert not Path("data/runs").exists() or not list(Path("data/runs").rglob("*.*"))
    assert not list(Path(".checkpoints").rglob("*.ckpt"))


def test_no_checkpoint_holds_weights_that_are_not_finite(train_with: Any) -> None:
    """Also where the loss was still finite, and the next step would have told."""

    class Poison(At):
        def on_before_zero_grad(self, trainer: Any, module: Any, *_: Any) -> None:
            if trainer.global_step == 3:
                next(module.parameters()).data.fill_(float("nan"))

    with pytest.raises(Diverged, match=r"last good checkpoint: .*last\.ckpt \(step 3\)"):
        train_with(tiny_run("data", checkpoint_minutes=1e-9), Poison(0, lambda: None))
    (last,) = Path(".checkpoints").glob(f"*/{LAST}")
    assert torch.load(last)["global_step"] == 3
    assert all(weight.isfinite().all() for weight in torch.load(last)["state_dict"].values())


@pytest.mark.parametrize("root", ["a-file", "a-file/below", "x" * 300])
def test_the_place_for_results_is_tried_before_the_first_step(monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    Path("a-file").write_text("")
    monkeypatch.setattr(train, "_train", None)
    with pytest.raises(DataError, match=r"cannot be written to \(.+\): choose another place by root= or name=$"):
        train.train(tiny_run(root), "")


def test_the_second_of_two_runs_into_one_folder_is_refused_and_told_of_the_first(train_with: Any) -> None:
    folder = tiny_run("data").files.folder
    with alone_in(folder):
        with pytest.raises(DataError, match=rf"^data/runs/tiny is in use by process {os.getpid()} on .*: wait for it"):
            train.train(tiny_run("data"), "")
        assert [path.name for path in folder.iterdir()] == [LOCK]
    assert not folder.exists()
    train.train(tiny_run("data"), "")
    assert not (folder / LOCK).exists()


def test_what_a_killed_process_left_locks_nothing() -> None:
    folder = tiny_run("data").files.folder
    folder.mkdir(parents=True)
    (folder / LOCK).write_text("process 1 on a machine\n")
    with alone_in(folder):
        assert (folder / LOCK).read_text().startswith(f"process {os.getpid()} on ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="auto is a GPU")
def test_a_precision_that_a_cpu_does_not_have_is_refused() -> None:
    """At once where the CPU is named, otherwise before anything is written."""
    message = r"^trainer\.precision must be bf16-mixed or 32-true on a CPU.* got '16-mixed'"
    with pytest.raises(SettingError, match=message):
        tiny_run("data", precision="16-mixed")
    with pytest.raises(SettingError, match=message):
        train.train(tiny_run("data", precision="16-mixed", accelerator="auto"), "")
    assert not Path("data").exists()


def test_a_training_writes_through_no_hard_link() -> None:
    """As DVC leaves its outputs: read-only links to the files of its cache."""
    run = tiny_run("data")
    Path("cache").mkdir()
    run.files.folder.mkdir(parents=True)
    for name in (*FILES, "environment.json"):
        (Path("cache") / name).write_text(f"old {name}")
        (Path("cache") / name).chmod(0o444)
        (run.files.folder / name).hardlink_to(Path("cache") / name)
    train.train(run, "")
    assert {path.name: path.read_text() for path in Path("cache").iterdir()} == {
        name: f"old {name}" for name in (*FILES, "environment.json")
    }
    assert json.loads(run.files.train.read_text())["name"] == "tiny"
    assert not run.files.weights.stat().st_mode & 0o111


@pytest.mark.slow
def test_two_devices_that_are_terminated_end_together_and_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    """The signal reaches the first process, or both at once, as a scheduler sends it."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import os, signal, sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from pytorch_lightning.callbacks import Callback\n"
        "from tiny import tiny_run\nfrom reformer.training import train\n"
        "class Signal(Callback):\n"
        "    def on_train_batch_start(self, trainer, *_):\n"
        "        if trainer.global_step == 2 and (trainer.global_rank == 0 or sys.argv[2] == 'both'):\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "if __name__ == '__main__':\n"
        "    run, build = tiny_run(sys.argv[1], strategy='ddp', devices=1), train._trainer\n"
        "    run.trainer.devices, run.data.batch_size = 2, 4\n"
        "    more = [Signal()] if sys.argv[2] != 'none' else []\n"
        "    train._trainer = lambda run, callbacks, *others: build(run, [*callbacks, *more], *others)\n"
        "    train.train(run, '')\n"
    )

    def start(root: str, who: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, script, root, who]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert start("whole", "none").returncode == 0
    for who in ("first", "both"):
        stopped = start(who, who)
        assert stopped.returncode == 143
        assert "Traceback" not in stopped.stderr
        assert start(who, "none").returncode == 0
        assert contents(who) == contents("whole")
