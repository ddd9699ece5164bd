"""A text as published -> its three splits, flat bytes in order. One pass, a block of memory."""

import bz2
import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path

from reformer.data.config import SPLITS, SourceFile, TextConfig
from reformer.data.files import DataError, acceptable, blocks, explained_if_damaged, limited, written_whole
from reformer.data.progress import progress


def prepare_text(data: TextConfig, raw: Path, processed: Path) -> dict[str, dict[str, object]]:
    """Writes train.bin, val.bin and test.bin, one byte a token.

    Returns:
        For each split its file and number of tokens.

    Raises:
        DataError: the text is not the published one.
    """
    (file,) = data.files
    borders = [0, *(round(share * file.unpacked_size) for share in accumulate(data.split))]
    sizes = {split: end - begin for split, begin, end in zip(SPLITS, borders, borders[1:], strict=False)}
    digest = hashlib.sha256()
    with ExitStack() as stack:
        outs = [stack.enter_context(written_whole(processed / f"{split}.bin")) for split in SPLITS]
        advance = stack.enter_context(progress(f"prepare {data.name}", file.unpacked_size))
        position = 0
        for block in limited(_unpacked(file, raw), file.unpacked_size, file.name):
            digest.update(block)
            for out, begin, end in zip(outs, borders, borders[1:], strict=False):
                out.write(block[max(begin - position, 0) : max(end - position, 0)])
            position += len(block)
            advance(len(block))
        if position != file.unpacked_size or digest.hexdigest() != file.unpacked_sha256:
            raise DataError(f"{raw / file.name} does not unpack to the published text: remove it and download again")
    return {split: {"file": f"{split}.bin", "tokens": size} for split, size in sizes.items()}


def _unpacked(file: SourceFile, raw: Path) -> Iterator[bytes]:
    """Yields the text's bytes from whichever form of it lies in the raw folder."""
    path = next((raw / name for name, _, _ in acceptable(file) if (raw / name).exists()), None)
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
