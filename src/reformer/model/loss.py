"""Logits and losses in chunks of positions (section 3): the logits of a long sequence are the largest tensor of a step.

Shapes: B batch, L positions, D d_model, V vocab_size.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from reformer.model.config import ReformerConfig
from reformer.model.plain import has_plain_layers

# Targets of this value have no loss: the default of PyTorch's cross entropy.
IGNORED = -100


class TokenLosses(NamedTuple):
    """The model's loss at each target, whether it predicts the target, and whether the target counts."""

    nll: Tensor
    """Negative log-likelihood in nats, (B, L), in float32 or wider. 0 where the target is -100, meaningless at pads."""
    correct: Tensor
    """True where the target is the most likely token, (B, L)."""
    counts: Tensor | None = None
    """True where the target is neither -100 nor a pad, (B, L). None: all targets count."""

    def mean(self) -> Tensor:
        """Computes the mean loss over the targets that count, a scalar in nats. It is NaN if none does."""
        if self.counts is None:
            return self.nll.mean()
        return self.nll.masked_fill(~self.counts, 0).sum() / self.counts.sum()


class Head(nn.Module):
    """LayerNorm over both streams side by side, and a linear layer to the vocabulary."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__()
        self.chunk_size = config.loss_chunk_size
        self.norm = nn.LayerNorm(2 * config.d_model)
        self.to_logits = nn.Linear(2 * config.d_model, config.vocab_size)

    def forward(self, y1: Tensor, y2: Tensor) -> Tensor:
        """Returns the logits, (B, L, V), of the streams y1 and y2, (B, L, D) each."""
        streams = torch.cat([y1, y2], dim=-1).to(self.norm.weight.dtype)
        return self.to_logits(self.norm(streams))

    def losses(self, y1: Tensor, y2: Tensor, targets: Tensor, padding_mask: Tensor | None = None) -> TokenLosses:
        """Computes the losses of the targets, (B, L), with the logits of at most `loss_chunk_size` positions in memory.

        A head with layers or hooks of the user's own computes all logits at once.
        """
        counts = targets != IGNORED if padding_mask is None else (targets != IGNORED) & padding_mask
        size = (self.chunk_size if has_plain_layers(self) else 0) or max(1, targets.shape[1])
        chunks = list(zip(y1.split(size, 1), y2.split(size, 1), targets.split(size, 1), strict=True))
        if len(chunks) == 1:
            return TokenLosses(*self._chunk_losses(*chunks[0]), counts)
        losses = [
            checkpoint(self._chunk_losses, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks
        ]
        nll, correct = (torch.cat(field, dim=1) for field in zip(*losses, strict=True))
        return TokenLosses(nll, correct, counts)

    def _chunk_losses(self, y1: Tensor, y2: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self(y1, y2)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        nll = cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        return nll, logits.detach().argmax(-1) == targets
