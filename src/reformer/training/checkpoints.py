"""Checkpoints, from which an interrupted training resumes."""

import hashlib
import pickle
from pathlib import Path

import torch

import reformer
from reformer.files import CHECKPOINTS, META
from reformer.runs.config import RunConfig
from reformer.runs.fingerprint import fingerprint


def checkpoint_folder(run: RunConfig) -> Path:
    """Names the folder of a run's checkpoints. Other settings, code, data or PyTorch give another folder."""
    digest = hashlib.sha256(f"{fingerprint(run)} {torch.__version__} {Path(run.root).absolute()}".encode())
    package = Path(reformer.__file__).parent
    code = sorted(path for part in ("data", "model", "runs", "training") for path in (package / part).rglob("*.py"))
    for path in [*code, *run.processed.glob(META)]:
        digest.update(path.read_bytes())
    return CHECKPOINTS / digest.hexdigest()[:16]


def intact_checkpoint(checkpoint: Path) -> Path | None:
    """Returns the checkpoint if it exists and is complete. Removes a truncated one, with a message."""
    if not checkpoint.exists():
        return None
    try:
        torch.load(checkpoint, weights_only=True, mmap=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        print(f"{checkpoint} cannot be read ({str(error).splitlines()[0]}): training from the start")
        checkpoint.unlink()
        return None
    return checkpoint
