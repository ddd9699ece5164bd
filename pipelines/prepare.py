"""Turns a data set's published files into one flat array for each split, in data/processed/<its name>/.

    python pipelines/prepare.py data=enwik8
    python pipelines/prepare.py data=imagenet64 profile=paper
    python pipelines/prepare.py data=photos data.side=32 data.seq_len=3072
    python pipelines/prepare.py data=wikipedia 'data.split=[0.8,0.1,0.1]'

The duplication task has no files: its sequences are made from the seed.
"""

from pathlib import Path

from omegaconf import DictConfig

from cli.command import command
from cli.schema import checked_section
from reformer.data.config import DownloadedConfig
from reformer.data.prepare.prepare import prepare
from reformer.files import Root


@command
def main(config: DictConfig) -> None:
    """Prepares one data set."""
    data, root = checked_section(config, "data"), Root(Path(config.root))
    if isinstance(data, DownloadedConfig):
        prepare(data, root.raw(data.name), root.processed(data.name))
    else:
        print(f"prepare {data.name}: nothing to prepare")


if __name__ == "__main__":
    main()
