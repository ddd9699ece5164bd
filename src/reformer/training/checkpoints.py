"""Checkpoints, from which an interrupted training resumes: the last two, each with its digest."""

import hashlib
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from reformer.files import CHECKPOINTS, META, digest_of, write_text, written_whole
from reformer.runs.config import RunConfig
from reformer.runs.fingerprint import code_digest, fingerprint

LAST, EARLIER = "last.ckpt", "earlier.ckpt"
DIGESTS = "sha256"
"""Name of the file with the digests of both checkpoints, in either order."""


def checkpoint_folder(run: RunConfig) -> Path:
    """Names the folder of a run's checkpoints. Other settings, code, data or PyTorch give another folder."""
    place = Path(run.root).absolute()
    digest = hashlib.sha256(f"{fingerprint(run)} {code_digest()} {torch.__version__} {place}".encode())
    for path in run.processed.glob(META):
        digest.update(path.read_bytes())
    return CHECKPOINTS / digest.hexdigest()[:16]


class LastTwo(TorchCheckpointIO):
    """Writes and finds the last two checkpoints of a training.

    A checkpoint is written beside the last one, which becomes the earlier one. Its digest is noted before it gets its name.
    A kill at any moment therefore leaves a whole checkpoint with its digest.
    """

    def __init__(self, folder: Path) -> None:
        self.last, self.earlier, self.digests = folder / LAST, folder / EARLIER, folder / DIGESTS
        self.found: Path | None = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a checkpoint as the last one, whatever the path."""
        with written_whole(self.last) as out:
            hashed = _Hashed(out)
            torch.save(checkpoint, hashed)  # type: ignore[arg-type]
            write_text(self.digests, "\n".join([hashed.digest.hexdigest(), *self._known()[:2]]) + "\n")
            if self.found == self.last:  # a damaged checkpoint replaces no whole one
                self.last.replace(self.earlier)
        self.found = self.last

    def find(self) -> tuple[Path | None, str]:
        """Returns the newest checkpoint that has its digest, and a message about newer ones that do not."""
        known, damaged = self._known(), []
        for path in (self.last, self.earlier):
            if path.is_file():
                if digest_of(path) in known:
                    self.found = path
                    break
                damaged.append(str(path))
        beginning = (
            f"going on from {self.found.name}, the checkpoint before it" if self.found else "training from the start"
        )
        return self.found, f"{' and '.join(damaged)}: damaged, {beginning}" if damaged else ""

    def _known(self) -> list[str]:
        return self.digests.read_text(encoding="utf-8", errors="replace").split() if self.digests.is_file() else []


class _Hashed:
    """A file that hashes what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, block: bytes) -> int:
        self.digest.update(block)
        return self.file.write(block)

    def flush(self) -> None:
        self.file.flush()
