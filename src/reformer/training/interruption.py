"""Signals that ask a training to end: it saves a checkpoint first."""

import signal
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

GRACEFUL = (signal.SIGTERM, signal.SIGINT)


class Stopped(SystemExit):
    """A signal has ended the training. The status is that of a shell: 143 after SIGTERM, 130 after SIGINT."""

    def __init__(self, number: int, rank: int = 0) -> None:
        # Lightning kills the first process if another one ends with a status.
        super().__init__(0 if rank else 128 + number)


class Signals:
    """Notes SIGTERM and SIGINT within a `with` block. A second signal ends the process at once.

    Attributes:
        noted: number of the first signal, 0 if there was none.
    """

    def __init__(self) -> None:
        self.noted = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        self._before = {number: signal.getsignal(number) for number in GRACEFUL}
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            _set(number, handler)

    def install(self) -> None:
        """Handles the signals here, also after Lightning has replaced the handlers. Leaves an ignored signal ignored."""
        for number, handler in self._before.items():
            if handler is not signal.SIG_IGN:
                _set(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted:
            raise Stopped(number)
        self.noted = number
        print(
            f"{signal.Signals(number).name}: saving a checkpoint after this step (a second signal ends at once)",
            flush=True,
        )


def _set(number: int, handler: Any) -> None:
    with suppress(ValueError):  # outside the main thread, which alone handles signals
        signal.signal(number, handler)
