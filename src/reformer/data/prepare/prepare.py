"""The prepare stage: converts every data set to one uint8 array per split, read by memory map, and meta.json."""

from pathlib import Path

from reformer.data.config import DownloadedConfig, ImagesConfig, TextConfig
from reformer.data.prepare.images import prepare_images
from reformer.data.prepare.text import prepare_text
from reformer.files import META, DataError, digest_of, write_json


def prepare(data: DownloadedConfig, raw: Path, processed: Path) -> None:
    """Converts the raw files to train, val and test arrays. Equal inputs give equal bytes.

    meta.json is written last: its presence proves that all arrays are complete. It has the size and the digest of each.

    Args:
        data: a text or images.
        raw: folder of the downloaded files.
        processed: folder of the arrays.

    Raises:
        DataError: a raw file is missing or differs from the published one.
    """
    (processed / META).unlink(missing_ok=True)
    meta: dict[str, object] = {"name": data.name, "kind": data.kind}
    match data:
        case TextConfig():
            unit, splits = "tokens", prepare_text(data, raw, processed)
            content = unit
        case ImagesConfig():
            unit, splits = "images", prepare_images(data, raw, processed)
            meta["side"] = data.side
            content = f"images of {data.side} x {data.side} pixels"
        case _:
            raise DataError(f"data.kind={data.kind} needs no preparation")
    for entry in splits.values():
        path = processed / str(entry["file"])
        entry |= {"bytes": path.stat().st_size, "sha256": digest_of(path)}
    meta["splits"] = splits
    write_json(processed / META, meta)
    counts = ", ".join(f"{entry[unit]:,} {split}" for split, entry in splits.items())
    print(f"prepare {data.name}: {content}: {counts} -> {processed}")
