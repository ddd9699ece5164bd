"""Sweeps (`--multirun`): skips the runs that are finished, reports each job in one row, and ends with a table.

Each job writes its row into its own folder below the sweep's folder, on whatever process or machine it runs. The process that
the user started collects the rows. The overrides name the sweep's folder, so that a repeated command continues there.
"""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from hashlib import sha256
from math import isfinite
from pathlib import Path
from textwrap import shorten
from typing import Any, ClassVar

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cli import private
from cli.mistakes import in_one_line, tell
from cli.sweep_table import BEFORE, DIVERGED, FAILED, SAME, TRAINED, Row, write_table
from reformer.files import DataError, read_json, write_json
from reformer.runs.config import RunConfig
from reformer.runs.divergence import Diverged
from reformer.runs.fingerprint import finished
from reformer.settings import without_secrets

ROW, OWNERS = "row.json", "owners"
"""Names below the sweep's folder: a job's row, and the folder that records which job trains which run."""
LONGEST = 100
"""Characters of a sweep's name. W&B groups the runs of a sweep by it."""


class SweepCallback(Callback):
    """Prepares a sweep when Hydra begins it: removes the rows of an earlier attempt, divides the cores among parallel jobs."""

    begun: ClassVar[list[tuple[Path, list[list[str]]]]] = []
    """The folder of this process's sweep, and the overrides of its jobs; a search does not know them in advance."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        if config.hydra.job.name != "train":
            return
        folder = Path(config.hydra.sweep.dir)
        for row in folder.glob(f"*/{ROW}"):
            row.unlink()
        shutil.rmtree(folder / OWNERS, ignore_errors=True)
        jobs = private.jobs_of_sweep(config.hydra)
        self.begun.append((folder, jobs))
        output = " (output of the jobs: its .submitit/)" if "submitit" in private.launcher(config.hydra) else ""
        n_jobs = len(jobs) or config.hydra.sweeper.n_trials
        print(f"sweep: {n_jobs} job{'s' * (n_jobs > 1)} -> {folder}{output}", flush=True)
        if "joblib" in private.launcher(config.hydra):
            _divide_cores(config.hydra.launcher.n_jobs, len(jobs) or config.hydra.sweeper.n_jobs)


def register() -> None:
    """Makes `${sweep_name:...}` known to Hydra. The cache gives it one value in all jobs, as for `now`."""
    OmegaConf.register_new_resolver("sweep_name", lambda given: sweep_name(list(given)), use_cache=True, replace=True)


def sweep_name(overrides: list[str]) -> str:
    """Turns the overrides of a sweep into the name of a folder."""
    name = re.sub(r"[^A-Za-z0-9.+-]+", "_", " ".join(overrides).replace("=", "-").replace(",", "+")).strip("_.")
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - 9]}_{sha256(' '.join(overrides).encode()).hexdigest()[:8]}"
    return name or "sweep"


def run_job(configure: Callable[[], RunConfig], train: Callable[[RunConfig], Mapping[str, Any]]) -> float:
    """Trains a run. A job of a sweep skips a finished run, and records an error in its row instead of raising it.

    Args:
        configure: returns the run, with every setting checked.
        train: trains the run and returns the content of train.json.

    Returns:
        Validation bits/dim, which a search minimises; infinity if a job has no score or has diverged.
    """
    if HydraConfig.get().mode == RunMode.RUN:
        return float(train(configure())["val"]["bits_per_dim"])
    row, score = Row([without_secrets(item) for item in HydraConfig.get().overrides.task]), float("inf")
    try:
        score = _train_once(row, configure(), train)
    except Diverged as error:
        row.status, row.why = DIVERGED, str(error)
        tell(error, f"{' '.join(row.overrides)}: ")
    except Exception as error:
        row.status, row.why = FAILED, in_one_line(error) or shorten(f"{type(error).__name__}: {error}", 200)
        tell(error, f"{' '.join(row.overrides)}: ")
    if os.environ.get("SLURM_PROCID", "0") == "0":
        path = _folder() / str(HydraConfig.get().job.num) / ROW
        write_json(path, asdict(row))
    return score


def _train_once(row: Row, run: RunConfig, train: Callable[[RunConfig], Mapping[str, Any]]) -> float:
    row.folder = str(run.files.folder)
    if summary := finished(run):
        row.status = BEFORE
        print(f"{run.name}: finished before, not repeated (to train it again, remove {row.folder})", flush=True)
    elif (owner := _owner(run.name)) != HydraConfig.get().job.num:
        row.status, row.why = SAME, f"run as job {owner}"
        return float("inf")
    else:
        run.logger.group = run.logger.group or _folder().name
        with _as_single_command():
            summary, row.status = dict(train(run)), TRAINED
    score = float(summary["val"]["bits_per_dim"])
    return score if isfinite(score) else float("inf")


@contextmanager
def _as_single_command() -> Iterator[None]:
    """Replaces the command line by that of this job alone: Lightning repeats it to start processes for further devices."""
    command, before = sys.argv, dict(os.environ)
    options = [option for option in command[1:] if option.startswith("--config")]
    sys.argv = [command[0], *options, *HydraConfig.get().overrides.task]
    try:
        yield
    finally:
        sys.argv = command
        for name in {"LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} - set(before):
            os.environ.pop(name, None)
        torch = sys.modules.get("torch")
        if torch and torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def end() -> bool:
    """Prints and writes the table of this process's sweep, if there was one. Returns whether all its jobs have a result."""
    good = True
    for folder, jobs in SweepCallback.begun:
        found: dict[int, Row] = {}
        for path in folder.glob(f"*/{ROW}"):
            with suppress(DataError, TypeError):  # a damaged row: its job counts as not finished
                found[int(path.parent.name)] = Row(**read_json(path))
        n_jobs = max([len(jobs), *(number + 1 for number in found)])
        rows = [found.get(number) or Row(jobs[number] if number < len(jobs) else []) for number in range(n_jobs)]
        good = good and bool(found) and all(row.good for row in rows)
        if found:  # without rows the sweep itself was refused, and the error is on the screen
            print(f"\n{write_table(folder, rows)}", flush=True)
    return good


def wait_for_slurm() -> None:
    """Waits for the other jobs of a sweep: when Slurm kills one job, the launcher gives up while the others still run."""
    while private.unfinished_slurm_jobs():
        time.sleep(2)


def _divide_cores(most_at_once: int, n_jobs: int) -> None:
    """Divides the cores among the jobs that run at once: with more threads than cores each job takes ten times as long."""
    import joblib

    cores = joblib.cpu_count()
    at_once = min(n_jobs, cores if most_at_once < 0 else most_at_once)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // at_once)))
    os.environ["TTY_COMPATIBLE"] = "0"  # the progress bars of several processes would overwrite each other: print lines


def _folder() -> Path:
    return Path(HydraConfig.get().sweep.dir)


def _owner(name: str) -> int:
    """Returns the number of the job that trains this run: the first that asks. A symbolic link is created in one operation."""
    owner = _folder() / OWNERS / name
    owner.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        owner.symlink_to(str(HydraConfig.get().job.num))
    return int(str(owner.readlink()))
