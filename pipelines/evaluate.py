"""Evaluates a trained network with any attention, and writes data/runs/<its name>/evaluation.json.

    python pipelines/evaluate.py data=duplication model.n_hashes=4
    python pipelines/evaluate.py data=wikipedia 'evaluation.attention=[trained,lsh-8,off]' evaluation.split=val
    python pipelines/evaluate.py --config-dir=data/configs/evaluate --config-name=duplication_lsh-4_reversible_seed-1

The settings of the training identify the run.
"""

from omegaconf import DictConfig

from cli.command import command
from cli.tags import grouped, tagged_run


@command
def main(config: DictConfig) -> None:
    """Checks the settings, then evaluates."""
    run = grouped(tagged_run(config))
    from reformer.evaluation.evaluate import evaluate  # imports torch, so only after the check

    evaluate(run)


if __name__ == "__main__":
    main()
