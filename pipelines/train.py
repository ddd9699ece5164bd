"""Trains one network, or a sweep of them, and writes data/runs/<its name>/.

    python pipelines/train.py data=duplication model.n_hashes=8
    python pipelines/train.py data=photos model=transformer trainer.steps_scale=2 seed=3
    python pipelines/train.py --multirun experiment=hash_rounds model.n_hashes=1,2,4,8

A run that compose has resolved, as `dvc repro` does it:

    python pipelines/train.py --config-dir=data/configs/train --config-name=duplication_lsh-4_reversible_seed-1
"""

from typing import Any

from omegaconf import DictConfig

from cli.command import command, command_line
from cli.sweep import run_job
from cli.tags import grouped, tagged_run
from reformer.runs.config import RunConfig


@command
def main(config: DictConfig) -> float:
    """Checks the settings, then trains."""
    return run_job(lambda: tagged_run(config), _train)


def _train(run: RunConfig) -> dict[str, Any]:
    from reformer.training.train import train  # imports torch, so only after the check

    return train(grouped(run), command_line(__file__))


if __name__ == "__main__":
    main()
