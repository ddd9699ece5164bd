"""Tells W&B which studies of the report compare a run."""

from contextlib import suppress

from omegaconf import DictConfig
from schema import listed_seeds, run_config

from reformer.report.studies import STUDIES, studies_of
from reformer.settings import SettingError
from reformer.training.config import RunConfig


def tracked_run(config: DictConfig) -> RunConfig:
    """As `run_config`, tagged for W&B by the studies that compare the run, of those that params.yaml makes."""
    run = run_config(config)
    with suppress(SettingError):  # of another run's name, which compose tells
        run.logger.tags += studies_of(run.name.rpartition("_seed-")[0], listed_seeds())
    return run


def grouped(run: RunConfig) -> RunConfig:
    """Puts a tagged run that nothing else groups in W&B, no setting and no sweep, with the first study that compares it."""
    run.logger.group = run.logger.group or next((study.id for study in STUDIES if study.id in run.logger.tags), "")
    return run
