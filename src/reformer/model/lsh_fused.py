"""LSH attention on CPU by PyTorch's fused attention, block by block in cache.

Sorted positions are cut into blocks of queries. A block looks at a window of places around it, and of that only at as much as
its queries' buckets fill. Blocks with windows of one size are computed together, a tile at a time, by the kernels that serve
`scaled_dot_product_attention` on CPU. These return and take the logsumexp: the forward pass merges rounds by it, and the
backward pass, given the logsumexp over all rounds and the final output, gets each round's share of the gradients from them.

A few sequences are computed at a time, in float32 or float64, so that temporaries are as large as a few sequences, however many
there are.

Shapes: B batch, H heads, R n_hashes, L positions, D width of a head, G sequences at a time, N = G * L rows, Q queries of a
block, W places of its window, T blocks of a tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from reformer.model.lsh_blocks import PENALTY, SortedRound, Tile
from reformer.model.lsh_hash import sort_by_bucket, sort_keys
from reformer.model.lsh_rules import Rules
from reformer.model.lsh_threads import Scratch, share_out
from reformer.model.unit_length import inverse_length

# Positions of several short sequences computed together: enough for their blocks to fill tiles.
GROUP_ROWS = 1 << 13
# Positions that all threads together may compute at a time: longer sequences take turns, to save memory.
ROWS_AT_A_TIME = 1 << 18
# Rows merged, or scaled, at a time, to save memory.
ROWS_IN_PART = 1 << 14


@lru_cache
def kernels_exist() -> bool:
    """Whether this PyTorch has the kernels, which are not public, in the form used here."""
    q, k, mask = (torch.ones(1, 1, *shape, device="cpu", dtype=torch.float32) for shape in ((2, 4), (3, 4), (2, 3)))
    try:
        out, lse = _attend(q, k, k, mask)
        grads = _attend_backward(q, q, k, k, out, lse, mask)
    except (AttributeError, RuntimeError, TypeError):
        return False
    shapes = [x.shape for x in (out, lse, *grads)] == [q.shape, q.shape[:3], q.shape, k.shape, k.shape]
    return shapes and lse.allclose((q @ k.mT + mask).logsumexp(-1))


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=mask, scale=1.0)


def _attend_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
        grad, q, k, v, out, lse, 0.0, False, attn_mask=mask, scale=1.0
    )


def forward(qk: Tensor, v: Tensor, buckets: Tensor, padding_mask: Tensor | None, rules: Rules) -> tuple[Tensor, Tensor]:
    """Output, (B, H, L, D), and logsumexp over all rounds, (B, H, L), which is infinite where a position sees only itself."""
    out, lse = torch.empty_like(v), torch.empty(v.shape[:3], dtype=torch.promote_types(v.dtype, torch.float32))

    def attend(group: _Group, scratch: Scratch) -> None:
        rows = _Rows(group.rows(qk), group.rows(v), scratch)
        group_out = scratch.empty("sum", *rows.v.shape).zero_()
        group_lse = rows.v.new_full(rows.v.shape[:1], -PENALTY)
        for sorted_round in _rounds(group, buckets, padding_mask, rules, lse.dtype):
            _merge(group_out, group_lse, *_attend_in_round(sorted_round, rows, scratch), scratch)
        alone = group_lse < -PENALTY / 2
        group.write(out, torch.where(alone[:, None], rows.v, group_out))
        group.write(lse, group_lse.masked_fill_(alone, torch.inf))

    share_out(attend, *_groups(qk), lse.dtype)
    return out, lse


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
    grad_qk, grad_v = torch.empty_like(qk), torch.empty_like(v)

    def pull_back(group: _Group, scratch: Scratch) -> None:
        rows = _Rows(group.rows(qk), group.rows(v), scratch)
        grads = _Gradients(group.rows(grad), group.rows(out), group.rows(lse), scratch)
        for sorted_round in _rounds(group, buckets, padding_mask, rules, lse.dtype):
            grads.add_round(sorted_round, rows)
        group.write(grad_qk, grads.of_qk(rows))
        group.write(grad_v, grads.of_v())

    share_out(pull_back, *_groups(qk), lse.dtype)
    return grad_qk, grad_v


class _Rows:
    """Queries and values side by side, (N, 2 * D), to be fetched at once, and what scales queries to keys, (N)."""

    def __init__(self, q: Tensor, v: Tensor, scratch: Scratch) -> None:
        self.width = q.shape[1]
        self._q_and_v = scratch.cat("rows", q, v)
        self.scale = inverse_length(q)[:, 0]
        self._scratch = scratch

    @property
    def q(self) -> Tensor:
        return self._q_and_v[:, : self.width]

    @property
    def v(self) -> Tensor:
        return self._q_and_v[:, self.width :]

    def windows(self, rows: Tensor, tile: Tile, block_len: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, (T, 1, Q, D), keys and values, (T, 1, W, D), of a tile that looks at rows (T, W)."""
        shape = (len(rows), 1, tile.window_len, -1)
        q_and_v = self._scratch.take("tile of rows", self._q_and_v, rows.flatten()).view(shape)
        q, v = q_and_v.split(self.width, dim=-1)
        scale = self._scratch.take("scale", self.scale, rows.flatten()).view(shape)
        k = torch.mul(q, scale, out=self._scratch.empty("k", *q.shape))
        return q[:, :, tile.before : tile.before + block_len], k, v


