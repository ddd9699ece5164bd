"""The paths of all generated files, and functions that read and write them. A file exists only when it is complete.

<root>/raw/<data>/            the published files
<root>/processed/<data>/      meta.json and an array for each split
<root>/configs/<script>/      the resolved settings of each stage
<root>/runs/<run>/            see RunFiles
<root>/benchmarks/            <benchmark>.json
<root>/report/                index.html, claims.json, results.md, curves.csv, metrics.json, figures/
.checkpoints/<fingerprint>/   the last state of an interrupted training
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from reformer.settings import SettingError

META = "meta.json"
"""Name of the file that describes prepared arrays."""
CHECKPOINTS = Path(".checkpoints")
"""Relative to the working directory: a run that DVC repeats in a folder of its own must not find earlier checkpoints."""


class DataError(SettingError):
    """Data is missing or damaged. The message is one line and names the remedy."""


class MissingFile(DataError):
    """An earlier stage has not written a file."""


class RunFiles:
    """The files of one training run, in `<root>/runs/<run>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.train = folder / "train.json"  # size of the model, validation scores after training
        self.curve = folder / "curve.csv"  # scores by step
        self.weights = folder / "weights.safetensors"
        self.environment = folder / "environment.json"  # machine, commit, time and speed of the training
        self.evaluation = folder / "evaluation.json"  # scores with each attention of the evaluation
        self.samples = folder / "samples.json"  # generated continuations of test sequences


@dataclass(frozen=True)
class Root:
    """The folder of all generated files: `data/`, unless the setting `root` names another."""

    path: Path

    def raw(self, data: str) -> Path:
        """Returns the folder of the published files of a data set."""
        return self.path / "raw" / data

    def processed(self, data: str) -> Path:
        """Returns the folder of the prepared arrays of a data set."""
        return self.path / "processed" / data

    @property
    def configs(self) -> Path:
        """The folder of the resolved settings."""
        return self.path / "configs"

    def run(self, name: str) -> RunFiles:
        """Returns the files of a run."""
        return RunFiles(self.path / "runs" / name)

    def benchmark(self, name: str) -> Path:
        """Returns the path of the results of a benchmark."""
        return self.path / "benchmarks" / f"{name}.json"

    @property
    def report(self) -> Path:
        """The folder of the report."""
        return self.path / "report"


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON file that contains an object.

    Raises:
        MissingFile: the file does not exist.
        DataError: the file contains no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFile(f"{path} is missing") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: remove it and make it again")
    return content


def write_json(path: Path, content: dict[str, Any], indent: int | None = 2) -> None:
    """Writes a JSON file, on one line if the indent is None."""
    write_text(path, json.dumps(content, indent=indent, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8."""
    with written_whole(path) as out:
        out.write(text.encode())


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file, which replaces the path if the block succeeds and is deleted if it fails.

    Creates the folder if necessary. The old file is never modified, because a hard link may share its content with a cache.
    """
    temporary = path.with_name(path.name + ".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with explained_if_full(path.parent), temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def explained_if_full(folder: Path) -> Iterator[None]:
    """Converts "no space left on device" into a DataError that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(f"the disk that holds {folder} is full: make room and run again") from None
