"""LSH attention in PyTorch's public operators, in large batches of chunks, for any device and floating-point type.

A slot is an index in the sorted order, a position an index in the sequence, a row an index into all sequences end to end.

Shapes: B batch, H heads, R n_hashes, L positions (padded to whole chunks inside), D width of a head, C chunk_len, W slots of
the window of a chunk, M sequences (one for each example and head), T chunks of a tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from reformer.model.lsh_hash import sort_by_bucket, sort_keys
from reformer.model.lsh_rules import Rules
from reformer.model.unit_length import inverse_length, to_unit_length

# Logit of an invisible pair: finite, so that a row of such pairs gives no NaN, and far below any other logit.
MASKED = -1e30
# Elements of the logits of a tile. They fit into cache on CPU, and bound the memory of large batches elsewhere.
CPU_TILE = 1 << 19
LARGE_TILE = 1 << 25


def forward(qk: Tensor, v: Tensor, buckets: Tensor, padding_mask: Tensor | None, rules: Rules) -> tuple[Tensor, Tensor]:
    """Returns output, (B, H, L, D), and logsumexp over all rounds, (B, H, L), infinite if a position sees only itself."""
    dtype = torch.promote_types(qk.dtype, torch.float32)
    sequences = _Sequences(buckets, padding_mask, rules)
    qk, v = sequences.rows(qk), sequences.rows(v)
    out = torch.zeros_like(v, dtype=dtype)
    lse = out.new_full(out.shape[:1], MASKED)
    for n_round, order in enumerate(sequences.order):
        q = qk[order].to(dtype)
        k = _pad_with_chunks(to_unit_length(q), rules)
        values = _pad_with_chunks(v[order].to(dtype), rules)
        for tile in _tiles(q, rules):
            rows = order[tile.slots]
            logits = _logits(tile, q, k, sequences, n_round, rules)
            tile_lse = logits.logsumexp(-1)
            tile_out = (logits - tile_lse[..., None]).exp() @ tile.windows(values)
            total = torch.logaddexp(lse[rows], tile_lse.flatten())
            weight, tile_weight = (lse[rows] - total).exp()[:, None], (tile_lse.flatten() - total).exp()[:, None]
            out[rows] = weight * out[rows] + tile_weight * tile_out.flatten(0, 1)
            lse[rows] = total
    sees_only_itself = lse < MASKED / 2
    out = torch.where(sees_only_itself[:, None], v.to(dtype), out).to(v.dtype)
    return sequences.positions(out), sequences.positions(lse.masked_fill(sees_only_itself, torch.inf))


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
    """Returns the gradients of qk and v, (B, H, L, D) each, given the gradient of the output."""
    dtype = lse.dtype
    sequences = _Sequences(buckets, padding_mask, rules)
    # The gradient of the logits is P * (dP - delta). A row that sees only itself passes its gradient to its own value.
    delta = sequences.rows((grad.to(dtype) * out.to(dtype)).sum(-1))
    qk, v, lse, grad = (sequences.rows(x) for x in (qk, v, lse, grad))
    grad_qk = torch.zeros_like(qk, dtype=dtype)
    grad_v = torch.where(lse.isinf()[:, None], grad.to(dtype), 0)
    for n_round, order in enumerate(sequences.order):
        q, grad_out = qk[order].to(dtype), grad[order].to(dtype)
        unit, scale = to_unit_length(q), inverse_length(q)
        k, values = _pad_with_chunks(unit, rules), _pad_with_chunks(v[order].to(dtype), rules)
        grad_q, grad_k, grad_values = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(values)
        for tile in _tiles(q, rules):
            rows = order[tile.slots]
            logits = _logits(tile, q, k, sequences, n_round, rules)
            weights = (logits - tile.chunks(lse[rows])).exp()
            tile_grad = tile.chunks(grad_out[tile.slots])
            tile.add_windows(grad_values, weights.mT @ tile_grad)
            grad_logits = weights * (tile_grad @ tile.windows(values).mT - tile.chunks(delta[rows]))
            grad_q[tile.slots] = (grad_logits @ tile.windows(k)).flatten(0, 1)
            tile.add_windows(grad_k, grad_logits.mT @ tile.chunks(q[tile.slots]))
        grad_k = grad_k[rules.chunk_len :][: len(order)]
        grad_qk[order] += grad_q + (grad_k - unit * (unit * grad_k).sum(-1, keepdim=True)) * scale
        grad_v[order] += grad_values[rules.chunk_len :][: len(order)]
    return sequences.positions(grad_qk.to(qk.dtype)), sequences.positions(grad_v.to(v.dtype))


class _Sequences:
    """All sequences end to end, and their sorted order in each round.

    Attributes:
        length: positions of a sequence, padded to whole chunks.
        order: row in each slot, (R, M * length), int64.
        codes: code of each row, (R, M * length).
    """

    def __init__(self, buckets: Tensor, padding_mask: Tensor | None, rules: Rules) -> None:
        self._shape = (*buckets.shape[:2], buckets.shape[-1])
        self._n_missing = -buckets.shape[-1] % rules.chunk_len
        self.length = buckets.shape[-1] + self._n_missing
        if self._n_missing and padding_mask is None:
            padding_mask = torch.ones_like(buckets[:, 0, 0], dtype=torch.bool)
        if padding_mask is not None:
            padding_mask = pad(padding_mask, (0, self._n_missing))[:, None, None]
        keys = sort_keys(pad(buckets, (0, self._n_missing)), padding_mask)
        order = sort_by_bucket(keys)
        codes = rules.codes(keys, order, padding_mask)
        order, codes = (x.flatten(0, 1).transpose(0, 1) for x in (order, codes))  # (R, M, length)
        first_row = self.length * torch.arange(order.shape[1], device=order.device)[:, None]
        self.order, self.codes = (order + first_row).flatten(1), codes.flatten(1)

    def rows(self, x: Tensor) -> Tensor:
        """Maps (B, H, L, ...) to (M * length, ...)."""
        return pad(x, (*[0, 0] * (x.dim() - 3), 0, self._n_missing)).flatten(0, 2)

    def positions(self, rows: Tensor) -> Tensor:
        """Maps (M * length, ...) to (B, H, L, ...)."""
        return rows.unflatten(0, (*self._shape[:2], self.length))[:, :, : self._shape[2]]


def _pad_with_chunks(x: Tensor, rules: Rules, value: int = 0) -> Tensor:
    """Pads sorted rows, (M * L, ...), with the chunks at both ends that the windows of the first and last chunk contain."""
    ends = (rules.chunk_len, rules.n_chunks_after * rules.chunk_len)
    return pad(x, (*[0, 0] * (x.dim() - 1), *ends), value=value)


@dataclass(frozen=True)
class _Tile:
    """Neighbouring chunks of sorted rows that are computed at a time."""

    first: int
    n_chunks: int
    chunk_len: int
    window_len: int

    @property
    def slots(self) -> slice:
        return slice(self.first * self.chunk_len, (self.first + self.n_chunks) * self.chunk_len)

    def chunks(self, x: Tensor) -> Tensor:
        """Maps (T * C, ...) to (T, C, ...), and (T * C) to (T, C, 1)."""
        return x.view(self.n_chunks, self.chunk_len, -1)

    def windows(self, padded: Tensor) -> Tensor:
        """Returns the windows of the chunks, (T, W, ...), an overlapping view of padded rows."""
        tail = padded[self.slots.start :]
        strides = (self.chunk_len * tail.stride(0), *tail.stride())
        return tail.as_strided((self.n_chunks, self.window_len, *tail.shape[1:]), strides, tail.storage_offset())

    def add_windows(self, padded: Tensor, x: Tensor) -> None:
        """Adds x, (T, W, D), to the rows that `windows` views."""
        for start in range(0, self.window_len, self.chunk_len):
            rows = padded[self.slots.start + start :][: self.n_chunks * self.chunk_len]
            rows += x[:, start : start + self.chunk_len].flatten(0, 1)


def _tiles(q: Tensor, rules: Rules) -> Iterator[_Tile]:
    n_chunks = len(q) // rules.chunk_len
    window_len = (2 + rules.n_chunks_after) * rules.chunk_len
    step = max(1, (CPU_TILE if q.device.type == "cpu" else LARGE_TILE) // (rules.chunk_len * window_len))
    for first in range(0, n_chunks, step):
        yield _Tile(first, min(step, n_chunks - first), rules.chunk_len, window_len)


def _logits(tile: _Tile, q: Tensor, k: Tensor, sequences: _Sequences, n_round: int, rules: Rules) -> Tensor:
    """Returns the logits of the tile's pairs, (T, C, W), which are MASKED for invisible pairs."""
    visible = _visible(tile, sequences, n_round, rules)
    return (tile.chunks(q[tile.slots]) @ tile.windows(k).mT).masked_fill_(~visible, MASKED)


def _visible(tile: _Tile, sequences: _Sequences, n_round: int, rules: Rules) -> Tensor:
    """Returns a mask of the tile's pairs that count in this round, (T, C, W)."""
    order, length = sequences.order[n_round], sequences.length
    rows, key_rows = tile.chunks(order[tile.slots]), tile.windows(_pad_with_chunks(order, rules, value=-1))[:, None]
    # A window at an end of a sequence contains rows of the next sequence, which are invisible.
    visible = rows // length == key_rows // length
    visible &= key_rows < rows if rules.causal else key_rows != rows
    visible &= _within_reach(sequences.codes[n_round], rows, key_rows, rules)
    # A pair counts in the first round that shows it, which has the effect of subtracting log N (equation 16).
    if rules.duplicate_correction:
        for earlier in sequences.codes[:n_round]:
            visible &= ~_within_reach(earlier, rows, key_rows, rules)
    return visible


def _within_reach(codes: Tensor, rows: Tensor, key_rows: Tensor, rules: Rules) -> Tensor:
    """Returns a mask of the pairs of rows, (T, C, 1), and key rows, (T, 1, W), that the codes of a round make visible."""
    return (codes[rows] - codes[key_rows] - rules.query_shift).abs_() <= rules.max_distance
