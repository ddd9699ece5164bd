"""Work on runs for tests, in a module that the processes of the runs import quickly."""

import os
import signal
import sys
import time
from pathlib import Path

from reformer.runs.config import RunConfig


def note(run: RunConfig, what: str, content: object) -> None:
    Path(run.root, f"{run.name}.{what}").write_text(str(content))


def take_a_while(run: RunConfig) -> None:
    note(run, "pid", os.getpid())
    note(run, "tty", os.environ.get("TTY_COMPATIBLE"))
    note(run, "begin", time.time())
    time.sleep(0.4)
    note(run, "end", time.time())


def fail_as_named(run: RunConfig) -> None:
    match run.name:
        case "exits":
            sys.exit(3)
        case "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raises":
            raise ValueError("of this run alone")
    note(run, "end", "")


def wait_long(run: RunConfig) -> None:
    """Saves something at SIGTERM, as a training does, and ends a while later."""

    def save(*_: object) -> None:
        time.sleep(0.3)
        note(run, "saved", "")
        sys.exit(1)

    signal.signal(signal.SIGTERM, save)
    note(run, "pid", os.getpid())
    time.sleep(60)
