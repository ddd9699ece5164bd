"""Who may attend to whom in LSH attention (paper section 2, equations 3, 10 and 16).

In each round positions are sorted by (bucket, position). A query sees keys that lie near it in that order: in its own chunk or
a neighbour (the paper's rule), or at most chunk_len places away among those of its own bucket. The second rule keeps a causal
model causal to the letter: which keys a query sees follows from earlier tokens alone, while the borders of chunks move with
every later token.

Shapes: L positions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reformer.model.config import WINDOWS
from reformer.settings import require, require_choice


@dataclass(frozen=True)
class Rules:
    """Which pairs of a query and a key are visible in a round.

    Beside these rules, no position sees itself, a position of another sequence or, unless it is one, a pad.
    """

    chunk_len: int
    causal: bool
    same_bucket_mask: bool
    duplicate_correction: bool
    window: str

    def __post_init__(self) -> None:
        require(self.chunk_len >= 1, "chunk_len", ">= 1", self.chunk_len)
        require_choice("window", self.window, WINDOWS)
        require(
            self.same_bucket_mask or self.window == "chunk",
            "window",
            '"chunk" without the same-bucket mask ("sorted" counts places inside a bucket)',
            self.window,
        )

    @property
    def n_chunks_after(self) -> int:
        """Chunks after its own that a chunk looks at."""
        return 0 if self.causal else 1

    @property
    def reach(self) -> int:
        """How far the codes of two positions that see each other may differ."""
        return self.chunk_len if self.window == "sorted" else 1

    @property
    def lag(self) -> int:
        """What a query's code is less by, so that it reaches the chunk before its own and not the one after."""
        return 1 if self.causal and not self.same_bucket_mask else 0

    def codes(self, keys: Tensor, order: Tensor, padding_mask: Tensor | None) -> Tensor:
        """A number for each position by which to tell what a round shows.

        A query may see a key of its sequence, an earlier one where causal, exactly if code_query - code_key - lag lies between
        -reach and reach. Pads are far from all others.

        Args:
            keys: what was sorted by, (..., L), integer.
            order: positions in sorted order, (..., L), int64.
            padding_mask: true at real tokens, broadcasting against keys.

        Returns:
            (..., L), int64, in the order of positions.
        """
        places = torch.arange(keys.shape[-1], device=keys.device).expand_as(order)
        places = torch.empty_like(order).scatter_(-1, order, places)
        codes = places if self.window == "sorted" else places // self.chunk_len
        if self.same_bucket_mask:
            # Sorted after one another, two buckets are at least one place and no chunk apart: add what puts them out of reach.
            codes += keys.to(torch.int64) * (self.reach if self.window == "sorted" else 2)
        if self.lag:
            codes *= 2
        return codes if padding_mask is None else codes.masked_fill_(~padding_mask, -2 * self.reach - 2)
