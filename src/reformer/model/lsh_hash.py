"""Locality-sensitive hashing of shared query-keys (paper section 2, "Locality sensitive hashing").

Random rotations send vectors that point in nearby directions to the same bucket with high probability. Hashing decides only
who is compared with whom: it carries no gradient and is done in float32 at least.

Shapes: B batch, H heads, R n_hashes, L positions, D width of a head.
"""

from collections.abc import Sequence
from math import isqrt, prod

import numpy as np
import torch
from torch import Tensor

from reformer.model.lsh_threads import Scratch, share_out
from reformer.settings import require

# Up to this many buckets one rotation is cheaper than two, whose factors must both be even.
UNFACTORED_BUCKETS = 16
# Numbers in a product with the rotations computed at a time: what stays in cache, or a bound on the memory.
CPU_TILE = 1 << 17
LARGE_TILE = 1 << 27


def count_buckets(length: int, chunk_len: int) -> int:
    """Buckets a round such that a chunk holds two of average size (paper section 2: m = 2l / n_buckets). Even."""
    return max(2, 2 * (length // chunk_len))


def factor_buckets(n_buckets: int) -> tuple[int, ...]:
    """Two even factors whose product is n_buckets or, where no nearly equal ones are found, a little more; one if it is small.

    One rotation to n_buckets directions costs L * n_buckets, which is L^2 where their number grows with the length; two of
    about sqrt(n_buckets) directions cost L^1.5.
    """
    require(n_buckets >= 2 and n_buckets % 2 == 0, "n_buckets", "an even number >= 2", n_buckets)
    if n_buckets <= UNFACTORED_BUCKETS:
        return (n_buckets,)
    root = 2 * (isqrt(n_buckets) // 2)
    for first in range(root, root // 2, -2):
        if n_buckets % (2 * first) == 0:
            return first, n_buckets // first
    return root, 2 * -(-n_buckets // (2 * root))


def draw_rotations(
    qk: Tensor, n_buckets: int, n_hashes: int, generator: torch.Generator | None = None
) -> tuple[Tensor, ...]:
    """Gaussian directions, fresh for every example, head and round: one (B, H, R, D, f / 2) for each factor f of n_buckets.

    Args:
        qk: (B, H, L, D); only shape and device count.
        generator: a generator on the device of qk; None takes the global one.
    """
    require(n_hashes >= 1, "n_hashes", ">= 1", n_hashes)
    n_examples, n_heads, _, width = qk.shape
    dtype = torch.promote_types(qk.dtype, torch.float32)
    return tuple(
        torch.randn(
            n_examples, n_heads, n_hashes, width, factor // 2, generator=generator, device=qk.device, dtype=dtype
        )
        for factor in factor_buckets(n_buckets)
    )


@torch.no_grad()
def hash_vectors(qk: Tensor, rotations: Sequence[Tensor]) -> Tensor:
    """Angular hash: the nearest of the directions of xR and -xR, for each factor of the number of buckets.

    Args:
        qk: (B, H, L, D), any length of vectors.
        rotations: as `draw_rotations` returns them.

    Returns:
        Bucket ids, (B, H, R, L), in the smaller of int16 and int32 that holds them; they reach the product of
        `factor_buckets(n_buckets)`.
    """
    n_examples, n_heads, length, _ = qk.shape
    n_rounds = rotations[0].shape[2]
    largest = prod(2 * rotation.shape[-1] for rotation in rotations) - 1
    dtype = torch.int16 if largest <= torch.iinfo(torch.int16).max else torch.int32
    buckets = torch.empty(n_examples, n_heads, n_rounds, length, dtype=dtype, device=qk.device)
    # All rounds in one product, (B, H, D, R * f / 2); few positions at a time, so that what comes of it stays in cache.
    joined = [rotation.transpose(2, 3).flatten(3) for rotation in rotations]
    factors = [2 * rotation.shape[-1] for rotation in rotations]
    on_cpu = qk.device.type == "cpu"
    step = max(1, (CPU_TILE if on_cpu else LARGE_TILE) // (n_examples * n_heads * n_rounds * max(factors) // 2))

    def hash_positions(positions: tuple[Tensor, Tensor], _: Scratch) -> None:
        x, ids = positions
        digits = [_nearest_direction((x.to(r.dtype) @ r).unflatten(-1, (n_rounds, -1))) for r in joined]
        ids.copy_(_mixed_radix(digits, factors).transpose(2, 3))

    parts = list(zip(qk.detach().split(step, dim=2), buckets.split(step, dim=3), strict=True))
    with torch.autocast(qk.device.type, enabled=False):
        share_out(hash_positions, parts, len(parts) if on_cpu else 1, joined[0].dtype)
    return buckets


def _nearest_direction(rotated: Tensor) -> Tensor:
    """argmax over [xR ; -xR], given xR, (..., f / 2), which is overwritten.

    Integer arithmetic on the numbers' bits, whose order is that of the sizes, takes a third of the time of `argmax` on CPU.
    """
    half = rotated.shape[-1]
    bits = rotated.view(torch.int32 if rotated.dtype == torch.float32 else torch.int64)
    limits = torch.iinfo(bits.dtype)
    size = bits & limits.max
    others = size.sub_(size.amax(dim=-1, keepdim=True)).clamp_min_(-1)  # 0 at the largest, -1 elsewhere
    direction = bits.__irshift__(limits.bits - 1).bitwise_and_(half)  # half where negative, else 0
    direction += torch.arange(half, dtype=bits.dtype, device=bits.device)
    return direction.add_(others, alpha=2 * half).amax(dim=-1)


def _mixed_radix(digits: list[Tensor], factors: list[int]) -> Tensor:
    number = digits[0]
    for digit, factor in zip(digits[1:], factors[1:], strict=True):
        number = number * factor + digit
    return number


def sort_keys(buckets: Tensor, padding_mask: Tensor | None) -> Tensor:
    """What to sort by: the buckets, and for pads a bucket of their own after all others.

    Args:
        buckets: integer, >= 0.
        padding_mask: true at real tokens, broadcasting against buckets.
    """
    if padding_mask is None:
        return buckets
    buckets = buckets.to(torch.int32)
    return torch.where(padding_mask, buckets, buckets.max() + 1)


def sort_by_bucket(keys: Tensor) -> Tensor:
    """Positions of each round in the order of (bucket, position).

    Args:
        keys: (..., L), integer, >= 0.

    Returns:
        (..., L), int64.
    """
    if keys.device.type == "cpu":
        least, greatest = map(int, keys.aminmax())
        require(least >= 0, "buckets", ">= 0", least)
        if greatest <= np.iinfo(np.uint16).max:
            # NumPy sorts 16-bit numbers by radix, ten times as fast as torch.
            return torch.from_numpy(np.argsort(keys.numpy().astype(np.uint16), axis=-1, kind="stable"))
    return torch.sort(keys, dim=-1, stable=True).indices
