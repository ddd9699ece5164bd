"""Exact attention, over all positions and over neighbouring chunks: what LSH attention is compared with.

With shared queries and keys the rules are those of LSH attention: a key is its query scaled to unit length, the logit has no
further 1/sqrt(d), and a token attends to itself only where it sees nothing else (section 2).

Shapes: B batch, H heads, L positions, D width of a head, C chunk_len, N chunks, W window: the positions a chunk looks at.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from reformer.model.unit_length import to_unit_length


def full_attention(
    q: Tensor, k: Tensor | None, v: Tensor, *, causal: bool = True, padding_mask: Tensor | None = None
) -> Tensor:
    """Attention to all positions (equation 1).

    Args:
        q: queries, (B, H, L, D).
        k: keys, (B, H, L, D); None shares the queries.
        v: values, (B, H, L, D).
        causal: no position sees a later one.
        padding_mask: (B, L), true at real tokens. Outputs elsewhere are finite and without meaning.

    Returns:
        (B, H, L, D).
    """
    shared = k is None
    keys, scale = (to_unit_length(q), 1.0) if k is None else (k, None)
    if padding_mask is not None or (shared and not causal):
        places = torch.arange(q.shape[2], device=q.device)
        real = None if padding_mask is None else padding_mask[:, None, None, :]
        mask = _visible(places, places, causal, shared, real)
        return scaled_dot_product_attention(q, keys, v, attn_mask=mask, scale=scale)
    if not shared:
        return scaled_dot_product_attention(q, keys, v, is_causal=causal)
    # Only earlier positions, without one's own: queries from the second on, keys up to the last but one.
    later = scaled_dot_product_attention(q[:, :, 1:], keys[:, :, :-1], v[:, :, :-1], is_causal=True, scale=scale)
    return torch.cat([v[:, :, :1], later], dim=2)


def local_attention(
    q: Tensor,
    k: Tensor | None,
    v: Tensor,
    *,
    chunk_len: int,
    causal: bool = True,
    padding_mask: Tensor | None = None,
) -> Tensor:
    """Attention of each chunk of positions to itself, the chunk before and, where not causal, the chunk after.

    Args:
        q: queries, (B, H, L, D), any L.
        k: keys, (B, H, L, D); None shares the queries.
        v: values, (B, H, L, D).
        chunk_len: positions a chunk.
        causal: no position sees a later one.
        padding_mask: (B, L), true at real tokens. Outputs elsewhere are finite and without meaning.

    Returns:
        (B, H, L, D).
    """
    length = q.shape[2]
    short = -length % chunk_len
    n_after = 0 if causal else 1

    def windows(x: Tensor) -> Tensor:
        """(..., L, D) -> (..., N, W, D), zeros beyond both ends."""
        around = pad(x, (0, 0, chunk_len, short + n_after * chunk_len))
        return around.unfold(-2, (2 + n_after) * chunk_len, chunk_len).mT

    places = torch.arange(length + short, device=q.device).view(-1, chunk_len)
    around = places[:, :1] + torch.arange(-chunk_len, (1 + n_after) * chunk_len, device=q.device)
    real = ((around >= 0) & (around < length))[:, None, :]
    if padding_mask is not None:
        real = real & (windows(padding_mask[..., None].to(q.dtype)).mT > 0)[:, None]  # (B, 1, N, 1, W)
    keys, scale = (to_unit_length(q), 1.0) if k is None else (k, None)
    out = scaled_dot_product_attention(
        pad(q, (0, 0, 0, short)).unflatten(2, (-1, chunk_len)),
        windows(keys),
        windows(v),
        attn_mask=_visible(places, around, causal, k is None, real),
        scale=scale,
    )
    return out.flatten(2, 3)[:, :, :length]


def _visible(places: Tensor, around: Tensor, causal: bool, shared: bool, real: Tensor | None) -> Tensor:
    """Which places (..., L) see which of those around (..., W), (..., L, W); one that sees none sees itself."""
    rows, keys = places[..., :, None], around[..., None, :]
    itself = keys == rows
    visible = keys <= rows if causal else torch.ones_like(itself)
    if shared:
        visible = visible & ~itself
    if real is not None:
        visible = visible & real
    return visible | (itself & ~visible.any(-1, keepdim=True))
