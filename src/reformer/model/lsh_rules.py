"""The pairs of query and key that LSH attention makes visible (paper section 2, equations 3, 10 and 16).

In each round, positions are sorted by (bucket, position); a slot is an index in the sorted order. A query sees the keys in a
window of slots. The paper's window consists of the query's own chunk of slots and its neighbours. The "sorted" window consists
of slots of the query's bucket, at most chunk_len away. Only the latter makes a causal model strictly causal: earlier tokens
alone determine the keys that a query sees, whereas later tokens can move the borders of chunks.

Shapes: L positions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from reformer.model.windows import WINDOWS
from reformer.settings import require, require_choice


@dataclass(frozen=True)
class Rules:
    """The rules of visibility within a round.

    In addition, no position sees itself or a position of another sequence, and no real token sees a pad.
    """

    chunk_len: int
    causal: bool
    same_bucket_mask: bool
    duplicate_correction: bool
    window: str

    def __post_init__(self) -> None:
        require(self.chunk_len >= 1, "chunk_len", ">= 1", self.chunk_len)
        require_choice("window", self.window, WINDOWS)
        allowed = '"chunk" without the same-bucket mask ("sorted" counts slots inside a bucket)'
        require(self.same_bucket_mask or self.window == "chunk", "window", allowed, self.window)

    @property
    def n_chunks_after(self) -> int:
        """Number of chunks after its own that a query sees."""
        return 0 if self.causal else 1

    @property
    def max_distance(self) -> int:
        """Largest distance between the codes of a query and a key that it sees."""
        return self.chunk_len if self.window == "sorted" else 1

    @property
    def query_shift(self) -> int:
        """Amount by which a query's code is lowered before it is compared with codes of keys.

        Only chunk numbers are shifted, after doubling. A causal query sees its own chunk c and chunk c - 1. Their codes, 2c and
        2c - 2, are at distance 1 from the shifted code 2c - 1, and the code of chunk c + 1 is at distance 3.
        """
        return 1 if self.causal and not self.same_bucket_mask else 0

    def codes(self, keys: Tensor, order: Tensor, padding_mask: Tensor | None) -> Tensor:
        """Computes a code for each position that determines which pairs are visible in a round.

        A query sees a key of its sequence, which must be earlier if causal, exactly if
        abs(code of query - query_shift - code of key) <= max_distance. Codes of pads are out of reach of all others.

        Args:
            keys: sort keys, (..., L), integer.
            order: positions in sorted order, (..., L), int64.
            padding_mask: true at real tokens, broadcasting against keys.

        Returns:
            (..., L), int64, in the order of positions.
        """
        slots = torch.arange(keys.shape[-1], device=keys.device).expand_as(order)
        slots = torch.empty_like(order).scatter_(-1, order, slots)
        codes = slots if self.window == "sorted" else slots // self.chunk_len
        if self.same_bucket_mask:
            # Neighbouring buckets can be 1 slot or 0 chunks apart. The added term moves them out of reach of each other.
            codes += keys.to(torch.int64) * (self.max_distance if self.window == "sorted" else 2)
        if self.query_shift:
            codes *= 2
        return codes if padding_mask is None else codes.masked_fill_(~padding_mask, -2 * self.max_distance - 2)
