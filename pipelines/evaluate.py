"""Scores a trained network with any attention, and writes data/runs/<its name>/evaluation.json.

    python pipelines/evaluate.py data=duplication model.n_hashes=4
    python pipelines/evaluate.py data=wikipedia 'evaluation.attention=[trained,lsh-8,off]' evaluation.split=val
    python pipelines/evaluate.py --config-dir=data/configs/evaluate --config-name=duplication_lsh-4_reversible_seed-1

The settings are those of the training, by which the run is found.
"""

from command import command
from omegaconf import DictConfig
from tracked import grouped, tracked_run


@command
def main(config: DictConfig) -> None:
    """Checks the settings, then evaluates."""
    run = grouped(tracked_run(config))
    from reformer.evaluation.evaluate import evaluate  # torch loads here, after the check

    evaluate(run)


if __name__ == "__main__":
    main()
