"""W&B artifacts: trained weights, and checksums of the prepared data, which itself is not uploaded.

W&B gives equal content one version, whichever run logs it. The artifacts therefore link the data to the weights and the
weights to their evaluation, even if the runs are logged offline and uploaded later.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

import wandb

from reformer.files import META, read_json
from reformer.tracking.wandb_run import wandb_errors_ignored

LONGEST = 128
"""Greatest number of characters in an artifact's name."""


def log_weights(run: wandb.Run, name: str, weights: Path, summary: dict[str, Any]) -> None:
    """Logs trained weights as the output of a run.

    Args:
        run: W&B run of the training.
        name: name of the training run.
        weights: the file.
        summary: content of train.json, for the artifact's metadata.
    """
    if run.disabled:
        return
    with wandb_errors_ignored():
        artifact = wandb.Artifact(_artifact_name(name), "model", metadata=summary)
        # An offline run uploads later, when the file may have changed: it needs a copy.
        policy: Literal["mutable", "immutable"] = "mutable" if run.offline else "immutable"
        artifact.add_file(str(weights), weights.name, skip_cache=True, policy=policy)
        run.log_artifact(artifact)


def use_weights(run: wandb.Run, name: str, weights: Path) -> None:
    """Logs trained weights as an input of a run."""
    if run.disabled:
        return
    with wandb_errors_ignored():
        artifact = wandb.Artifact(_artifact_name(name), "model")
        artifact.add_file(str(weights), weights.name, skip_cache=True, policy="immutable")
        _use(run, artifact)


def use_data(run: wandb.Run, processed: Path) -> None:
    """Logs prepared data as an input of a run: its meta.json and the checksum of each array."""
    if run.disabled or not (processed / META).exists():  # the duplication task has no prepared data
        return
    meta = processed / META
    with wandb_errors_ignored():
        artifact = wandb.Artifact(_artifact_name(processed.name), "dataset", metadata=read_json(meta))
        artifact.add_file(str(meta), META, skip_cache=True)
        with artifact.new_file("sha256.json") as file:
            arrays = sorted(path for path in processed.iterdir() if path.suffix in (".bin", ".npy"))
            json.dump({path.name: _sha256(path) for path in arrays}, file, indent=2)
        _use(run, artifact)


def _use(run: wandb.Run, artifact: wandb.Artifact) -> None:
    """Replaces `run.use_artifact`, which fails offline, and online waits for the network without a timeout."""
    run._log_artifact(artifact, is_user_created=True, use_after_commit=True)  # private; works in wandb 0.31.0


def _artifact_name(name: str) -> str:
    """Turns a name into an allowed one. Different names stay different."""
    allowed = re.sub(r"[^A-Za-z0-9_.-]", "-", name)
    if allowed == name and len(name) <= LONGEST:
        return name
    return f"{allowed[: LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
