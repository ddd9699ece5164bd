"""The table at the end of a sweep: the settings that differ, the scores, and the reason where a job has none."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from reformer.files import DataError, RunFiles, read_json, write_text
from reformer.markdown import markdown_table

TRAINED, BEFORE, SAME, FAILED = "trained", "finished before", "same", "failed"
UNFINISHED = "not finished"
"""The job was killed, interrupted or never started."""
DIVERGED = "diverged"
"""The training ended since its loss is not finite."""


@dataclass
class Row:
    """The outcome of a job."""

    overrides: list[str]
    folder: str = ""
    """Folder of the run, `<root>/runs/<name>`."""
    status: str = UNFINISHED
    why: str = ""

    @property
    def good(self) -> bool:
        """True if the run has a result, from this job or another one."""
        return self.status in (TRAINED, BEFORE, SAME)

    def scores(self) -> tuple[float, float, float] | None:
        """Validation bits/dim, validation accuracy and seconds of training; None without a result."""
        if not self.good:
            return None
        try:
            files = RunFiles.at(Path(self.folder))
            val = read_json(files.train)["val"]
            return val["bits_per_dim"], val["accuracy"], read_json(files.environment)["seconds"]
        except (DataError, KeyError):
            return None  # the files are damaged, or on another machine's disk

    @property
    def outcome(self) -> str:
        """The status, corrected by the scores."""
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
                f"{row.outcome}: {row.why}" if row.why else row.outcome,
                Path(row.folder).name,
            ]
        )
    table = markdown_table(lines[0], lines[1:])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_text(folder / "table.csv", text.getvalue())
    write_text(folder / "table.md", f"{table}\n")
    return f"{table}\n\n{_summary(rows, keys)} -> {folder / 'table.csv'}, table.md"


def _summary(rows: Sequence[Row], keys: Sequence[str]) -> str:
    statuses = [row.outcome for row in rows]
    outcomes = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    scored = [(scores[0], row) for row in rows if (scores := row.scores())]
    finite = [pair for pair in scored if isfinite(pair[0])]
    if len(scored) < 2 or not finite:
        return f"sweep: {outcomes}"
    bits, best = min(finite, key=lambda pair: pair[0])
    return (
        f"sweep: {outcomes}; best: {bits:.4f} bits/dim by {' '.join(f'{key}={_settings(best)[key]}' for key in keys)}"
    )


def _differing(rows: Sequence[Row]) -> list[str]:
    """The settings that are not the same in all jobs, in the order of the command line."""
    all_settings = [_settings(row) for row in rows]
    keys = dict.fromkeys(key for settings in all_settings for key in settings)
    return [key for key in keys if len({settings.get(key) for settings in all_settings}) > 1]


def _settings(row: Row) -> dict[str, str]:
    return {key: value for key, _, value in (item.partition("=") for item in row.overrides)}
