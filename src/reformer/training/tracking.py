"""Logging to Weights & Biases, which never costs a run: without a key or a network it is offline."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when wandb is imported

import wandb
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from reformer.training.config import LoggerConfig

# Seconds that a network may keep a run waiting, at its start and at its end.
PATIENCE = 20


@contextmanager
def tracked(
    config: LoggerConfig, name: str, group: str, job_type: str, settings: dict[str, Any]
) -> Iterator[WandbLogger | None]:
    """Logs the block to a W&B run, which ends with it; None on all devices but the first.

    Args:
        config: where and how to log.
        name: what the run is called.
        group: what it is grouped by unless the config says so.
        job_type: train or benchmark.
        settings: its configuration.
    """
    if getattr(rank_zero_only, "rank", 0):
        yield None
        return
    folder = Path(config.dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    begin = partial(
        wandb.init,
        project=config.project,
        entity=config.entity or None,
        name=name,
        group=config.group or group,
        job_type=job_type,
        config=settings,
        dir=folder.parent if folder.name == "wandb" else folder,  # W&B makes a folder of that name in it
        settings=wandb.Settings(
            silent=True, init_timeout=PATIENCE, finish_timeout=PATIENCE, finish_timeout_raises=False
        ),
    )
    try:
        run = begin(mode=_mode(config))
    except (wandb.errors.CommError, wandb.errors.AuthenticationError, wandb.errors.UsageError) as error:
        print(f"wandb: {str(error).splitlines()[0]}: this run is logged offline")
        wandb.teardown()
        run = begin(mode="offline")
    if run.offline:
        files = Path(run.dir).parent
        shown = files.relative_to(Path.cwd()) if files.is_relative_to(Path.cwd()) else files
        print(f"wandb: offline; look with `wandb leet run {shown}`, upload with `wandb sync {shown}`")
    try:
        yield WandbLogger(experiment=run)
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()


def _mode(config: LoggerConfig) -> Any:
    """The environment's WANDB_MODE, then the config's, then online where a key is at hand."""
    mode = os.environ.get("WANDB_MODE") or config.mode
    if mode != "auto":
        return mode
    return "online" if wandb.login(prompt=False, verify=False) else "offline"
