"""Draws the end of held-out texts or images from a trained network, and writes data/runs/<its name>/samples.json.

    python pipelines/generate.py data=wikipedia generation.n_tokens=100 generation.temperature=0.7
    python pipelines/generate.py --config-dir=data/configs/generate --config-name=photos_lsh-4_reversible_seed-1

The settings are those of the training, by which the run is found. The report shows what the runs that params.yaml
lists under samples have drawn.
"""

from command import command
from omegaconf import DictConfig
from tracked import grouped, tracked_run


@command
def main(config: DictConfig) -> None:
    """Checks the settings, then draws."""
    run = grouped(tracked_run(config))
    from reformer.evaluation.generate import generate  # torch loads here, after the check

    generate(run)


if __name__ == "__main__":
    main()
