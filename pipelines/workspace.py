"""Saves a workspace and a report of the studies in W&B, for the project of the runs that were logged or synced there.

    python pipelines/workspace.py
    python pipelines/workspace.py logger.project=mine logger.entity=my-team

The report compares the runs of params.yaml, as data/report does. Where data/runs is empty, two of its studies stay so too.
Needs `wandb login` and the extra: pip install -e '.[workspace]'
"""

from importlib.util import find_spec
from pathlib import Path

from command import command
from omegaconf import DictConfig
from schema import seeds_by_run, typed

from reformer.settings import SettingError


@command
def main(config: DictConfig) -> None:
    """Checks that it can be done, then saves both."""
    logger = typed(config, "logger")
    if not find_spec("wandb_workspaces"):
        raise SettingError("a workspace needs an extra: pip install -e '.[workspace]'")
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise SettingError("a workspace is saved in your W&B account: run `wandb login` first")
    from reformer.report.results import Results
    from reformer.report.workspace import report, workspace

    results = Results(Path(config.root), config.profile, seeds_by_run(config))
    entity: str = logger.entity or wandb.Api().default_entity or ""
    for made in (workspace(entity, logger.project), report(entity, logger.project, results)):
        made.save()  # and says where


if __name__ == "__main__":
    main()
