"""One file over HTTP: resumed where it broke off, tried at each of its addresses, and named only when it is whole.

What arrives goes to NAME.part, which outlives any interruption, and becomes NAME when its sha256 holds. An answer that
cannot be the file (a web page, another length) is refused before a byte of it is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from urllib.parse import urlsplit

import requests
from requests.exceptions import ChunkedEncodingError, RequestException, SSLError
from requests.exceptions import ConnectionError as NoConnection
from rich.filesize import decimal
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential

from reformer.data.config import SourceFile
from reformer.data.files import DataError, difference, explained_if_full
from reformer.data.progress import progress

BLOCK = 1 << 16
"""Bytes taken at a time: no more than this is lost when a transfer breaks off."""
RETRIED = (408, 425, 429, 500, 502, 503, 504)
"""Answers that mean: later."""
REFUSALS = {401: "wants a log-in (401)", 403: "wants a log-in (403)", 404: "has no such file (404)"}


class Unavailable(Exception):
    """No address gives the file; the message says of each what it did."""


class _Refused(Exception):
    """This address will not give the file, however often it is asked."""


class _Interrupted(Exception):
    """The transfer broke off, with `size` bytes on disk; another try may go on."""

    def __init__(self, reason: str, part: Path) -> None:
        super().__init__(reason)
        self.size = _size(part)


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
            except _Refused as reason:
                reasons.append(f"{urlsplit(url).netloc} {reason}")
                print(f"download {file.name}: {reasons[-1]}")
    except KeyboardInterrupt:
        kept = f"{decimal(_size(part))} of {file.name} are kept"
        raise KeyboardInterrupt(f"interrupted: {kept}, run again to go on from there") from None
    raise Unavailable("; ".join(reasons) or "it has no address")


def _fetch_from(url: str, file: SourceFile, part: Path, patience: Patience) -> None:
    """Tries one address until the file is whole, it refuses, or it brings nothing new several times in a row."""
    host = urlsplit(url).netloc

    def say(state: RetryCallState) -> None:
        assert state.outcome
        assert state.next_action
        again = f"trying again in {state.next_action.sleep:.0f} s"
        print(f"download {file.name}: {host} {state.outcome.exception()} at {decimal(_size(part))}, {again}")

    retrying = Retrying(
        retry=retry_if_exception_type(_Interrupted),
        stop=_NothingNew(patience.tries),
        wait=wait_exponential(multiplier=patience.backoff, max=60),
        before_sleep=say,
        reraise=True,
    )
    print(f"download {file.name}: {decimal(max(file.size - _size(part), 0))} from {host}")
    try:
        retrying(_transfer, url, file, part, patience.timeout)
    except _Interrupted as reason:
        raise _Refused(str(reason)) from None


class _NothingNew:
    """Stops after so many tries in a row that left no more on disk than there had been before."""

    def __init__(self, tries: int) -> None:
        self.tries, self.fruitless, self.most = tries, 0, 0

    def __call__(self, state: RetryCallState) -> bool:
        reason = state.outcome.exception() if state.outcome else None
        assert isinstance(reason, _Interrupted)
        self.fruitless = 0 if reason.size > self.most else self.fruitless + 1
        self.most = max(self.most, reason.size)
        return self.fruitless >= self.tries


def _transfer(url: str, file: SourceFile, part: Path, timeout: float) -> None:
    """Completes NAME.part by one request, and checks it."""
    resumed = _size(part)
    if resumed > file.size:
        part.unlink()
        resumed = 0
    if resumed < file.size:
        _require_space(part, file.size - resumed)
        resumed = _append(url, file, part, timeout)
    with progress(f"check {file.name}", file.size) as advance:
        problem = difference(part, file.size, file.sha256, advance)
    if problem:
        part.unlink()
        if resumed:
            # The piece that was there may have been at fault: the whole, from this address, is another chance.
            raise _Interrupted("sent the rest of another file", part)
        raise _Refused(f"sent a file that {problem}")


def _append(url: str, file: SourceFile, part: Path, timeout: float) -> int:
    """Asks for what is missing and writes it behind what is there; returns how much the server let stand."""
    offset = _size(part)
    headers = {"Accept-Encoding": "identity", "User-Agent": "reformer-experiments"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
            offset = _accepted(answer, offset, file, part)
            with (
                explained_if_full(part.parent),
                part.open("r+b" if offset else "wb") as out,
                progress(file.name, file.size, offset) as advance,
            ):
                out.seek(offset)
                for block in answer.iter_content(BLOCK):
                    if out.tell() + len(block) > file.size:
                        raise _Refused(f"sends more than the {file.size:,} bytes of the file")
                    if out.tell() == 0 and file.name.endswith(".zip") and not block.startswith(b"PK"):
                        raise _Refused("sends something that is not a zip file")
                    out.write(block)
                    advance(len(block))
    except SSLError as error:
        raise _Refused(f"has a certificate that is not trusted ({error})") from None
    except requests.Timeout:
        raise _Interrupted(f"said nothing for {timeout:g} s", part) from None
    except NoConnection as error:
        stalled = "Read timed out" in str(error)
        raise _Interrupted("stalled" if stalled else "cannot be reached (no network?)", part) from None
    except ChunkedEncodingError:
        raise _Interrupted("broke off", part) from None
    except RequestException as error:
        raise _Refused(f"cannot be used ({error})") from None
    if _size(part) < file.size:
        raise _Interrupted("broke off", part)
    return offset


def _accepted(answer: requests.Response, offset: int, file: SourceFile, part: Path) -> int:
    """Judges an answer by its head.

    Returns:
        The offset at which its body begins.

    Raises:
        _Refused, _Interrupted: the body is not, or not now, what was asked for.
    """
    status, length = answer.status_code, answer.headers.get("Content-Length")
    if status in RETRIED:
        raise _Interrupted(f"is busy ({status})", part)
    if status == 416 or (status == 206 and not _continues(answer, offset, file.size)):
        part.unlink(missing_ok=True)
        raise _Interrupted("cannot go on where it stopped", part)
    if status not in (200, 206):
        raise _Refused(REFUSALS.get(status, f"answers with an error ({status})"))
    if "text/html" in answer.headers.get("Content-Type", ""):
        raise _Refused("answers with a web page instead of the file")
    begin = offset if status == 206 else 0
    if length is not None and int(length) != file.size - begin:
        raise _Refused(f"offers {int(length) + begin:,} bytes instead of {file.size:,}")
    return begin


def _continues(answer: requests.Response, offset: int, size: int) -> bool:
    """Whether a partial answer is the rest that was asked for."""
    return answer.headers.get("Content-Range", "") == f"bytes {offset}-{size - 1}/{size}"


def _require_space(part: Path, needed: int) -> None:
    free = disk_usage(part.parent).free
    if free < needed:
        short = f"{decimal(needed)} are needed, {decimal(free)} are free"
        raise DataError(f"the disk that holds {part.parent} is full ({short}): make room and run again")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
