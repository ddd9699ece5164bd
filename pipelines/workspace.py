"""Saves a workspace and a report of the studies in W&B, for the project of the runs that were logged or synced there.

    python pipelines/workspace.py
    python pipelines/workspace.py logger.project=mine logger.entity=my-team

The report compares the runs of params.yaml, as data/report does. It needs `wandb login` and an extra:

    pip install -e '.[workspace]'
"""

from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig

from cli.command import command
from cli.schema import checked_section, listed_runs
from reformer.files import Root
from reformer.settings import SettingError


@command
def main(config: DictConfig) -> None:
    """Checks the login and the extra, then saves both."""
    logger = checked_section(config, "logger")
    if not find_spec("wandb_workspaces"):
        raise SettingError("a workspace needs an extra: pip install -e '.[workspace]'")
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise SettingError("a workspace is saved in your W&B account: run `wandb login` first")
    from reformer.report.display.workspace import report, workspace
    from reformer.report.evidence.results import Results

    results = Results(Root(Path(config.root)), config.profile, listed_runs(config))
    entity: str = logger.entity or wandb.Api().default_entity or ""
    for made in (workspace(entity, logger.project), report(entity, logger.project, results)):
        made.save()  # prints the address


if __name__ == "__main__":
    main()
