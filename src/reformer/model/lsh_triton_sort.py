# mypy: disable-error-code="no-untyped-def"
"""Hashing and sorting for LSH attention on CUDA devices.

Shapes: B batch, H heads, R n_hashes, L positions, D width of a head.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from reformer.model.lsh_rules import Rules

SLOTS_PER_PROGRAM = 1024
# Slots that are sorted at a time, which bounds the memory of the sort.
MAX_SLOTS = 1 << 20
# Positions that a program hashes. Of float32 fewer: their products are sums of three, with copies in shared memory.
HASHED_POSITIONS, HASHED_FLOAT32_POSITIONS, HASH_WARPS = 128, 32, 4


def padded_width(width: int) -> int:
    """Returns the width of a head rounded up to a power of two of at least 16, as `tl.dot` requires."""
    return max(16, triton.next_power_of_2(width))


def strides_of(x: Tensor) -> tuple[int, ...]:
    """Returns the strides of (B, H, L, D) but for the last one, which is 1."""
    return x.stride()[:3]


def with_contiguous_rows(x: Tensor) -> Tensor:
    """Returns x, (..., D), or a copy of it if the elements of a row are not neighbours in memory."""
    return x if x.stride(-1) == 1 else x.contiguous()


class SortedRounds(NamedTuple):
    """The sorted order of all rounds.

    Attributes:
        keys: sort keys in sorted order, (B * H * R, L).
        order: position in each slot, (B * H * R, L), int32.
        codes: `Rules.codes` of each position, (B * H * L, R), uint32, with one more column if R is odd.
    """

    keys: Tensor
    order: Tensor
    codes: Tensor


def sort_rounds(buckets: Tensor, padding_mask: Tensor | None, rules: Rules) -> SortedRounds:
    """Sorts the positions of each round by (bucket, position), pads last, by radix sorts of (sequence, round, bucket)."""
    n_examples, n_heads, n_rounds, length = buckets.shape
    n_segments = n_examples * n_heads * n_rounds
    step = max(1, min(MAX_SLOTS // length, (1 << 15) - 1))  # segments, whose numbers fit into 15 bits
    narrow = buckets.element_size() <= 2
    dtype, bits = (torch.int32, 16) if narrow else (torch.int64, 40)
    buckets = buckets.reshape(n_segments, length).contiguous()
    keys = torch.empty(n_segments, length, dtype=dtype, device=buckets.device)
    order = torch.empty(n_segments, length, dtype=torch.int32, device=buckets.device)
    codes = torch.empty(n_examples * n_heads * length, -(-n_rounds // 2) * 2, dtype=torch.uint32, device=buckets.device)
    unsorted = torch.empty_like(keys[:step])
    indices = torch.empty_like(unsorted, dtype=torch.int64)
    for first in range(0, n_segments, step):
        part = keys[first : first + step].flatten()
        unsorted, indices = unsorted.flatten()[: len(part)], indices.flatten()[: len(part)]
        grid = (triton.cdiv(len(part), SLOTS_PER_PROGRAM),)
        _compose_keys[grid](
            buckets[first:], padding_mask, unsorted, len(part), first, length, n_heads * n_rounds, bits, SLOTS_PER_PROGRAM
        )  # fmt: skip
        torch.sort(unsorted, stable=True, out=(part, indices))
        # Numbers of up to 16 bits serve as they are. Others are replaced by ranks, so that the codes fit into 32 bits.
        ranks = part if narrow else (part.diff(prepend=part[:1]) != 0).cumsum(0)
        _place[grid](
            part, ranks, indices, order[first:], codes,
            len(part), first, length, n_rounds, rules, bits, SLOTS_PER_PROGRAM,
        )  # fmt: skip
    return SortedRounds(keys, order, codes)


@triton.jit(do_not_specialize=["n_slots", "first_segment"])
def _compose_keys(
    buckets, padding_mask, keys, n_slots, first_segment, length, segments_per_example,
    BITS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Computes sort keys: the number of the segment (sequence and round), and after it the bucket or, for pads, ones."""
    PAD: tl.constexpr = (1 << BITS) - 1
    slots = tl.program_id(0).to(tl.int64) * SIZE + tl.arange(0, SIZE)
    present = slots < n_slots
    segment = slots // length
    key = tl.load(buckets + slots, mask=present, other=0).to(keys.dtype.element_ty)
    if padding_mask is not None:
        example = (segment + first_segment) // segments_per_example
        real = tl.load(padding_mask + example * length + slots % length, mask=present, other=0) != 0
        key = tl.where(real, key, PAD)
    tl.store(keys + slots, (segment.to(keys.dtype.element_ty) << BITS) + key, mask=present)


