"""A stand-in for W&B's server, as much of it as a run needs, which stops answering when it is told to."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT = {"id": "p", "name": "reformer", "entity": {"id": "e", "name": "someone"}}
ARTIFACT = {"id": "a", "digest": "d", "state": "COMMITTED", "artifactSequence": {"id": "s", "latestArtifact": None}}
VIEW = {
    "id": "view",
    "name": "nw-view",
    "displayName": "view",
    "description": "",
    "type": "runs",
    "project": {"id": "p", "name": "reformer", "entityName": "someone"},
    "spec": json.dumps(
        {"blocks": [], "panelSettings": {}, "width": "fluid", "authors": [], "discussionThreads": [], "ref": {}}
    ),
    "createdAt": "2020-01-01T00:00:00",
    "updatedAt": "2020-01-01T00:00:00",
}
ANSWERS: dict[str, Any] = {
    "Viewer": {"viewer": {"id": "v", "entity": "someone", "username": "someone", "email": "a@b", "flags": "{}"}},
    "GetDefaultEntity": {"viewer": {"id": "v", "entity": "someone"}},
    "ArtifactType": {"project": None},
    "CreateArtifact": {"createArtifact": {"artifact": ARTIFACT}},
    "UseArtifact": {"useArtifact": {"artifact": ARTIFACT}},
    "ProjectInternalId": {"project": {"id": "p", "internalId": "p"}},
    "GetProjects": {
        "models": {
            "edges": [
                {
                    "cursor": "c",
                    "node": {
                        "id": "p",
                        "name": "reformer",
                        "entityName": "someone",
                        "isBenchmark": False,
                        "user": None,
                        "createdAt": "2020-01-01T00:00:00",
                    },
                }
            ],
            "pageInfo": {"endCursor": "c", "hasNextPage": False},
        }
    },
    "UpsertView2": {"upsertView": {"view": VIEW, "inserted": True}},
    "upsertView": {"upsertView": {"view": VIEW, "inserted": True}},
}


class StandIn(ThreadingHTTPServer):
    """Takes runs, artifacts and views, and notes what it is asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        """Operations of GraphQL, and paths of other requests, in order."""
        self.bodies: list[str] = []
        """What came with each."""
        self.silent_from = "nothing"
        """The first request, by this, that is never answered, nor any after it."""
        self.silent = threading.Event()
        self.kept: dict[str, Any] | None = None
        """What a run that is resumed is said to have."""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        named = re.search(r"(?:query|mutation) (\w+)", body) if self.path == "/graphql" else None
        asked = named[1] if named else self.path
        self.server.asked.append(asked)
        self.server.bodies.append(body)
        if asked.endswith(self.server.silent_from):
            self.server.silent.set()
        while self.server.silent.is_set():
            time.sleep(0.1)
        answer = ANSWERS.get(asked)
        if asked == "UpsertBucket":
            name = json.loads(body)["variables"].get("name") or "n"
            bucket = {"id": "b", "name": name, "displayName": "n", "sweepName": None, "project": PROJECT}
            answer = {"upsertBucket": {"bucket": bucket, "inserted": self.server.kept is None}}
        if asked == "RunResumeStatus":
            answer = {"model": {"id": "p", "name": "reformer", "entity": PROJECT["entity"], "bucket": self.server.kept}}
        if asked == "CreateRunFiles":
            names = json.loads(body)["variables"]["files"]
            files = [{"name": name, "uploadUrl": f"{self.server.url}/upload/{name}"} for name in names]
            answer = {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        self._answer({"data": answer} if named else {})

    do_GET = do_PUT = do_POST

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """The server, while the block runs."""
    server = StandIn()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
