"""Comparison of files with the published ones: name, size and sha256."""

import hashlib
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from reformer.data.config import SourceFile
from reformer.files import DataError, written_whole

BLOCK = 1 << 20
"""Bytes read at a time."""

DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, EOFError, ValueError, OSError),
    SyntaxError,  # raised by Pillow
    NotImplementedError,  # raised by zipfile for an unknown compression method
    RuntimeError,  # raised by zipfile for an encrypted member
)
"""Exceptions that libraries raise for a file with invalid content."""

Advance = Callable[[int], None]
"""Receives the size of each block that was processed, for a progress bar."""


def blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yields the bytes of a stream, a block at a time."""
    while block := stream.read(BLOCK):
        yield block


def limited(stream: Iterator[bytes], size: int, name: str) -> Iterator[bytes]:
    """Yields the blocks of a stream. Raises DataError once they exceed `size` bytes, so that no archive fills the disk."""
    seen = 0
    for block in stream:
        seen += len(block)
        if seen > size:
            raise DataError(f"{name} holds more than the expected {size:,} bytes: get the original from its publisher")
        yield block


def difference(path: Path, size: int, sha256: str, advance: Advance = lambda _: None) -> str:
    """Describes how a file differs from the published one; returns an empty text if it does not.

    Args:
        path: the file.
        size: expected bytes.
        sha256: expected digest.
        advance: receives the size of each block that was read.
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
def explained_if_damaged(path: Path) -> Iterator[None]:
    """Raises a DataError that names the remedy in place of a library's exception about the content of a file."""
    try:
        yield
    except DataError:
        raise
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The operating system raised it, not a decompressor.
        raise DataError(f"{path} is damaged ({error}): remove it and run the download stage again") from None


def write_checked(
    path: Path, stream: Iterator[bytes], size: int, sha256: str, name: str, advance: Advance = lambda _: None
) -> None:
    """Writes a stream to a file, and keeps the file only if it equals the published one.

    Raises:
        DataError: the stream has another size or digest.
    """
    digest, seen = hashlib.sha256(), 0
    with written_whole(path) as out:
        for block in limited(stream, size, name):
            digest.update(block)
            seen += len(block)
            out.write(block)
            advance(len(block))
        if seen != size or digest.hexdigest() != sha256:
            raise DataError(f"{name} is not the published file ({seen:,} of {size:,} bytes, or another sha256)")


def accepted_forms(file: SourceFile) -> list[tuple[str, int, str]]:
    """Returns the name, size and sha256 of each accepted form of a file: as published, and unpacked."""
    forms = [(file.name, file.size, file.sha256)]
    if file.unpacked_name:
        forms.append((file.unpacked_name, file.unpacked_size, file.unpacked_sha256))
    return forms
