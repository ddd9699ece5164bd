"""Conversion of a published text to its three splits of flat bytes, in one pass."""

import bz2
import hashlib
import re
import zipfile
from bisect import bisect
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import accumulate, pairwise
from mmap import ACCESS_READ, mmap
from pathlib import Path

from reformer.data.config import SPLITS, SourceFile, TextConfig
from reformer.data.published import accepted_forms, blocks, explained_if_damaged, limited
from reformer.files import DataError, written_whole
from reformer.progress import ProgressBar


def prepare_text(data: TextConfig, raw: Path, processed: Path) -> dict[str, dict[str, object]]:
    """Writes train.bin, val.bin and test.bin, one byte per token.

    Returns:
        The file, the number of tokens and, if `document_end` is set, the ends of the documents of each split.

    Raises:
        DataError: the text differs from the published one, or has nothing for one of the splits.
    """
    (file,) = data.files
    digest, paths = hashlib.sha256(), {split: processed / f"{split}.bin" for split in SPLITS}
    with ExitStack() as stack:
        outs = [stack.enter_context(written_whole(path)) for path in paths.values()]
        bar = stack.enter_context(ProgressBar(f"prepare {data.name}", file.unpacked_size))
        divide = _by_document if data.whole_documents else _in_order
        position = 0
        for number, piece in divide(data, limited(_unpacked(file, raw), file.unpacked_size, file.name)):
            outs[number].write(piece)
            bar.advance(len(piece))
            digest.update(piece)
            position += len(piece)
        if position != file.unpacked_size or digest.hexdigest() != file.unpacked_sha256:
            raise DataError(f"{raw / file.name} does not unpack to the published text: remove it and download again")
        _require_tokens(data, {split: out.tell() for split, out in zip(SPLITS, outs, strict=True)})
    return {split: _described(path, data.document_end.encode()) for split, path in paths.items()}


def _require_tokens(data: TextConfig, n_tokens: Mapping[str, int]) -> None:
    for (split, found), share in zip(n_tokens.items(), data.split, strict=True):
        if share and not found:
            what = "document" if data.whole_documents else "byte"
            other = "data.whole_documents=false" if data.whole_documents else "a longer text"
            raise DataError(f"{data.name}: no {what} of the text fell to {split}: set another data.split, or {other}")


def _in_order(data: TextConfig, stream: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yields the pieces of a text in order, each with the number of its split: a share for each split, in order."""
    ranges = list(pairwise([0, *(round(share * data.files[0].unpacked_size) for share in accumulate(data.split))]))
    position = 0
    for block in stream:
        for number, (begin, end) in enumerate(ranges):
            if piece := block[max(begin - position, 0) : max(end - position, 0)]:
                yield number, piece
        position += len(block)


def _by_document(data: TextConfig, stream: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yields the documents of a text in order, each with the number of its split, selected by the document's digest."""
    end, rest = data.document_end.encode(), b""
    limits = list(accumulate(data.split))
    for block in stream:
        *documents, rest = (rest + block).split(end)
        for document in documents:
            share = int.from_bytes(hashlib.sha256(document).digest()[:8]) / 2**64
            yield min(bisect(limits, share), len(limits) - 1), document + end
    yield 0, rest


def _described(path: Path, document_end: bytes) -> dict[str, object]:
    """Returns the file and the number of tokens of a split, and the positions after each whole document, if they are known."""
    described: dict[str, object] = {"file": path.name, "tokens": path.stat().st_size}
    if document_end and described["tokens"]:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as text:
            described["document_ends"] = [found.end() for found in re.finditer(re.escape(document_end), text)]
    return described


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
