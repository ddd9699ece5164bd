"""Environment variables of W&B: those that replace settings of the logger, and those that W&B cannot use."""

import os
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path

import wandb

from reformer.runs.config import LoggerConfig

MODE = "WANDB_MODE"
OWN = ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_RESUME_FROM", "WANDB_FORK_FROM", "WANDB_JOB_TYPE")
"""Variables that are not used: one process may log several runs, and a resumed training finds its run by itself."""


def replaced_by_variables(config: LoggerConfig) -> LoggerConfig:
    """Returns the logger's settings with those that the environment sets: its variables win, as W&B documents it."""
    tags = [tag.strip() for tag in _value("WANDB_TAGS").split(",")]
    return replace(
        config,
        mode=_value(MODE).lower() or config.mode,
        project=_value("WANDB_PROJECT") or config.project,
        entity=_value("WANDB_ENTITY") or config.entity,
        group=_value("WANDB_RUN_GROUP") or config.group,
        tags=[*config.tags, *filter(None, tags)],
        dir=str(folder_of(config)),
    )


def display_name(name: str) -> str:
    """Returns WANDB_NAME of the environment, or else the name."""
    return _value("WANDB_NAME") or name


def folder_of(config: LoggerConfig) -> Path:
    """Returns the folder that holds the runs.

    DVC works on copies of a project and removes them (`dvc exp run --queue`). There, the folder of the project itself is used.
    """
    named = _value("WANDB_DIR")
    return _project_folder() / (Path(named).expanduser() / "wandb" if named else Path(config.dir))


def drop_unusable_variables() -> list[str]:
    """Removes the variables that W&B cannot use from this process, and returns their names.

    Empty ones, and those in OWN, are removed too, but do not count as unusable.
    """
    for name in [name for name, value in os.environ.items() if name.startswith("WANDB_") and not value.strip()]:
        del os.environ[name]
    if own := [name for name in OWN if os.environ.pop(name, None)]:
        print(f"wandb: {', '.join(own)} not used: each run has an id and a type of its own, and is resumed by itself")
    if MODE in os.environ:
        os.environ[MODE] = os.environ[MODE].lower()
    unusable = [name for name in sorted(os.environ) if name.startswith("WANDB_") and not _is_usable(name)]
    drop_variables(unusable)
    return unusable


def drop_variables(names: Sequence[str] | None = None) -> None:
    """Removes variables of W&B from this process: all but the folders, or those named."""
    folders = ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ERROR_REPORTING")
    if names is None:
        names = [name for name in os.environ if name.startswith("WANDB_") and name not in folders]
    for name in names:
        del os.environ[name]


def _is_usable(name: str) -> bool:
    try:
        with redirect_stderr(StringIO()):
            wandb.Settings().update_from_env_vars({name: os.environ[name]})
    except Exception:
        return False
    return True


def _value(name: str) -> str:
    return os.environ.get(name, "").strip()


def _project_folder() -> Path:
    here = Path.cwd()
    copies = (folder for folder in here.parents if folder.parts[-3:] == (".dvc", "tmp", "exps"))
    return next((folder.parents[2] for folder in copies), here)
