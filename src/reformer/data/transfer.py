"""One file from one address over HTTP: resumed where it broke off, and checked when it is whole.

An answer that cannot be the file (a web page, another length) is refused before a byte of it is written.
"""

import re
from itertools import chain
from pathlib import Path
from shutil import disk_usage
from urllib.parse import urlsplit

import requests
from requests.exceptions import ChunkedEncodingError, RequestException, SSLError
from requests.exceptions import ConnectionError as NoConnection
from rich.filesize import decimal

from reformer.data.config import SourceFile
from reformer.data.files import DataError, difference, explained_if_full
from reformer.data.progress import progress

BLOCK = 1 << 16
"""Bytes taken at a time: no more than this is lost when a transfer breaks off."""
RETRIED = (408, 425, 429, 500, 502, 503, 504)
"""Answers that mean: later."""
REFUSALS = {401: "wants a log-in (401)", 403: "wants a log-in (403)", 404: "has no such file (404)"}


class Refused(Exception):
    """This address will not give the file, however often it is asked."""


class WrongFile(Refused):
    """What it sent is proved wrong."""


class Interrupted(Exception):
    """The transfer broke off; another try may go on."""


class Transfer:
    """A file from one address, by as many requests as it takes.

    What is kept from before, maybe of a better address, is not given up for less: where this address cannot continue it,
    or what it adds proves wrong, the file is begun anew under a second name, which takes over when it is longer.
    """

    def __init__(self, url: str, file: SourceFile, part: Path, timeout: float) -> None:
        self.url, self.file, self.part, self.timeout = url, file, part, timeout
        self.host = host_of(url)
        self.anew = part.with_name(part.name + ".tmp")
        self.anew.unlink(missing_ok=True)
        if size_of(part) > file.size:
            part.unlink()
        self.target = part
        """The file that is written: `part` or `anew`."""
        self.before = size_of(part)
        """Bytes of `part` that did not come from this address."""
        self.most, self.fruitless = 0, 0
        """Most bytes there have been; tries in a row that left no more."""

    def go_on(self) -> None:
        """Completes the file by one request, and checks it. Afterwards `part` is the whole file."""
        try:
            if size_of(self.target) < self.file.size:
                self._append()
            self._check()
        except Interrupted:
            size = size_of(self.target)
            self.fruitless = 0 if size > self.most else self.fruitless + 1
            self.most = max(self.most, size)
            raise
        except WrongFile:
            self._forget()
            raise
        finally:
            if self.target == self.anew and size_of(self.anew) > size_of(self.part):
                self.anew.replace(self.part)
                self.target, self.before = self.part, 0

    def _check(self) -> None:
        """Compares a file of the right size with the published one."""
        with progress(f"check {self.file.name}", self.file.size) as advance:
            problem = difference(self.target, self.file.size, self.file.sha256, advance)
        if not problem:
            return
        if self.target == self.anew or not self.before:
            raise WrongFile(f"sent a file that {problem}")
        # What was there before may have been at fault: the whole, from this address, is another chance.
        if self.before == self.file.size:
            self.before = 0
        self._forget()
        self.target, self.most = self.anew, 0
        raise Interrupted("sent the rest of another file")

    def _forget(self) -> None:
        """Drops what came from this address."""
        self.anew.unlink(missing_ok=True)
        if not self.before:
            self.part.unlink(missing_ok=True)
        elif size_of(self.part) > self.before:
            with self.part.open("r+b") as kept:
                kept.truncate(self.before)

    def _append(self) -> None:
        """Asks for what is missing and writes it behind what is there, or anew."""
        offset = size_of(self.target)
        _require_space(self.part, self.file.size - offset)
        headers = {"Accept-Encoding": "identity", "User-Agent": "reformer-experiments"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            with requests.get(self.url, headers=headers, stream=True, timeout=self.timeout) as answer:
                self._write(answer, self._begin(answer, offset))
        except SSLError as error:
            raise Refused(f"has a certificate that is not trusted ({error})") from None
        except requests.Timeout:
            raise Interrupted(f"said nothing for {self.timeout:g} s") from None
        except NoConnection as error:
            raise Interrupted(
                "stalled" if "Read timed out" in str(error) else "cannot be reached (no network?)"
            ) from None
        except ChunkedEncodingError:
            raise Interrupted("broke off") from None
        except RequestException as error:
            raise Refused(f"cannot be used ({error})") from None
        if size_of(self.target) < self.file.size:
            raise Interrupted("broke off")

    def _begin(self, answer: requests.Response, offset: int) -> int:
        """Judges an answer by its head.

        Returns:
            The offset at which its body begins.

        Raises:
            Refused, Interrupted: the body is not, or not now, what was asked for.
        """
        status, length = answer.status_code, answer.headers.get("Content-Length")
        end = _end(answer, offset, self.file.size) if status == 206 else self.file.size
        if status in RETRIED:
            raise Interrupted(f"is busy ({status})")
        if offset and (status == 416 or not end):
            self.anew.unlink(missing_ok=True)
            self.target = self.anew
            raise Interrupted("cannot go on where it stopped")
        if status not in (200, 206) or not end:
            raise Refused(REFUSALS.get(status, f"answers with an error ({status})"))
        if "text/html" in answer.headers.get("Content-Type", ""):
            raise Refused("answers with a web page instead of the file")
        begin = offset if status == 206 else 0
        if length is not None and int(length) != end - begin:
            raise Refused(f"offers {int(length) + begin:,} bytes instead of {end:,}")
        return begin

    def _write(self, answer: requests.Response, begin: int) -> None:
        """Writes a body that begins at the offset `begin`; what begins at 0 does not take the place of what is there."""
        body = answer.iter_content(BLOCK)
        first = next(body, b"")
        if not begin and self.file.name.endswith(".zip") and not first.startswith(b"PK"[: len(first)]):
            raise Refused("sends something that is not a zip file")
        if not begin and size_of(self.part):
            self.target = self.anew
        with (
            explained_if_full(self.part.parent),
            self.target.open("r+b" if begin else "wb") as out,
            progress(self.file.name, self.file.size, begin) as advance,
        ):
            out.seek(begin)
            for block in chain([first], body):
                if out.tell() + len(block) > self.file.size:
                    raise WrongFile(f"sends more than the {self.file.size:,} bytes of the file")
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


def host_of(url: str) -> str:
    """The server's name for messages: without the password that an address may carry."""
    return urlsplit(url).netloc.rpartition("@")[2]


def size_of(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
