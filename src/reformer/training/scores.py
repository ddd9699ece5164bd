"""Loss and accuracy as sums over tokens, divided once at the end, so that every token has the same weight."""

from math import log

import torch
from torch import Tensor

from reformer.data.batches.batch import Batch
from reformer.model.reformer_lm import TokenLosses


class TokenSums:
    """Sums of losses, of correct predictions and of weights over the scored tokens, in float64."""

    def __init__(self) -> None:
        self.sums = torch.zeros(3, dtype=torch.float64)

    def add(self, losses: TokenLosses, batch: Batch) -> None:
        """Adds the tokens of a batch."""
        sums = sums_by_sequence(losses, batch).sum(0)
        self.sums = self.sums.to(sums.device) + sums

    def scores(self) -> dict[str, float]:
        """Computes the means over the tokens: loss in nats, bits_per_dim (loss / ln 2) and accuracy."""
        return scores_of(self.sums[None])


def sums_by_sequence(losses: TokenLosses, batch: Batch) -> Tensor:
    """Sums losses, correct predictions and weights over each sequence of a batch, (B, 3) float64."""
    weights = batch.weights.double()
    return torch.stack([losses.nll.detach() * weights, losses.correct * weights, weights], dim=-1).sum(1)


def scores_of(sums: Tensor) -> dict[str, float]:
    """Computes the means over all tokens from partial sums.

    Args:
        sums: (n, 3): losses in nats, correct predictions and tokens.
    """
    nll, correct, n_tokens = sums.sum(0).tolist()
    return {"loss": nll / n_tokens, "bits_per_dim": nll / n_tokens / log(2), "accuracy": correct / n_tokens}


def mean_loss(losses: TokenLosses, batch: Batch) -> Tensor:
    """Computes the training loss of a batch: the mean over the scored tokens, in nats."""
    return (losses.nll * batch.weights).sum() / batch.weights.sum()
