"""Checks of prepared arrays against meta.json, before anything computes with them."""

from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from reformer.data.config import ImagesConfig, TextConfig
from reformer.files import META, DataError, MissingFile, digest_of, read_json

HASHED = 1 << 30
"""Largest file whose digest is checked, in bytes: a second for each process. Of larger ones the size alone is checked."""


def describe_split(data: TextConfig | ImagesConfig, processed: Path, split: str) -> tuple[dict[str, Any], Any]:
    """Reads a split's entry of meta.json and checks the file that it describes.

    Args:
        data: the data set.
        processed: its folder.
        split: train, val or test.

    Returns:
        The entry, and the side of the images (None for a text).

    Raises:
        MissingFile: the data is not prepared.
        DataError: meta.json is damaged, or the file has another size, shape or digest than it says.
    """
    again = f"run the prepare stage for data={data.name} again"
    try:
        meta = read_json(processed / META)
    except MissingFile as missing:
        raise MissingFile(f"{missing}: run the prepare stage for data={data.name} first") from None
    except DataError:
        raise DataError(f"{processed / META} is damaged: {again}") from None
    try:
        entry, side = meta["splits"][split], meta["side"] if isinstance(data, ImagesConfig) else None
        name, length = entry["file"], entry["tokens" if side is None else "images"]
        good = name == PurePath(name).name and type(length) is int and length >= 0
        if not good or not isinstance(side, int | None):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"{processed / META} does not describe the {split} split of data={data.name}: {again}"
        ) from None
    path = processed / name
    if not path.is_file():
        raise MissingFile(f"{path} is missing: {again}")
    shape = (length,) if side is None else (length, side, side, 3)
    if _shape(path) != shape or entry.get("bytes", path.stat().st_size) != path.stat().st_size:
        raise DataError(f"{path} has not the size that {META} gives: {again}")
    if (
        "sha256" in entry
        and path.stat().st_size <= HASHED
        and _digest(path.absolute(), path.stat().st_mtime_ns) != entry["sha256"]
    ):
        raise DataError(f"{path} differs from its digest in {META}: {again}")
    return entry, side


def _shape(path: Path) -> tuple[int, ...] | None:
    """Returns the shape of a file of uint8; None if it holds something else or is truncated."""
    if path.suffix == ".bin":
        return (path.stat().st_size,)
    try:
        array = np.load(path, "r", allow_pickle=False)
    except (ValueError, EOFError, OSError):
        return None
    whole = isinstance(array, np.memmap) and array.offset + array.nbytes == path.stat().st_size
    return array.shape if whole and array.dtype == np.uint8 else None


@lru_cache
def _digest(path: Path, changed: int) -> str:
    """Hashes a file once in each process, or again if its time of change differs."""
    return digest_of(path)
