"""Turns the main function of a script into a command: Hydra composes its settings, and an error takes one line.

Nothing here imports torch, so that a mistake is reported before torch has loaded.
"""

import os
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from cli import sweep
from cli.mistakes import tell
from cli.schema import CONF, register
from cli.typed import check_file_of_settings, readable
from reformer.processes import end_with_dvc
from reformer.settings import without_secrets

INTERRUPTED, TERMINATED = 130, 143
"""Exit statuses of shells for Ctrl-C and for SIGTERM."""


class JobFailed(Exception):
    """One run of a sweep failed, and has reported why."""


def command(main: Callable[[DictConfig], float | None]) -> Callable[[], None]:
    """Composes the settings of a script's main function from conf/, params.yaml and the command line.

    A search (an Optuna sweep) minimises the number that the function returns.
    """

    @wraps(main)
    def task(config: DictConfig) -> float | None:
        try:
            return main(config)
        except Exception as error:
            if HydraConfig.get().mode == RunMode.RUN:
                failures.append(error)
                return None
            tell(error, f"{' '.join(HydraConfig.get().overrides.task)}: ")
            raise JobFailed from None  # the other jobs run, and the sweep fails at its end

    failures: list[Exception] = []

    def start() -> None:
        if {"--help", "-h"} & set(sys.argv[1:]):
            print(_help(sys.modules[main.__module__].__doc__ or ""))
            return
        end_with_dvc()
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors instead of printing them
        here = str(Path(__file__).parents[1])
        # OpenMP's threads wait busily for their next operation. They take cores from the threads of LSH attention.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # torch reads it when it loads
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))  # for launchers
        status: int | str | None = 0
        try:
            sys.argv[1:] = readable(sys.argv[1:])
            check_file_of_settings(sys.argv[1:])
            register()
            sweep.register()
            hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")(task)()
            for failure in failures:
                raise failure
        except JobFailed:
            status = 1
        except Exception as error:
            tell(error)
            sweep.wait_for_slurm()
            status = 1
        except (KeyboardInterrupt, SystemExit) as stop:
            status = _status(stop)
        all_good = sweep.end()
        sys.exit(status or int(not all_good))

    return start


def command_line(script: str) -> str:
    """Returns the command that repeats this run alone, without the sweep that started it."""
    job = HydraConfig.get()
    overrides = sys.argv[1:] if job.mode == RunMode.RUN else list(job.overrides.task)
    return without_secrets(shlex.join(["python", f"pipelines/{Path(script).name}", *overrides]))


def _status(stop: BaseException) -> int | str | None:
    """Returns the exit status after a signal, also after Lightning has replaced the signal by an exit of its own."""
    cause: BaseException | None = stop
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            print(str(cause) or "interrupted", file=sys.stderr)
            return INTERRUPTED
        if type(cause).__name__ == "SIGTERMException":
            print("terminated", file=sys.stderr)
            return TERMINATED
        cause = cause.__context__
    return stop.code if isinstance(stop, SystemExit) else 1


def _help(about: str) -> str:
    """The description of the script, then the choices that conf/ offers."""
    groups = sorted(path for path in CONF.iterdir() if path.is_dir() and path.name != "hydra")
    choices = [(group.name, ", ".join(sorted(file.stem for file in group.glob("*.yaml")))) for group in groups]
    lines = [f"  {name:<11} {names}" for name, names in choices]
    lines.append(
        "\nAny setting can be changed by name: model.n_hashes=8. Values in use: add --cfg job. More: --hydra-help."
    )
    return about.strip() + "\n\nChoices, as data=photos:\n" + "\n".join(lines)
