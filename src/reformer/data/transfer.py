"""One file over HTTP: resumed where it broke off, tried at each of its addresses, and named only when it is whole.

What arrives goes to NAME.part, which outlives any interruption, and becomes NAME when its sha256 holds. An answer that
cannot be the file (a web page, another length) is refused before a byte of it is written.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
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


class _WrongFile(_Refused):
    """What it sent is proved wrong."""


class _Interrupted(Exception):
    """The transfer broke off; another try may go on."""


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
                reasons.append(f"{_host(url)} {reason}")
                print(f"download {file.name}: {reasons[-1]}")
    except KeyboardInterrupt:
        kept = f"{decimal(_size(part))} of {file.name} are kept"
        raise KeyboardInterrupt(f"interrupted: {kept}, run again to go on from there") from None
    raise Unavailable("; ".join(reasons) or "it has no address")


def _fetch_from(url: str, file: SourceFile, part: Path, patience: Patience) -> None:
    """Tries one address until the file is whole, it refuses, or it brings nothing new several times in a row."""
    transfer = _Transfer(url, file, part, patience)

    def say(state: RetryCallState) -> None:
        assert state.outcome
        assert state.next_action
        again = f"trying again in {state.next_action.sleep:.0f} s"
        print(f"download {file.name}: {transfer.host} {state.outcome.exception()} at {decimal(_size(part))}, {again}")

    retrying = Retrying(
        retry=retry_if_exception_type(_Interrupted),
        stop=lambda _: transfer.fruitless >= patience.tries,
        wait=wait_exponential(multiplier=patience.backoff, max=60),
        before_sleep=say,
        reraise=True,
    )
    print(f"download {file.name}: {decimal(max(file.size - _size(part), 0))} from {transfer.host}")
    try:
        retrying(transfer.go_on)
    except _Interrupted as reason:
        raise _Refused(str(reason)) from None
    finally:
        transfer.anew.unlink(missing_ok=True)


class _Transfer:
    """A file from one address, by as many requests as it takes.

    What is kept from before, maybe of a better address, is not given up for less: where this address cannot continue it,
    or what it adds proves wrong, the file is begun anew under a second name, which takes over when it is longer.
    """

    def __init__(self, url: str, file: SourceFile, part: Path, patience: Patience) -> None:
        self.url, self.file, self.part, self.timeout = url, file, part, patience.timeout
        self.host = _host(url)
        self.anew = part.with_name(part.name + ".tmp")
        self.anew.unlink(missing_ok=True)
        if _size(part) > file.size:
            part.unlink()
        self.target = part
        """The file that is written: `part` or `anew`."""
        self.before = _size(part)
        """Bytes of `part` that did not come from this address."""
        self.most, self.fruitless = 0, 0
        """Most bytes there have been; tries in a row that left no more."""

    def go_on(self) -> None:
        """Completes the file by one request, and checks it. Afterwards `part` is the whole file."""
        try:
            if _size(self.target) < self.file.size:
                self._append()
            self._check()
        except _Interrupted:
            size = _size(self.target)
            self.fruitless = 0 if size > self.most else self.fruitless + 1
            self.most = max(self.most, size)
            raise
        except _WrongFile:
            self._forget()
            raise
        finally:
            if self.target == self.anew and _size(self.anew) > _size(self.part):
                self.anew.replace(self.part)
                self.target, self.before = self.part, 0

    def _check(self) -> None:
        """Compares a file of the right size with the published one."""
        with progress(f"check {self.file.name}", self.file.size) as advance:
            problem = difference(self.target, self.file.size, self.file.sha256, advance)
        if not problem:
            return
        if self.target == self.anew or not self.before:
            raise _WrongFile(f"sent a file that {problem}")
        # What was there before may have been at fault: the whole, from this address, is another chance.
        if self.before == self.file.size:
            self.before = 0
        self._forget()
        self.target, self.most = self.anew, 0
        raise _Interrupted("sent the rest of another file")

    def _forget(self) -> None:
        """Drops what came from this address."""
        self.anew.unlink(missing_ok=True)
        if not self.before:
            self.part.unlink(missing_ok=True)
        elif _size(self.part) > self.before:
            with self.part.open("r+b") as kept:
                kept.truncate(self.before)

    def _append(self) -> None:
        """Asks for what is missing and writes it behind what is there, or anew."""
        offset = _size(self.target)
        _require_space(self.part, self.file.size - offset)
        headers = {"Accept-Encoding": "identity", "User-Agent": "reformer-experiments"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            with requests.get(self.url, headers=headers, stream=True, timeout=self.timeout) as answer:
                self._write(answer, self._begin(answer, offset))
        except SSLError as error:
            raise _Refused(f"has a certificate that is not trusted ({error})") from None
        except requests.Timeout:
            raise _Interrupted(f"said nothing for {self.timeout:g} s") from None
        except NoConnection as error:
            raise _Interrupted(
                "stalled" if "Read timed out" in str(error) else "cannot be reached (no network?)"
            ) from None
        except ChunkedEncodingError:
            raise _Interrupted("broke off") from None
        except RequestException as error:
            raise _Refused(f"cannot be used ({error})") from None
        if _size(self.target) < self.file.size:
            raise _Interrupted("broke off")

    def _begin(self, answer: requests.Response, offset: int) -> int:
        """Judges an answer by its head.

        Returns:
            The offset at which its body begins.

        Raises:
            _Refused, _Interrupted: the body is not, or not now, what was asked for.
        """
        status, length = answer.status_code, answer.headers.get("Content-Length")
        end = _end(answer, offset, self.file.size) if status == 206 else self.file.size
        if status in RETRIED:
            raise _Interrupted(f"is busy ({status})")
        if offset and (status == 416 or not end):
            self.anew.unlink(missing_ok=True)
            self.target = self.anew
            raise _Interrupted("cannot go on where it stopped")
        if status not in (200, 206) or not end:
            raise _Refused(REFUSALS.get(status, f"answers with an error ({status})"))
        if "text/html" in answer.headers.get("Content-Type", ""):
            raise _Refused("answers with a web page instead of the file")
        begin = offset if status == 206 else 0
        if length is not None and int(length) != end - begin:
            raise _Refused(f"offers {int(length) + begin:,} bytes instead of {end:,}")
        return begin

    def _write(self, answer: requests.Response, begin: int) -> None:
        """Writes a body that begins at the offset `begin`; what begins at 0 does not take the place of what is there."""
        body = answer.iter_content(BLOCK)
        first = next(body, b"")
        if not begin and self.file.name.endswith(".zip") and not first.startswith(b"PK"[: len(first)]):
            raise _Refused("sends something that is not a zip file")
        if not begin and _size(self.part):
            self.target = self.anew
        with (
            explained_if_full(self.part.parent),
            self.target.open("r+b" if begin else "wb") as out,
            progress(self.file.name, self.file.size, begin) as advance,
        ):
            out.seek(begin)
            for block in chain([first], body):
                if out.tell() + len(block) > self.file.size:
                    raise _WrongFile(f"sends more than the {self.file.size:,} bytes of the file")
                out.write(block)
                advance(len(block))


def _end(answer: requests.Response, offset: int, size: int) -> int:
    """Where a partial answer ends that begins at the offset asked for; 0 for any other. Some servers send no total."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", ""))
    fits = found and int(found[1]) == offset <= int(found[2]) < size and found[3] in ("*", str(size))
    return int(found[2]) + 1 if found and fits else 0


def _require_space(part: Path, needed: int) -> None:
    free = disk_usage(part.parent).free
    if free < needed:
        short = f"{decimal(needed)} are needed, {decimal(free)} are free"
        raise DataError(f"the disk that holds {part.parent} is full ({short}): make room and run again")


def _host(url: str) -> str:
    """The server's name for messages: without the password that an address may carry."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
