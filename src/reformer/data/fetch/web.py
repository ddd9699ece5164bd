"""Download of one file over HTTP from the first of its addresses that serves it.

The bytes go to NAME.part, which survives any interruption. It is renamed to NAME once its sha256 is correct.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from reformer.data.config import SourceFile
from reformer.data.fetch.transfer import Interrupted, Refused, Transfer, host_of, size_of

LONGEST_WAIT = 60.0
"""Seconds between two requests."""


class Unavailable(Exception):
    """No address serves the file. The message gives the reason for each address."""


@dataclass(frozen=True)
class Patience:
    """Limits for slow and failing servers."""

    timeout: float = 30.0
    """Seconds without a byte after which a request counts as stalled."""
    tries: int = 4
    """Consecutive requests without a new byte after which an address is given up."""
    backoff: float = 1.0
    """Seconds before the next request; doubled with each request without a new byte."""


def fetch_from_web(file: SourceFile, urls: Sequence[str], folder: Path, patience: Patience | None = None) -> None:
    """Downloads a file into a folder, which also holds NAME.part until then.

    Args:
        file: the published file.
        urls: its addresses, tried in order.
        folder: the destination.
        patience: limits for the servers.

    Raises:
        Unavailable: no address serves the file.
        DataError: the disk is full.
        KeyboardInterrupt: the message says how much is kept.
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
        raise KeyboardInterrupt(f"interrupted: {kept}, run again to resume the download") from None
    raise Unavailable("; ".join(reasons) or "it has no address")


def _fetch_from(url: str, file: SourceFile, part: Path, patience: Patience) -> None:
    """Sends requests to one address until the part is the whole file, or raises Refused."""
    transfer = Transfer(url, file, part, patience.timeout)

    def print_reason(state: RetryCallState) -> None:
        assert state.outcome
        assert state.next_action
        again = f"trying again in {state.next_action.sleep:.0f} s"
        print(f"download {file.name}: {host_of(url)} {state.outcome.exception()} at {decimal(size_of(part))}, {again}")

    retrying = Retrying(
        retry=retry_if_exception_type(Interrupted),
        stop=lambda _: transfer.fruitless >= patience.tries,
        wait=lambda _: min(patience.backoff * 2 ** max(transfer.fruitless - 1, 0), LONGEST_WAIT),
        before_sleep=print_reason,
        reraise=True,
    )
    print(f"download {file.name}: {decimal(max(file.size - size_of(part), 0))} from {host_of(url)}")
    try:
        retrying(transfer.request)
    except Interrupted as reason:
        raise Refused(str(reason)) from None
