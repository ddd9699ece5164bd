"""Evaluates all runs of a list of params.yaml, several at a time where cores are many.

python pipelines/evaluate_list.py part=text_pair
"""

from functools import partial

from omegaconf import DictConfig

from cli.command import command
from cli.listed import for_each, reported, runs_of_list
from cli.tags import grouped
from reformer.runs.config import RunConfig


@command
def main(config: DictConfig) -> None:
    """Evaluates the runs of the list."""
    for_each(evaluate_run, runs_of_list(config, "evaluate"))


def evaluate_run(run: RunConfig) -> None:
    """Evaluates one run."""
    from reformer.evaluation.evaluate import evaluate

    reported(partial(evaluate, grouped(run)), run)


if __name__ == "__main__":
    main()
