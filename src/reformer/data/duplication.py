"""The duplication task of section 5 (Table 2): 0w0w, where only looking back at the first w predicts the second."""

import numpy as np
import torch

from reformer.data.batch import Batch, HeldOutBatches, TrainingBatches, draws, shifted
from reformer.data.config import DuplicationConfig


def sequences(words: np.ndarray, n_symbols: int) -> Batch:
    """Makes 0w0w of random words; only the second w counts.

    Args:
        words: (B, |w|) uint64, uniform.
        n_symbols: symbols are 1..n_symbols.

    Returns:
        A batch of length 2 (|w| + 1).
    """
    half = np.pad((words % np.uint64(n_symbols)).astype(np.int64) + 1, ((0, 0), (1, 0)))  # 0w
    stream = np.pad(np.concatenate([half, half], axis=1), ((0, 0), (1, 0)))
    weights = torch.zeros(stream.shape[0], stream.shape[1] - 1)
    weights[:, half.shape[1] + 1 :] = 1
    return shifted(stream, weights)


class TrainingDuplication(TrainingBatches):
    """Fresh sequences at every step."""

    def __init__(self, data: DuplicationConfig, seed: int, rank: int, world_size: int) -> None:
        super().__init__(data, seed, rank, world_size)
        self.n_symbols = data.n_symbols

    def __getitem__(self, step: int) -> Batch:
        return sequences(self.draws(step, self.data.seq_len // 2 - 1), self.n_symbols)


class HeldOutDuplication(HeldOutBatches):
    """A fixed set of sequences, from a stream of the seed that training never draws from."""

    def __init__(self, data: DuplicationConfig, split: str, seed: int) -> None:
        super().__init__(data.eval_sequences, data.batch_size)
        length = data.seq_len // 2 - 1
        self.words = draws(seed, split, 0, data.eval_sequences * length).reshape(data.eval_sequences, length)
        self.n_symbols = data.n_symbols

    def sequences(self, numbers: np.ndarray) -> Batch:
        return sequences(self.words[numbers], self.n_symbols)
