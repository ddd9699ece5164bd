"""Fetches a data set's published files, checks each, and writes data/raw/<its name>/.

    python pipelines/download.py data=enwik8
    python pipelines/download.py data=enwik8 data.source=/path/of/enwik8.zip
    python pipelines/download.py data=imagenet64 data.mirror=https://a/folder/that/serves/it

The duplication task has no files: its sequences are made from the seed.
"""

from pathlib import Path

from omegaconf import DictConfig

from cli.command import command
from cli.schema import checked_section
from reformer.data.config import DownloadedConfig
from reformer.data.fetch.download import download
from reformer.files import Root


@command
def main(config: DictConfig) -> None:
    """Downloads one data set."""
    data = checked_section(config, "data")
    if isinstance(data, DownloadedConfig):
        download(data, Root(Path(config.root)).raw(data.name))
    else:
        print(f"download {data.name}: nothing to fetch")


if __name__ == "__main__":
    main()
