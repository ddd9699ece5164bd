"""Trains all runs of a list of params.yaml that are not finished, several at a time where cores are many.

    python pipelines/compose.py && python pipelines/train_list.py part=text_pair

Each run ends with the same weights as alone, since trainer.threads fixes the number of its threads.
"""

from functools import partial

from omegaconf import DictConfig

from cli.command import command
from cli.listed import for_each, reported, runs_of_list
from cli.tags import grouped
from reformer.runs.config import RunConfig
from reformer.runs.fingerprint import finished


@command
def main(config: DictConfig) -> None:
    """Trains the runs of the list."""
    runs = runs_of_list(config, "train")
    todo = [run for run in runs if not finished(run, same_code=True)]
    if len(todo) < len(runs):
        print(f"train {config.part}: {len(runs) - len(todo)} of {len(runs)} runs are finished already")
    if todo:
        for_each(train_run, todo)


def train_run(run: RunConfig) -> None:
    """Trains one run."""
    from reformer.training.train import train

    command = f"python pipelines/train.py --config-dir={run.root}/configs/train/{run.part} --config-name={run.name}"
    reported(partial(train, grouped(run), command), run)


if __name__ == "__main__":
    main()
