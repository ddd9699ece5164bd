"""Trains one network, or a sweep of them, and writes data/runs/<its name>/.

    python pipelines/train.py data=duplication model.n_hashes=8
    python pipelines/train.py data=photos model=transformer trainer.steps_scale=2 seed=3
    python pipelines/train.py --multirun experiment=hash_rounds model.n_hashes=1,2,4,8

A run that compose has resolved, as `dvc repro` does it:

    python pipelines/train.py --config-dir=data/configs/train --config-name=duplication_lsh-4_reversible_seed-1
"""

from command import command, command_line, sweep
from omegaconf import DictConfig
from schema import run_config


@command
def main(config: DictConfig) -> float:
    """Checks the settings, then trains."""
    run = run_config(config)
    run.logger.group = run.logger.group or sweep()
    from reformer.training.train import train  # torch loads here, after the check

    return float(train(run, command_line(__file__))["val"]["bits_per_dim"])


if __name__ == "__main__":
    main()