@triton.jit(do_not_specialize=["n_slots", "first_segment", "n_rounds"])
def _place(
    keys, ranks, indices, order, codes, n_slots, first_segment, length, n_rounds,
    RULES: tl.constexpr, BITS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Writes the order, and the code of each position in each round (`Rules.codes`)."""
    PAD: tl.constexpr = (1 << BITS) - 1
    slots = tl.program_id(0).to(tl.int64) * SIZE + tl.arange(0, SIZE)
    present = slots < n_slots
    segment = slots // length
    position = tl.load(indices + slots, mask=present, other=0) - segment * length
    tl.store(order + slots, position.to(tl.int32), mask=present)
    is_pad = (tl.load(keys + slots, mask=present, other=0) & PAD) == PAD
    bucket = tl.load(ranks + slots, mask=present, other=0) & PAD
    code = slots - segment * length
    if RULES.window == "chunk":
        code = code // RULES.chunk_len
    if RULES.same_bucket_mask:
        code += bucket * (2 if RULES.window == "chunk" else RULES.chunk_len)
    if RULES.query_shift:
        code *= 2
    code = tl.where(is_pad, -2 * RULES.max_distance - 2, code)
    segment += first_segment
    row = segment // n_rounds * length + position
    tl.store(codes + row * ((n_rounds + 1) // 2 * 2) + segment % n_rounds, code.to(tl.uint32), mask=present)


@torch.no_grad()
def hash_vectors(qk: Tensor, rotations: Sequence[Tensor]) -> Tensor:
    """Computes `lsh_hash.hash_vectors`, (B, H, R, L), in float32 without storing the rotated vectors."""
    qk = with_contiguous_rows(qk)
    n_examples, n_heads, length, width = qk.shape
    n_rounds = rotations[0].shape[2]
    largest = prod(2 * rotation.shape[-1] for rotation in rotations) - 1
    dtype = torch.int16 if largest <= torch.iinfo(torch.int16).max else torch.int32
    buckets = torch.empty(n_examples, n_heads, n_rounds, length, dtype=dtype, device=qk.device)
    first, second = (rotation.contiguous() for rotation in (rotations[0], rotations[-1]))
    block = HASHED_FLOAT32_POSITIONS if qk.dtype == torch.float32 else HASHED_POSITIONS
    grid = (n_examples * n_heads * triton.cdiv(length, block),)
    with torch.cuda.device_of(qk):
        _hash[grid](
            qk, first, second, buckets, strides_of(qk), n_heads, length, n_rounds,
            first.shape[-1], second.shape[-1] if len(rotations) == 2 else 0,
            width, padded_width(width), block, num_warps=HASH_WARPS,
        )  # fmt: skip
    return buckets


@triton.jit(do_not_specialize=["n_heads", "n_rounds"])
def _hash(
    qk, first, second, buckets, strides, n_heads, length, n_rounds,
    FIRST: tl.constexpr, SECOND: tl.constexpr, WIDTH: tl.constexpr, PADDED_WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Computes the buckets of a block of positions in all rounds. Without a second factor, SECOND is 0."""
    n_blocks = tl.cdiv(length, BLOCK)
    sequence = (tl.program_id(0) // n_blocks).to(tl.int64)
    positions = (tl.program_id(0) % n_blocks) * BLOCK + tl.arange(0, BLOCK)
    present = positions < length
    columns = tl.arange(0, PADDED_WIDTH)
    qk += sequence // n_heads * strides[0] + sequence % n_heads * strides[1]
    pointers = qk + positions.to(tl.int64)[:, None] * strides[2] + columns[None, :]
    x = tl.load(pointers, mask=present[:, None] & (columns < WIDTH)[None, :], other=0.0)
    for n_round in range(n_rounds):
        rotation = sequence * n_rounds + n_round
        bucket = _nearest_direction(x, first + rotation * WIDTH * FIRST, FIRST, WIDTH, PADDED_WIDTH)
        if SECOND > 0:
            digit = _nearest_direction(x, second + rotation * WIDTH * SECOND, SECOND, WIDTH, PADDED_WIDTH)
            bucket = bucket * (2 * SECOND) + digit
        tl.store(buckets + rotation * length + positions, bucket.to(buckets.dtype.element_ty), mask=present)


@triton.jit
def _nearest_direction(x, rotation, HALF: tl.constexpr, WIDTH: tl.constexpr, PADDED_WIDTH: tl.constexpr):
    """Returns argmax([xR; -xR]) for R, (WIDTH, HALF): of the largest by magnitude, the last one."""
    PADDED: tl.constexpr = max(16, triton.next_power_of_2(HALF))
    rows, columns = tl.arange(0, PADDED_WIDTH), tl.arange(0, PADDED)
    mask = (rows < WIDTH)[:, None] & (columns < HALF)[None, :]
    r = tl.load(rotation + rows[:, None] * HALF + columns[None, :], mask=mask, other=0.0)
    bits = _multiply(x, r).to(tl.int32, bitcast=True)
    magnitude = tl.where((columns < HALF)[None, :], bits & 0x7FFFFFFF, -1)
    direction = columns[None, :] + tl.where(bits < 0, HALF, 0)
    return tl.max(tl.where(magnitude == tl.max(magnitude, 1)[:, None], direction, -1), 1)


@triton.jit
def _multiply(x, matrix):
    """Returns x @ matrix to the accuracy of float32, on tensor cores."""
    if x.dtype == tl.bfloat16:
        # Three numbers of 8 bits each hold the 24 bits of a float32, and their products with x are exact.
        high = matrix.to(tl.bfloat16)
        rest = matrix - high.to(tl.float32)
        middle = rest.to(tl.bfloat16)
        low = (rest - middle.to(tl.float32)).to(tl.bfloat16)
        return tl.dot(x, high, tl.dot(x, middle, tl.dot(x, low)))
    return tl.dot(x.to(tl.float32), matrix, input_precision="tf32x3")
