"""Files that are whole or not there: checked against what was published, written under another name until complete."""

import errno
import hashlib
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from reformer.data.config import SourceFile
from reformer.settings import SettingError

BLOCK = 1 << 20
"""Bytes read at a time."""

DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, EOFError, ValueError, OSError),
    SyntaxError,  # Pillow's
    NotImplementedError,  # zipfile's: a method of compression,
    RuntimeError,  # or encryption, that it does not know
)
"""What libraries raise at a file whose content is not what its name says."""

Advance = Callable[[int], None]
"""Told the bytes of each block that went by, for a progress bar."""


class DataError(SettingError):
    """Data that cannot be had, or not be trusted. The message is one line and names the remedy."""


def blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yields a stream's bytes, a block at a time."""
    while block := stream.read(BLOCK):
        yield block


def limited(stream: Iterator[bytes], size: int, what: str) -> Iterator[bytes]:
    """Passes blocks on as long as they are no more than `size` bytes together.

    Raises:
        DataError: before the block that goes over the size is passed on: what unpacks must not fill the disk.
    """
    seen = 0
    for block in stream:
        seen += len(block)
        if seen > size:
            raise DataError(
                f"{what} holds more than the {size:,} bytes expected of it: fetch it anew from its publisher"
            )
        yield block


def difference(path: Path, size: int, sha256: str, advance: Advance = lambda _: None) -> str:
    """Says in words how a file differs from the published one; empty where it does not.

    Args:
        path: the file.
        size: bytes expected.
        sha256: digest expected.
        advance: told the bytes of each block read, for a progress bar.
    """
    if path.stat().st_size != size:
        return f"has {path.stat().st_size:,} bytes instead of {size:,}"
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in blocks(stream):
            digest.update(block)
            advance(len(block))
    return "" if digest.hexdigest() == sha256 else "has another sha256 than the published file"


@contextmanager
def explained_if_full(folder: Path) -> Iterator[None]:
    """Turns "no space left" within the block into a line that says where to make room."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(f"the disk that holds {folder} is full: make room and run again") from None


@contextmanager
def explained_if_damaged(path: Path) -> Iterator[None]:
    """Turns a library's complaint about the content of the file within the block into a line with a remedy."""
    try:
        yield
    except DataError:
        raise
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's complaint, not the decompressor's
        raise DataError(f"{path} is damaged ({error}): remove it and run the download stage again") from None


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that takes its name only when the block ends well, and is gone when it does not."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with explained_if_full(path.parent), temporary.open("wb") as stream:
            yield stream
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_checked(
    path: Path, stream: Iterator[bytes], size: int, sha256: str, what: str, advance: Advance = lambda _: None
) -> None:
    """Writes a stream to a file, which exists afterwards only if it is the published one.

    Raises:
        DataError: the stream has another size or digest.
    """
    digest, seen = hashlib.sha256(), 0
    with written_whole(path) as out:
        for block in limited(stream, size, what):
            digest.update(block)
            seen += len(block)
            out.write(block)
            advance(len(block))
        if seen != size or digest.hexdigest() != sha256:
            raise DataError(f"{what} is not the published file ({seen:,} of {size:,} bytes, or another sha256)")


def acceptable(file: SourceFile) -> list[tuple[str, int, str]]:
    """Names, sizes and digests under which a file is taken: as published, or unpacked already."""
    forms = [(file.name, file.size, file.sha256)]
    if file.unpacked_name:
        forms.append((file.unpacked_name, file.unpacked_size, file.unpacked_sha256))
    return forms
