"""The paths of all generated files, and functions that read and write them. A file exists only when it is complete.

<root>/raw/<data>/            the published files
<root>/processed/<data>/      meta.json and an array for each split
<root>/configs/<script>/      the resolved settings of each stage
<root>/runs/[<list>/]<run>/   see RunFiles; the list of params.yaml that names the run, if one does
<root>/evaluations/[<list>/]<run>.json
<root>/samples/<run>.json
<root>/simple/<data>.json     scores of simple models of the data
<root>/benchmarks/            <benchmark>.json
<root>/report/                index.html, claims.json, results.md, curves.csv, metrics.json, figures/
.checkpoints/<fingerprint>/   the last state of an interrupted training
"""

import errno
import glob
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from reformer.settings import SettingError, require

META = "meta.json"
"""Name of the file that describes prepared arrays."""
WEIGHTS_DIGEST = "weights_sha256"
"""Key of train.json."""
CHECKPOINTS = Path(".checkpoints")
"""Relative to the working directory: a run that DVC repeats in a folder of its own must not find earlier checkpoints."""
LONGEST_NAME = 200
"""Bytes of a name in a path. File systems allow 255, and endings such as `.json.tmp` are added."""


class DataError(SettingError):
    """Data is missing or damaged. The message is one line and names the remedy."""


class MissingFile(DataError):
    """An earlier stage has not written a file."""


class RunFiles:
    """The files of one training run.

    Args:
        root: folder of all generated files.
        place: list and name of the run, or its name alone.
    """

    def __init__(self, root: Path, place: Path) -> None:
        self.folder = folder = root / "runs" / place
        self.train = folder / "train.json"  # size of the model, validation scores after training
        self.curve = folder / "curve.csv"  # scores by step
        self.weights = folder / "weights.safetensors"
        self.environment = folder / "environment.json"  # machine, commit, time and speed of the training
        self.evaluation = root / "evaluations" / f"{place}.json"  # scores with each attention of the evaluation
        self.samples = root / "samples" / f"{place.name}.json"  # generated continuations of test sequences

    @classmethod
    def at(cls, folder: Path) -> "RunFiles":
        """Returns the files of the run in a folder below some `<root>/runs`."""
        runs = next(parent for parent in folder.parents if parent.name == "runs")
        return cls(runs.parent, folder.relative_to(runs))


@dataclass(frozen=True)
class Root:
    """The folder of all generated files: `data/`, unless the setting `root` names another."""

    path: Path

    def raw(self, data: str) -> Path:
        """Returns the folder of the published files of a data set."""
        require_plain_name("data.name", data)
        return self.path / "raw" / data

    def processed(self, data: str) -> Path:
        """Returns the folder of the prepared arrays of a data set."""
        require_plain_name("data.name", data)
        return self.path / "processed" / data

    @property
    def configs(self) -> Path:
        """The folder of the resolved settings."""
        return self.path / "configs"

    def run(self, name: str, part: str = "") -> RunFiles:
        """Returns the files of a run.

        Args:
            name: name with the seed.
            part: list of params.yaml that names the run. Empty: the folder of any list that holds the run, or else its own.
        """
        require_plain_name("name", name)
        if not part:
            with suppress(OSError):  # a root that cannot be read: whoever writes there says so
                part = next((path.parent.name for path in (self.path / "runs").glob(f"*/{glob.escape(name)}/")), "")
        return RunFiles(self.path, Path(part) / name)

    def simple(self, data: str) -> Path:
        """Returns the path of the scores of simple models of a data set."""
        return self.path / "simple" / f"{data}.json"

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
    """Writes a JSON file, on one line if the indent is None.

    Raises:
        DataError: a number is not finite. JSON has no NaN, and a result that contains one is none.
    """
    try:
        text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise DataError(f"{path} is not written, since it would contain a number that is not finite") from None
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8."""
    with written_whole(path) as out:
        out.write(text.encode())


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file, which replaces the path if the block succeeds and is deleted if it fails.

    Creates the folder if necessary. The temporary file lies beside the path, hence on the same file system, and is on the disk
    before it is renamed. The old file is never modified, because a hard link may share its content with a cache.
    """
    temporary = path.with_name(path.name + ".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.unlink(missing_ok=True)
    try:
        with explained_if_full(path.parent), temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Writes the names in a folder to the disk. Some file systems cannot, and do so at once."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest_of(path: Path) -> str:
    """Hashes the bytes of a file by SHA-256, about a second for each gigabyte."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_plain_name(setting: str, name: str) -> None:
    """Raises a SettingError unless a setting names one folder, so that no path leaves the folder it belongs to."""
    plain = (
        name not in ("", ".", "..")
        and not set(name) & set("/\\\0")
        and len(name.encode(errors="replace")) <= LONGEST_NAME
    )
    require(plain, setting, f"a name without / and of {LONGEST_NAME} bytes at most", name)


@contextmanager
def explained_if_full(folder: Path) -> Iterator[None]:
    """Raises a DataError that names the folder in place of "no space left on device"."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(f"the disk that holds {folder} is full: make room and run again") from None
