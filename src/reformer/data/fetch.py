"""One file over HTTP, tried at each of its addresses, and named only when it is whole.

What arrives goes to NAME.part, which outlives any interruption, and becomes NAME when its sha256 holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential

from reformer.data.config import SourceFile
from reformer.data.transfer import Interrupted, Refused, Transfer, host_of, size_of


class Unavailable(Exception):
    """No address gives the file; the message says of each what it did."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server."""

    timeout: float = 30.0
    """Seconds without a byte after which a server counts as stalled."""
    tries: int = 4
    """Tries in a row that bring nothing new before an address is given up."""
    backoff: float = 1.0
    """Seconds before the second try; doubled each time."""


def fetch(file: SourceFile, urls: Sequence[str], folder: Path, patience: Patience | None = None) -> None:
    """Downloads a file into a folder.

    Args:
        file: what it must be.
        urls: its addresses, tried in order.
        folder: where it, and NAME.part until then, is put.
        patience: how long to wait for a server.

    Raises:
        Unavailable: no address gives the file.
        DataError: the disk is full.
        KeyboardInterrupt: with a message that says what is kept.
    """
    part = folder / f"{file.name}.part"
    reasons = []
    try:
        for url in urls:
            try:
                _fetch_from(url, file, part, patience or Patience())
                part.replace(folder / file.name)
                return
            except Refused as reason:
                reasons.append(f"{host_of(url)} {reason}")
                print(f"download {file.name}: {reasons[-1]}")
    except KeyboardInterrupt:
        kept = f"{decimal(size_of(part))} of {file.name} are kept"
        raise KeyboardInterrupt(f"interrupted: {kept}, run again to go on from there") from None
    raise Unavailable("; ".join(reasons) or "it has no address")


def _fetch_from(url: str, file: SourceFile, part: Path, patience: Patience) -> None:
    """Tries one address until the file is whole, it refuses, or it brings nothing new several times in a row."""
    transfer = Transfer(url, file, part, patience.timeout)

    def say(state: RetryCallState) -> None:
        assert state.outcome
        assert state.next_action
        again = f"trying again in {state.next_action.sleep:.0f} s"
        print(f"download {file.name}: {transfer.host} {state.outcome.exception()} at {decimal(size_of(part))}, {again}")

    retrying = Retrying(
        retry=retry_if_exception_type(Interrupted),
        stop=lambda _: transfer.fruitless >= patience.tries,
        wait=wait_exponential(multiplier=patience.backoff, max=60),
        before_sleep=say,
        reraise=True,
    )
    print(f"download {file.name}: {decimal(max(file.size - size_of(part), 0))} from {transfer.host}")
    try:
        retrying(transfer.go_on)
    except Interrupted as reason:
        raise Refused(str(reason)) from None
    finally:
        transfer.anew.unlink(missing_ok=True)
