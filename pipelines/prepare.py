"""Turns a data set's published files into one flat array a split, and writes data/processed/<its name>/.

    python pipelines/prepare.py data=enwik8
    python pipelines/prepare.py data=imagenet64 profile=paper
    python pipelines/prepare.py data=photos data.side=32 data.seq_len=3072
    python pipelines/prepare.py data=wikipedia 'data.split=[0.8,0.1,0.1]'

duplication is made from the seed: there is nothing to prepare.
"""

from pathlib import Path

from command import command
from omegaconf import DictConfig
from schema import typed

from reformer.data.config import DownloadedConfig
from reformer.data.prepare import prepare


@command
def main(config: DictConfig) -> None:
    """Prepares one data set."""
    data, root = typed(config, "data"), Path(config.root)
    if isinstance(data, DownloadedConfig):
        prepare(data, root / "raw" / data.name, root / "processed" / data.name)
    else:
        print(f"prepare {data.name}: nothing to prepare")


if __name__ == "__main__":
    main()
