"""The fingerprint of a run: a short hash of all settings that its trained weights depend on."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import reformer
from reformer.files import META, WEIGHTS_DIGEST, DataError, MissingFile, RunFiles, digest_of, read_json
from reformer.model.attention_kinds import hashes
from reformer.runs.config import RunConfig
from reformer.settings import TRAINED, values_with

TRAINING_CODE = ("data/batches", "model", "runs", "training")
"""Folders of the package that trained weights depend on."""


def fingerprint(run: RunConfig) -> str:
    """Hashes the settings that the trained weights and their scores depend on."""
    settings = values_with(run, *TRAINED)
    if not hashes(run.model.attention):
        del settings["model"]["n_hashes"]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


@cache
def code_digest() -> str:
    """Hashes the code that trained weights depend on, once: later changes of the files do not change a running program."""
    package, digest = Path(reformer.__file__).parent, hashlib.sha256()
    for path in sorted(path for part in TRAINING_CODE for path in (package / part).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def finished(run: RunConfig, same_code: bool = False) -> dict[str, Any] | None:
    """Returns the content of train.json if it has the run's fingerprint and is newer than the prepared data.

    A folder whose weights are missing or have other bytes is not finished, nor is one whose train.json is damaged.

    Args:
        run: the run.
        same_code: the result of other code does not count.
    """
    result, prepared = run.files.train, run.processed / META
    if not result.exists() or (prepared.exists() and prepared.stat().st_mtime > result.stat().st_mtime):
        return None
    try:
        summary = read_json(result)
        if summary.get("fingerprint") != fingerprint(run) or (same_code and summary.get("code") != code_digest()):
            return None
        check_weights(run.files)
    except DataError as error:
        print(f"{run.name}: not finished: {error}", flush=True)
        return None
    return summary


def check_weights(files: RunFiles) -> None:
    """Compares the weights of a run with the digest in its train.json.

    Raises:
        DataError: a file is missing, or the weights are not those that the training wrote.
    """
    recorded = read_json(files.train).get(WEIGHTS_DIGEST)
    if not files.weights.is_file():
        raise MissingFile(f"{files.weights} is missing: train the run first")
    if digest_of(files.weights) != recorded:
        raise DataError(f"{files.weights} differs from the digest in {files.train.name}: train the run again")
