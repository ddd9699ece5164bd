"""W&B runs. An error of W&B never stops the work that is logged: without a key or a network, a run is logged offline."""

import hashlib
import json
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import wandb

from reformer.files import DataError, read_json, write_json
from reformer.model.attention_kinds import attention_name
from reformer.runs.config import LoggerConfig, RunConfig
from reformer.settings import TRAINED, Role, values_with, without_secrets
from reformer.tracking.journal import Journal
from reformer.tracking.metrics import SETTINGS_HASH, STEP, TRAINING_METRICS, VARIANT
from reformer.tracking.variables import (
    display_name,
    drop_unusable_variables,
    drop_variables,
    replaced_by_variables,
)

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger

TIMEOUT = 7
"""Seconds that the start, and the end, of a run wait for the network."""
BYTES_PER_SECOND = 1_000_000
"""Slowest upload that the end of a run waits for."""
UNANSWERED = "unanswered.json"
"""File in W&B's folder: the server that did not answer, and when."""
PAUSE = 600
"""Seconds for which such a server is not asked again, by any process that logs to the folder."""
LONGEST_TAG, LONGEST_PROJECT = 64, 128
NEEDED_ROOM = 1_000_000
"""Bytes that must be free on the disk of W&B's folder."""


class NoRun:
    """Stands in for a W&B run where none can be opened. It takes all calls, and does nothing."""

    disabled = offline = True

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@contextmanager
def lightning_logger(run: RunConfig, upload: int = 0, beside: Path | None = None) -> Iterator["WandbLogger | None"]:
    """Opens the W&B run of a training as a Lightning logger.

    Args:
        run: all settings.
        upload: bytes of the files that will be logged.
        beside: folder of the run's checkpoints. A resumed training finds the W&B run of its first part there, and goes on
            with it.

    Yields:
        The logger; None on all devices but the first, and without a W&B run.
    """
    from pytorch_lightning.utilities.rank_zero import rank_zero_only

    if getattr(rank_zero_only, "rank", 0):
        yield None
        return
    journal = Journal(beside)
    opening = open_run(
        run.logger, run.name, run.data.name, "train", settings_of(run), tags_of(run), upload, resumed=journal.id
    )
    with opening as opened:
        if opened.disabled:
            yield None
            return
        with wandb_errors_ignored():
            _continue(journal, opened)
            opened.define_metric(STEP)
            for metrics in TRAINING_METRICS:
                opened.define_metric(metrics, step_metric=STEP)
        yield _logger(opened, journal)


def _logger(opened: wandb.Run, journal: Journal) -> "WandbLogger":
    """Returns a Lightning logger that stops logging, with a message, at the first error of W&B."""
    from pytorch_lightning.loggers import WandbLogger

    class Logger(WandbLogger):
        works = True

        def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
            if not self.works:
                return
            self.works = False
            with wandb_errors_ignored():
                at = step or 0
                for earlier, entry in journal.missing_before(at, metrics):
                    super().log_metrics(entry, earlier)
                if at >= journal.arrived:
                    super().log_metrics(metrics, step)
                journal.note(at, metrics)
                self.works = True

    return Logger(experiment=opened)


def _continue(journal: Journal, opened: wandb.Run) -> None:
    """Begins a journal, or goes on with that of an interrupted training."""
    before = Path(journal.folder)
    if journal.id and opened.resumed:
        journal.arrived = int(opened.summary.get(STEP, -1))
    elif journal.id and before.is_dir() and before.name.startswith("offline-run-"):
        # The new run has everything that the old one has. W&B would upload both into one, with two beginnings.
        before.rename(before.with_name(before.name.replace("offline-run-", "superseded-", 1)))
    journal.begin(opened.id, str(Path(opened.dir).parent))


@contextmanager
def open_run(
    config: LoggerConfig,
    name: str,
    group: str,
    job_type: str,
    settings: dict[str, Any],
    tags: Sequence[str] = (),
    upload: int = 0,
    resumed: str = "",
) -> Iterator[wandb.Run]:
    """Opens a W&B run, and finishes it at the end of the block. Whatever fails in W&B costs a message, not the block.

    Args:
        config: project, mode and folder. W&B's variables in the environment replace them.
        name: display name.
        group: group of the run unless the config or the environment has one.
        job_type: train, evaluate, generate or benchmark.
        settings: config of the run.
        tags: tags in addition to those of the config.
        upload: bytes of the files that will be logged. The end of the run waits longer for them.
        resumed: id of the run of an interrupted training, which this one continues.

    Yields:
        The run, or a `NoRun`.
    """
    unusable = drop_unusable_variables()
    config = replaced_by_variables(config)
    folder = Path(config.dir)
    begin = partial(
        wandb.init,
        project=_allowed_project(config.project),
        entity=config.entity or None,
        name=display_name(name),
        id=resumed or f"{re.sub('[^A-Za-z0-9_.-]', '-', name)[:80]}-{secrets.token_hex(3)}",  # `wandb leet` lists by id
        group=config.group or group,
        job_type=job_type,
        tags=_allowed_tags([*tags, *config.tags]),
        config=settings,
        dir=folder.parent if folder.name == "wandb" else folder,  # W&B creates a folder "wandb" in it
    )
    with _quiet():
        run = _started(begin, config, unusable, upload, bool(resumed))
        if run.offline and not run.disabled:
            print(
                f"wandb: offline -> {_relative_folder(run)} (show it with `wandb leet run`, upload it with `wandb sync`)"
            )
        status = 1
        try:
            yield run
            status = 0
        finally:
            _finish(run, status, folder)


