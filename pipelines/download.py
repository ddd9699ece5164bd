"""Fetches a data set's published files, checks each, and writes data/raw/<its name>/.

    python pipelines/download.py data=enwik8
    python pipelines/download.py data=enwik8 data.source=/path/of/enwik8.zip
    python pipelines/download.py data=imagenet64 data.mirror=https://a/folder/that/serves/it

duplication is made from the seed: there is nothing to fetch.
"""

from pathlib import Path

from command import command
from omegaconf import DictConfig
from schema import typed

from reformer.data.config import DownloadedConfig
from reformer.data.download import download


@command
def main(config: DictConfig) -> None:
    """Downloads one data set."""
    data = typed(config, "data")
    if isinstance(data, DownloadedConfig):
        download(data, Path(config.root) / "raw" / data.name)
    else:
        print(f"download {data.name}: nothing to fetch")


if __name__ == "__main__":
    main()
