"""Square windows of several sizes from photographs of any size: a few photos give hundreds of small images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from reformer.data.prepare.pixels import decode

WINDOW_SIDES = (64, 128, 256)
"""Pixels per side of the windows: close-ups and wider views."""


def photo_windows(path: Path) -> Iterator[np.ndarray]:
    """Yields the half-overlapping windows of a PNG or JPEG file in raster order, (n, side, side, 3) uint8 for each size."""
    photo = decode(path.read_bytes())
    for side in WINDOW_SIDES:
        windows = np.lib.stride_tricks.sliding_window_view(photo, (side, side), axis=(0, 1))
        half_overlapping = windows[:: side // 2, :: side // 2]  # (rows, columns, 3, side, side)
        yield half_overlapping.reshape(-1, 3, side, side).transpose(0, 2, 3, 1)
