"""Logits and loss, in chunks of positions: the logits of a long sequence would be larger than all else (section 3).

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
    """What the model makes of each target."""

    nll: Tensor
    """Negative log-likelihood in nats, (B, L), in float32 at least."""
    correct: Tensor
    """Whether the target is the likeliest token, (B, L) bool."""


class Head(nn.Module):
    """LayerNorm over both streams, then one matrix to the vocabulary."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__()
        self.chunk_size = config.loss_chunk_size
        self.norm = nn.LayerNorm(2 * config.d_model)
        self.to_logits = nn.Linear(2 * config.d_model, config.vocab_size)

    def forward(self, y1: Tensor, y2: Tensor) -> Tensor:
        """Logits of the streams y1 and y2 (B, L, D), (B, L, V)."""
        streams = torch.cat([y1, y2], dim=-1).to(self.norm.weight.dtype)
        return self.to_logits(self.norm(streams))

    def losses(self, y1: Tensor, y2: Tensor, targets: Tensor) -> TokenLosses:
        """Losses of the targets (B, L) without holding the logits of more than `loss_chunk_size` positions."""
        require(
            targets.shape == y1.shape[:2],
            "the shape of targets",
            f"(B, L) = {tuple(y1.shape[:2])}",
            tuple(targets.shape),
        )
        size = self.chunk_size or targets.shape[1]
        chunks = list(zip(y1.split(size, 1), y2.split(size, 1), targets.split(size, 1), strict=True))
        if len(chunks) == 1:
            return TokenLosses(*self._chunk_losses(*chunks[0]))
        losses = [
            checkpoint(self._chunk_losses, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks
        ]
        return TokenLosses(*(torch.cat(parts, dim=1) for parts in zip(*losses, strict=True)))

    def _chunk_losses(self, y1: Tensor, y2: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logits = self(y1, y2)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        nll = cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        return nll, logits.detach().argmax(-1) == targets
