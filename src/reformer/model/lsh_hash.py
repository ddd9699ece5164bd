"""Locality-sensitive hashing of shared queries and keys (paper section 2, "Locality sensitive hashing").

Random rotations send vectors of similar direction to the same bucket with high probability. The buckets select the pairs of
query and key that are compared. They carry no gradient, and are computed in float32 or wider.

Shapes: B batch, H heads, R n_hashes, L positions, D width of a head.
"""

from collections.abc import Sequence
from math import isqrt, prod

import numpy as np
import torch
from torch import Tensor

from reformer.model.lsh_threads import Scratch, run_in_threads
from reformer.settings import require

# Largest number of buckets for which one rotation is cheaper than two. Two rotations need two even factors.
MAX_UNFACTORED_BUCKETS = 16
# Elements of a product with the rotations that are computed at a time: they fit into cache on CPU, and bound memory elsewhere.
CPU_TILE = 1 << 17
LARGE_TILE = 1 << 27


def count_buckets(length: int, chunk_len: int) -> int:
    """Returns the even number of buckets for which two average buckets fill a chunk (paper section 2: m = 2l / n_buckets)."""
    return max(2, 2 * (length // chunk_len))


def count_real(length: int, padding_mask: Tensor | None) -> int:
    """Returns the length that determines the number of buckets: the largest number of real tokens of an example, at least 1.

    Args:
        length: positions of the input.
        padding_mask: (B, L), true at real tokens. None: all are real.
    """
    return length if padding_mask is None else max(1, int(padding_mask.sum(1).max()))


def factor_buckets(n_buckets: int) -> tuple[int, ...]:
    """Returns two even factors of n_buckets or, if none of similar size exist, of a slightly larger number.

    A small number stays a single factor. One rotation to n_buckets directions costs L * n_buckets, which is L^2 if the number
    of buckets grows with the length. Two rotations to about sqrt(n_buckets) directions cost L^1.5.

    Raises:
        SettingError: n_buckets is odd or below 2.
    """
    require(n_buckets >= 2 and n_buckets % 2 == 0, "n_buckets", "an even number >= 2", n_buckets)
    if n_buckets <= MAX_UNFACTORED_BUCKETS:
        return (n_buckets,)
    root = 2 * (isqrt(n_buckets) // 2)
    for first in range(root, root // 2, -2):
        if n_buckets % (2 * first) == 0:
            return first, n_buckets // first
    return root, 2 * -(-n_buckets // (2 * root))


def draw_rotations(
    qk: Tensor, n_buckets: int, n_hashes: int, generator: torch.Generator | None = None
) -> tuple[Tensor, ...]:
    """Draws Gaussian matrices for each example, head and round: one (B, H, R, D, f / 2) for each factor f of n_buckets.

    Args:
        qk: (B, H, L, D), of which only shape, dtype and device are used.
        generator: a generator on the device of qk. None is the global one.

    Raises:
        SettingError: n_hashes is below 1, or n_buckets is odd or below 2.
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
    """Computes the angular hash argmax([xR; -xR]) for each factor of the number of buckets.

    Args:
        qk: (B, H, L, D), vectors of any norm.
        rotations: result of `draw_rotations`.

    Returns:
        Bucket ids, (B, H, R, L), less than the product of `factor_buckets(n_buckets)`, in int16 if it holds them, else int32.
    """
    n_examples, n_heads, length, _ = qk.shape
    n_rounds = rotations[0].shape[2]
    largest = prod(2 * rotation.shape[-1] for rotation in rotations) - 1
    dtype = torch.int16 if largest <= torch.iinfo(torch.int16).max else torch.int32
    buckets = torch.empty(n_examples, n_heads, n_rounds, length, dtype=dtype, device=qk.device)
    # One product for all rounds, (B, H, D, R * f / 2), with few positions at a time, so that its result stays in cache.
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
        run_in_threads(hash_positions, parts, len(parts) if on_cpu else 1, joined[0].dtype)
    return buckets


def _nearest_direction(rotated: Tensor) -> Tensor:
    """Computes argmax([xR; -xR]) from xR, (..., f / 2), which is overwritten.

    Without the sign bit, floating-point numbers sort like the integers of the same bits. Arithmetic on these integers takes a
    third of the time of `argmax` on CPU.
    """
    half = rotated.shape[-1]
    bits = rotated.view(torch.int32 if rotated.dtype == torch.float32 else torch.int64)
    limits = torch.iinfo(bits.dtype)
    magnitude = bits & limits.max
    is_smaller = magnitude.sub_(magnitude.amax(dim=-1, keepdim=True)).clamp_min_(-1)  # 0 at the largest, -1 elsewhere
    direction = bits.__irshift__(limits.bits - 1).bitwise_and_(half)  # half if negative, else 0
    direction += torch.arange(half, dtype=bits.dtype, device=bits.device)
    return direction.add_(is_smaller, alpha=2 * half).amax(dim=-1)


def _mixed_radix(digits: list[Tensor], factors: list[int]) -> Tensor:
    number = digits[0]
    for digit, factor in zip(digits[1:], factors[1:], strict=True):
        number = number * factor + digit
    return number


def sort_keys(buckets: Tensor, padding_mask: Tensor | None) -> Tensor:
    """Returns the keys to sort by: the buckets, and one more bucket after all others for pads.

    Args:
        buckets: (..., L), integer, >= 0.
        padding_mask: true at real tokens, broadcasting against buckets.
    """
    if padding_mask is None:
        return buckets
    buckets = buckets.to(torch.int32)
    return torch.where(padding_mask, buckets, buckets.max() + 1)


def sort_by_bucket(keys: Tensor) -> Tensor:
    """Sorts the positions of each round by (bucket, position).

    Args:
        keys: (..., L), integer, >= 0.

    Returns:
        (..., L), int64.

    Raises:
        SettingError: a key is negative (noticed on a CPU only).
    """
    if keys.device.type == "cpu":
        least, greatest = map(int, keys.aminmax())
        require(least >= 0, "buckets", ">= 0", least)
        if greatest <= np.iinfo(np.uint16).max:
            # NumPy's radix sort of 16-bit numbers is ten times as fast as torch.sort.
            return torch.from_numpy(np.argsort(keys.numpy().astype(np.uint16), axis=-1, kind="stable"))
    return torch.sort(keys, dim=-1, stable=True).indices
