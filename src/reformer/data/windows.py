"""Windows of prepared texts and images: random ones to train on, and those that cover a held-out split."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reformer.data.batch import Batch, HeldOutBatches, TrainingBatches, shifted, spread
from reformer.data.config import ImagesConfig, TextConfig
from reformer.data.files import DataError
from reformer.data.prepare import META
from reformer.settings import require


class Prepared:
    """One split's array on disk, mapped into memory by each process at its first use."""

    def __init__(self, data: TextConfig | ImagesConfig, processed: Path, split: str) -> None:
        path = processed / META
        if not path.exists():
            raise DataError(f"{path} is missing: run the prepare stage for data={data.name} first")
        meta = json.loads(path.read_text())
        if isinstance(data, ImagesConfig):
            require(
                data.side == meta["side"], "data.side", f"{meta['side']}, as prepared (or prepare again)", data.side
            )
        self.path = processed / meta["splits"][split]["file"]
        self.length: int = meta["splits"][split]["images" if isinstance(data, ImagesConfig) else "tokens"]
        self._array: np.ndarray | None = None

    @property
    def array(self) -> np.ndarray:
        """(tokens,) or (images, side, side, 3), uint8, read-only."""
        if self._array is None:
            text = self.path.suffix == ".bin"
            self._array = np.memmap(self.path, np.uint8, "r") if text else np.load(self.path, "r", allow_pickle=False)
        return self._array

    def __getstate__(self) -> dict[str, Any]:
        # A worker process maps the file for itself: pickling the array would send all of it.
        return self.__dict__ | {"_array": None}

    def windows(self, starts: np.ndarray, seq_len: int) -> np.ndarray:
        """Windows of a text, each with the token before it; 0 before the first token and behind the last.

        Args:
            starts: (B,) first positions.
            seq_len: tokens a window, L.

        Returns:
            (B, L + 1) uint8.
        """
        rows = np.zeros((len(starts), seq_len + 1), np.uint8)
        for row, start in zip(rows, starts.tolist(), strict=True):
            begin, end = max(start - 1, 0), min(start + seq_len, self.length)
            row[begin - start + 1 : end - start + 1] = self.array[begin:end]
        return rows


class TrainingText(TrainingBatches):
    """Windows that begin anywhere in the training text."""

    def __init__(self, data: TextConfig, processed: Path, seed: int, rank: int, world_size: int) -> None:
        super().__init__(data, seed, rank, world_size)
        self.text = Prepared(data, processed, "train")
        require(
            data.seq_len <= self.text.length, "data.seq_len", f"<= {self.text.length}, the training text", data.seq_len
        )

    def __getitem__(self, step: int) -> Batch:
        starts = self.draws(step)[:, 0] % np.uint64(self.text.length - self.data.seq_len + 1)
        return shifted(self.text.windows(starts, self.data.seq_len))


class HeldOutText(HeldOutBatches):
    """Windows that score every token of a split once.

    Each begins `eval_context` tokens before the first one that it scores; without context it is cold: it does not see
    the token before it either. The first has no tokens before it and scores all of its own. The last is padded.
    """

    def __init__(self, data: TextConfig, processed: Path, split: str) -> None:
        self.text = Prepared(data, processed, split)
        self.seq_len, self.context = data.seq_len, data.eval_context
        self.stride = data.seq_len - data.eval_context
        n_windows = max(1, -(-(self.text.length - self.context) // self.stride))
        self.chosen = spread(n_windows, _at_least_one(data.eval_tokens, self.stride))
        super().__init__(len(self.chosen), data.batch_size)

    def sequences(self, numbers: np.ndarray) -> Batch:
        starts = self.chosen[numbers] * self.stride
        stream = self.text.windows(starts, self.seq_len)
        if self.context == 0:
            stream[:, 0] = 0
        positions = starts[:, None] + np.arange(self.seq_len)
        scored_from = np.where(starts == 0, 0, starts + self.context)[:, None]
        scored = (positions >= scored_from) & (positions < self.text.length)
        return shifted(stream, torch.from_numpy(scored.astype(np.float32)))


class TrainingImages(TrainingBatches):
    """Images drawn with replacement, every second one mirrored where `flip` says so."""

    def __init__(self, data: ImagesConfig, processed: Path, seed: int, rank: int, world_size: int) -> None:
        super().__init__(data, seed, rank, world_size)
        self.images = Prepared(data, processed, "train")
        self.flip = data.flip

    def __getitem__(self, step: int) -> Batch:
        words = self.draws(step, 2)
        images = self.images.array[words[:, 0] % np.uint64(self.images.length)]
        if self.flip:
            mirrored = words[:, 1] % np.uint64(2) == 1
            images[mirrored] = images[mirrored, :, ::-1]
        return shifted(as_tokens(images))


class HeldOutImages(HeldOutBatches):
    """Every image of a split once, or `eval_tokens` worth of whole images."""

    def __init__(self, data: ImagesConfig, processed: Path, split: str) -> None:
        self.images = Prepared(data, processed, split)
        self.chosen = spread(self.images.length, _at_least_one(data.eval_tokens, data.seq_len))
        super().__init__(len(self.chosen), data.batch_size)

    def sequences(self, numbers: np.ndarray) -> Batch:
        return shifted(as_tokens(self.images.array[self.chosen[numbers]]))


def as_tokens(images: np.ndarray) -> np.ndarray:
    """Lays images out as tokens in raster order, channel fastest, behind a 0: (B, side * side * 3 + 1)."""
    return np.pad(images.reshape(len(images), -1), ((0, 0), (1, 0)))


def _at_least_one(tokens: int, per_window: int) -> int:
    """Whole windows that make up a number of tokens, at least one; 0 for 0, which means all."""
    return max(1, tokens // per_window) if tokens else 0
