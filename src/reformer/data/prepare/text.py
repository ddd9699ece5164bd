"""Conversion of a published text to its three splits, flat bytes in order, in one pass and one block of memory."""

import bz2
import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import accumulate, pairwise
from pathlib import Path

from reformer.data.config import SPLITS, SourceFile, TextConfig
from reformer.data.published import accepted_forms, blocks, explained_if_damaged, limited
from reformer.files import DataError, written_whole
from reformer.progress import ProgressBar


def prepare_text(data: TextConfig, raw: Path, processed: Path) -> dict[str, dict[str, object]]:
    """Writes train.bin, val.bin and test.bin, one byte per token.

    Returns:
        The file and the number of tokens of each split.

    Raises:
        DataError: the text differs from the published one.
    """
    (file,) = data.files
    ranges = list(pairwise([0, *(round(share * file.unpacked_size) for share in accumulate(data.split))]))
    digest = hashlib.sha256()
    with ExitStack() as stack:
        outs = [stack.enter_context(written_whole(processed / f"{split}.bin")) for split in SPLITS]
        bar = stack.enter_context(ProgressBar(f"prepare {data.name}", file.unpacked_size))
        position = 0
        for block in limited(_unpacked(file, raw), file.unpacked_size, file.name):
            digest.update(block)
            for out, (begin, end) in zip(outs, ranges, strict=True):
                out.write(block[max(begin - position, 0) : max(end - position, 0)])
            position += len(block)
            bar.advance(len(block))
        if position != file.unpacked_size or digest.hexdigest() != file.unpacked_sha256:
            raise DataError(f"{raw / file.name} does not unpack to the published text: remove it and download again")
    return {
        split: {"file": f"{split}.bin", "tokens": end - begin}
        for split, (begin, end) in zip(SPLITS, ranges, strict=True)
    }


def _unpacked(file: SourceFile, raw: Path) -> Iterator[bytes]:
    """Yields the bytes of the text from the form of it that the raw folder holds."""
    path = next((raw / name for name, _, _ in accepted_forms(file) if (raw / name).exists()), None)
    if path is None:
        raise DataError(f"{raw / file.name} is missing: run the download stage first")
    with explained_if_damaged(path), ExitStack() as stack:
        match path.suffix:
            case ".zip":
                archive = stack.enter_context(zipfile.ZipFile(path))
                if file.unpacked_name not in archive.namelist():
                    raise DataError(f"{path} has no {file.unpacked_name}: remove it and download again")
                yield from blocks(stack.enter_context(archive.open(file.unpacked_name)))
            case ".bz2":
                yield from blocks(stack.enter_context(bz2.open(path)))
            case _:
                yield from blocks(stack.enter_context(path.open("rb")))
