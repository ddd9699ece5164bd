"""Reads the curves of runs that W&B has logged offline.

A `.wandb` file is a LevelDB log: blocks of 32 KiB with pieces of records. Each piece follows a header of checksum, length
and kind.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from struct import Struct

from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

from reformer.tracking.metrics import STEP

BLOCK = 32768
"""Bytes of a block. No piece crosses its end."""
HEADER = Struct("<IHB")
"""Checksum, length and kind of a piece. The file begins with as many bytes of its own."""
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
"""Kinds of pieces."""


def records(content: bytes) -> Iterator[Record]:
    """Yields the complete records of a `.wandb` file. A run that was killed has lost its last ones."""
    at, pieces = HEADER.size, b""
    while at + HEADER.size <= len(content):
        room = BLOCK - at % BLOCK
        if room < HEADER.size:  # too little for a header: filled up with zeros
            at += room
            continue
        _, length, kind = HEADER.unpack_from(content, at)
        at += HEADER.size + length
        if kind not in (WHOLE, FIRST, MIDDLE, LAST):
            return
        pieces += content[at - length : at]
        if kind in (WHOLE, LAST):
            yield Record.FromString(pieces)
            pieces = b""


def curves_of(folder: Path) -> tuple[str, dict[str, list[tuple[int, float]]]]:
    """Reads a run.

    Args:
        folder: its folder, `wandb/offline-run-<time>-<id>`.

    Returns:
        The run's name, and by metric its values after numbers of training steps.
    """
    name, curves = "", defaultdict(list)
    (file,) = folder.glob("*.wandb")
    for record in records(file.read_bytes()):
        if record.HasField("run"):
            name = record.run.display_name
        row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for key in row.keys() - {STEP} if STEP in row else ():
            if isinstance(row[key], int | float):
                curves[key].append((row[STEP], row[key]))
    return name, dict(curves)
