"""The table that a sweep ends in: what differs between its runs, how each scored, and why one has no score."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

TRAINED, BEFORE, SAME, FAILED = "trained", "finished before", "same", "failed"
UNFINISHED = "not finished"
"""Killed, interrupted, or never begun."""
DIVERGED = "diverged"
"""Trained to the end, but to a loss that is no number: a result, and never the best."""


@dataclass
class Row:
    """What became of a job."""

    overrides: list[str]
    folder: str = ""
    """Of the run: `<root>/runs/<name>`."""
    status: str = UNFINISHED
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether there is a result, be it another job's."""
        return self.status in (TRAINED, BEFORE, SAME)

    def scores(self) -> tuple[float, float, float] | None:
        """Held-out bits/dim and accuracy, and the seconds of the training; None where there are none."""
        if not self.good:
            return None
        try:
            val = _read(self.folder, "train.json")["val"]
            return val["bits_per_dim"], val["accuracy"], _read(self.folder, "environment.json")["seconds"]
        except FileNotFoundError:
            return None  # of another machine's disk, or that job has failed

    def told(self) -> str:
        """The status, and what its scores say of it."""
        scores = self.scores()
        return DIVERGED if scores and not isfinite(scores[0]) else self.status


def write_table(folder: Path, rows: Sequence[Row]) -> str:
    """Writes table.csv and table.md into the sweep's folder, and returns what to print."""
    keys = _differing(rows)
    lines = [[*keys, "val bits/dim", "val accuracy", "seconds", "status", "run"]]
    for row in rows:
        bits, accuracy, seconds = row.scores() or (None, None, None)
        lines.append(
            [
                *(_settings(row).get(key, "") for key in keys),
                "" if bits is None else f"{bits:.4f}",
                "" if accuracy is None else f"{accuracy:.4f}",
                "" if seconds is None else f"{seconds:.1f}",
                f"{row.told()}: {row.why}" if row.why else row.told(),
                Path(row.folder).name,
            ]
        )
    table = markdown(lines)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.csv").write_text(text.getvalue(), encoding="utf-8")
    (folder / "table.md").write_text(table, encoding="utf-8")
    return f"{table}\n{_summary(rows, keys)} -> {folder / 'table.csv'}, table.md"


def _summary(rows: Sequence[Row], keys: Sequence[str]) -> str:
    statuses = [row.told() for row in rows]
    told = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    scored = [(scores[0], row) for row in rows if (scores := row.scores())]
    finite = [pair for pair in scored if isfinite(pair[0])]
    if len(scored) < 2 or not finite:
        return f"sweep: {told}"
    bits, best = min(finite, key=lambda pair: pair[0])
    return f"sweep: {told}; best: {bits:.4f} bits/dim by {' '.join(f'{key}={_settings(best)[key]}' for key in keys)}"


def _differing(rows: Sequence[Row]) -> list[str]:
    """The settings that are not the same in all jobs, in the order of the command line."""
    all_settings = [_settings(row) for row in rows]
    keys = dict.fromkeys(key for settings in all_settings for key in settings)
    return [key for key in keys if len({settings.get(key) for settings in all_settings}) > 1]


def _settings(row: Row) -> dict[str, str]:
    return {key: value for key, _, value in (item.partition("=") for item in row.overrides)}


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table of which the first line is the head."""
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]]) + "\n"


def _read(folder: str, name: str) -> Any:
    return json.loads((Path(folder) / name).read_text(encoding="utf-8"))
