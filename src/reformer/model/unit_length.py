"""Keys from shared queries: the same directions, at unit length (section 2)."""

import torch
from torch import Tensor

# Vectors shorter than this have no direction.
SHORTEST = 1e-12


def to_unit_length(q: Tensor) -> Tensor:
    """Keys, (..., D): zero, and without a gradient, where a query has no direction."""
    return (q * inverse_length(q)).to(q.dtype)


def inverse_length(q: Tensor) -> Tensor:
    """What makes keys of queries, (..., 1), in float32 at least: 0 where they have no direction."""
    length = q.norm(dim=-1, keepdim=True, dtype=torch.promote_types(q.dtype, torch.float32))
    return length.masked_fill(length < SHORTEST, torch.inf).reciprocal()
