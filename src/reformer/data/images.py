"""Images as published -> one array a split, (N, side, side, 3) uint8. A few blocks of memory for any input."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from reformer.data.archives import npz_images, tar_images, zipped_npz_images
from reformer.data.config import ImagesConfig, SourceFile
from reformer.data.files import DataError, explained_if_damaged, written_whole
from reformer.data.photos import photo_windows
from reformer.data.pixels import area_average
from reformer.data.progress import progress
from reformer.data.read_ahead import read_ahead


def prepare_images(data: ImagesConfig, raw: Path, processed: Path) -> dict[str, dict[str, object]]:
    """Writes train.npy, val.npy and, where the data set has one, test.npy.

    Returns:
        For each split its file and number of images. Without test images of its own, `test` is the same file as `val`.

    Raises:
        DataError: a file is not what was published.
    """
    splits: dict[str, dict[str, object]] = {}
    for split, n_images in data.n_images.items():
        files = [file for file in data.files if file.split == split]
        path = processed / f"{split}.npy"
        with (
            written_whole(path) as out,
            progress(f"prepare {data.name} {split}", n_images * data.side**2 * 3) as advance,
        ):
            array = ArrayWriter(out, data.side)
            for file in files:
                for block in read_ahead(_blocks(file, raw, processed, n_images - array.n_images)):
                    advance(array.append(area_average(block, data.side)))
            if array.n_images != n_images:
                raise DataError(
                    f"{data.name} {split}: {array.n_images:,} images instead of {n_images:,}: download it again"
                )
            array.finish()
        splits[split] = {"file": path.name, "images": n_images}
    splits.setdefault("test", splits["val"])
    return splits


def _blocks(file: SourceFile, raw: Path, scratch: Path, most: int) -> Iterator[np.ndarray]:
    """Yields blocks of square images from a file of any of the published forms.

    Args:
        file: the file.
        raw: its folder.
        scratch: folder for an unpacked piece of it.
        most: images that it may hold at most.
    """
    path = raw / file.name
    if not path.exists():
        raise DataError(f"{path} is missing: run the download stage first")
    with explained_if_damaged(path):
        match path.suffix:
            case ".zip":
                yield from zipped_npz_images(path, most, scratch)
            case ".npz":
                yield from npz_images(path, most, str(path))
            case ".tar":
                yield from tar_images(path, most)
            case ".png" | ".jpg":
                yield from photo_windows(path)
            case _:
                raise DataError(f"{path}: images come as .zip (of .npz), .npz, .tar (of .png), .png or .jpg")


class ArrayWriter:
    """Appends images to a .npy file whose length is known only at the end."""

    def __init__(self, out: BinaryIO, side: int) -> None:
        self.out, self.side, self.n_images = out, side, 0
        self._write_header()

    def _write_header(self) -> None:
        # NumPy pads the header for the first axis to grow, so a later header of the same array fits in its place.
        shape = (self.n_images, self.side, self.side, 3)
        np.lib.format.write_array_header_1_0(self.out, {"descr": "|u1", "fortran_order": False, "shape": shape})

    def append(self, images: np.ndarray) -> int:
        """Writes a block of images behind those before; returns its bytes."""
        self.n_images += len(images)
        return self.out.write(np.ascontiguousarray(images).data)

    def finish(self) -> None:
        """Puts the true count into the header."""
        self.out.seek(0)
        self._write_header()
