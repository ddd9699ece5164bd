"""The feed-forward branch: two linear layers with a ReLU between them, applied to each position.

Shapes: B batch, L positions, D d_model.
"""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.functional import relu

from reformer.model.branch import Branch
from reformer.model.config import ReformerConfig


class FeedForward(Branch):
    """LayerNorm, D -> d_ff, ReLU, d_ff -> D, in chunks of `ff_chunk_size` positions (section 3)."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__()
        self.chunk_size = config.ff_chunk_size
        self.norm = nn.LayerNorm(config.d_model)
        self.to_hidden = nn.Linear(config.d_model, config.d_ff)
        self.to_out = nn.Linear(config.d_ff, config.d_model)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        return x.split(self.chunk_size or x.shape[1], dim=1)

    def summands(self, x: Tensor, padding_mask: Tensor | None, buckets: list[Tensor]) -> Iterator[Tensor]:
        yield self.to_out(relu(self.to_hidden(self.norm(x))))
