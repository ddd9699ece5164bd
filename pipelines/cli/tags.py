"""Finds the studies that compare a run, and tags and groups the run by them in W&B."""

from contextlib import suppress

from omegaconf import DictConfig

from cli.schema import run_config, runs_of_params_yaml
from reformer.runs.config import RunConfig
from reformer.settings import SettingError
from reformer.studies import STUDIES, studies_of


def tagged_run(config: DictConfig) -> RunConfig:
    """As `run_config`; the run is tagged by those studies of params.yaml that compare it."""
    run = run_config(config)
    with suppress(SettingError):  # a mistake in params.yaml: compose reports it
        run.logger.tags += studies_of(run.name.rpartition("_seed-")[0], runs_of_params_yaml())
    return run


def grouped(run: RunConfig) -> RunConfig:
    """Groups a tagged run by the first study that compares it, unless a setting or a sweep has grouped it."""
    run.logger.group = run.logger.group or next((study.id for study in STUDIES if study.id in run.logger.tags), "")
    return run
