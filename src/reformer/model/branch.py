"""What attention and feed-forward have in common: a function of the normalised stream, computed piece by piece.

The inner activations of a branch are many times larger than what it reads and writes. So it is computed in parts of the
sequence and of the heads, and whoever takes its gradient takes that of one part at a time (section 3, "Chunking": a chunked
forward pass alone saves nothing in training).

Shapes: B batch, L positions, D d_model.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Branch(nn.Module):
    """What a layer adds to a residual stream: a function without randomness but for the hashing, which can be kept."""

    norm: nn.LayerNorm

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Parts of the sequence that can be computed apart from each other."""
        return (x,)

    def pieces(self, x: Tensor, padding_mask: Tensor | None, buckets: list[Tensor]) -> Iterator[Tensor]:
        """Computes the summands of the output, each when it is asked for.

        Args:
            x: one of the parts that `split` gives, (B, L, D).
            padding_mask: (B, L), true at real tokens.
            buckets: what an earlier call for the same x hashed to; an empty list is filled.

        Yields:
            (B, L, D).
        """
        raise NotImplementedError

    def forward(self, x: Tensor, padding_mask: Tensor | None = None, buckets: list[Tensor] | None = None) -> Tensor:
        """The whole output, (B, L, D). Where x is split, the backward pass computes each part a second time."""
        kept = [] if buckets is None else buckets

        def whole(part: Tensor) -> Tensor:
            return _sum(self.pieces(part, padding_mask, kept))

        x = x.to(self.norm.weight.dtype)

        parts = self.split(x)
        if len(parts) == 1:
            return whole(x)
        if not torch.is_grad_enabled():
            return torch.cat([whole(part) for part in parts], dim=1)
        outs = [checkpoint(whole, part, use_reentrant=False, preserve_rng_state=False) for part in parts]
        return torch.cat(outs, dim=1)


def _sum(pieces: Iterator[Tensor]) -> Tensor:
    """Sums in float32 at least, as one must who computes the sum again to take it off a stream."""
    total = next(pieces)
    for piece in pieces:
        total = total.to(torch.promote_types(total.dtype, torch.float32))
        total = total + piece if torch.is_grad_enabled() else total.add_(piece)
        del piece  # or it would last until the next one is computed
    return total
