"""Windows of prepared texts and images: random ones for training, and all of a split for evaluation."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from reformer.data.batches.batch import Batch, EvaluationBatches, TrainingBatches, evenly_spaced, shifted_batch
from reformer.data.batches.prepared import describe_split
from reformer.data.config import ImagesConfig, TextConfig
from reformer.settings import require


class PreparedSplit:
    """The array of one split, checked against meta.json. Each process maps it into memory at its first use."""

    def __init__(self, data: TextConfig | ImagesConfig, processed: Path, split: str) -> None:
        entry, side = describe_split(data, processed, split)
        if isinstance(data, ImagesConfig):
            require(data.side == side, "data.side", f"{side}, as prepared (or prepare again)", data.side)
        self.path = processed / entry["file"]
        self.length: int = entry["images" if isinstance(data, ImagesConfig) else "tokens"]
        self.document_ends: list[int] = entry.get("document_ends", [])
        self._array: np.ndarray | None = None

    @property
    def array(self) -> np.ndarray:
        """(tokens,) or (images, side, side, 3), uint8, read-only."""
        if self._array is None:
            text = self.path.suffix == ".bin"
            self._array = np.memmap(self.path, np.uint8, "r") if text else np.load(self.path, "r", allow_pickle=False)
        return self._array

    def __getstate__(self) -> dict[str, Any]:
        # Pickling the array would send all of it to a worker process, which can map the file itself.
        return self.__dict__ | {"_array": None}

    def windows(self, starts: np.ndarray, seq_len: int) -> np.ndarray:
        """Returns windows of a text, each with the token before it. Positions outside the text are 0.

        Args:
            starts: (B,) first positions.
            seq_len: tokens of a window, L.

        Returns:
            (B, L + 1) uint8.
        """
        rows = np.zeros((len(starts), seq_len + 1), np.uint8)
        for row, start in zip(rows, starts.tolist(), strict=True):
            begin, end = max(start - 1, 0), min(start + seq_len, self.length)
            row[begin - start + 1 : end - start + 1] = self.array[begin:end]
        return rows


class TrainingText(TrainingBatches):
    """Windows at random positions of the training text."""

    def __init__(self, data: TextConfig, processed: Path, seed: int, rank: int, world_size: int) -> None:
        super().__init__(data, seed, rank, world_size)
        self.text = PreparedSplit(data, processed, "train")
        allowed = f"<= {self.text.length}, the training text"
        require(data.seq_len <= self.text.length, "data.seq_len", allowed, data.seq_len)

    def __getitem__(self, step: int) -> Batch:
        starts = self.random_words(step)[:, 0] % np.uint64(self.text.length - self.data.seq_len + 1)
        return shifted_batch(self.text.windows(starts, self.data.seq_len))


class EvaluationText(EvaluationBatches):
    """Windows that score every token of a split once. The last one is padded.

    The first `eval_context` tokens of a window are context and not scored, except in the first window. Without context the
    windows are disjoint, and the first input is 0 instead of the token before the window.
    """

    def __init__(self, data: TextConfig, processed: Path, split: str) -> None:
        self.text = PreparedSplit(data, processed, split)
        self.seq_len, self.context = data.seq_len, data.eval_context
        self.stride = data.seq_len - data.eval_context
        n_windows = max(1, -(-(self.text.length - self.context) // self.stride))
        self.chosen = evenly_spaced(n_windows, _whole_windows(data.eval_tokens, self.stride))
        super().__init__(len(self.chosen), data.batch_size)

    def sequences(self, numbers: np.ndarray) -> Batch:
        starts = self.chosen[numbers] * self.stride
        stream = self.text.windows(starts, self.seq_len)
        if self.context == 0:
            stream[:, 0] = 0
        positions = starts[:, None] + np.arange(self.seq_len)
        scored_from = np.where(starts == 0, 0, starts + self.context)[:, None]
        scored = (positions >= scored_from) & (positions < self.text.length)
        return shifted_batch(stream, torch.from_numpy(scored.astype(np.float32)))

    def units(self) -> np.ndarray:
        """Returns the number of the document in the middle of each window's scored tokens; of the window if none is known."""
        if not self.text.document_ends:
            return super().units()
        starts = self.chosen * self.stride
        begins = np.where(starts == 0, 0, starts + self.context)
        ends = np.minimum(starts + self.seq_len, self.text.length)
        return np.searchsorted(self.text.document_ends, (begins + ends) // 2, side="right")


class TrainingImages(TrainingBatches):
    """Random images with replacement, mirrored with probability 1/2 if `flip` is set."""

    def __init__(self, data: ImagesConfig, processed: Path, seed: int, rank: int, world_size: int) -> None:
        super().__init__(data, seed, rank, world_size)
        self.images = PreparedSplit(data, processed, "train")
        self.flip = data.flip

    def __getitem__(self, step: int) -> Batch:
        words = self.random_words(step, 2)
        images = self.images.array[words[:, 0] % np.uint64(self.images.length)]
        if self.flip:
            mirrored = words[:, 1] % np.uint64(2) == 1
            images[mirrored] = images[mirrored, :, ::-1]
        return shifted_batch(as_tokens(images))


class EvaluationImages(EvaluationBatches):
    """Every image of a split once, or as many whole images as `eval_tokens` allows."""

    def __init__(self, data: ImagesConfig, processed: Path, split: str) -> None:
        self.images = PreparedSplit(data, processed, split)
        self.chosen = evenly_spaced(self.images.length, _whole_windows(data.eval_tokens, data.seq_len))
        super().__init__(len(self.chosen), data.batch_size)

    def sequences(self, numbers: np.ndarray) -> Batch:
        return shifted_batch(as_tokens(self.images.array[self.chosen[numbers]]))


def as_tokens(images: np.ndarray) -> np.ndarray:
    """Flattens images to tokens in raster order, channel fastest, after a 0: (B, side * side * 3 + 1)."""
    return np.pad(images.reshape(len(images), -1), ((0, 0), (1, 0)))


def _whole_windows(tokens: int, per_window: int) -> int:
    """Returns the number of whole windows in a number of tokens, at least one; 0 tokens stand for all and give 0."""
    return max(1, tokens // per_window) if tokens else 0
