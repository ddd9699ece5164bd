"""The progress bar of all long tasks."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class ProgressBar:
    """A bar with a rate, the elapsed and the remaining time. It is visible on a terminal only, so that logs stay clean.

    Use it in a `with` block, or call `start` and `stop`.
    """

    def __init__(self, description: str, total: int, done: int = 0, unit: str = "bytes") -> None:
        """
        Args:
            description: name of the task.
            total: number of units.
            done: units that an earlier attempt completed.
            unit: bytes are shown as kB, MB or GB with their rate; other units are counted.
        """
        console = Console(stderr=True)
        self.on_terminal = console.is_terminal
        counts = (
            [DownloadColumn(), TransferSpeedColumn()]
            if unit == "bytes"
            else [MofNCompleteColumn(), TextColumn(f"{unit}  {{task.fields[note]}}"), TimeElapsedColumn()]
        )
        columns = [TextColumn("{task.description}"), BarColumn(), *counts, TimeRemainingColumn()]
        self._bar = Progress(*columns, console=console, transient=True, disable=not self.on_terminal)
        self._task = self._bar.add_task(description, total=total, completed=done, note="")

    def start(self) -> None:
        """Shows the bar."""
        self._bar.start()

    def stop(self) -> None:
        """Removes the bar."""
        self._bar.stop()

    def __enter__(self) -> "ProgressBar":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def advance(self, units: int = 1) -> None:
        """Counts further units as done."""
        self._bar.advance(self._task, units)

    def move_to(self, done: int) -> None:
        """Sets the number of units that are done."""
        self._bar.update(self._task, completed=done)

    def note(self, text: str) -> None:
        """Shows a text next to the count."""
        self._bar.update(self._task, note=text)
