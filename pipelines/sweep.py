"""A sweep: a row for each of its jobs, no run repeated that has been done, and one table at the end.

A job leaves its row in its own folder under the sweep's, whatever process or machine it runs on; the process that was
started puts them together. The sweep's folder is named by what was typed: the same command again goes on in it.
"""

import json
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

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from mistakes import in_one_line, tell
from omegaconf import DictConfig, OmegaConf
from sweep_table import BEFORE, FAILED, SAME, TRAINED, Row, write_table

from reformer.training.config import RunConfig
from reformer.training.fingerprint import finished

ROW, CLAIMS = "row.json", "claims"
LONGEST = 100
"""Characters of a sweep's name, which W&B groups its runs by."""


class Notice(Callback):
    """Told by Hydra that a sweep begins: clears what an earlier time left, and divides the cores among parallel jobs."""

    begun: ClassVar[list[tuple[Path, list[list[str]]]]] = []
    """This process's sweep: its folder, and the overrides of its jobs, as far as they are known before."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        if config.hydra.job.name != "train":
            return
        folder = Path(config.hydra.sweep.dir)
        for row in folder.glob(f"*/{ROW}"):
            row.unlink()
        shutil.rmtree(folder / CLAIMS, ignore_errors=True)
        jobs = _planned(config)
        self.begun.append((folder, jobs))
        output = " (what they print: its .submitit/)" if "submitit" in config.hydra.launcher._target_ else ""
        n_jobs = len(jobs) or config.hydra.sweeper.n_trials
        print(f"sweep: {n_jobs} job{'s' * (n_jobs > 1)} -> {folder}{output}", flush=True)
        if "joblib" in config.hydra.launcher._target_:
            _divide_cores(config.hydra.launcher.n_jobs, len(jobs) or config.hydra.sweeper.n_jobs)


def register() -> None:
    """Makes `${sweep_name:...}` known to Hydra. Like `now`, it has one value in all jobs."""
    OmegaConf.register_new_resolver("sweep_name", lambda given: named(list(given)), use_cache=True, replace=True)


def named(overrides: list[str]) -> str:
    """A sweep's name: its overrides, as a folder may be called."""
    name = re.sub(r"[^A-Za-z0-9.+-]+", "_", " ".join(overrides).replace("=", "-").replace(",", "+")).strip("_.")
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - 9]}_{sha256(' '.join(overrides).encode()).hexdigest()[:8]}"
    return name or "sweep"


def job(settle: Callable[[], RunConfig], train: Callable[[RunConfig], Mapping[str, Any]]) -> float:
    """Trains a run. In a sweep, trains none that has been done, and no mistake ends the sweep: a row tells of it.

    Args:
        settle: gives the run, every setting checked.
        train: trains it, and gives the content of train.json.

    Returns:
        Held-out bits/dim, which a search makes small; infinite where a job of a sweep has none, or has diverged.
    """
    if HydraConfig.get().mode == RunMode.RUN:
        return float(train(settle())["val"]["bits_per_dim"])
    row, score = Row(list(HydraConfig.get().overrides.task)), float("inf")
    try:
        score = _job(row, settle(), train)
    except Exception as error:
        row.status, row.why = FAILED, in_one_line(error) or shorten(f"{type(error).__name__}: {error}", 200)
        tell(error, f"{' '.join(row.overrides)}: ")
    if os.environ.get("SLURM_PROCID", "0") == "0":
        path = _folder() / str(HydraConfig.get().job.num) / ROW
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(row)), encoding="utf-8")
    return score


def _job(row: Row, run: RunConfig, train: Callable[[RunConfig], Mapping[str, Any]]) -> float:
    row.folder = str(Path(run.root) / "runs" / run.name)
    if summary := finished(run):
        row.status = BEFORE
        print(f"{run.name}: finished before, not repeated (to train it again, remove {row.folder})", flush=True)
    elif (owner := _owner(run.name)) != HydraConfig.get().job.num:
        row.status, row.why = SAME, f"run as job {owner}"
        return float("inf")
    else:
        run.logger.group = run.logger.group or _folder().name
        with _typed_alone():
            summary, row.status = dict(train(run)), TRAINED
    score = float(summary["val"]["bits_per_dim"])
    return score if isfinite(score) else float("inf")


@contextmanager
def _typed_alone() -> Iterator[None]:
    """As if this job had been typed by itself: Lightning starts processes for further devices by what was typed."""
    typed, before = sys.argv, dict(os.environ)
    options = [option for option in typed[1:] if option.startswith("--config")]
    sys.argv = [typed[0], *options, *HydraConfig.get().overrides.task]
    try:
        yield
    finally:
        sys.argv = typed
        for name in {"LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} - set(before):
            os.environ.pop(name, None)
        torch = sys.modules.get("torch")
        if torch and torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def end() -> bool:
    """Prints and writes the table of this process's sweep, if there was one. Returns whether all its jobs have a result."""
    good = True
    for folder, jobs in Notice.begun:
        left = {int(path.parent.name): Row(**json.loads(path.read_text())) for path in folder.glob(f"*/{ROW}")}
        n_jobs = max([len(jobs), *(number + 1 for number in left)])
        rows = [left.get(number) or Row(jobs[number] if number < len(jobs) else []) for number in range(n_jobs)]
        good = good and bool(left) and all(row.good for row in rows)
        if left:  # else the sweep itself was refused, which has been told
            print(f"\n{write_table(folder, rows)}", flush=True)
    return good


def wait_for_slurm() -> None:
    """When Slurm has killed a job, its launcher gives up: the others are at work still, and leave their rows."""
    submitit = sys.modules.get("submitit.slurm.slurm")
    if submitit:
        watcher = submitit.SlurmJob.watcher
        jobs = list(watcher._registered)  # and the array of them, of which nothing is known
        while any(watcher.get_state(job) != "UNKNOWN" and not watcher.is_done(job) for job in jobs):
            time.sleep(2)


def _planned(config: DictConfig) -> list[list[str]]:
    """The overrides of each job; none for a search, which finds them as it goes."""
    sweeper = config.hydra.sweeper
    if not sweeper._target_.endswith(BasicSweeper.__name__):
        return []
    given = [f"{key}={value}" for key, value in (sweeper.params or {}).items()] + list(config.hydra.overrides.task)
    (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(given), None)
    return jobs


def _divide_cores(most_at_once: int, n_jobs: int) -> None:
    """Gives each of the jobs that run at once its share of the cores: more threads than cores slow each other tenfold."""
    import joblib

    cores = joblib.cpu_count()
    at_once = min(n_jobs, cores if most_at_once < 0 else most_at_once)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // at_once)))
    os.environ["TTY_COMPATIBLE"] = "0"  # progress by lines: bars of several processes would overwrite each other


def _folder() -> Path:
    return Path(HydraConfig.get().sweep.dir)


def _owner(name: str) -> int:
    """The job of this sweep that trains the run: the first that asks. (A link is made, content and all, at once.)"""
    claim = _folder() / CLAIMS / name
    claim.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        claim.symlink_to(str(HydraConfig.get().job.num))
    return int(str(claim.readlink()))
