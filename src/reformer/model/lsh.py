"""LSH attention (paper section 2 and Figure 2): hash queries, sort them by bucket, attend within windows, merge the rounds.

Queries and keys are shared. A key is its query scaled to unit length, and logits have no factor 1/sqrt(d). A token attends to
itself only if it sees no other token, the limit of the paper's penalty on itself.

All rounds together are one softmax over the pairs (query, key) that are visible in any of them. From the output and the
logarithm of the softmax's denominator (logsumexp), the backward pass computes the gradient round by round. It needs nothing
else from a round but the buckets, from which it recomputes the sorted order.

Three implementations compute the same function: `lsh_fused` on CPU, with private kernels of PyTorch; `lsh_triton` on CUDA
devices; `lsh_portable` elsewhere. `lsh_choice` chooses one.

Shapes: B batch, H heads, R n_hashes, L positions, D width of a head.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from reformer.model.checks import check_padding_mask
from reformer.model.lsh_choice import hash_vectors, implementation
from reformer.model.lsh_hash import count_buckets, count_real, draw_rotations
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
    """Computes attention of each position to nearby positions of its bucket in the sorted order (equations 3 to 6).

    Args:
        qk: shared queries and keys, (B, H, L, D), any L. A transposed tensor (B, L, H, D) is not copied. Vectors
            longer than 2**60 become NaN.
        v: values, (B, H, L, D). A value or key that is NaN or infinite can reach positions that do not see it, since 0 times
            NaN is NaN, as in PyTorch's attention.
        n_hashes: number of rounds, ignored if buckets or rotations are given.
        chunk_len: positions per chunk of a window.
        causal: positions see no later positions.
        n_buckets: even number of buckets per round, ignored if buckets or rotations are given. 0 calls `count_buckets`
            for the largest number of real tokens of an example.
        buckets: result of `hash_vectors`, (B, H, R, L), all >= 0. None hashes qk.
        rotations: result of `draw_rotations`. None draws rotations.
        generator: generator of the rotations. None is the global one.
        padding_mask: (B, L), true at real tokens. The outputs at pads are finite and meaningless.
        same_bucket_mask: a query sees only keys of its bucket. False shows it the whole window, which must be "chunk" then.
        duplicate_correction: a key that is visible in several rounds counts once (equations 15 and 16), not once per round.
        window: "sorted" is the chunk_len positions of the query's bucket before it and, if not causal, after it. With n_buckets
            given, later tokens then cannot change which keys a query sees. "chunk" is the paper's: the sorted order is cut into
            chunks, and a query sees its own chunk, the previous one and, if not causal, the next one.

    Returns:
        (B, H, L, D) in the dtype of qk.

    Raises:
        SettingError: an argument has another shape or type, a rule is unknown, or a bucket is negative (noticed on a CPU only).
    """
    length = qk.shape[2]
    require(qk.shape == v.shape, "the shape of v", f"that of qk, {tuple(qk.shape)}", tuple(v.shape))
    require(qk.dtype == v.dtype, "the type of v", f"that of qk, {qk.dtype}", v.dtype)
    require(qk.numel() > 0, "the shape of qk", "without a 0", tuple(qk.shape))
    check_padding_mask(padding_mask, (qk.shape[0], length))
    rules = Rules(chunk_len, causal, same_bucket_mask, duplicate_correction, window)
    if buckets is None:
        if rotations is None:
            n_buckets = n_buckets or count_buckets(count_real(length, padding_mask), chunk_len)
            rotations = draw_rotations(qk, n_buckets, n_hashes, generator)
        buckets = hash_vectors(qk, rotations)
    n_rounds = buckets.shape[2] if buckets.dim() == 4 else 1
    shape = (*qk.shape[:2], max(n_rounds, 1), length)
    require(buckets.shape == shape, "the shape of buckets", f"(B, H, R, L) = {shape}", tuple(buckets.shape))
    require(not buckets.dtype.is_floating_point, "the type of buckets", "integer", buckets.dtype)
    return _LSHAttention.apply(qk, v, buckets, padding_mask, rules)


class _LSHAttention(torch.autograd.Function):
    """LSH attention for given buckets. It saves its inputs, its output and one logsumexp per position."""

    @staticmethod
    def forward(ctx: Any, qk: Tensor, v: Tensor, buckets: Tensor, padding_mask: Tensor | None, rules: Rules) -> Tensor:
        with torch.autocast(qk.device.type, enabled=False):
            out, lse = implementation(qk).forward(qk, v, buckets, padding_mask, rules)
        ctx.save_for_backward(qk, v, buckets, padding_mask, out, lse)
        ctx.rules = rules
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        qk, v, buckets, padding_mask, out, lse = ctx.saved_tensors
        with torch.autocast(qk.device.type, enabled=False):
            grad_qk, grad_v = implementation(qk).backward(grads[0], qk, v, buckets, padding_mask, out, lse, ctx.rules)
        return grad_qk, grad_v, None, None, None
