"""Whole runs at tiny size: the same each time, and the same after an interruption."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from tiny import tiny_run

from reformer.machine import choose_device
from reformer.settings import SettingError
from reformer.training import train
from reformer.training.checkpoints import checkpoint_folder

pytestmark = pytest.mark.usefixtures("own_folder")

FILES = ("train.json", "curve.csv", "weights.safetensors")


def contents(root: str) -> dict[str, bytes]:
    return {name: (Path(root) / "runs" / "tiny" / name).read_bytes() for name in FILES}


def test_two_runs_of_the_same_settings_are_the_same_to_the_bit():
    for root in ("one", "two"):
        train.train(tiny_run(root), "a command")
        torch.rand(3)  # what the program drew before does not matter
    assert contents("one") == contents("two")


def test_another_seed_gives_other_weights():
    run = tiny_run("one")
    train.train(run, "")
    run.root, run.seed = "two", 8
    train.train(run, "")
    assert contents("one")["weights.safetensors"] != contents("two")["weights.safetensors"]


def test_how_often_held_out_data_is_looked_at_changes_nothing_of_the_training():
    for root, every in (("one", 2), ("two", 5)):
        train.train(tiny_run(root, val_every=every), "")
    assert contents("one")["weights.safetensors"] == contents("two")["weights.safetensors"]


class Stop(Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 3:
            raise OSError("the machine went away")


@pytest.mark.parametrize(
    ("accumulate", "differently"),
    [
        (1, {}),
        (2, {}),
        (1, {"log_every": 3}),
        pytest.param(2, {"log_every": 3, "num_workers": 2}, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(monkeypatch, accumulate, differently):
    """Also where the second start logs or loads its batches differently."""
    train.train(tiny_run("whole", accumulate=accumulate), "")
    build, starts = train._trainer, []
    with monkeypatch.context() as patch:
        patch.setattr(train, "_trainer", lambda run, callbacks, *others: build(run, [*callbacks, Stop()], *others))
        with pytest.raises(OSError, match="went away"):
            train.train(tiny_run("cut", accumulate=accumulate), "")
    assert list(Path(".checkpoints").glob("*/last.ckpt"))
    with monkeypatch.context() as patch:
        patch.setattr(train.LearningCurve, "on_train_start", lambda _, trainer, __: starts.append(trainer.global_step))
        train.train(tiny_run("cut", accumulate=accumulate, **differently), "")
    assert starts == [2]
    assert contents("cut") == contents("whole")
    assert not list(Path(".checkpoints").iterdir())


def test_a_run_that_was_stopped_at_its_very_end_ends_the_next_time(monkeypatch):
    train.train(tiny_run("whole"), "")

    def stop(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(train, "save", stop)
        with pytest.raises(OSError, match="no space left"):
            train.train(tiny_run("cut"), "")
    train.train(tiny_run("cut"), "")
    assert contents("cut") == contents("whole")


def test_other_settings_or_data_never_go_on_from_a_checkpoint():
    run = tiny_run("data")
    before = checkpoint_folder(run)
    run.logger.mode, run.evaluation.attention = "offline", ["full"]
    assert checkpoint_folder(run) == before
    run.optimizer.lr = 0.5
    changed = checkpoint_folder(run)
    assert changed != before
    run.processed.mkdir(parents=True)
    (run.processed / "meta.json").write_text("{}")
    assert checkpoint_folder(run) != changed


def test_an_accelerator_that_is_not_there_is_refused_in_a_line():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SettingError, match=r"^accelerator must be cpu or auto on a machine without an NVIDIA GPU"):
        choose_device("gpu")
    assert choose_device("auto") == torch.device("cpu")


def test_the_curve_ends_at_the_last_step_with_the_scores_of_the_summary():
    summary = train.train(tiny_run("data"), "")
    header, *rows = contents("data")["curve.csv"].decode().splitlines()
    assert header == "step,tokens,split,loss,bits_per_dim,accuracy"
    assert [row.split(",")[:3] for row in rows if ",val," in row] == [
        ["2", "72", "val"],
        ["4", "144", "val"],
        ["5", "180", "val"],
    ]
    assert float(rows[-1].split(",")[4]) == summary["val"]["bits_per_dim"]


def test_the_environment_says_where_and_how_fast():
    train.train(tiny_run("data"), "python pipelines/train.py x=1")
    found = json.loads(Path("data/runs/tiny/environment.json").read_text())
    assert found["command"] == "python pipelines/train.py x=1"
    assert found["tokens_per_second"] > 0
    assert found["peak_bytes"] > 1e7
    assert found["torch"] == torch.__version__


def test_a_training_imports_nothing_of_the_report(script, environment):
    """Since a mistake in the report would stop it."""
    environment["PYTHONPROFILEIMPORTTIME"] = "1"  # prints each import of the process
    sizes = ["data.seq_len=16", "data.batch_size=2", "data.eval_sequences=3", "model.n_layers=1", "model.chunk_len=4"]
    places = [f"root={Path('data').absolute()}", f"logger.dir={Path('wandb').absolute()}"]
    done = script("train", "data=duplication", "trainer.max_steps=1", *sizes, *places)
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "reformer.training.train" in imported
    assert not {name for name in imported if name.startswith("reformer.report")}


@pytest.mark.slow
def test_two_devices_train_and_score_like_one(tmp_path):
    """In a process of its own: Lightning starts the second by running the same script again."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from tiny import tiny_run\nfrom reformer.training import train\n"
        "if __name__ == '__main__':\n"
        "    run = tiny_run(sys.argv[1], strategy=sys.argv[3])\n"
        "    run.trainer.devices = int(sys.argv[2])  # does not divide the batch of 3\n"
        "    run.data.batch_size, run.model.dropout, run.model.attention = 4, 0.0, ['full']\n"
        "    train.train(run, '')\n"
    )
    for root, devices, strategy in (("one", "1", "auto"), ("two", "2", "ddp")):
        subprocess.run([sys.executable, script, root, devices, strategy], check=True, timeout=300)
    curves = [Path(root, "runs/tiny/curve.csv").read_text().splitlines()[1:] for root in ("one", "two")]
    assert len(curves[0]) == len(curves[1])
    for one, two in zip(*curves, strict=True):
        assert float(one.split(",")[4]) == pytest.approx(float(two.split(",")[4]), abs=1e-5)
