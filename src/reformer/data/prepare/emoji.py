"""Drawings of emoji from a wheel, divided into splits by what they show."""

import re
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from reformer.files import DataError

SIDE = 72
NAME = re.compile(r"(?:.*/)?(?P<points>[0-9a-f]+(?:-[0-9a-f]+)*)\.png")
"""Form of a drawing's file name: its Unicode code points in hexadecimal."""
VARIANT = {*range(0x1F3FB, 0x1F400), 0x2640, 0x2642, 0x200D, 0xFE0F}
"""Code points that vary a motif: skin tones, genders, the joiner and the selector of the coloured form."""
OF_256 = {"test": range(48), "val": range(48, 64), "train": range(64, 256)}
"""Values of the first byte of a motif's digest, by split: 3/16, 1/16 and 3/4 of the motifs."""
MAX_PNG_BYTES = 1 << 16
BLOCK_IMAGES = 256


def emoji_drawings(path: Path, split: str, max_images: int) -> Iterator[np.ndarray]:
    """Yields the drawings of one split on a white ground, in blocks of (n, 72, 72, 3) uint8, in the order of their names.

    The variants of a motif are all in one split. The training split has all of them, the others have one drawing of each
    motif, so that their drawings are independent of each other.

    Args:
        path: the wheel, a ZIP archive.
        split: train, val or test.
        max_images: limit on the number of drawings.

    Raises:
        DataError: the archive has more drawings or larger ones.
    """
    with zipfile.ZipFile(path) as archive:
        members = _members(archive, split)
        if len(members) > max_images:
            raise DataError(f"{path} holds {len(members):,} drawings of {split} where {max_images:,} are expected")
        for begin in range(0, len(members), BLOCK_IMAGES):
            yield np.stack([_drawing(archive, member) for member in members[begin : begin + BLOCK_IMAGES]])


def _members(archive: zipfile.ZipFile, split: str) -> list[zipfile.ZipInfo]:
    of_split: dict[int, list[zipfile.ZipInfo]] = {}
    for member in sorted(archive.infolist(), key=lambda member: member.filename):
        found = NAME.fullmatch(member.filename)
        if found and split_of(motif := motif_of(found["points"])) == split:
            of_split.setdefault(motif, []).append(member)
    n_variants = None if split == "train" else 1
    return [member for members in of_split.values() for member in members[:n_variants]]


def motif_of(points: str) -> int:
    """Returns the first code point of a name that does not vary a motif.

    Args:
        points: code points in hexadecimal, as `1f468-1f3fb-200d-1f9b0`.
    """
    values = [int(point, 16) for point in points.split("-")]
    return next((value for value in values if value not in VARIANT), values[0])


def split_of(motif: int) -> str:
    """Returns the split of a motif."""
    byte = sha256(f"{motif:x}".encode()).digest()[0]
    return next(split for split, values in OF_256.items() if byte in values)


def _drawing(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Decodes a drawing, checked for its size before, onto white: (72, 72, 3) uint8."""
    if member.file_size > MAX_PNG_BYTES:
        raise DataError(f"{archive.filename}: {member.filename} has {member.file_size:,} bytes, too many for a drawing")
    with Image.open(BytesIO(archive.read(member)), formats=("PNG",)) as image:
        if image.size != (SIDE, SIDE):
            raise DataError(f"{archive.filename}: {member.filename} is not of {SIDE} x {SIDE} pixels")
        pixels = np.array(image.convert("RGBA")).astype(np.uint32)
    colours, opacity = pixels[..., :3], pixels[..., 3:]
    return ((2 * (colours * opacity + 255 * (255 - opacity)) + 255) // 510).astype(np.uint8)
