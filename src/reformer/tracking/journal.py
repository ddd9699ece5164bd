"""The record of a training's W&B run, kept beside its checkpoint, so that a resumed training goes on with the same run.

W&B writes an offline run in blocks: a killed process loses the last ones, and a second process cannot append to it. The journal
has what was logged. A resumed training logs it again where its run lacks it.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reformer.files import write_text
from reformer.tracking.metrics import TRAIN_LOSS

NAME = "wandb.jsonl"
Entry = tuple[int, dict[str, Any]]
"""A step, and the metrics that were logged at it."""


class Journal:
    """The id and the metrics of one W&B run. Its file has the id on the first line, and an entry on each further line.

    Attributes:
        id: id of the W&B run; empty before the first start.
        folder: folder of the W&B run of the interrupted process.
        arrived: last step that the resumed run holds already.
    """

    def __init__(self, folder: Path | None) -> None:
        """
        Args:
            folder: folder of the run's checkpoints; None keeps no journal.
        """
        self.path = folder / NAME if folder else None
        head, self._earlier = _read(self.path) if self.path else ({}, [])
        self.id, self.folder = head.get("id", ""), head.get("folder", "")
        self.arrived = -1

    def begin(self, run_id: str, folder: str) -> None:
        """Notes the run that this process logs to."""
        self.id, self.folder = run_id, folder
        self._write(self._earlier)

    def missing_before(self, step: int, metrics: Mapping[str, Any]) -> list[Entry]:
        """Returns what was logged before this entry, and the resumed run lacks. Later calls return nothing."""
        if not self._earlier:
            return []
        # The loss of a step has the number of the steps before it. The scores at the same number were logged earlier.
        kept = [
            (at, entry)
            for at, entry in self._earlier
            if at < step or (at == step and TRAIN_LOSS in metrics and TRAIN_LOSS not in entry)
        ]
        self._earlier = []
        self._write(kept)
        return [(at, entry) for at, entry in kept if at > self.arrived]

    def note(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Appends an entry."""
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(step, metrics))

    def _write(self, entries: list[Entry]) -> None:
        if self.path:
            head = json.dumps({"id": self.id, "folder": self.folder}) + "\n"
            write_text(self.path, head + "".join(_line(step, metrics) for step, metrics in entries))


def _line(step: int, metrics: Mapping[str, Any]) -> str:
    return json.dumps([step, dict(metrics)], default=float) + "\n"


def _read(path: Path) -> tuple[dict[str, Any], list[Entry]]:
    """Reads a journal up to its first damaged line."""
    head: dict[str, Any] = {}
    entries: list[Entry] = []
    for line in _lines(path):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            break
        match content:
            case {"id": str(), "folder": str()}:
                head = content
            case [int(step), dict(metrics)]:
                entries.append((step, metrics))
    return head, entries


def _lines(path: Path) -> Iterator[str]:
    if path.is_file():
        yield from path.read_text(encoding="utf-8", errors="replace").splitlines()
