"""Keys from shared queries: the queries scaled to unit length (section 2)."""

import torch
from torch import Tensor

# Shorter vectors count as zero: they have no direction.
MIN_LENGTH = 1e-12


def to_unit_length(q: Tensor) -> Tensor:
    """Returns keys, (..., D). The key of a zero query is zero and passes no gradient."""
    return (q * inverse_length(q)).to(q.dtype)


def inverse_length(q: Tensor) -> Tensor:
    """Returns the factors that turn queries into keys, (..., 1), in float32 or wider: 0 for a zero query."""
    length = q.norm(dim=-1, keepdim=True, dtype=torch.promote_types(q.dtype, torch.float32))
    return length.masked_fill(length < MIN_LENGTH, torch.inf).reciprocal()
