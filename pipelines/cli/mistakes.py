"""Error messages of one line that name the setting, its allowed values, or the remedy."""

import errno
import re
import sys
import traceback
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_origin

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError
from yaml import YAMLError  # type: ignore[import-untyped]

from reformer.settings import SettingError

VALUES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", list: "a list, as [a,b]"}

BY_LIST = {"seeds": "[1,2]", "runs": "[lsh-2_reversible]", "samples": "[lsh-2_reversible_seed-1]"}
"""Settings that have a value for each list of runs, and an example of such a value."""

EXTRAS = {"joblib": "joblib", "submitit_slurm": "slurm", "submitit_local": "slurm", "optuna": "optuna"}
"""Plugins of Hydra, and the extra of this project that installs each."""


def in_one_line(error: BaseException) -> str:
    """Returns a message that a user can act on; empty for a fault of this program, which needs its traceback."""
    match error:
        case SettingError():
            return " ".join(str(error).split())
        case MissingConfigException():
            return _missing_file(error)
        case HydraException() if str(error).startswith("Ambiguous value for argument"):
            argument = str(error).split("'")[1]
            return f"{argument} has several values: add --multirun to run each, or write a list as key=[a,b]"
        case HydraException():
            inner = error.__cause__ or error.__context__
            if isinstance(inner, OmegaConfBaseException):
                return _place(str(error)) + _setting(inner)
            return " ".join(line.strip() for line in str(error).splitlines()[:2] if "hydra.cc" not in line)
        case OmegaConfBaseException():
            return _setting(error)
        case Exception() if _disk_is_full(error):
            return "the disk is full: free some room, or choose another folder by root=/its/path"
        case ValueError() if str(error).startswith("Config group override must be"):
            return "a group of settings is chosen by the name of a file, as data=photos; the choices: --help"
        case ValueError() if str(error).startswith("Only one of --run"):
            return "--multirun and --cfg exclude each other: add --cfg to the command of a single run"
        case YAMLError():
            return "not YAML: " + " ".join(str(error).split())
        case OSError() if error.strerror:
            return f"{error.filename or 'file'}: {error.strerror}"
        case Exception() if type(error).__name__ in ("UncompletedJobError", "TerminatedWorkerError"):
            return "a job of the sweep was killed: " + str(error).splitlines()[0]
        case Exception() if type(error).__name__ == "MisconfigurationException":
            return "trainer: " + " ".join(str(error).split())
    return ""


def tell(error: BaseException, before: str = "") -> None:
    """Prints the message of an error, or its traceback.

    Args:
        error: the error.
        before: text in front of the message, such as the job that failed.
    """
    message = in_one_line(error)
    if not message:
        traceback.print_exception(error)
    else:
        print(f"error: {before}{message}", file=sys.stderr)


def unknown_setting(key: str, known: Iterable[str], elsewhere: Iterable[str] = ()) -> str:
    """The message for a key that is not in the schema.

    Args:
        key: the key, with its section.
        known: the settings of the section.
        elsewhere: settings of other sections, with their section.
    """
    section, _, name = key.rpartition(".")
    known = [item for item in known if not item.startswith("_")]
    same = [item for item in elsewhere if item.endswith(f".{name}")]
    close = same or get_close_matches(name, known, n=1)
    meant = f", did you mean {close[0]}?" if close else ""
    return f"there is no setting {key}{meant} ({section or 'there are'}: {', '.join(known)})"


def by_list(setting: str) -> str:
    """The message for a single value of a setting that has a value for each list."""
    return f"{setting} is by list: {setting}.text={BY_LIST[setting]}"


def _setting(error: OmegaConfBaseException) -> str:
    """The message for a mistake in one setting."""
    key, kind = str(error.full_key or error.key or ""), error.object_type
    known = {field.name: field.type for field in fields(kind)} if is_dataclass(kind) else {}
    what = str(error.msg or error).splitlines()[0]
    of_class = re.search(r"not a subclass of (\w+)", what)  # the only trace of the setting, for a list in a file
    setting = of_class[1].lower() if of_class else key
    if setting in BY_LIST:
        return by_list(setting)
    if isinstance(error, ConfigAttributeError | ConfigKeyError) and known and error.key not in known:
        return unknown_setting(key, known)
    if isinstance(error, ValidationError) and error.key in known:
        return f"{key} must be {_allowed(known[error.key])}: {what}"
    return f"{key}: {what}" if key and key not in what else what


def _allowed(kind: Any) -> str:
    return VALUES.get(get_origin(kind) or kind, f"settings of {getattr(kind, '__name__', kind)}")


def _missing_file(error: MissingConfigException) -> str:
    """The message for a choice without a file, or a profile without sizes."""
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    if choice in EXTRAS:
        return f"{group}={choice} needs an extra: pip install -e '.[{EXTRAS[choice]}]'"
    if (sizes := re.fullmatch(r"profile/([^/]+)", group)) and not error.options:
        return (
            f"profile {sizes[1]} has no sizes for {choice}: write conf/profile/{sizes[1]}/{choice}.yaml, as in "
            "conf/profile/cpu/ (text.yaml and images.yaml serve all data sets of their kind)"
        )
    if not error.options:
        return str(error).splitlines()[0].strip()
    return f"{group}={choice} is no choice: {group} must be one of {', '.join(error.options)}"


def _place(message: str) -> str:
    """The file with the mistake, unless the mistake is on the command line."""
    found = re.match(r"In '([^']+)'", message)
    return f"{'params.yaml' if found[1] == 'params' else f'conf/{found[1]}.yaml'}: " if found else ""


def _disk_is_full(error: BaseException) -> bool:
    """Returns whether an error means a full disk. Libraries wrap that error into errors of their own."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or "No space left on device" in str(error) or "PytorchStreamWriter failed writing file" in str(error)
