"""LSH attention in PyTorch's public operators, chunk by chunk in large batches: for any device and floating-point type.

Shapes: B batch, H heads, R n_hashes, L positions (filled up to whole chunks inside), D width of a head, C chunk_len, W places
that a chunk looks at, M sequences (one for each example and head), T chunks of a tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from reformer.model.lsh_hash import sort_by_bucket, sort_keys
from reformer.model.lsh_rules import Rules
from reformer.model.unit_length import inverse_length, to_unit_length

# Logit of a pair that is not visible: finite, so that a row of nothing else gives no NaN, and far below any real one.
MASKED = -1e30
# Numbers in a tile's matrix of logits: on CPU what stays in cache, elsewhere large batches with a bound on their memory.
CPU_TILE = 1 << 19
LARGE_TILE = 1 << 25


def forward(qk: Tensor, v: Tensor, buckets: Tensor, padding_mask: Tensor | None, rules: Rules) -> tuple[Tensor, Tensor]:
    """Output, (B, H, L, D), and logsumexp over all rounds, (B, H, L), which is infinite where a position sees only itself."""
    dtype = torch.promote_types(qk.dtype, torch.float32)
    sequences = _Sequences(buckets, padding_mask, rules)
    qk, v = sequences.rows(qk), sequences.rows(v)
    out = torch.zeros_like(v, dtype=dtype)
    lse = out.new_full(out.shape[:1], MASKED)
    for n_round, order in enumerate(sequences.order):
        q = qk[order].to(dtype)
        k = _around(to_unit_length(q), rules)
        values = _around(v[order].to(dtype), rules)
        for tile in _tiles(q, rules):
            rows = order[tile.places]
            logits = _logits(tile, q, k, sequences, n_round, rules)
            tile_lse = logits.logsumexp(-1)
            tile_out = (logits - tile_lse[..., None]).exp() @ tile.windows(values)
            total = torch.logaddexp(lse[rows], tile_lse.flatten())
            kept, added = (lse[rows] - total).exp()[:, None], (tile_lse.flatten() - total).exp()[:, None]
            out[rows] = kept * out[rows] + added * tile_out.flatten(0, 1)
            lse[rows] = total
    alone = lse < MASKED / 2
    out = torch.where(alone[:, None], v.to(dtype), out).to(v.dtype)
    return sequences.positions(out), sequences.positions(lse.masked_fill(alone, torch.inf))


def backward(
    grad: Tensor,
    qk: Tensor,
    v: Tensor,
    buckets: Tensor,
    padding_mask: Tensor | None,
    out: Tensor,
    lse: Tensor,
    rules: Rules,
) -> tuple[Tensor, Tensor]:
    """Gradients of qk and v, (B, H, L, D) each, from that of the output."""
    dtype = lse.dtype
    sequences = _Sequences(buckets, padding_mask, rules)
    # d softmax = P * (dP - delta); a row that sees only itself hands its gradient to its own value.
    delta = sequences.rows((grad.to(dtype) * out.to(dtype)).sum(-1))
    qk, v, lse, grad = (sequences.rows(x) for x in (qk, v, lse, grad))
    grad_qk = torch.zeros_like(qk, dtype=dtype)
    grad_v = torch.where(lse.isinf()[:, None], grad.to(dtype), 0)
    for n_round, order in enumerate(sequences.order):
        q, grad_out = qk[order].to(dtype), grad[order].to(dtype)
        unit, scale = to_unit_length(q), inverse_length(q)
        k, values = _around(unit, rules), _around(v[order].to(dtype), rules)
        grad_q, grad_k, grad_values = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(values)
        for tile in _tiles(q, rules):
            rows = order[tile.places]
            logits = _logits(tile, q, k, sequences, n_round, rules)
            weights = (logits - tile.chunks(lse[rows])).exp()
            tile_grad = tile.chunks(grad_out[tile.places])
            tile.add_windows(grad_values, weights.mT @ tile_grad)
            grad_logits = weights * (tile_grad @ tile.windows(values).mT - tile.chunks(delta[rows]))
            grad_q[tile.places] = (grad_logits @ tile.windows(k)).flatten(0, 1)
            tile.add_windows(grad_k, grad_logits.mT @ tile.chunks(q[tile.places]))
        grad_k = grad_k[rules.chunk_len :][: len(order)]
        grad_qk[order] += grad_q + (grad_k - unit * (unit * grad_k).sum(-1, keepdim=True)) * scale
        grad_v[order] += grad_values[rules.chunk_len :][: len(order)]
    return sequences.positions(grad_qk.to(qk.dtype)), sequences.positions(grad_v.to(v.dtype))


class _Sequences:
    """All sequences, one after another, and their order in every round.

    Attributes:
        length: positions of a sequence, those that fill up the last chunk included.
        order: row at each sorted place, (R, M * length), int64.
        codes: each row's code, (R, M * length).
    """

    def __init__(self, buckets: Tensor, padding_mask: Tensor | None, rules: Rules) -> None:
        self._shape = (*buckets.shape[:2], buckets.shape[-1])
        self._short = -buckets.shape[-1] % rules.chunk_len
        self.length = buckets.shape[-1] + self._short
        if self._short and padding_mask is None:
            padding_mask = torch.ones_like(buckets[:, 0, 0], dtype=torch.bool)
        if padding_mask is not None:
            padding_mask = pad(padding_mask, (0, self._short))[:, None, None]
        keys = sort_keys(pad(buckets, (0, self._short)), padding_mask)
        order = sort_by_bucket(keys)
        codes = rules.codes(keys, order, padding_mask)
        order, codes = (x.flatten(0, 1).transpose(0, 1) for x in (order, codes))  # (R, M, length)
        first_row = self.length * torch.arange(order.shape[1], device=order.device)[:, None]
        self.order, self.codes = (order + first_row).flatten(1), codes.flatten(1)

    def rows(self, x: Tensor) -> Tensor:
        """(B, H, L, ...) -> (M * length, ...)."""
        return pad(x, (*[0, 0] * (x.dim() - 3), 0, self._short)).flatten(0, 2)

    def positions(self, rows: Tensor) -> Tensor:
        """(M * length, ...) -> (B, H, L, ...)."""
        return rows.unflatten(0, (*self._shape[:2], self.length))[:, :, : self._shape[2]]


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
    window_len: int

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
            (self.n_chunks, self.window_len, *around.shape[1:]),
            (self.chunk_len * step, step, *rest),
            around.storage_offset(),
        )

    def add_windows(self, around: Tensor, x: Tensor) -> None:
        """Adds x (T, W, D) to the rows that `windows` took them from."""
        for start in range(0, self.window_len, self.chunk_len):
            rows = around[self.places.start + start :][: self.n_chunks * self.chunk_len]
            rows += x[:, start : start + self.chunk_len].flatten(0, 1)


def _tiles(q: Tensor, rules: Rules) -> Iterator[_Tile]:
    n_chunks = len(q) // rules.chunk_len
    window_len = (2 + rules.n_chunks_after) * rules.chunk_len
    step = max(1, (CPU_TILE if q.device.type == "cpu" else LARGE_TILE) // (rules.chunk_len * window_len))
    for first in range(0, n_chunks, step):
        yield _Tile(first, min(step, n_chunks - first), rules.chunk_len, window_len)


def _logits(tile: _Tile, q: Tensor, k: Tensor, sequences: _Sequences, n_round: int, rules: Rules) -> Tensor:
    """Logits of a tile's pairs, (T, C, W), MASKED where they are not visible."""
    visible = _visible(tile, sequences, n_round, rules)
    return (tile.chunks(q[tile.places]) @ tile.windows(k).mT).masked_fill_(~visible, MASKED)


def _visible(tile: _Tile, sequences: _Sequences, n_round: int, rules: Rules) -> Tensor:
    """Pairs of a tile to count in this round, (T, C, W)."""
    order, length = sequences.order[n_round], sequences.length
    rows, key_rows = tile.chunks(order[tile.places]), tile.windows(_around(order, rules, value=-1))[:, None]
    # Rows of two sequences are never neighbours, though they lie side by side where one sequence ends.
    visible = rows // length == key_rows // length
    visible &= key_rows < rows if rules.causal else key_rows != rows
    visible &= _near(sequences.codes[n_round], rows, key_rows, rules)
    # Counting a pair in the first round that shows it, and no other, is what subtracting log N does (equation 16).
    if rules.duplicate_correction:
        for earlier in sequences.codes[:n_round]:
            visible &= ~_near(earlier, rows, key_rows, rules)
    return visible


def _near(codes: Tensor, rows: Tensor, key_rows: Tensor, rules: Rules) -> Tensor:
    """Whether a round's codes let rows (T, C, 1) see key_rows (T, 1, W)."""
    return (codes[rows] - codes[key_rows] - rules.lag).abs_() <= rules.reach
