"""Conversion of published images to one array per split, (N, side, side, 3) uint8, a few blocks in memory at a time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from reformer.data.config import BY_MOTIF, ImagesConfig, SourceFile
from reformer.data.prepare.archives import npz_images, tar_images, zipped_npz_images
from reformer.data.prepare.emoji import emoji_drawings
from reformer.data.prepare.photos import photo_windows
from reformer.data.prepare.pixels import area_average
from reformer.data.prepare.read_ahead import read_ahead
from reformer.data.published import explained_if_damaged
from reformer.files import DataError, written_whole
from reformer.progress import ProgressBar


def prepare_images(data: ImagesConfig, raw: Path, processed: Path) -> dict[str, dict[str, object]]:
    """Writes train.npy, val.npy and, if the data set has test images, test.npy.

    Returns:
        The file and the number of images of each split. Without test images, the entry of `test` is that of `val`.

    Raises:
        DataError: a file differs from the published one.
    """
    splits: dict[str, dict[str, object]] = {}
    for split, n_images in data.n_images.items():
        path, shape = processed / f"{split}.npy", (n_images, data.side, data.side, 3)
        with written_whole(path) as out, ProgressBar(f"prepare {data.name} {split}", int(np.prod(shape))) as bar:
            np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
            n_found = 0
            for file in (file for file in data.files if file.split in (split, BY_MOTIF)):
                for block in read_ahead(_blocks(file, split, raw, processed, n_images - n_found)):
                    n_found += len(block)
                    bar.advance(out.write(np.ascontiguousarray(area_average(block, data.side)).data))
            if n_found != n_images:
                raise DataError(f"{data.name} {split}: {n_found:,} images instead of {n_images:,}: download it again")
        splits[split] = {"file": path.name, "images": n_images}
    splits.setdefault("test", splits["val"])
    return splits


def _blocks(file: SourceFile, split: str, raw: Path, scratch: Path, max_images: int) -> Iterator[np.ndarray]:
    """Yields the images of a file in blocks of (n, width, width, 3).

    Args:
        file: a file in any of the published formats.
        split: the split whose images are wanted.
        raw: its folder.
        scratch: folder for temporary files.
        max_images: limit on the number of images.
    """
    path = raw / file.name
    if not path.exists():
        raise DataError(f"{path} is missing: run the download stage first")
    with explained_if_damaged(path):
        match path.suffix:
            case ".zip":
                yield from zipped_npz_images(path, max_images, scratch)
            case ".npz":
                yield from npz_images(path, max_images, str(path))
            case ".tar":
                yield from tar_images(path, max_images)
            case ".png" | ".jpg":
                yield from photo_windows(path)
            case ".whl":
                yield from emoji_drawings(path, split, max_images)
            case _:
                raise DataError(f"{path}: images come as .zip (of .npz), .npz, .tar (of .png), .png, .jpg or .whl")
