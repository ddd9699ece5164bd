"""LSH attention (paper section 2 and Figure 2): hash, sort, cut into chunks, attend near by, merge the rounds.

Queries and keys are shared; a key is its query scaled to unit length, and the logit is their product with no further
1/sqrt(d). All rounds together are one softmax over the pairs (query, key) that any of them makes visible. A backward pass
that knows the output and the logarithm of the softmax's denominator can therefore take the rounds one after the other, and
nothing of a round is kept for it but its buckets, from which its order follows.

A token attends to itself only where it sees nothing else: the limit of the paper's penalty on itself.

Two implementations compute the same: `lsh_fused` on CPU, with kernels that are not public; `lsh_portable` everywhere.

Shapes: B batch, H heads, R n_hashes, L positions, D width of a head.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from reformer.model import lsh_fused, lsh_portable
from reformer.model.lsh_hash import count_buckets, draw_rotations, hash_vectors
from reformer.model.lsh_rules import Rules
from reformer.settings import require

__all__ = ["count_buckets", "draw_rotations", "hash_vectors", "lsh_attention"]


def lsh_attention(
    qk: Tensor,
    v: Tensor,
    *,
    n_hashes: int = 4,
    chunk_len: int = 64,
    causal: bool = True,
    n_buckets: int = 0,
    buckets: Tensor | None = None,
    rotations: Sequence[Tensor] | None = None,
    generator: torch.Generator | None = None,
    padding_mask: Tensor | None = None,
    same_bucket_mask: bool = True,
    duplicate_correction: bool = True,
    window: str = "sorted",
) -> Tensor:
    """Attention of each position to those that share a bucket with it, near it in the order of buckets (equations 3 to 6).

    Args:
        qk: shared queries and keys, (B, H, L, D), any L; also a transposed (B, L, H, D), which is not copied.
        v: values, (B, H, L, D).
        n_hashes: rounds; not used where buckets or rotations are given.
        chunk_len: positions that the window is made of.
        causal: no position sees a later one.
        n_buckets: even number of buckets a round; 0 takes `count_buckets(L, chunk_len)`. Not used with buckets or rotations.
        buckets: hashing as `hash_vectors` returns it, (B, H, R, L), all >= 0; nothing is hashed then.
        rotations: what to hash with, as `draw_rotations` returns it; nothing is drawn then.
        generator: what rotations are drawn from; None takes the global generator.
        padding_mask: (B, L), true at real tokens. Outputs elsewhere are finite and without meaning.
        same_bucket_mask: only keys of the query's own bucket are visible, not all of the window, which must be "chunk" then.
        duplicate_correction: a key that is visible in several rounds counts once (equations 15 and 16), not once for each.
        window: "sorted", the chunk_len positions of the query's bucket before it and, where not causal, after it: with
            n_buckets given, no later token changes what an earlier one sees. Or "chunk", as in the paper: of sorted places
            in chunks, the query's own, the one before and, where not causal, the one after.

    Returns:
        (B, H, L, D) in the type of qk.
    """
    length = qk.shape[2]
    require(qk.shape == v.shape, "the shape of v", f"that of qk, {tuple(qk.shape)}", tuple(v.shape))
    require(qk.dtype == v.dtype, "the type of v", f"that of qk, {qk.dtype}", v.dtype)
    require(qk.numel() > 0, "the shape of qk", "without a 0", tuple(qk.shape))
    if padding_mask is not None:
        require(
            padding_mask.dtype == torch.bool and padding_mask.shape == (qk.shape[0], length),
            "padding_mask",
            f"bool, (B, L) = {(qk.shape[0], length)}",
            f"{padding_mask.dtype}, {tuple(padding_mask.shape)}",
        )
    rules = Rules(chunk_len, causal, same_bucket_mask, duplicate_correction, window)
    if buckets is None:
        if rotations is None:
            rotations = draw_rotations(qk, n_buckets or count_buckets(length, chunk_len), n_hashes, generator)
        buckets = hash_vectors(qk, rotations)
    n_rounds = buckets.shape[2] if buckets.dim() == 4 else 1
    expected = (*qk.shape[:2], max(n_rounds, 1), length)
    require(buckets.shape == expected, "the shape of buckets", f"(B, H, R, L) = {expected}", tuple(buckets.shape))
    require(not buckets.dtype.is_floating_point, "the type of buckets", "integer", buckets.dtype)
    return _LSHAttention.apply(qk, v, buckets, padding_mask, rules)


def _implementation(qk: Tensor) -> ModuleType:
    return lsh_fused if qk.device.type == "cpu" and lsh_fused.kernels_exist() else lsh_portable


class _LSHAttention(torch.autograd.Function):
    """All rounds as one softmax; keeps its inputs, its output and one number a position."""

    @staticmethod
    def forward(ctx: Any, qk: Tensor, v: Tensor, buckets: Tensor, padding_mask: Tensor | None, rules: Rules) -> Tensor:
        with torch.autocast(qk.device.type, enabled=False):
            out, lse = _implementation(qk).forward(qk, v, buckets, padding_mask, rules)
        ctx.save_for_backward(qk, v, buckets, padding_mask, out, lse)
        ctx.rules = rules
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        qk, v, buckets, padding_mask, out, lse = ctx.saved_tensors
        with torch.autocast(qk.device.type, enabled=False):
            grad_qk, grad_v = _implementation(qk).backward(grads[0], qk, v, buckets, padding_mask, out, lse, ctx.rules)
        return grad_qk, grad_v, None, None, None
