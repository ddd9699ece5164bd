"""Checks of what the model and its attentions are given, so that all kinds of attention refuse the same.

Shapes: B batch, L positions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reformer.settings import require

TOKEN_TYPES = (torch.int32, torch.int64)


def check_tokens(inputs: Tensor, targets: Tensor | None, max_seq_len: int) -> None:
    """Raises a SettingError unless both are integers, (B, L), and L is at most max_seq_len."""
    require(
        inputs.dim() == 2, "the shape of inputs", "(B, L), such as tokens[None] for one sequence", tuple(inputs.shape)
    )
    require(inputs.dtype in TOKEN_TYPES, "the type of inputs", "int64 or int32", inputs.dtype)
    length = inputs.shape[1]
    require(length <= max_seq_len, "the length of inputs", f"<= max_seq_len = {max_seq_len}", length)
    if targets is not None:
        given, expected = tuple(targets.shape), tuple(inputs.shape)
        require(given == expected, "the shape of targets", f"(B, L) = {expected}", given)
        require(targets.dtype == torch.int64, "the type of targets", "int64", targets.dtype)


def check_padding_mask(padding_mask: Tensor | None, shape: Sequence[int]) -> None:
    """Raises a SettingError unless the mask is None or Boolean of the shape (B, L)."""
    if padding_mask is None:
        return
    given, expected = (padding_mask.dtype, *padding_mask.shape), (torch.bool, *shape)
    allowed = f"bool, (B, L) = {expected[1:]}, such as mask.bool()"
    require(given == expected, "padding_mask", allowed, given)
