"""LSH attention (paper section 2 and Figure 2): hash, sort, cut into chunks, attend near by, merge the rounds.

Queries and keys are shared; a key is its query scaled to unit length, and the logit is their product with no further
1/sqrt(d). All rounds together are one softmax over the pairs (query, key) that any of them makes visible. A backward pass
that knows the output and the logarithm of the softmax's denominator can therefore take the rounds one after the other, and
nothing of a round is kept for it but its buckets, from which its order follows.

A token attends to itself only where it sees nothing else: the limit of the paper's penalty on itself.

Shapes: B batch, H heads, R n_hashes, L positions, D width of a head, C chunk_len, W window: the places a chunk looks at, M
sequences (one for each example and head), T chunks of a tile.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from reformer.model.lsh_hash import count_buckets, draw_rotations, hash_vectors, sort_by_bucket
from reformer.settings import require

__all__ = ["count_buckets", "draw_rotations", "hash_vectors", "lsh_attention", "sort_by_bucket"]

# Logit of a pair that is not visible: finite, so that a row of nothing else gives no NaN, and far below any real one.
MASKED = -1e30
# Vectors shorter than this have no direction.
SHORTEST = 1e-12
# Numbers in a tile's matrix of logits: large batched operations, with a bound on the memory they take.
TILE_SIZE = 1 << 25


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
) -> Tensor:
    """Attention of each position to those that share a bucket with it, near it in the order of buckets (equations 3 to 6).

    Args:
        qk: shared queries and keys, (B, H, L, D), any L.
        v: values, (B, H, L, D).
        n_hashes: rounds; not used where buckets or rotations are given.
        chunk_len: sorted places a chunk; each sees itself, the chunk before and, where not causal, the chunk after.
        causal: no position sees a later one.
        n_buckets: even number of buckets a round; 0 takes `count_buckets(L, chunk_len)`.
        buckets: hashing as `hash_vectors` returns it, (B, H, R, L); nothing is hashed then.
        rotations: what to hash with, as `draw_rotations` returns it; nothing is drawn then.
        generator: what rotations are drawn from; None takes the global generator.
        padding_mask: (B, L), true at real tokens. Outputs elsewhere are finite and without meaning.
        same_bucket_mask: only keys of the query's own bucket are visible, not all of the window.
        duplicate_correction: a key that is visible in several rounds counts once (equations 15 and 16), not once for each.

    Returns:
        (B, H, L, D) in the type of qk.
    """
    length = qk.shape[2]
    require(qk.shape == v.shape, "the shape of v", f"that of qk, {tuple(qk.shape)}", tuple(v.shape))
    require(chunk_len >= 1, "chunk_len", ">= 1", chunk_len)
    if buckets is None:
        buckets = hash_vectors(qk, n_buckets or count_buckets(length, chunk_len), n_hashes, generator, rotations)
    expected = (*qk.shape[:2], buckets.shape[2], length)
    require(buckets.shape == expected, "the shape of buckets", f"(B, H, R, L) = {expected}", tuple(buckets.shape))
    pads = torch.iinfo(buckets.dtype).max
    if padding_mask is not None:
        buckets = buckets.masked_fill(~padding_mask[:, None, None, :], pads)
    short = -length % chunk_len
    if short:
        qk, v, buckets = pad(qk, (0, 0, 0, short)), pad(v, (0, 0, 0, short)), pad(buckets, (0, short), value=pads)
    rules = Rules(chunk_len, causal, same_bucket_mask, duplicate_correction)
    return _LSHAttention.apply(qk, v, buckets, rules)[:, :, :length]  # type: ignore[no-untyped-call,no-any-return]


@dataclass(frozen=True)
class Rules:
    """Which pairs of places are visible."""

    chunk_len: int
    causal: bool
    same_bucket_mask: bool
    duplicate_correction: bool

    @property
    def n_chunks_after(self) -> int:
        """Chunks after its own that a chunk looks at."""
        return 0 if self.causal else 1

    @property
    def window(self) -> int:
        """Places that a chunk looks at."""
        return (2 + self.n_chunks_after) * self.chunk_len


class Hashing:
    """The order of every round, and a code by which to tell whether one place can see another.

    The code counts the chunks, plus two for each bucket where only equal buckets may meet. So one place may see another exactly
    if its code is larger by 0 or 1 or, where not causal, smaller by 1. The code of pads is further from all others.

    Attributes:
        order: (R, M * L), int64: row of qk at each sorted place.
        codes: (R, M * L), int32: each row's code.
    """

    def __init__(self, buckets: Tensor, rules: Rules) -> None:
        length = buckets.shape[-1]
        by_round = buckets.flatten(0, 1).transpose(0, 1)  # (R, M, L)
        order = sort_by_bucket(by_round)
        chunks = torch.empty_like(order, dtype=torch.int32)
        places = torch.arange(length, dtype=torch.int32, device=buckets.device)
        chunks.scatter_(-1, order, (places // rules.chunk_len).expand_as(chunks))
        codes = chunks + 2 * by_round.to(torch.int32) if rules.same_bucket_mask else chunks
        codes.masked_fill_(by_round == torch.iinfo(buckets.dtype).max, -2)
        sequences = torch.arange(order.shape[1], device=buckets.device)[:, None]
        self.order = (order + length * sequences).flatten(1)
        self.codes = codes.flatten(1)


class _LSHAttention(torch.autograd.Function):
    """All rounds as one softmax; keeps its inputs, its output and one number a row."""

    @staticmethod
    def forward(ctx: Any, qk: Tensor, v: Tensor, buckets: Tensor, rules: Rules) -> Tensor:
        with torch.autocast(qk.device.type, enabled=False):
            hashing = Hashing(buckets, rules)
            out, lse = _forward(qk.flatten(0, 2), v.flatten(0, 2), hashing, rules, qk.shape[2])
        out = out.view_as(v).to(qk.dtype)
        ctx.save_for_backward(qk, v, buckets, out, lse)
        ctx.rules = rules
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        qk, v, buckets, out, lse = ctx.saved_tensors
        with torch.autocast(qk.device.type, enabled=False):
            hashing = Hashing(buckets, ctx.rules)
            rows = [x.flatten(0, 2) for x in (qk, v, out, grads[0])]
            grad_qk, grad_v = _backward(*rows, lse, hashing, ctx.rules, qk.shape[2])
        return grad_qk.view_as(qk).to(qk.dtype), grad_v.view_as(v).to(v.dtype), None, None


def _forward(qk: Tensor, v: Tensor, hashing: Hashing, rules: Rules, length: int) -> tuple[Tensor, Tensor]:
    """Output and logsumexp of every row, (M * L, D) and (M * L). Infinity marks a row that sees only itself."""
    dtype = torch.promote_types(qk.dtype, torch.float32)
    out = torch.zeros_like(v, dtype=dtype)
    lse = out.new_full(out.shape[:1], MASKED)
    for n_round, order in enumerate(hashing.order):
        q = qk[order].to(dtype)
        k = _around(_unit(q)[0], rules)
        values = _around(v[order].to(dtype), rules)
        for tile in _tiles(len(order), rules):
            rows = order[tile.places]
            logits = _logits(tile, q, k, hashing, n_round, rules, length)
            tile_lse = logits.logsumexp(-1)
            tile_out = (logits - tile_lse[..., None]).exp() @ tile.windows(values)
            total = torch.logaddexp(lse[rows], tile_lse.flatten())
            kept, added = (lse[rows] - total).exp()[:, None], (tile_lse.flatten() - total).exp()[:, None]
            out[rows] = kept * out[rows] + added * tile_out.flatten(0, 1)
            lse[rows] = total
    alone = lse < MASKED / 2
    return torch.where(alone[:, None], v.to(dtype), out), lse.masked_fill(alone, torch.inf)


def _backward(
    qk: Tensor, v: Tensor, out: Tensor, grad_out: Tensor, lse: Tensor, hashing: Hashing, rules: Rules, length: int
) -> tuple[Tensor, Tensor]:
    """Gradients of qk and v, (M * L, D) each."""
    dtype = torch.promote_types(qk.dtype, torch.float32)
    # d softmax = P * (dP - delta); a row that sees only itself hands its gradient to its own value.
    delta = (grad_out.to(dtype) * out.to(dtype)).sum(-1)
    grad_qk = torch.zeros_like(qk, dtype=dtype)
    grad_v = torch.where(lse.isinf()[:, None], grad_out.to(dtype), 0)
    for n_round, order in enumerate(hashing.order):
        q, grad = qk[order].to(dtype), grad_out[order].to(dtype)
        unit, scale = _unit(q)
        k, values = _around(unit, rules), _around(v[order].to(dtype), rules)
        grad_q, grad_k, grad_values = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(values)
        for tile in _tiles(len(order), rules):
            rows = order[tile.places]
            logits = _logits(tile, q, k, hashing, n_round, rules, length)
            weights = (logits - tile.chunks(lse[rows])).exp()
            tile_grad = tile.chunks(grad[tile.places])
            tile.add_windows(grad_values, weights.mT @ tile_grad)
            grad_logits = weights * (tile_grad @ tile.windows(values).mT - tile.chunks(delta[rows]))
            grad_q[tile.places] = (grad_logits @ tile.windows(k)).flatten(0, 1)
            tile.add_windows(grad_k, grad_logits.mT @ tile.chunks(q[tile.places]))
        grad_k = grad_k[rules.chunk_len :][: len(order)]
        grad_qk[order] += grad_q + (grad_k - unit * (unit * grad_k).sum(-1, keepdim=True)) * scale
        grad_v[order] += grad_values[rules.chunk_len :][: len(order)]
    return grad_qk, grad_v


def _unit(q: Tensor) -> tuple[Tensor, Tensor]:
    """Keys of unit length and what they were multiplied by, (..., 1): 0, so without a gradient, where a vector is zero."""
    norm = q.norm(dim=-1, keepdim=True)
    scale = norm.reciprocal().masked_fill(norm < SHORTEST, 0)
    return q * scale, scale


def _around(x: Tensor, rules: Rules, value: int = 0) -> Tensor:
    """Adds to sorted rows (M * L, ...) the chunks that the first and the last one look at beyond the ends."""
    ends = (rules.chunk_len, rules.n_chunks_after * rules.chunk_len)
    return pad(x, (*[0, 0] * (x.dim() - 1), *ends), value=value)


@dataclass(frozen=True)
class _Tile:
    """Neighbouring chunks of sorted rows, computed at a time."""

    first: int
    n_chunks: int
    chunk_len: int
    window: int

    @property
    def places(self) -> slice:
        return slice(self.first * self.chunk_len, (self.first + self.n_chunks) * self.chunk_len)

    def chunks(self, x: Tensor) -> Tensor:
        """(T * C, ...) -> (T, C, ...), numbers as (T, C, 1)."""
        return x.view(self.n_chunks, self.chunk_len, -1)

    def windows(self, around: Tensor) -> Tensor:
        """What each chunk looks at: from (M * L + ..., D) an overlapping view, (T, W, D)."""
        around = around[self.places.start :]
        step, *rest = around.stride()
        return around.as_strided(
            (self.n_chunks, self.window, *around.shape[1:]),
            (self.chunk_len * step, step, *rest),
            around.storage_offset(),
        )

    def add_windows(self, around: Tensor, x: Tensor) -> None:
        """Adds x (T, W, D) to the rows that `windows` took them from."""
        for start in range(0, self.window, self.chunk_len):
            rows = around[self.places.start + start :][: self.n_chunks * self.chunk_len]
            rows += x[:, start : start + self.chunk_len].flatten(0, 1)


def _tiles(n_rows: int, rules: Rules) -> Iterator[_Tile]:
    n_chunks = n_rows // rules.chunk_len
    step = max(1, TILE_SIZE // (rules.chunk_len * rules.window))
    for first in range(0, n_chunks, step):
        yield _Tile(first, min(step, n_chunks - first), rules.chunk_len, rules.window)


def _logits(tile: _Tile, q: Tensor, k: Tensor, hashing: Hashing, n_round: int, rules: Rules, length: int) -> Tensor:
    """Logits of a tile's pairs, (T, C, W), MASKED where they are not visible."""
    visible = _visible(tile, hashing, n_round, rules, length)
    return (tile.chunks(q[tile.places]) @ tile.windows(k).mT).masked_fill_(~visible, MASKED)


def _visible(tile: _Tile, hashing: Hashing, n_round: int, rules: Rules, length: int) -> Tensor:
    """Pairs of a tile to count in this round, (T, C, W)."""
    around = _around(hashing.order[n_round], rules, value=-1)
    rows, key_rows = tile.chunks(hashing.order[n_round][tile.places]), tile.windows(around)[:, None]
    # Rows of two sequences are never neighbours, though they lie side by side where one sequence ends.
    visible = rows // length == key_rows // length
    visible &= key_rows < rows if rules.causal else key_rows != rows
    visible &= _near(hashing.codes[n_round], rows, key_rows, rules)
    # Counting a pair in the first round that shows it, and no other, is what subtracting log N does (equation 16).
    if rules.duplicate_correction:
        for earlier in range(n_round):
            visible &= ~_near(hashing.codes[earlier], rows, key_rows, rules)
    return visible


def _near(codes: Tensor, rows: Tensor, key_rows: Tensor, rules: Rules) -> Tensor:
    """Whether a round's codes let rows (T, C, 1) see key_rows (T, 1, W), whichever comes first."""
    steps = codes[rows] - codes[key_rows]
    return (steps <= 1) & (steps >= -rules.n_chunks_after)
