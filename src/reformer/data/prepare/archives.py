"""Readers of the two archives in which imagenet64 was published. No member is unpacked under its own name.

An archive cannot fill the disk or the memory: its declared sizes are checked before and while it is read. Arrays are read
as bytes after a checked header, so that no pickle is ever loaded.
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
from multiprocessing import get_context
from pathlib import Path
from shutil import copyfileobj
from typing import IO

import numpy as np

from reformer.data.prepare.pixels import decode, from_planes
from reformer.data.prepare.read_ahead import read_ahead
from reformer.data.published import BLOCK
from reformer.files import DataError
from reformer.processes import end_with_parent

SIDE = 64
IMAGE_BYTES = 3 * SIDE * SIDE
BLOCK_IMAGES = 1024
MAX_PROCESSES = 16
"""Decoding processes. The one process that reads the archive cannot feed more."""
MAX_PNG_BYTES = 1 << 16
"""An incompressible image of 64 x 64 x 3 sub-pixels takes 12.5 KB."""


def zipped_npz_images(path: Path, max_images: int, scratch: Path) -> Iterator[np.ndarray]:
    """Yields the images of all .npz files in a .zip file, in blocks of (n, 64, 64, 3).

    Args:
        path: the .zip file.
        max_images: limit on the number of images.
        scratch: folder on a disk with room for two .npz files at a time.

    Raises:
        DataError: a file holds more images than max_images, or something else.
    """
    with zipfile.ZipFile(path) as archive, ExitStack() as opened:

        def unpack(member: zipfile.ZipInfo) -> tuple[str, IO[bytes]]:
            # Each image has a label of up to 8 bytes; the mean image and the headers need less than a megabyte.
            if member.file_size > max_images * (IMAGE_BYTES + 8) + (1 << 20):
                raise DataError(f"{path}: {member.filename} would unpack to {member.file_size:,} bytes, too many")
            # A .npz file is a .zip file with its directory at the end, so it cannot be read as a stream.
            unpacked = opened.enter_context(tempfile.TemporaryFile(dir=scratch))
            with archive.open(member) as packed:
                copyfileobj(packed, unpacked, BLOCK)
            return f"{path}: {member.filename}", unpacked

        remaining = max_images
        for name, unpacked in read_ahead(map(unpack, [m for m in archive.infolist() if m.filename.endswith(".npz")])):
            with unpacked:
                for block in npz_images(unpacked, remaining, name):
                    remaining -= len(block)
                    yield block


def npz_images(file: Path | IO[bytes], max_images: int, name: str) -> Iterator[np.ndarray]:
    """Yields the images of a .npz file of the "resized" release, in blocks of (n, 64, 64, 3), without the labels.

    Args:
        file: holds `data`, (N, 12288) uint8; each row is the red plane of an image, then the green and the blue one.
        max_images: limit on the number of images.
        name: name of the file in messages.

    Raises:
        DataError: the file holds more images than max_images, or something else.
    """
    with zipfile.ZipFile(file) as archive:
        if "data.npy" not in archive.namelist():
            raise DataError(f"{name} has no array `data`: it is no batch of the npz release")
        member = archive.getinfo("data.npy")
        with archive.open(member) as stream:
            n = _n_rows(stream, name)
            if n > max_images:
                raise DataError(f"{name} holds {n:,} images where at most {max_images:,} are expected")
            if member.file_size != stream.tell() + n * IMAGE_BYTES:
                raise DataError(f"{name} declares {member.file_size:,} bytes for {n:,} images of {IMAGE_BYTES:,}")
            for begin in range(0, n, BLOCK_IMAGES):
                rows = stream.read(min(BLOCK_IMAGES, n - begin) * IMAGE_BYTES)
                yield from_planes(np.frombuffer(rows, np.uint8).reshape(-1, IMAGE_BYTES), SIDE)


def _n_rows(stream: IO[bytes], name: str) -> int:
    """Reads the header of an array and returns its number of rows."""
    major, _ = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read_header(stream)
    if dtype != np.uint8 or fortran_order or len(shape) != 2 or shape[1] != IMAGE_BYTES:
        raise DataError(f"{name}: `data` is {dtype} {shape}, not uint8 (N, {IMAGE_BYTES})")
    return shape[0]


def tar_images(path: Path, max_images: int) -> Iterator[np.ndarray]:
    """Yields the PNG images of a .tar file of the "small" release in order, in blocks of (n, 64, 64, 3).

    Args:
        path: the .tar file, decoded on all cores.
        max_images: limit on the number of images.
    """
    members = _png_members(path, max_images)
    n_processes = min(os.cpu_count() or 1, MAX_PROCESSES)
    pending: deque[Future[np.ndarray]] = deque()
    with ProcessPoolExecutor(n_processes, get_context("spawn"), _initialize_worker) as pool:
        while pngs := list(islice(members, BLOCK_IMAGES // 4)):
            pending.append(pool.submit(_decode_all, pngs))
            if len(pending) > 2 * n_processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _initialize_worker() -> None:
    """Makes a process ignore Ctrl-C, which its parent receives too, and end with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _png_members(path: Path, max_images: int) -> Iterator[bytes]:
    """Yields the bytes of each PNG file in a .tar file."""
    with tarfile.open(path, "r|") as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # it would keep an object for each of a million files
            if not (member.isfile() and member.name.endswith(".png")):
                continue
            if member.size > MAX_PNG_BYTES:
                raise DataError(f"{path}: {member.name} has {member.size:,} bytes, too many for {SIDE} x {SIDE} pixels")
            max_images -= 1
            if max_images < 0:
                raise DataError(f"{path} holds more images than expected")
            content = archive.extractfile(member)
            assert content is not None
            data = content.read()
            # The header declares the size. Checking it before decoding keeps a small file from filling the memory.
            if data[:8] != b"\x89PNG\r\n\x1a\n" or struct.unpack(">II", data[16:24]) != (SIDE, SIDE):
                raise DataError(f"{path}: {member.name} is not a PNG image of {SIDE} x {SIDE} pixels")
            yield data


def _decode_all(pngs: Sequence[bytes]) -> np.ndarray:
    images = np.empty((len(pngs), SIDE, SIDE, 3), np.uint8)
    for image, png in zip(images, pngs, strict=True):
        image[:] = decode(png)
    return images
