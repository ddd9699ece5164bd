"""Where an interrupted run left off, and whether it can go on from there."""

import hashlib
import pickle
from pathlib import Path

import torch

import reformer
from reformer.data.prepare import META
from reformer.training.config import RunConfig
from reformer.training.fingerprint import fingerprint

CHECKPOINTS = Path(".checkpoints")


def checkpoint_folder(run: RunConfig, processed: Path) -> Path:
    """The folder of a run's checkpoints: one with other settings, code, data or PyTorch never goes on from them.

    Args:
        run: all settings.
        processed: folder of the prepared data.
    """
    digest = hashlib.sha256(f"{fingerprint(run)} {torch.__version__} {Path(run.root).absolute()}".encode())
    package = Path(reformer.__file__).parent
    code = sorted(path for part in ("data", "model", "training") for path in (package / part).glob("*.py"))
    for path in [*code, *processed.glob(META)]:
        digest.update(path.read_bytes())
    return CHECKPOINTS / digest.hexdigest()[:16]


def readable(checkpoint: Path) -> Path | None:
    """The checkpoint, if it is there and whole; one that was cut off is removed, with a line that says so."""
    if not checkpoint.exists():
        return None
    try:
        torch.load(checkpoint, weights_only=True, mmap=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        print(f"{checkpoint} cannot be read ({str(error).splitlines()[0]}): training from the start")
        checkpoint.unlink()
        return None
    return checkpoint
