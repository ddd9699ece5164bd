"""What a run makes and what it uses, as W&B artifacts: weights, and checksums of the prepared data, which itself stays here.

Equal content is one version to W&B, whichever run logs it: so a chain leads from the data to the weights to their evaluation,
also where the runs are logged offline and uploaded later.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

import wandb

from reformer.data.prepare import META
from reformer.training.tracking import forgiven

LONGEST = 128
"""Characters of an artifact's name."""


def log_weights(run: wandb.Run, name: str, weights: Path, summary: dict[str, Any]) -> None:
    """Logs the weights that this run has trained.

    Args:
        run: of the training.
        name: its name.
        weights: the file.
        summary: what train.json says of them.
    """
    if run.disabled:
        return
    with forgiven():
        artifact = wandb.Artifact(_allowed(name), "model", metadata=summary)
        # Offline a copy waits for its upload, by when the file may have changed.
        policy: Literal["mutable", "immutable"] = "mutable" if run.offline else "immutable"
        artifact.add_file(str(weights), weights.name, skip_cache=True, policy=policy)
        run.log_artifact(artifact)


def use_weights(run: wandb.Run, name: str, weights: Path) -> None:
    """Notes that this run uses the weights that another has trained."""
    if run.disabled:
        return
    with forgiven():
        artifact = wandb.Artifact(_allowed(name), "model")
        artifact.add_file(str(weights), weights.name, skip_cache=True, policy="immutable")
        _use(run, artifact)


def use_data(run: wandb.Run, processed: Path) -> None:
    """Notes which prepared data this run reads, by meta.json and the digest of each array."""
    if run.disabled or not (processed / META).exists():  # duplication is made from the seed
        return
    meta = processed / META
    with forgiven():
        artifact = wandb.Artifact(_allowed(processed.name), "dataset", metadata=json.loads(meta.read_text()))
        artifact.add_file(str(meta), META, skip_cache=True)
        with artifact.new_file("sha256.json") as file:
            arrays = sorted(path for path in processed.iterdir() if path.suffix in (".bin", ".npy"))
            json.dump({path.name: _sha256(path) for path in arrays}, file, indent=2)
        _use(run, artifact)


def _use(run: wandb.Run, artifact: wandb.Artifact) -> None:
    """As `run.use_artifact`, which refuses to work offline, and online waits for the network without end."""
    run._log_artifact(artifact, is_user_created=True, use_after_commit=True)


def _allowed(name: str) -> str:
    """The name as an artifact may be called, no two the same."""
    allowed = re.sub(r"[^A-Za-z0-9_.-]", "-", name)
    if allowed == name and len(name) <= LONGEST:
        return name
    return f"{allowed[: LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