def _attend_in_round(sorted_round: SortedRound, rows: _Rows, scratch: Scratch) -> tuple[Tensor, Tensor, Tensor]:
    """Output and logsumexp at the round's `query_rows`, and where among these each row is found."""
    query_rows = sorted_round.query_rows
    out, lse = scratch.empty("round's out", len(query_rows), rows.width), scratch.empty("round's lse", len(query_rows))
    for tile in sorted_round.tiles():
        q, k, v = rows.windows(sorted_round.window_rows(tile), tile, sorted_round.block_len)
        out_tile, lse_tile = _attend(q, k, v, sorted_round.mask(tile))
        out[tile.queries].copy_(out_tile.view(-1, rows.width))
        lse[tile.queries].copy_(lse_tile.flatten())
    places = torch.empty(len(rows.v) + 1, dtype=torch.int64)  # the last one for what is no position
    return out, lse, places.scatter_(0, query_rows, torch.arange(len(query_rows)))[:-1]


def _merge(out: Tensor, lse: Tensor, added_out: Tensor, added_lse: Tensor, places: Tensor, scratch: Scratch) -> None:
    """Makes output, (N, D), and logsumexp, (N), those of the union with further pairs, found at the given places."""
    added_lse = added_lse.index_select(0, places)
    weight = (added_lse - lse).sigmoid_()[:, None]
    for part, part_weight, part_places in zip(*(x.split(ROWS_IN_PART) for x in (out, weight, places)), strict=True):
        part.lerp_(scratch.take("added", added_out, part_places), part_weight)
    torch.logaddexp(lse, added_lse, out=lse)


