"""Saves a workspace and a report of the studies in W&B, for the project of the runs that were logged or synced there.

    python pipelines/workspace.py
    python pipelines/workspace.py logger.project=mine logger.entity=my-team

Needs `wandb login` and the extra: pip install -e '.[workspace]'
"""

from importlib.util import find_spec

from command import command
from omegaconf import DictConfig
from schema import typed

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
    from reformer.report.workspace import report, workspace

    entity: str = logger.entity or wandb.Api().default_entity or ""
    for made in (workspace(entity, logger.project), report(entity, logger.project)):
        made.save()  # and says where


if __name__ == "__main__":
    main()
