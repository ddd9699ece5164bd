"""Generates samples with the networks that the profile or params.yaml lists under samples, and writes data/samples/.

python pipelines/generate_samples.py
"""

from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from cli.command import command
from cli.listed import for_each, reported
from cli.schema import resolved_run
from cli.tags import grouped
from reformer.files import Root
from reformer.runs.config import RunConfig


@command
def main(config: DictConfig) -> None:
    """Generates with each network."""
    paths = sorted((Root(Path(config.root)).configs / "generate").glob("*.yaml"))
    for_each(generate_with, [resolved_run(path) for path in paths])


def generate_with(run: RunConfig) -> None:
    """Generates with one network."""
    from reformer.evaluation.generate import generate

    reported(partial(generate, grouped(run)), run)


if __name__ == "__main__":
    main()
