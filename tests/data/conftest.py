"""Small data sets in the prepared form, and the real samples where they are at hand."""

import hashlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from reformer.data.config import ImagesConfig, SourceFile, TextConfig
from reformer.data.prepare.prepare import prepare

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def prepared_text(tmp_path: Path, rng: np.random.Generator) -> Callable[..., tuple[TextConfig, Path, bytes]]:
    """Prepares a text of `size` skewed random bytes; gives its config, its folder and the bytes."""

    def build(size: int = 2003, **settings: object) -> tuple[TextConfig, Path, bytes]:
        text = (256 * rng.random(size) ** 3).astype(np.uint8).tobytes()
        raw, processed = tmp_path / "raw", tmp_path / "processed"
        raw.mkdir()
        (raw / "text").write_bytes(text)
        whole = SourceFile(
            name="text", size=size, sha256=hashlib.sha256(text).hexdigest(), unpacked_name="text", unpacked_size=size
        )
        whole.unpacked_sha256 = whole.sha256
        data = TextConfig(**{"name": "text", "seq_len": 37, "batch_size": 6, "files": [whole]} | settings)  # type: ignore[arg-type]
        prepare(data, raw, processed)
        return data, processed, text

    return build


@pytest.fixture
def prepared_images(tmp_path: Path, rng: np.random.Generator) -> Callable[..., tuple[ImagesConfig, Path]]:
    """Writes random images in the prepared form; gives their config and folder."""

    def build(side: int = 8, train: int = 11, val: int = 7, **settings: object) -> tuple[ImagesConfig, Path]:
        processed = tmp_path / "processed"
        processed.mkdir()
        for split, n in (("train", train), ("val", val)):
            np.save(processed / f"{split}.npy", rng.integers(0, 256, (n, side, side, 3)).astype(np.uint8))
        entries = {s: f'{{"file": "{s}.npy", "images": {n}}}' for s, n in (("train", train), ("val", val))}
        splits = ", ".join(f'"{split}": {entry}' for split, entry in (entries | {"test": entries["val"]}).items())
        (processed / "meta.json").write_text(f'{{"side": {side}, "splits": {{{splits}}}}}')
        base = {"name": "images", "side": side, "seq_len": side * side * 3, "batch_size": 4}
        return ImagesConfig(**base | settings), processed  # type: ignore[arg-type]

    return build


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def samples() -> Path:
    """Folder of the real pieces of enwik8 and imagenet64; tests that want it are skipped where there is none."""
    folder = Path(os.environ.get("REFORMER_SAMPLES", PROJECT.parent / "shared" / "data"))
    if not (folder / "enwik8-sample").exists():
        pytest.skip("no data samples here: set REFORMER_SAMPLES to their folder")
    return folder


@dataclass
class Web:
    """A server on this machine that misbehaves on demand: each request is answered by the next behaviour listed."""

    content: bytes
    url: str = ""
    behaviours: list[str] = field(default_factory=list)
    """One for each request to come; after the last, the server behaves."""
    ranges: list[str | None] = field(default_factory=list)
    """The Range header of each request that came."""
    paths: list[str] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    """Lets a stalled answer end."""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.ranges.append(asked)
        self.paths.append(handler.path)
        behaviour = self.behaviours.pop(0) if self.behaviours else "behave"
        if behaviour == "silent":
            self.release.wait(10)
            return
        offset = (
            int(asked.removeprefix("bytes=").removesuffix("-"))
            if asked and "anew" not in behaviour and "web page" not in behaviour
            else 0
        )
        body = self.content[offset:]
        headers = {"Content-Type": "application/zip", "Content-Length": str(len(body))}
        if offset:
            headers["Content-Range"] = f"bytes {offset}-{len(self.content) - 1}/{len(self.content)}"
        status = 206 if offset else 200
        half = body[: len(body) // 2]
        match behaviour:
            case "web page":
                body, headers = b"<html>Please log in</html>", {"Content-Type": "text/html; charset=utf-8"}
            case "web page in disguise":
                body, headers = b"<html>" * 99, {"Content-Type": "application/zip"}
            case "other length":
                body, headers = body + b"?", headers | {"Content-Length": str(len(body) + 1)}
            case "no length":
                headers["Content-Length"] = "abc"
            case "endless length":
                headers["Content-Length"] = "9" * 5000
            case "doubled length":
                headers["Content-Length"] = f"{len(body)}, {len(body)}"
            case "nonsense address" | "another scheme" | "circle":
                to = {"nonsense address": "http://[nonsense", "another scheme": "file:///etc/passwd", "circle": "/"}
                status, body, headers = 302, b"", {"Location": to[behaviour], "Content-Length": "0"}
            case "endless" | "endless anew":
                body = body + bytes(1 << 20)
                del headers["Content-Length"]
            case "truncate" | "truncate anew" | "stall":
                body = half
            case "stall at once":
                body = b""
            case "truncate without length":
                body = half
                del headers["Content-Length"]
            case "corrupt" | "corrupt anew":
                body = body[:-1] + bytes([body[-1] ^ 1])
            case "other range":
                headers["Content-Range"] = f"bytes {offset + 1}-{len(self.content) - 1}/{len(self.content)}"
            case "no total":
                headers["Content-Range"] = f"bytes {offset}-{len(self.content) - 1}/*"
            case "shorter range":
                body = half
                headers |= {"Content-Length": str(len(half))}
                headers["Content-Range"] = f"bytes {offset}-{offset + len(half) - 1}/{len(self.content)}"
            case behaviour if behaviour.isdigit():
                status, body, headers = int(behaviour), b"no", {}
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        with suppress(ConnectionError):
            if behaviour == "drip":
                for byte in body[:100]:
                    handler.wfile.write(bytes([byte]))
                    self.release.wait(0.02)
            handler.wfile.write(body)
            handler.wfile.flush()
        if behaviour.startswith("stall"):
            self.release.wait(10)


@pytest.fixture
def web(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    web = Web(b"PK\x03\x04" + rng.bytes(300_000))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        web.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield web
        web.release.set()
        server.shutdown()
