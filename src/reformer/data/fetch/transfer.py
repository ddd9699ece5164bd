"""Transfer of one file from one address over HTTP: resumed after each interruption, checked as soon as it is complete.

An answer that cannot be the file (a web page, another length) is refused before any of it is written.
"""

import re
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from shutil import disk_usage
from urllib.parse import urlsplit

import requests
from requests.exceptions import ChunkedEncodingError, RequestException, SSLError
from requests.exceptions import ConnectionError as NoConnection
from rich.filesize import decimal
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from reformer.data.config import SourceFile
from reformer.data.published import difference
from reformer.files import DataError, explained_if_full
from reformer.progress import ProgressBar

BLOCK = 1 << 16
"""Bytes written at a time. An interruption loses at most one block."""
SLOWEST = 1000
"""Bytes a second below which an address is given up."""
RETRIED = (408, 425, 429, 500, 502, 503, 504)
"""Status codes of a busy server."""
REFUSALS = {401: "wants a log-in (401)", 403: "wants a log-in (403)", 404: "has no such file (404)"}


class Refused(Exception):
    """The address does not serve the file. Another request would not help."""


class WrongContent(Refused):
    """The bytes that were received are not those of the file."""


class Interrupted(Exception):
    """The request failed. Another one may complete the file."""


class Dripped(Interrupted):
    """The server sends, but so slowly that the file would never be complete."""


class Transfer:
    """The transfer of one file from one address.

    The part may hold bytes from an earlier run or another address. If the completed file fails its check, those bytes may
    be the fault, so the part is deleted and this address sends the file once more, from the start.

    Attributes:
        fruitless: consecutive requests that added nothing to the part.
    """

    def __init__(self, url: str, file: SourceFile, part: Path, timeout: float) -> None:
        self.url, self.file, self.part, self.timeout = url, file, part, timeout
        if size_of(part) > file.size:
            part.unlink()
        self.has_older_bytes = size_of(part) > 0
        self.can_resume = True
        self.fruitless = 0

    def request(self) -> None:
        """Completes the part by one request and checks it.

        Raises:
            Interrupted: the connection failed or was too slow. The bytes so far stay, and a repetition continues.
            WrongContent: the content is not the published one. The part is removed.
        """
        before = size_of(self.part)
        try:
            if before < self.file.size:
                self._append(before)
            self._check()
        except Interrupted as reason:
            is_fruitless = size_of(self.part) == before or isinstance(reason, Dripped)
            self.fruitless = self.fruitless + 1 if is_fruitless else 0
            raise
        except WrongContent:
            self.part.unlink()
            if not self.has_older_bytes:
                raise
            self.has_older_bytes, self.fruitless = False, 0
            raise Interrupted("sent the rest of another file") from None

    def _check(self) -> None:
        with ProgressBar(f"check {self.file.name}", self.file.size) as bar:
            problem = difference(self.part, self.file.size, self.file.sha256, bar.advance)
        if problem:
            raise WrongContent(f"sent a file that {problem}")

    def _append(self, offset: int) -> None:
        """Requests the bytes from the offset on and appends them to the part."""
        _require_space(self.part, self.file.size - offset)
        headers = {"Accept-Encoding": "identity", "User-Agent": "reformer-experiments"}
        if offset and self.can_resume:
            headers["Range"] = f"bytes={offset}-"
        try:
            with requests.get(self.url, headers=headers, stream=True, timeout=self.timeout) as answer:
                self._write(answer, self._first_byte(answer, offset if self.can_resume else 0))
        except SSLError as error:
            raise Refused(f"has a certificate that is not trusted ({error})") from None
        except requests.Timeout:
            raise Interrupted(f"said nothing for {self.timeout:g} s") from None
        except NoConnection as error:
            stalled = "Read timed out" in str(error)
            raise Interrupted("stalled" if stalled else "cannot be reached (no network?)") from None
        except (ChunkedEncodingError, ProtocolError):
            raise Interrupted("broke off") from None
        except ReadTimeoutError:
            raise Interrupted("stalled") from None
        except DataError:
            raise
        except (RequestException, ValueError) as error:  # of an address that is none
            raise Refused(f"cannot be used ({error})") from None
        if size_of(self.part) < self.file.size:
            raise Interrupted("broke off")

    def _first_byte(self, answer: requests.Response, offset: int) -> int:
        """Checks the headers and returns the position of the body: the offset, or 0 from a server that ignores ranges."""
        status, size = answer.status_code, self.file.size
        end = _range_end(answer, offset, size) if status == 206 else size
        if status in RETRIED:
            raise Interrupted(f"is busy ({status})")
        if offset and (status == 416 or not end):
            self.can_resume = False
            raise Interrupted("cannot resume where it stopped")
        if status not in (200, 206) or not end:
            raise Refused(REFUSALS.get(status, f"answers with an error ({status})"))
        if "text/html" in answer.headers.get("Content-Type", ""):
            raise Refused("answers with a web page instead of the file")
        begin = offset if status == 206 else 0
        length = answer.headers.get("Content-Length", str(end - begin))
        if not re.fullmatch(r"\d{1,18}", length):
            raise Refused("sends a Content-Length that is no number")
        if int(length) != end - begin:
            raise Refused(f"offers {int(length) + begin:,} bytes instead of {end:,}")
        return begin

    def _write(self, answer: requests.Response, begin: int) -> None:
        """Appends a body that begins at the byte `begin` of the file, without the bytes that the part already holds."""
        body = self._blocks(answer)
        first = next(body, b"")
        if not begin and self.file.name.endswith(".zip") and not first.startswith(b"PK"[: len(first)]):
            raise Refused("sends something that is not a zip file")
        with (
            explained_if_full(self.part.parent),
            self.part.open("ab") as out,
            ProgressBar(self.file.name, self.file.size, out.tell()) as bar,
        ):
            for block in chain([first], body):
                new = block[max(out.tell() - begin, 0) :]
                begin += len(block)
                if begin > self.file.size:
                    raise WrongContent(f"sends more than the {self.file.size:,} bytes of the file")
                out.write(new)
                bar.advance(len(new))

    def _blocks(self, answer: requests.Response) -> Iterator[bytes]:
        """Yields a body as it arrives. Raises Dripped as soon as it was too slow for the length of the timeout."""
        begin, received = time.monotonic(), 0
        while block := answer.raw.read1(BLOCK, decode_content=True):
            yield block
            received += len(block)
            if (seconds := time.monotonic() - begin) > self.timeout:
                if received < SLOWEST * seconds:
                    raise Dripped(f"sends less than {decimal(SLOWEST)} a second")
                begin, received = time.monotonic(), 0


def _range_end(answer: requests.Response, offset: int, size: int) -> int:
    """Returns the end of a partial answer that begins at the offset; 0 for any other. Some servers send no total."""
    found = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", answer.headers.get("Content-Range", ""))
    fits = found and int(found[1]) == offset <= int(found[2]) < size and found[3] in ("*", str(size))
    return int(found[2]) + 1 if found and fits else 0


def _require_space(part: Path, needed: int) -> None:
    free = disk_usage(part.parent).free
    if free < needed:
        short = f"{decimal(needed)} are needed, {decimal(free)} are free"
        raise DataError(f"the disk that holds {part.parent} is full ({short}): make room and run again")


def host_of(url: str) -> str:
    """Returns the host of an address without the user name and password, for messages."""
    return urlsplit(url).netloc.rpartition("@")[2]


def size_of(part: Path) -> int:
    """Returns the size of a file in bytes, 0 if it does not exist."""
    return part.stat().st_size if part.exists() else 0
