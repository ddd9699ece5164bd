"""W&B runs. An error of W&B never stops the work that is logged: without a key or a network, a run is logged offline."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import wandb

from reformer.model.attention_kinds import attention_name
from reformer.runs.config import LoggerConfig, RunConfig
from reformer.settings import TRAINED, Role, values_with
from reformer.tracking.metrics import SETTINGS_HASH, STEP, TRAINING_METRICS, VARIANT

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger

TIMEOUT = 20
"""Seconds that the start, and the end, of a run wait for the network."""
BYTES_PER_SECOND = 1_000_000
"""Slowest upload that the end of a run waits for."""


@contextmanager
def lightning_logger(run: RunConfig, upload: int = 0) -> Iterator["WandbLogger | None"]:
    """Opens the W&B run of a training as a Lightning logger. Yields None on all devices but the first."""
    from pytorch_lightning.loggers import WandbLogger
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    class Logger(WandbLogger):
        def log_metrics(self, *arguments: Any, **options: Any) -> None:
            with wandb_errors_ignored():
                super().log_metrics(*arguments, **options)

    if getattr(rank_zero_only, "rank", 0):
        yield None
        return
    with open_run(run.logger, run.name, run.data.name, "train", settings_of(run), tags_of(run), upload) as opened:
        with wandb_errors_ignored():
            opened.define_metric(STEP)
            for metrics in TRAINING_METRICS:
                opened.define_metric(metrics, step_metric=STEP)
        yield Logger(experiment=opened)


@contextmanager
def open_run(
    config: LoggerConfig,
    name: str,
    group: str,
    job_type: str,
    settings: dict[str, Any],
    tags: Sequence[str] = (),
    upload: int = 0,
) -> Iterator[wandb.Run]:
    """Opens a W&B run, and finishes it at the end of the block.

    Args:
        config: project, mode and folder.
        name: display name.
        group: group of the run unless the config has one.
        job_type: train, evaluate, generate or benchmark.
        settings: config of the run.
        tags: tags in addition to those of the config.
        upload: bytes of the files that will be logged. The end of the run waits longer for them.
    """
    folder = Path(config.dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("WANDB_DATA_DIR", str(folder))  # W&B would copy logged files into the home folder
    begin = partial(
        wandb.init,
        project=config.project,
        entity=config.entity or None,
        name=name,
        id=f"{re.sub('[^A-Za-z0-9_.-]', '-', name)[:100]}-{secrets.token_hex(3)}",  # `wandb leet` lists runs by id
        group=config.group or group,
        job_type=job_type,
        tags=list(dict.fromkeys(tag for tag in (*tags, *config.tags) if tag)),
        config=settings,
        dir=folder.parent if folder.name == "wandb" else folder,  # W&B creates a folder "wandb" in it
        settings=wandb.Settings(
            silent=True,
            init_timeout=TIMEOUT,
            finish_timeout=TIMEOUT + upload / BYTES_PER_SECOND,
            finish_timeout_raises=True,
        ),
    )
    try:
        run = begin(mode=_mode(config))
    except Exception as error:
        print(f"wandb: {_first_line(error)}: this run is logged offline")
        wandb.teardown()
        run = begin(mode="offline")
    if run.offline:
        print(f"wandb: offline -> {_relative_folder(run)} (show it with `wandb leet run`, upload it with `wandb sync`)")
    status = 1
    try:
        yield run
        status = 0
    finally:
        with wandb_errors_ignored():
            run.finish(status)


@contextmanager
def wandb_errors_ignored() -> Iterator[None]:
    """Prints errors instead of raising them. W&B's service may die, and its errors have no common base class."""
    try:
        yield
    except TimeoutError:
        print("wandb: the upload is not complete: finish it with `wandb sync`")
    except Exception as error:
        print(f"wandb: {_first_line(error)}: not logged")


def settings_of(run: RunConfig) -> dict[str, Any]:
    """Collects a run's settings with its attention and variant. Leaves out addresses of the data: they may hold a password."""
    settings = values_with(run, *(set(Role) - {Role.ORIGIN, Role.PUBLISHED}))
    trained = {key: value for key, value in values_with(run, *TRAINED).items() if key != "seed"}
    attention = attention_name(run.model.attention, run.model.n_hashes)
    return {"attention": attention, **variant(run.name.rpartition("_seed-")[0] or run.name, trained), **settings}


def tags_of(run: RunConfig) -> list[str]:
    """Lists a run's tags: data set, attention, residuals, and separate queries and keys."""
    return [
        run.data.name,
        attention_name(run.model.attention, run.model.n_hashes),
        "reversible" if run.model.reversible else "ordinary",
        *([] if run.model.shared_qk else ["separate-qk"]),
    ]


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> wandb.Table:
    """Builds a table. A dashboard joins tables of the same name from several runs."""
    return wandb.Table(list(columns), [list(row) for row in rows])


def picture(pixels: np.ndarray, caption: str) -> wandb.Image:
    """Builds an image from pixels, (height, width, 3) uint8."""
    return wandb.Image(pixels, caption=caption)


def variant(name: str, settings: dict[str, Any]) -> dict[str, str]:
    """Returns the two values by which a dashboard groups repetitions. Profiles share names, hence the hash."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
    return {VARIANT: name, SETTINGS_HASH: digest[:8]}


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _relative_folder(run: wandb.Run) -> Path:
    """The run's folder, relative to the working directory where possible."""
    files = Path(run.dir).parent
    return files.relative_to(Path.cwd()) if files.is_relative_to(Path.cwd()) else files


def _mode(config: LoggerConfig) -> Any:
    """Returns WANDB_MODE of the environment, or else the config's mode; auto means online if a key is configured."""
    mode = os.environ.get("WANDB_MODE") or config.mode
    if mode != "auto":
        return mode
    return "online" if wandb.login(prompt=False, verify=False) else "offline"
