"""The stage that brings every data set into one form: a flat uint8 array a split, read by memory map, and meta.json."""

import json
from pathlib import Path

from reformer.data.config import DownloadedConfig, ImagesConfig, TextConfig
from reformer.data.files import DataError, written_whole
from reformer.data.images import prepare_images
from reformer.data.text import prepare_text

META = "meta.json"


def prepare(data: DownloadedConfig, raw: Path, processed: Path) -> None:
    """Turns the raw files into train, val and test arrays. The same input gives the same bytes.

    meta.json is written last: where it stands, all arrays are whole. A run that was killed is simply run again.

    Args:
        data: a text or images.
        raw: folder of the downloaded files.
        processed: folder of the arrays.

    Raises:
        DataError: a raw file is missing, or is not what was published.
    """
    processed.mkdir(parents=True, exist_ok=True)
    (processed / META).unlink(missing_ok=True)
    meta: dict[str, object] = {"name": data.name, "kind": data.kind}
    match data:
        case TextConfig():
            unit, splits = "tokens", prepare_text(data, raw, processed)
            what = unit
        case ImagesConfig():
            unit, splits = "images", prepare_images(data, raw, processed)
            meta["side"] = data.side
            what = f"images of {data.side} x {data.side} pixels"
        case _:
            raise DataError(f"data.kind={data.kind} needs no preparation")
    meta["splits"] = splits
    with written_whole(processed / META) as out:
        out.write((json.dumps(meta, indent=2) + "\n").encode())
    counts = ", ".join(f"{entry[unit]:,} {split}" for split, entry in splits.items())
    print(f"prepare {data.name}: {what}: {counts} -> {processed}")