def _started(
    begin: Callable[..., wandb.Run], config: LoggerConfig, unusable: Sequence[str], upload: int, resumes: bool
) -> wandb.Run:
    """Starts a run: in the mode of the settings, or else offline, or else not at all."""
    none, folder = cast(wandb.Run, NoRun()), Path(config.dir)
    if config.mode == "disabled":
        return none
    if unusable:
        print(f"wandb: unusable values of {', '.join(unusable)}: this run is logged offline (correct or unset them)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if disk_usage(folder).free < NEEDED_ROOM:
            raise OSError(f"the disk that holds {folder} is full")
        _set_defaults(folder)
        mode = "offline" if unusable else _mode(config, folder)
        with _masked_command_line():
            resume = "allow" if resumes and mode != "offline" else None
            return begin(mode=mode, resume=resume, settings=_settings(upload))
    except Exception as error:
        first = without_secrets(_first_line(error))
        if "imed out" in first:
            _note_unanswered(folder)
    _end_service()
    drop_variables()
    _set_defaults(folder)
    try:
        if disk_usage(folder).free < NEEDED_ROOM:
            raise OSError
        with _masked_command_line():
            run = begin(mode="offline", settings=_settings(upload))
    except Exception:
        print(f"wandb: {first}: this run is not logged")
        _end_service()
        return none
    print(f"wandb: {first}: this run is logged offline")
    return run


def _finish(run: wandb.Run, status: int, folder: Path) -> None:
    try:
        run.finish(status)
    except TimeoutError:
        _note_unanswered(folder)
        print(f"wandb: no answer: complete the upload with `wandb sync --no-skip-online {_relative_folder(run)}`")
    except Exception as error:
        print(f"wandb: {_first_line(error)}: the end of this run is not logged")
    with suppress(OSError):
        if not run.disabled and disk_usage(folder).free < 4096:
            print(f"wandb: the disk that holds {folder} is full: the record of this run has gaps")


@contextmanager
def wandb_errors_ignored() -> Iterator[None]:
    """Prints errors instead of raising them. W&B's service may die, and its errors have no common base class."""
    try:
        yield
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


def _mode(config: LoggerConfig, folder: Path) -> Any:
    """Returns the mode; auto means online if a key is configured.

    Raises:
        ConnectionError: the server did not answer an earlier run.
    """
    mode = config.mode
    if mode == "auto":
        mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
    if mode != "offline":
        _require_answer(folder)
    return mode


def _settings(upload: int) -> wandb.Settings:
    return wandb.Settings(
        silent=True,
        init_timeout=TIMEOUT,
        finish_timeout=TIMEOUT + upload / BYTES_PER_SECOND,
        finish_timeout_raises=True,
    )


def _set_defaults(folder: Path) -> None:
    """Sets variables that W&B reads when its service starts."""
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_DATA_DIR", str(folder))  # W&B would copy logged files into the home folder


def _server() -> str:
    return str(wandb.setup().settings.base_url)


def _require_answer(folder: Path) -> None:
    with suppress(DataError, KeyError, TypeError):
        noted = read_json(folder / UNANSWERED)
        again = float(noted["time"]) + PAUSE
        if noted["server"] == _server() and 0 < again - time.time() <= PAUSE:
            clock = time.strftime("%H:%M", time.localtime(again))
            raise ConnectionError(f"no answer from {noted['server']}, asked again from {clock} on")


def _note_unanswered(folder: Path) -> None:
    with suppress(OSError, DataError):
        write_json(folder / UNANSWERED, {"server": _server(), "time": time.time()})


@contextmanager
def _masked_command_line() -> Iterator[None]:
    """Hides passwords from W&B, which records the command line."""
    command = sys.argv
    sys.argv = [without_secrets(argument) for argument in command]
    try:
        yield
    finally:
        sys.argv = command


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the traceback that Python's logging prints for each line of W&B that does not fit on a full disk."""
    before, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = before


def _end_service() -> None:
    with suppress(Exception, SystemExit):
        wandb.teardown()


def _allowed_project(name: str) -> str:
    """Returns the name of a project without the characters that W&B refuses; says so."""
    allowed = re.sub(r"[/\\#?%:]", "-", name)[:LONGEST_PROJECT] or "reformer"
    if allowed != name:
        print(f"wandb: logger.project={name!r} is no name of a project (without / \\ # ? % :): logged as {allowed}")
    return allowed


def _allowed_tags(tags: Sequence[str]) -> list[str]:
    """Returns each tag once, cut to the length that W&B takes; says so."""
    if long := [tag for tag in tags if len(tag) > LONGEST_TAG]:
        print(f"wandb: {len(long)} of logger.tags cut to {LONGEST_TAG} characters")
    return list(dict.fromkeys(tag[:LONGEST_TAG] for tag in tags if tag))
