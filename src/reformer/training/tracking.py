"""Logging to Weights & Biases, which never costs a run: without a key or a network it is offline."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wandb

from reformer.model.attention_name import attention_name
from reformer.training.config import LoggerConfig, RunConfig
from reformer.training.fingerprint import ORIGIN, WITHOUT_EFFECT

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger

PATIENCE = 20
"""Seconds that a network may keep a run waiting, at its start and at its end."""
STEP = "trainer/global_step"
"""What the scores of a training are drawn against: Lightning's name of the updates made before."""
BYTES_PER_SECOND = 1_000_000
"""The slowest network that files are waited for."""


@contextmanager
def tracked(run: RunConfig, upload: int = 0) -> Iterator["WandbLogger | None"]:
    """Logs the block, which trains, as `logged` does, for Lightning; None on all devices but the first."""
    from pytorch_lightning.loggers import WandbLogger
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    class Logger(WandbLogger):
        def log_metrics(self, *arguments: Any, **options: Any) -> None:
            with forgiven():
                super().log_metrics(*arguments, **options)

    if getattr(rank_zero_only, "rank", 0):
        yield None
        return
    with logged(run.logger, run.name, run.data.name, "train", settings_of(run), tags_of(run), upload) as log:
        with forgiven():
            log.define_metric(STEP)
            for metrics in ("train/*", "val/*"):
                log.define_metric(metrics, step_metric=STEP)
        yield Logger(experiment=log)


@contextmanager
def logged(
    config: LoggerConfig,
    name: str,
    group: str,
    job_type: str,
    settings: dict[str, Any],
    tags: Sequence[str] = (),
    upload: int = 0,
) -> Iterator[wandb.Run]:
    """Logs the block to a W&B run, which ends with it.

    Args:
        config: where and how to log.
        name: what the run is called.
        group: what it is grouped by unless the config says so.
        job_type: train, evaluate, generate or benchmark.
        settings: its configuration.
        tags: what it can be found by, beside the config's tags.
        upload: bytes of the files that it will log.
    """
    folder = Path(config.dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("WANDB_DATA_DIR", str(folder))  # copies of logged files: not into the user's home
    begin = partial(
        wandb.init,
        project=config.project,
        entity=config.entity or None,
        name=name,
        id=f"{re.sub('[^A-Za-z0-9_.-]', '-', name)[:100]}-{secrets.token_hex(3)}",  # `wandb leet` lists runs by it
        group=config.group or group,
        job_type=job_type,
        tags=list(dict.fromkeys(tag for tag in (*tags, *config.tags) if tag)),
        config=_variant(name, settings) | settings,
        dir=folder.parent if folder.name == "wandb" else folder,  # W&B makes a folder of that name in it
        settings=wandb.Settings(
            silent=True,
            init_timeout=PATIENCE,
            finish_timeout=PATIENCE + upload / BYTES_PER_SECOND,
            finish_timeout_raises=True,
        ),
    )
    try:
        run = begin(mode=_mode(config))
    except Exception as error:
        print(f"wandb: {_in_one_line(error)}: this run is logged offline")
        wandb.teardown()
        run = begin(mode="offline")
    if run.offline:
        print(f"wandb: offline -> {_place(run)} (give it to `wandb leet run` to look, to `wandb sync` to upload)")
    status = 1
    try:
        yield run
        status = 0
    finally:
        with forgiven():
            run.finish(status)


@contextmanager
def forgiven() -> Iterator[None]:
    """What fails of W&B in the block costs a record, not the run: its service may die, its errors have no common name."""
    try:
        yield
    except TimeoutError:
        print("wandb: the network did not take it all; upload it with `wandb sync`")
    except Exception as error:
        print(f"wandb: {_in_one_line(error)}: not logged")


def settings_of(run: RunConfig) -> dict[str, Any]:
    """All settings, and the attention in a word; but not where data was fetched from: an address may hold a password."""
    settings = asdict(run)
    settings["data"] = {key: value for key, value in settings["data"].items() if key not in ORIGIN}
    return {"attention": attention_name(run.model.attention, run.model.n_hashes), **settings}


def tags_of(run: RunConfig) -> list[str]:
    """What a run can be found by: its data set, attention and residuals, and separate queries and keys."""
    return [
        run.data.name,
        attention_name(run.model.attention, run.model.n_hashes),
        "reversible" if run.model.reversible else "ordinary",
        *([] if run.model.shared_qk else ["separate-qk"]),
    ]


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> wandb.Table:
    """A table to log, which a dashboard joins with those of the same name of other runs."""
    return wandb.Table(list(columns), [list(row) for row in rows])


def _variant(name: str, settings: dict[str, Any]) -> dict[str, str]:
    """What runs that differ in their seed only share: a name, and a hash that tells apart what other profiles call so too."""
    kept = {key: value for key, value in settings.items() if key not in (*WITHOUT_EFFECT, "seed")}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()
    return {"variant": name.rpartition("_seed-")[0] or name, "settings": digest[:8]}


def _in_one_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _place(run: wandb.Run) -> Path:
    """The run's folder, as it is typed."""
    files = Path(run.dir).parent
    return files.relative_to(Path.cwd()) if files.is_relative_to(Path.cwd()) else files


def _mode(config: LoggerConfig) -> Any:
    """The environment's WANDB_MODE, then the config's, then online where a key is at hand."""
    mode = os.environ.get("WANDB_MODE") or config.mode
    if mode != "auto":
        return mode
    return "online" if wandb.login(prompt=False, verify=False) else "offline"
