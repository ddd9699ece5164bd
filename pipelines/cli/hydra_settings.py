"""Hydra's own settings, which name classes to create and commands to run: they may have this project's values alone.

A file of settings that somebody else wrote therefore runs no code.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from reformer.settings import SettingError

LOGGING = {"version": 1, "root": None, "disable_existing_loggers": False}
FIXED: dict[str, Any] = {
    "callbacks": {"sweep": {"_target_": "cli.sweep.SweepCallback"}},
    "job_logging": LOGGING,
    "hydra_logging": LOGGING,
    "searchpath": [],
    "env": {},
    "job.env_set": {},
    "job.chdir": False,
    "run.dir": ".",
    "output_subdir": None,
}
"""Values of conf/hydra/quiet.yaml that nothing may change."""
CLASSES = {
    "launcher._target_": r"hydra\._internal\.core_plugins\.basic_launcher\.BasicLauncher|hydra_plugins\.[\w.]+Launcher",
    "sweeper._target_": r"hydra\._internal\.core_plugins\.basic_sweeper\.BasicSweeper|hydra_plugins\.[\w.]+Sweeper",
    "sweeper.sampler._target_": r"optuna\.samplers\.\w+Sampler",
}
"""Classes that a launcher and a sweeper may name."""
COMMANDS = {"setup", "srun_args", "additional_parameters", "python", "custom_search_space", "pre_dispatch"}
"""Options that a launcher or sweeper runs or evaluates."""
HARMLESS: tuple[Any, ...] = (None, [], {}, "2*n_jobs")


def check_hydra_settings(hydra: DictConfig, conf: Path) -> None:
    """Raises a SettingError unless Hydra's settings are this project's.

    Args:
        hydra: the section `hydra` of a composed configuration.
        conf: folder of the project's own settings. Its files may name commands, and so may the command line.
    """
    for key, value in FIXED.items():
        got = OmegaConf.select(hydra, key)
        if _plain(got) != value:
            _refuse(key, "left out (a file of settings begins with `defaults: [..., /hydra/quiet, _self_]`)")
    for part in ("launcher", "sweeper"):
        for key, value in _leaves(part, _plain(hydra[part]) or {}):
            _check_option(key, value, hydra, conf)


def _check_option(key: str, value: Any, hydra: DictConfig, conf: Path) -> None:
    name = key.rpartition(".")[2]
    if name == "_target_" and not re.fullmatch(CLASSES.get(key, "(?!)"), str(value)):
        _refuse(key, "the class of an installed launcher, sweeper or sampler")
    if name.startswith("_") and name not in ("_target_", "_recursive_", "_convert_"):
        _refuse(key, "left out")
    if name in COMMANDS and value not in HARMLESS and not _is_own(key, value, hydra, conf):
        _refuse(key, "typed, or written into conf/hydra/")


def _is_own(key: str, value: Any, hydra: DictConfig, conf: Path) -> bool:
    """Returns whether the user typed the value, or the project's file of the chosen launcher or sweeper has it."""
    part, _, name = key.partition(".")
    if any(typed.lstrip("+").startswith(f"hydra.{key}=") for typed in hydra.overrides.hydra):
        return True
    path = conf / "hydra" / part / f"{hydra.runtime.choices.get(f'hydra/{part}')}.yaml"
    return path.is_file() and _plain(OmegaConf.load(path)).get(name) == value


def _leaves(key: str, node: Any) -> Iterator[tuple[str, Any]]:
    """Yields each option with its value, nested ones too."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield f"{key}.{name}", value
            yield from _leaves(f"{key}.{name}", value)


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node


def _refuse(key: str, allowed: str) -> None:
    raise SettingError(f"hydra.{key} must be {allowed}: Hydra's own settings could run code")
