"""Batches for training and evaluation, each a function of its index alone.

No order is kept as state. A run therefore resumes at any step, and any number of worker processes gives the same batches.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from reformer.data.config import SPLITS, DataConfig
from reformer.settings import require


class Batch(NamedTuple):
    """Sequences and their targets: the logits at position t predict targets[:, t]."""

    inputs: Tensor
    """(B, L) int64: the targets shifted right by one. First stands the token before the sequence, or 0 if there is none."""
    targets: Tensor
    """(B, L) int64."""
    weights: Tensor
    """(B, L) float32: 1 for scored positions, 0 for others (padding, context, the first half of 0w0w)."""


def shifted_batch(stream: np.ndarray, weights: Tensor | None = None) -> Batch:
    """Splits a stream of tokens into inputs and targets.

    Args:
        stream: (B, L + 1) of any integer type; the first token of each row is an input, but no target.
        weights: (B, L); None scores every position.
    """
    tokens = torch.from_numpy(stream)
    inputs, targets = tokens[:, :-1].long().contiguous(), tokens[:, 1:].long().contiguous()
    return Batch(inputs, targets, torch.ones(targets.shape) if weights is None else weights)


def random_words(seed: int, split: str, step: int, size: int) -> np.ndarray:
    """Generates random words, each a function of (seed, split, step, position) alone.

    They are the raw words of the counter-based generator Philox. NumPy's distributions may change between versions; these
    do not.

    Returns:
        (size,) uint64, uniform. The remainder by n has a bias below 2**-24 for every n used here.
    """
    return np.random.Philox(key=seed, counter=[0, 0, SPLITS.index(split), step]).random_raw(size)


class TrainingBatches(Dataset[Batch]):
    """Training batches, indexed by the step, without end.

    The sequences of a step are selected for all devices together and each device takes its own rows, so the data of a step
    does not depend on the number of devices.
    """

    def __init__(self, data: DataConfig, seed: int, rank: int, world_size: int) -> None:
        allowed = f"a multiple of {world_size} devices"
        require(data.batch_size % world_size == 0, "data.batch_size", allowed, data.batch_size)
        self.data, self.seed = data, seed
        rows = data.batch_size // world_size
        self.rows = slice(rank * rows, (rank + 1) * rows)

    def random_words(self, step: int, per_sequence: int = 1) -> np.ndarray:
        """Generates the random words of a step for this device, (rows, per_sequence) uint64."""
        words = random_words(self.seed, "train", step, self.data.batch_size * per_sequence)
        return words.reshape(self.data.batch_size, per_sequence)[self.rows]

    def __getitem__(self, step: int) -> Batch:
        raise NotImplementedError


class EvaluationBatches(Dataset[Batch]):
    """All sequences of an evaluated split in order, `batch_size` at a time; the last batch may be smaller."""

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
        """Returns the sequences of the given numbers, each in [0, n_sequences), as a batch."""
        raise NotImplementedError

    def units(self) -> np.ndarray:
        """Returns the number of the independent unit that each sequence belongs to: document, image or random word, (n,)."""
        return np.arange(self.n_sequences)


def evenly_spaced(total: int, most: int) -> np.ndarray:
    """Selects `most` of the numbers 0..total - 1 at even distances; all of them if there are no more, or if most is 0."""
    if most == 0 or most >= total:
        return np.arange(total)
    return (2 * np.arange(most) + 1) * total // (2 * most)
