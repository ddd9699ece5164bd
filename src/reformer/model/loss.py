"""Logits and losses in chunks of positions (section 3): the logits of a long sequence are the largest tensor of a step.

Shapes: B batch, L positions, D d_model, V vocab_size.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from reformer.model.config import ReformerConfig
from reformer.settings import require


class TokenLosses(NamedTuple):
    """The model's loss at each target, and whether it predicts the target."""

    nll: Tensor
    """Negative log-likelihood in nats, (B, L), in float32 or wider."""
    correct: Tensor
    """True where the target is the most likely token, (B, L)."""


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

    def losses(self, y1: Tensor, y2: Tensor, targets: Tensor) -> TokenLosses:
        """Computes the losses of the targets, (B, L), with the logits of at most `loss_chunk_size` positions in memory."""
        given, expected = tuple(targets.shape), tuple(y1.shape[:2])
        require(given == expected, "the shape of targets", f"(B, L) = {expected}", given)
        size = self.chunk_size or targets.shape[1]
        chunks = list(zip(y1.split(size, 1), y2.split(size, 1), targets.split(size, 1), strict=True))
        if len(chunks) == 1:
            return TokenLosses(*self._chunk_losses(*chunks[0]))
        losses = [
            checkpoint(self._chunk_losses, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks
        ]
        return TokenLosses(*(torch.cat(field, dim=1) for field in zip(*losses, strict=True)))

    def _chunk_losses(self, y1: Tensor, y2: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self(y1, y2)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        nll = cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        return nll, logits.detach().argmax(-1) == targets
