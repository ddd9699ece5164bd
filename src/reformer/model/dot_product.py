"""Exact attention, over all positions or over neighbouring chunks, as a baseline for LSH attention.

With shared queries and keys it follows the rules of LSH attention: a key is its query scaled to unit length, logits have no
factor 1/sqrt(d), and a token attends to itself only if it sees no other token (section 2).

Shapes: B batch, H heads, L positions, D width of a head, C chunk_len, N chunks, W positions in the window of a chunk.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from reformer.model.checks import check_padding_mask
from reformer.model.unit_length import to_unit_length


def full_attention(
    q: Tensor,
    k: Tensor | None,
    v: Tensor,
    *,
    causal: bool = True,
    padding_mask: Tensor | None = None,
    mask_self: bool = True,
) -> Tensor:
    """Computes attention to all positions (equation 1).

    Args:
        q: queries, (B, H, L, D). Shared queries longer than 2**60 become NaN.
        k: keys, (B, H, L, D). None shares the queries.
        v: values, (B, H, L, D). A value or key that is NaN or infinite can reach positions that do not see it, since 0 times
            NaN is NaN, as in PyTorch's attention.
        causal: positions see no later positions.
        padding_mask: (B, L), true at real tokens. The outputs at pads are finite and meaningless.
        mask_self: with shared queries, a position attends to itself only if it sees no other. False lets it attend to itself
            as to any other position.

    Returns:
        (B, H, L, D).

    Raises:
        SettingError: the padding mask has another shape or type.
    """
    check_padding_mask(padding_mask, (q.shape[0], q.shape[2]))
    shared = k is None and mask_self
    keys, scale = (to_unit_length(q), 1.0) if k is None else (k, None)
    if padding_mask is not None or (shared and not causal):
        positions = torch.arange(q.shape[2], device=q.device)
        real = None if padding_mask is None else padding_mask[:, None, None, :]
        mask = _visible(positions, positions, causal, shared, real)
        return scaled_dot_product_attention(q, keys, v, attn_mask=mask, scale=scale)
    if not shared:
        return scaled_dot_product_attention(q, keys, v, is_causal=causal, scale=scale)
    # A query sees earlier positions but not its own: shift the keys by one, and let the first token attend to itself.
    rest = scaled_dot_product_attention(q[:, :, 1:], keys[:, :, :-1], v[:, :, :-1], is_causal=True, scale=scale)
    return torch.cat([v[:, :, :1], rest], dim=2)


def local_attention(
    q: Tensor, k: Tensor | None, v: Tensor, *, chunk_len: int, causal: bool = True, padding_mask: Tensor | None = None
) -> Tensor:
    """Computes attention of each chunk to itself, the previous chunk and, if not causal, the next chunk.

    L need not be a multiple of chunk_len. The other arguments and the result, (B, H, L, D), are those of `full_attention`.
    """
    length = q.shape[2]
    check_padding_mask(padding_mask, (q.shape[0], length))
    n_missing = -length % chunk_len
    n_after = 0 if causal else 1

    def windows(x: Tensor) -> Tensor:
        """Maps (..., L, D) to (..., N, W, D), with zeros beyond both ends."""
        padded = pad(x, (0, 0, chunk_len, n_missing + n_after * chunk_len))
        return padded.unfold(-2, (2 + n_after) * chunk_len, chunk_len).mT

    positions = torch.arange(length + n_missing, device=q.device).view(-1, chunk_len)
    key_positions = positions[:, :1] + torch.arange(-chunk_len, (1 + n_after) * chunk_len, device=q.device)
    real = ((key_positions >= 0) & (key_positions < length))[:, None, :]
    if padding_mask is not None:
        real = real & (windows(padding_mask[..., None].to(q.dtype)).mT > 0)[:, None]  # (B, 1, N, 1, W)
    keys, scale = (to_unit_length(q), 1.0) if k is None else (k, None)
    out = scaled_dot_product_attention(
        pad(q, (0, 0, 0, n_missing)).unflatten(2, (-1, chunk_len)),
        windows(keys),
        windows(v),
        attn_mask=_visible(positions, key_positions, causal, k is None, real),
        scale=scale,
    )
    return out.flatten(2, 3)[:, :, :length]


def _visible(positions: Tensor, key_positions: Tensor, causal: bool, shared: bool, real: Tensor | None) -> Tensor:
    """Returns a mask, (..., L, W), of the keys at positions (..., W) that queries at positions (..., L) see.

    A query that sees no other key sees its own.
    """
    queries, keys = positions[..., :, None], key_positions[..., None, :]
    itself = keys == queries
    visible = keys <= queries if causal else torch.ones_like(itself)
    if shared:
        visible = visible & ~itself
    if real is not None:
        visible = visible & real
    return visible | (itself & ~visible.any(-1, keepdim=True))
