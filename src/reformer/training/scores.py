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
        weights = batch.weights.double()
        self.sums = self.sums.to(weights.device)
        self.sums += torch.stack(
            [(losses.nll.detach() * weights).sum(), (losses.correct * weights).sum(), weights.sum()]
        )

    def scores(self) -> dict[str, float]:
        """Computes the means over the tokens: loss in nats, bits_per_dim (loss / ln 2) and accuracy."""
        nll, correct, n_tokens = self.sums.tolist()
        return {"loss": nll / n_tokens, "bits_per_dim": nll / n_tokens / log(2), "accuracy": correct / n_tokens}


def mean_loss(losses: TokenLosses, batch: Batch) -> Tensor:
    """Computes the training loss of a batch: the mean over the scored tokens, in nats."""
    return (losses.nll * batch.weights).sum() / batch.weights.sum()
