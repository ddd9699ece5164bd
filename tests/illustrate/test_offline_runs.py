"""Curves are read from the files that W&B writes offline, whatever the blocks cut apart."""

import json
from pathlib import Path

import pytest
from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

from reformer.illustrate.offline_runs import BLOCK, FIRST, HEADER, LAST, MIDDLE, WHOLE, curves_of, records
from reformer.tracking.metrics import STEP


def row(**values: object) -> Record:
    """A record of a step; the names of metrics may be nested."""
    record = Record()
    for name, value in values.items():
        item = record.history.item.add(value_json=json.dumps(value))
        item.nested_key.extend(name.split("/"))
    return record


def named(name: str) -> Record:
    record = Record()
    record.run.display_name = name
    return record


def file_of(*stored: Record) -> bytes:
    """A log of the records, cut at the ends of blocks."""
    content = bytes(HEADER.size)
    for record in stored:
        rest, kind = record.SerializeToString(), FIRST
        while True:
            room = BLOCK - len(content) % BLOCK
            if room < HEADER.size:
                content += bytes(room)
                continue
            piece, rest = rest[: room - HEADER.size], rest[room - HEADER.size :]
            is_last = not rest
            content += HEADER.pack(0, len(piece), {FIRST: WHOLE, MIDDLE: LAST}[kind] if is_last else kind) + piece
            if is_last:
                break
            kind = MIDDLE
    return content


def test_curves_are_read_by_metric(tmp_path: Path):
    steps = [row(**{STEP: at, "train/loss": 0.5 * at}) for at in (3, 7)]
    other = [row(**{STEP: 7, "val/loss": 2, "val/table": {"path": "x"}}), row(**{"system/cpu": 1.5})]
    (tmp_path / "run-x.wandb").write_bytes(file_of(named("small"), *steps, *other))
    assert curves_of(tmp_path) == ("small", {"train/loss": [(3, 1.5), (7, 3.5)], "val/loss": [(7, 2)]})


@pytest.mark.parametrize("length", [10, BLOCK - 30, BLOCK - 20, BLOCK, 3 * BLOCK])
def test_records_cross_blocks(length):
    stored = [named("a" * length), named("b"), named("c" * length)]
    assert [record.run.display_name for record in records(file_of(*stored))] == [r.run.display_name for r in stored]


def test_a_cut_file_has_its_complete_records():
    content = file_of(named("a"), named("b" * 2 * BLOCK))
    assert [record.run.display_name for record in records(content[: BLOCK + 100])] == ["a"]
