"""The two archives in which imagenet64 was published, read as streams: nothing is unpacked under a name of theirs.

Sizes that an archive declares are checked before it is read, and hold while it is read: it can fill neither the disk
nor the memory. Arrays are read as bytes behind a checked header, so that no pickle is ever loaded.
"""

import os
import signal
import struct
import tarfile
import tempfile
import zipfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from shutil import copyfileobj
from threading import Thread
from typing import IO

import numpy as np

from reformer.data.files import BLOCK, DataError
from reformer.data.pixels import decode, from_planes
from reformer.data.read_ahead import read_ahead

SIDE = 64
ROW = 3 * SIDE * SIDE
"""Bytes an image."""
BLOCK_IMAGES = 1024
MOST_PROCESSES = 16
"""One process unpacks the archive for no more than about so many that decode."""
LARGEST_PNG = 1 << 16
"""Bytes; 64 x 64 x 3 sub-pixels that do not compress at all take 12.5 KB."""


def zipped_npz_images(path: Path, most: int, scratch: Path) -> Iterator[np.ndarray]:
    """Yields the images of all .npz files in a .zip file, in blocks of (n, 64, 64, 3).

    Args:
        path: the .zip file.
        most: images that it may hold at most.
        scratch: folder on a disk with room for two .npz files at a time.
    """
    with zipfile.ZipFile(path) as archive, ExitStack() as opened:

        def unpack(member: zipfile.ZipInfo) -> tuple[str, IO[bytes]]:
            # Beside the images, each has a label; the mean image and the headers stay under a megabyte.
            if member.file_size > most * (ROW + 8) + (1 << 20):
                raise DataError(f"{path}: {member.filename} would unpack to {member.file_size:,} bytes, too many")
            # A .npz file is a .zip file itself, whose directory is at its end: it cannot be read as a stream.
            unpacked = opened.enter_context(tempfile.TemporaryFile(dir=scratch))
            with archive.open(member) as packed:
                copyfileobj(packed, unpacked, BLOCK)
            return f"{path}: {member.filename}", unpacked

        left = most
        for what, unpacked in read_ahead(map(unpack, [m for m in archive.infolist() if m.filename.endswith(".npz")])):
            with unpacked:
                for block in npz_images(unpacked, left, what):
                    left -= len(block)
                    yield block


def npz_images(file: Path | IO[bytes], most: int, what: str) -> Iterator[np.ndarray]:
    """Yields the images of a .npz file in the layout of the "resized" release, in blocks of (n, 64, 64, 3).

    Args:
        file: holds `data`, (N, 12288) uint8: a row is an image's red plane, then green, then blue. Labels are left out.
        most: images that it may hold at most.
        what: name of the file in messages.
    """
    with zipfile.ZipFile(file) as archive:
        if "data.npy" not in archive.namelist():
            raise DataError(f"{what} has no array `data`: it is no batch of the npz release")
        member = archive.getinfo("data.npy")
        with archive.open(member) as stream:
            n = _rows(stream, what)
            if n > most:
                raise DataError(f"{what} holds {n:,} images where at most {most:,} are expected")
            if member.file_size != stream.tell() + n * ROW:
                raise DataError(f"{what} declares {member.file_size:,} bytes for {n:,} images of {ROW:,}")
            for begin in range(0, n, BLOCK_IMAGES):
                rows = stream.read(min(BLOCK_IMAGES, n - begin) * ROW)
                yield from_planes(np.frombuffer(rows, np.uint8).reshape(-1, ROW), SIDE)


def _rows(stream: IO[bytes], what: str) -> int:
    """Reads an array's header and returns its number of rows."""
    major, _ = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read_header(stream)
    if dtype != np.uint8 or fortran_order or len(shape) != 2 or shape[1] != ROW:
        raise DataError(f"{what}: `data` is {dtype} {shape}, not uint8 (N, {ROW})")
    return shape[0]


def tar_images(path: Path, most: int) -> Iterator[np.ndarray]:
    """Yields the PNG images of a .tar file in its order, decoded on all cores, in blocks of (n, 64, 64, 3).

    Args:
        path: the .tar file of the "small" release.
        most: images that it may hold at most.
    """
    members = _png_members(path, most)
    n_processes = min(os.cpu_count() or 1, MOST_PROCESSES)
    pending: deque[Future[np.ndarray]] = deque()
    with ProcessPoolExecutor(n_processes, get_context("spawn"), _end_with_parent) as pool:  # spawned on every system
        while pngs := list(islice(members, BLOCK_IMAGES // 4)):
            pending.append(pool.submit(_decode_all, pngs))
            if len(pending) > 2 * n_processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _end_with_parent() -> None:
    """Makes a process that decodes end when its parent does, even if that is killed, and not by Ctrl-C, which the
    parent hears too and tells it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _png_members(path: Path, most: int) -> Iterator[bytes]:
    """Yields the bytes of each PNG file in a .tar file."""
    with tarfile.open(path, "r|") as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # it would keep an object for each of a million files
            if not (member.isfile() and member.name.endswith(".png")):
                continue
            if member.size > LARGEST_PNG:
                raise DataError(f"{path}: {member.name} has {member.size:,} bytes, too many for {SIDE} x {SIDE} pixels")
            most -= 1
            if most < 0:
                raise DataError(f"{path} holds more images than expected")
            content = archive.extractfile(member)
            assert content is not None
            data = content.read()
            # The size is in the header: checked before decoding, a small file cannot blow up in memory.
            if data[:8] != b"\x89PNG\r\n\x1a\n" or struct.unpack(">II", data[16:24]) != (SIDE, SIDE):
                raise DataError(f"{path}: {member.name} is not a PNG image of {SIDE} x {SIDE} pixels")
            yield data


def _decode_all(pngs: Sequence[bytes]) -> np.ndarray:
    images = np.empty((len(pngs), SIDE, SIDE, 3), np.uint8)
    for image, png in zip(images, pngs, strict=True):
        image[:] = decode(png)
    return images
