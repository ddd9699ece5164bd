"""What a run's results depend on, as a short hash: whether two runs are one, and whether one has been done. Free of torch."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reformer.data.prepare import META
from reformer.training.config import RunConfig

WITHOUT_EFFECT = ("evaluation", "generation", "logger", "name", "root")
"""Sections that change no trained weight."""
ORIGIN = ("files", "source", "mirror", "by_hand")
"""Where the data came from: the prepared arrays are the same, and a run that compose has resolved lacks these."""


def fingerprint(run: RunConfig) -> str:
    """Short hash of all settings that the trained weights and their scores depend on."""
    settings = {key: value for key, value in asdict(run).items() if key not in WITHOUT_EFFECT}
    settings["data"] = {key: value for key, value in settings["data"].items() if key not in ORIGIN}
    if "lsh" not in run.model.attention:
        del settings["model"]["n_hashes"]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def finished(run: RunConfig) -> dict[str, Any] | None:
    """The content of train.json, if it belongs to the very same settings and is newer than the prepared data."""
    result = Path(run.root) / "runs" / run.name / "train.json"
    prepared = Path(run.root) / "processed" / run.data.name / META
    if not result.exists() or (prepared.exists() and prepared.stat().st_mtime > result.stat().st_mtime):
        return None
    summary: dict[str, Any] = json.loads(result.read_text())
    return summary if summary.get("fingerprint") == fingerprint(run) else None
