"""The fingerprint of a run: a short hash of all settings that its trained weights depend on."""

import hashlib
import json
from typing import Any

from reformer.files import META, DataError, read_json
from reformer.model.attention_kinds import hashes
from reformer.runs.config import RunConfig
from reformer.settings import TRAINED, values_with


def fingerprint(run: RunConfig) -> str:
    """Hashes the settings that the trained weights and their scores depend on."""
    settings = values_with(run, *TRAINED)
    if not hashes(run.model.attention):
        del settings["model"]["n_hashes"]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def finished(run: RunConfig) -> dict[str, Any] | None:
    """Returns the content of train.json if it has the run's fingerprint and is newer than the prepared data."""
    result, prepared = run.files.train, run.processed / META
    if not result.exists() or (prepared.exists() and prepared.stat().st_mtime > result.stat().st_mtime):
        return None
    try:
        summary = read_json(result)
    except DataError:
        return None
    return summary if summary.get("fingerprint") == fingerprint(run) else None
