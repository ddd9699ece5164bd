"""A sweep outlives its failing jobs, repeats no finished run, and ends in one table."""

import csv
import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf
from project import PROJECT, Script

from cli.schema import compose_usual, run_config
from cli.sweep import LONGEST, run_job, sweep_name
from cli.sweep_table import Row, write_table
from reformer.runs.config import RunConfig
from reformer.runs.divergence import Diverged

TINY = (
    *("data=duplication", "data.seq_len=16", "data.batch_size=2", "data.eval_sequences=3"),
    *("model.n_layers=1", "model.d_model=12", "model.d_ff=20", "model.n_heads=2", "model.d_head=6"),
    *("model.chunk_len=4", "trainer.max_steps=3", "trainer.val_every=2", "hydra.sweep.dir=multirun/here"),
)
Sweep = Callable[..., CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("conf", "pipelines", "src"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def sweep(folder: Path, script: Script) -> Sweep:
    """Runs a sweep of small runs."""
    return lambda *arguments: script("train", "--multirun", *TINY, *arguments, project=folder)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "multirun" / "here" / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# A whole sweep


@pytest.mark.slow
def test_a_sweep_outlives_a_failing_job_and_repeats_none(
    folder: Path, sweep: Sweep, environment: dict[str, str]
) -> None:
    environment["WANDB_MODE"] = "offline"
    done = sweep("model.n_hashes=2,0,2,3")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    why = "model.n_hashes must be >= 1, got 0"
    assert [line.endswith(why) for line in done.stderr.splitlines()] == [True]
    assert [row["status"] for row in table(folder)] == ["trained", f"failed: {why}", "finished before", "trained"]
    assert [row["model.n_hashes"] for row in table(folder)] == ["2", "0", "2", "3"]
    name = table(folder)[0]["run"]
    assert name.startswith("duplication_lsh-2_reversible_")
    assert f"{name}: finished before, not repeated (to train it again, remove data/runs/{name})" in done.stdout
    assert "sweep: 2 trained, 1 failed, 1 finished before; best: " in done.stdout
    assert (folder / "multirun" / "here" / "table.md").read_text() in done.stdout
    val = json.loads((folder / "data" / "runs" / name / "train.json").read_text())["val"]
    assert table(folder)[0]["val bits/dim"] == f"{val['bits_per_dim']:.4f}"
    logged = [bytes_of(run) for run in (folder / "wandb").glob("offline-run-*")]
    assert [b"\x04here" in run for run in logged] == [True, True]  # the group, by its length


@pytest.mark.skipif(not find_spec("joblib"), reason="needs the extra joblib")
def test_jobs_at_once_share_the_cores_and_a_run_that_two_name_is_trained_once(folder: Path, sweep: Sweep) -> None:
    done = sweep("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "model.attention=[full]", "model.n_hashes=2,3")
    assert done.returncode == 0, done.stderr
    assert sorted(row["status"].split(":")[0] for row in table(folder)) in (
        ["finished before", "trained"],
        ["same", "trained"],
    )
    (where,) = (folder / "data" / "runs").glob("*/environment.json")
    assert json.loads(where.read_text())["threads"] == max(1, import_module("joblib").cpu_count() // 2)


@pytest.mark.skipif(not find_spec("optuna"), reason="needs the extra optuna")
def test_a_search_begun_again_goes_on_where_it_stopped(folder: Path, sweep: Sweep) -> None:
    search = ("hydra/sweeper=search", "optimizer.lr=tag(log,interval(0.0001,0.1))")
    assert sweep(*search, "hydra.sweeper.n_trials=2").returncode == 0
    first = table(folder)
    assert sweep(*search, "hydra.sweeper.n_trials=3").returncode == 0
    assert [row["status"] for row in table(folder)] == ["finished before", "finished before", "trained"]
    assert [row["run"] for row in table(folder)[:2]] == [row["run"] for row in first]


@pytest.mark.slow
def test_each_job_over_two_devices_gets_processes_of_its_own(folder: Path, sweep: Sweep) -> None:
    two = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu", "data.eval_sequences=4")
    assert sweep(*two, "model.n_hashes=1,2").returncode == 0
    assert [row["status"] for row in table(folder)] == ["trained", "trained"]


@pytest.mark.parametrize(
    ("choice", "plugin", "extra"),
    [
        ("hydra/launcher=joblib", "joblib", "joblib"),
        ("hydra/launcher=slurm", "submitit", "slurm"),
        ("hydra/sweeper=search", "optuna", "optuna"),
    ],
)
def test_a_missing_plugin_is_told_with_the_command_that_brings_it(
    sweep: Sweep, choice: str, plugin: str, extra: str
) -> None:
    if find_spec(plugin):
        pytest.skip("is there")
    done = sweep(choice, "seed=1,2")
    assert done.returncode == 1
    assert done.stderr.endswith(f"needs an extra: pip install -e '.[{extra}]'\n")
    assert done.stdout == ""


# Its parts


def test_the_table_shows_what_differs_and_tells_of_jobs_that_left_nothing(tmp_path: Path) -> None:
    run = tmp_path / "data" / "runs" / "a_run"
    run.mkdir(parents=True)
    (run / "train.json").write_text(json.dumps({"val": {"bits_per_dim": 1.23456, "accuracy": 0.5}}))
    (run / "environment.json").write_text(json.dumps({"seconds": 7.25}))
    rows = [
        Row(["data=photos", "seed=1", "model.attention=[lsh,full]"], str(run), "trained"),
        Row(["data=photos", "seed=2", "model.attention=[full]"], str(run), "failed", "a | in it"),
        Row(["data=photos", "seed=2", "model.attention=[lsh]"]),
    ]
    shown = write_table(tmp_path / "sweep", rows)
    with (tmp_path / "sweep" / "table.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    assert lines == [
        ["seed", "model.attention", "val bits/dim", "val accuracy", "seconds", "status", "run"],
        ["1", "[lsh,full]", "1.2346", "0.5000", "7.2", "trained", "a_run"],
        ["2", "[full]", "", "", "", "failed: a | in it", "a_run"],
        ["2", "[lsh]", "", "", "", "not finished", ""],
    ]
    assert "failed: a \\| in it" in shown
    assert "sweep: 1 trained, 1 failed, 1 not finished ->" in shown


def test_a_run_that_diverged_is_shown_as_such_and_never_the_best(tmp_path: Path) -> None:
    rows = []
    for lr, bits in ((1, float("nan")), (2, 3.5), (3, 2.5), (4, float("inf"))):
        run = tmp_path / "data" / "runs" / f"lr-{lr}"
        run.mkdir(parents=True)
        (run / "train.json").write_text(json.dumps({"val": {"bits_per_dim": bits, "accuracy": 0.25}}))
        (run / "environment.json").write_text(json.dumps({"seconds": 1.0}))
        rows.append(Row([f"optimizer.lr={lr}"], str(run), "trained"))
    shown = write_table(tmp_path / "sweep", rows)
    with (tmp_path / "sweep" / "table.csv").open(newline="") as file:
        statuses = [row["status"] for row in csv.DictReader(file)]
    assert statuses == ["diverged", "trained", "trained", "diverged"]
    assert "sweep: 2 diverged, 2 trained; best: 2.5000 bits/dim by optimizer.lr=3 ->" in shown
    assert "sweep: 2 diverged ->" in write_table(tmp_path / "sweep", [rows[0], rows[3]])


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """A run, as job 7 of a sweep."""
    run = run_config(compose_usual(["data=duplication", f"root={tmp_path}"]))
    monkeypatch.setattr("cli.sweep._owner", lambda name: 7)
    monkeypatch.setattr("cli.sweep._as_single_command", nullcontext)
    hydra = OmegaConf.create(
        {"mode": RunMode.MULTIRUN, "overrides": {"task": []}, "job": {"num": 7}, "sweep": {"dir": str(tmp_path)}}
    )
    monkeypatch.setattr("cli.sweep.HydraConfig.get", lambda: hydra)
    return run


@pytest.mark.parametrize("before", [False, True])
def test_a_search_is_told_that_a_run_that_diverged_is_infinitely_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: RunConfig, before: bool
) -> None:
    diverged = {"val": {"bits_per_dim": float("nan")}}
    monkeypatch.setattr("cli.sweep.finished", lambda run: diverged if before else None)
    assert run_job(lambda: job, lambda run: diverged) == float("inf")
    assert json.loads((tmp_path / "7" / "row.json").read_text())["status"].startswith("finished" if before else "train")


def test_a_training_that_ends_since_it_diverges_has_its_own_status(
    tmp_path: Path, job: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(run: RunConfig) -> dict[str, object]:
        raise Diverged("a_run: the loss of step 3 is not finite")

    assert run_job(lambda: job, train) == float("inf")
    row = Row(**json.loads((tmp_path / "7" / "row.json").read_text()))
    assert (row.outcome, row.why, row.good) == ("diverged", "a_run: the loss of step 3 is not finite", False)
    assert capsys.readouterr().err == "error: : a_run: the loss of step 3 is not finite\n"
    assert "sweep: 1 diverged ->" in write_table(tmp_path / "sweep", [row])


@pytest.mark.parametrize("content", [{}, {"val": {}}, {"val": {"bits_per_dim": 1.5}}])
def test_a_result_of_other_code_has_no_scores(tmp_path: Path, content: dict[str, object]) -> None:
    run = tmp_path / "data" / "runs" / "a_run"
    run.mkdir(parents=True)
    (run / "train.json").write_text(json.dumps(content))
    assert Row([], str(run), "trained").scores() is None


def test_the_same_command_names_the_same_sweep() -> None:
    given = ["experiment=hash_rounds", "model.n_hashes=1,2,4,8"]
    assert sweep_name(given) == "experiment-hash_rounds_model.n_hashes-1+2+4+8"
    long = [f"model.attention=[{'lsh,' * 30}full]"]
    assert len(sweep_name(long)) == LONGEST
    assert sweep_name(long) != sweep_name([*long, "seed=2"])