class _Gradients:
    """Gradients of queries, (N, D), and of keys and values, (N, 2 * D), summed over rounds."""

    def __init__(self, grad: Tensor, out: Tensor, lse: Tensor, scratch: Scratch) -> None:
        length, width = grad.shape
        self._grad_and_out, self._lse = scratch.cat("grad and out", grad, out), lse
        self._q = scratch.empty("sum", length, width).zero_()
        self._k_and_v = scratch.empty("grads of k and v", length, 2 * width).zero_()
        # A position that sees only itself hands its gradient to its own value.
        torch.mul(grad, lse.isinf()[:, None], out=self._k_and_v[:, width:])
        self._scratch = scratch

    def add_round(self, sorted_round: SortedRound, rows: _Rows) -> None:
        """Adds what the pairs of one round contribute."""
        width = rows.width
        for tile in sorted_round.tiles():
            window_rows = sorted_round.window_rows(tile)
            q, k, v = rows.windows(window_rows, tile, sorted_round.block_len)
            query_rows = window_rows[:, tile.before : tile.before + sorted_round.block_len].flatten()
            lse = self._scratch.take("lse", self._lse, query_rows).view(q.shape[:3])
            grad_and_out = self._scratch.take("tile of grad and out", self._grad_and_out, query_rows)
            grad, out = grad_and_out.view(*q.shape[:3], -1).split(width, dim=-1)
            grad_q, grad_k, grad_v = _attend_backward(grad, q, k, v, out, lse, sorted_round.mask(tile))
            both = self._scratch.cat("tile of k and v", grad_k, grad_v)
            self._q.index_add_(0, query_rows, grad_q.reshape(-1, width))
            self._k_and_v.index_add_(0, window_rows.flatten(), both.view(-1, 2 * width))

    def of_qk(self, rows: _Rows) -> Tensor:
        """The gradient of what is both query and, scaled to unit length, key: only what is across the key turns it."""
        whole = (self._q, self._k_and_v[:, : rows.width], rows.q, rows.scale[:, None])
        for grad_q, grad_k, q, scale in zip(*(x.split(ROWS_IN_PART) for x in whole), strict=True):
            k = torch.mul(q, scale, out=self._scratch.empty("k", *q.shape))
            along = torch.mul(grad_k, k, out=self._scratch.empty("along", *k.shape)).sum(-1, keepdim=True)
            grad_q.addcmul_(grad_k.addcmul_(along, k, value=-1), scale)
        return self._q

    def of_v(self) -> Tensor:
        return self._k_and_v[:, self._q.shape[1] :]


@dataclass(frozen=True)
class _Group:
    """Sequences computed together: some heads of some examples."""

    examples: slice
    heads: slice

    def rows(self, x: Tensor) -> Tensor:
        """(B, H, L, ...) -> (N, ...), in at least float32."""
        return x[self.examples, self.heads].to(torch.promote_types(x.dtype, torch.float32)).flatten(0, 2)

    def write(self, x: Tensor, rows: Tensor) -> None:
        """Puts rows (N, ...) where `rows` takes them from."""
        part = x[self.examples, self.heads]
        part.copy_(rows.view(part.shape))


def _groups(qk: Tensor) -> tuple[list[_Group], int]:
    """All sequences in groups, and how many groups to compute at a time."""
    n_examples, n_heads, length = qk.shape[:3]
    n_sequences = n_examples * n_heads
    size = max(1, min(GROUP_ROWS // length, -(-n_sequences // torch.get_num_threads())))
    heads, examples = min(size, n_heads), max(1, size // n_heads)
    groups = [
        _Group(slice(b, b + examples), slice(h, h + heads))
        for b in range(0, n_examples, examples)
        for h in range(0, n_heads, heads)
    ]
    return groups, max(1, ROWS_AT_A_TIME // (length * heads * examples))


def _rounds(
    group: _Group, buckets: Tensor, padding_mask: Tensor | None, rules: Rules, dtype: torch.dtype
) -> Iterator[SortedRound]:
    """Each round of the group in turn."""
    mask = None if padding_mask is None else padding_mask[group.examples, None, None]
    keys = sort_keys(buckets[group.examples, group.heads], mask)
    order = sort_by_bucket(keys)
    codes = rules.codes(keys, order, mask).flatten(0, 1) if rules.duplicate_correction else None
    if not rules.same_bucket_mask:
        keys = torch.zeros_like(keys) if mask is None else (~mask).to(keys.dtype).expand_as(keys)
    keys, order = keys.gather(-1, order).flatten(0, 1), order.flatten(0, 1)
    for r in range(order.shape[1]):
        earlier = [] if codes is None else [codes[:, before] for before in range(r)]
        yield SortedRound(keys[:, r].contiguous(), order[:, r], earlier, rules, dtype)
