"""Keys from shared queries: the queries scaled to unit length (section 2)."""

import torch
from torch import Tensor

# Shorter vectors count as zero: they have no direction.
MIN_LENGTH = 1e-12
# The logits of longer vectors come near to the penalty of masked pairs, `lsh_blocks.PENALTY`: their keys are NaN.
MAX_LENGTH = 2.0**60


def to_unit_length(q: Tensor) -> Tensor:
    """Returns keys, (..., D). The key of a zero query is zero and passes no gradient, that of one over MAX_LENGTH is NaN."""
    return (q * inverse_length(q)).to(q.dtype)


def inverse_length(q: Tensor) -> Tensor:
    """Returns the factors that turn queries into keys, (..., 1), in float32 or wider: 0 if too short, NaN if too long."""
    length = q.norm(dim=-1, keepdim=True, dtype=torch.promote_types(q.dtype, torch.float32))
    return length.masked_fill(length < MIN_LENGTH, torch.inf).masked_fill(length > MAX_LENGTH, torch.nan).reciprocal()
