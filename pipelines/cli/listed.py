"""The stages that work on all runs of a list of params.yaml, several at a time."""

import sys
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from cli.mistakes import tell
from cli.schema import resolved_run
from reformer.files import DataError, Root, require_plain_name
from reformer.runs.config import RunConfig
from reformer.runs.side_by_side import begin_loading, places, side_by_side
from reformer.settings import SettingError, require


def runs_of_list(config: DictConfig, script: str) -> list[RunConfig]:
    """Reads the runs of the list `part` that compose has resolved for a script, those with the most hash rounds first."""
    require(bool(config.part), "part", "a list of params.yaml, as part=text", config.part)
    require_plain_name("part", config.part)
    folder = Root(Path(config.root)).configs / script / config.part
    runs = [resolved_run(path) for path in sorted(folder.glob("*.yaml"))]
    if not runs:
        raise DataError(f"{folder} has no runs: list some under runs.{config.part} in params.yaml, then run compose")
    return sorted(runs, key=lambda run: -run.model.n_hashes * ("lsh" in run.model.attention))


def for_each(work: Callable[[RunConfig], object], runs: list[RunConfig]) -> None:
    """Does the work of each run, as many at a time as the cores allow, on a GPU one after the other.

    Raises:
        SettingError: some runs failed. Each has reported why.
    """
    if not runs:
        return
    begin_loading()
    from reformer.machine import choose_device  # imports torch

    on_cpu = choose_device(runs[0].trainer.accelerator).type == "cpu"
    at_once = places(max(run.trainer.threads for run in runs)) if on_cpu else 1
    if failed := side_by_side(work, runs, at_once):
        raise SettingError(f"{len(failed)} of {len(runs)} runs failed: {', '.join(failed)}")


def reported(work: Callable[[], object], run: RunConfig) -> None:
    """Does the work; reports an error in one line and exits with status 1."""
    try:
        work()
    except Exception as error:
        tell(error, f"{run.name}: ")
        sys.exit(1)
