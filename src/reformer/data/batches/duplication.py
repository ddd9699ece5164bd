"""The duplication task of section 5 (Table 2): sequences 0w0w, whose second w can only be predicted from the first."""

import numpy as np
import torch

from reformer.data.batches.batch import Batch, EvaluationBatches, TrainingBatches, random_words, shifted_batch
from reformer.data.config import DuplicationConfig


def duplicated(words: np.ndarray, n_symbols: int) -> Batch:
    """Builds sequences 0w0w from random words and scores the second w only.

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
    return shifted_batch(stream, weights)


class TrainingDuplication(TrainingBatches):
    """New sequences at every step."""

    def __init__(self, data: DuplicationConfig, seed: int, rank: int, world_size: int) -> None:
        super().__init__(data, seed, rank, world_size)
        self.n_symbols = data.n_symbols

    def __getitem__(self, step: int) -> Batch:
        return duplicated(self.random_words(step, self.data.seq_len // 2 - 1), self.n_symbols)


class EvaluationDuplication(EvaluationBatches):
    """A fixed set of sequences. Each split has its own random words, so that none is a training sequence."""

    def __init__(self, data: DuplicationConfig, split: str, seed: int) -> None:
        super().__init__(data.eval_sequences, data.batch_size)
        length = data.seq_len // 2 - 1
        self.words = random_words(seed, split, 0, data.eval_sequences * length).reshape(data.eval_sequences, length)
        self.n_symbols = data.n_symbols

    def sequences(self, numbers: np.ndarray) -> Batch:
        return duplicated(self.words[numbers], self.n_symbols)
