"""Scores simple models of a data set, which a network must beat before a claim compares it, and writes data/simple/.

python pipelines/simple_models.py data=wikipedia
python pipelines/simple_models.py --config-dir=data/configs/simple --config-name=wikipedia
"""

from pathlib import Path

from omegaconf import DictConfig

from cli.command import command
from cli.schema import checked_section
from reformer.files import Root


@command
def main(config: DictConfig) -> None:
    """Counts the training split, then scores the others."""
    data = checked_section(config, "data")
    from reformer.evaluation.simple_models import write_simple_models  # imports torch, so only after the check

    write_simple_models(data, Root(Path(config.root)))


if __name__ == "__main__":
    main()
