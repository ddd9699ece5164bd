"""What the model is given, and the two ways of counting it out: any step of training, every token of a held-out split.

Both are functions of numbers alone. No order is kept as state, so a run resumes at any step, and any number of worker
processes, in any order, gives the same batches.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from reformer.data.config import SPLITS, DataConfig
from reformer.settings import require


class Batch(NamedTuple):
    """Sequences and what is asked about them: the model's output at t is the distribution of targets[:, t]."""

    inputs: Tensor
    """(B, L) int64: the targets shifted right by one, led by the token before the sequence, 0 where there is none."""
    targets: Tensor
    """(B, L) int64."""
    weights: Tensor
    """(B, L) float32: 1 where the prediction counts, 0 where it does not (padding, context, the first half of 0w0w)."""


def shifted(stream: np.ndarray, weights: Tensor | None = None) -> Batch:
    """Makes a batch of a stream of tokens.

    Args:
        stream: (B, L + 1) of any integer type; the first token of each row is only read, never predicted.
        weights: (B, L); None counts every token.
    """
    tokens = torch.from_numpy(stream)
    inputs, targets = tokens[:, :-1].long().contiguous(), tokens[:, 1:].long().contiguous()
    return Batch(inputs, targets, torch.ones(targets.shape) if weights is None else weights)


def draws(seed: int, split: str, step: int, size: int) -> np.ndarray:
    """Random words, each determined by (seed, split, step, position) alone.

    Raw words of the counter-based generator Philox: unlike NumPy's distributions they never change between versions.

    Returns:
        (size,) uint64, uniform. Reduce it by a remainder: the bias is below 2**-24 for all sizes met here.
    """
    return np.random.Philox(key=seed, counter=[0, 0, SPLITS.index(split), step]).random_raw(size)


class TrainingBatches(Dataset[Batch]):
    """The batch of any training step; index it by the step. It has no end.

    The sequences of a step are drawn for all devices together, and each takes its own rows: the step's data is the same
    for any number of devices.
    """

    def __init__(self, data: DataConfig, seed: int, rank: int, world_size: int) -> None:
        require(
            data.batch_size % world_size == 0, "data.batch_size", f"a multiple of {world_size} devices", data.batch_size
        )
        self.data, self.seed = data, seed
        rows = data.batch_size // world_size
        self.rows = slice(rank * rows, (rank + 1) * rows)

    def draws(self, step: int, per_sequence: int = 1) -> np.ndarray:
        """Random words of a step for this device, (rows, per_sequence) uint64."""
        words = draws(self.seed, "train", step, self.data.batch_size * per_sequence)
        return words.reshape(self.data.batch_size, per_sequence)[self.rows]

    def __getitem__(self, step: int) -> Batch:
        raise NotImplementedError


class HeldOutBatches(Dataset[Batch]):
    """All sequences of a held-out split in order, `batch_size` at a time; the last batch may be smaller."""

    def __init__(self, n_sequences: int, batch_size: int) -> None:
        self.n_sequences, self.batch_size = n_sequences, batch_size

    def __len__(self) -> int:
        return -(-self.n_sequences // self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        begin = index * self.batch_size
        return self.sequences(np.arange(begin, min(begin + self.batch_size, self.n_sequences)))

    def sequences(self, numbers: np.ndarray) -> Batch:
        """The sequences of these numbers, each in [0, n_sequences), as a batch."""
        raise NotImplementedError


def spread(total: int, most: int) -> np.ndarray:
    """Chooses `most` of `total` things, spread evenly; all of them where there are no more, or where most is 0."""
    if most == 0 or most >= total:
        return np.arange(total)
    return (2 * np.arange(most) + 1) * total // (2 * most)
