"""Processes: children that do not outlive their parent, and folders that belong to one process at a time."""

import fcntl
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from typing import IO

from reformer.files import DataError

LOCK = ".lock"
SHELLS = {"sh", "bash", "dash", "zsh", "fish", "ksh"}
GRACE = 60
"""Seconds between the end of DVC and the end of a stage that has not ended by itself."""


def end_with_parent() -> None:
    """Ends this child process as soon as its parent ends, even if the parent is killed."""
    parent = parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def end_with_dvc() -> None:
    """Terminates this process as soon as the DVC that started it as a stage ends, even if DVC is killed.

    The process gets SIGTERM, so that a training saves a checkpoint. It is killed if it still runs after `GRACE` seconds.
    Between DVC and a stage there may be a shell, which does not end with DVC. Does nothing outside a stage.
    """
    started_by = _parent_beyond_shells() if "DVC_STAGE" in os.environ else None
    if started_by is None:
        return

    def follow() -> None:
        _wait_for_end(started_by)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(128 + signal.SIGTERM)

    Thread(target=follow, daemon=True).start()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Creates a folder and holds its lock file, so that no second process writes into it.

    The system frees the lock when the process ends, however it ends. A folder that is empty at the end is removed.

    Raises:
        DataError: another process holds the lock, or the folder cannot be written to.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = _locked(path)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written to ({error.strerror}): choose another place by root= or name="
        ) from None
    try:
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n")
        stream.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        stream.close()
        with suppress(OSError):
            folder.rmdir()


def _locked(path: Path) -> IO[str]:
    """Opens and locks a file. Raises DataError if another process holds it."""
    while True:
        stream = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            stream.close()
            raise DataError(
                f"{path.parent} is in use by {holder}: wait for it, end it, or choose another name= or root="
            ) from None
        except OSError:  # a file system without locks
            return stream
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                return stream
        stream.close()  # the process before has removed the file meanwhile


def _parent_beyond_shells() -> int | None:
    """Returns the nearest process above this one that is no shell; None if the system does not tell."""
    process = os.getppid()
    while process > 1:
        try:
            name, _, rest = Path(f"/proc/{process}/stat").read_text().rpartition(")")
        except OSError:
            return process if process == os.getppid() else None
        if name.partition("(")[2] not in SHELLS:
            return process
        process = int(rest.split()[1])
    return None


def _wait_for_end(process: int) -> None:
    """Waits until a process ends, which need not be a child of this one."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # not Linux, or an old one
        while _exists(process):
            time.sleep(1)
        return
    select.select([descriptor], [], [])
    os.close(descriptor)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
