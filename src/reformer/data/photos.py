"""Photographs of any size -> square windows of several sizes, so that a few photos give hundreds of small images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from reformer.data.pixels import decode

WINDOW_SIDES = (64, 128, 256)
"""Pixels a side of the windows: close-ups and wider views, each to be averaged down to the images' side."""


def photo_windows(path: Path) -> Iterator[np.ndarray]:
    """Yields all windows of a photo that overlap their neighbours by half, those of each size together.

    Args:
        path: a PNG or JPEG file.

    Yields:
        (n, side, side, 3) uint8, in raster order.
    """
    photo = decode(path.read_bytes())
    for side in WINDOW_SIDES:
        windows = np.lib.stride_tricks.sliding_window_view(photo, (side, side), axis=(0, 1))
        half_overlapping = windows[:: side // 2, :: side // 2]  # (rows, columns, 3, side, side)
        yield half_overlapping.reshape(-1, 3, side, side).transpose(0, 2, 3, 1)
