"""Generates the end of held-out texts or images with a trained network, and writes data/runs/<its name>/samples.json.

    python pipelines/generate.py data=wikipedia generation.n_tokens=100 generation.temperature=0.7
    python pipelines/generate.py --config-dir=data/configs/generate --config-name=photos_lsh-4_reversible_seed-1

The settings of the training identify the run. The report shows the samples of the runs that params.yaml lists.
"""

from omegaconf import DictConfig

from cli.command import command
from cli.tags import grouped, tagged_run


@command
def main(config: DictConfig) -> None:
    """Checks the settings, then generates."""
    run = grouped(tagged_run(config))
    from reformer.evaluation.generate import generate  # imports torch, so only after the check

    generate(run)


if __name__ == "__main__":
    main()
