"""LSH attention on CPU, by the kernels of PyTorch's fused attention, block by block in cache.

The sorted positions of a round are cut into blocks of queries. The window of a block ends with the buckets of its queries.
Blocks with windows of the same size form tiles, and one call of the kernels computes a tile. The kernels return and accept the
logsumexp: the forward pass uses it to merge rounds, and the backward pass, given the final output and the logsumexp over all
rounds, computes the contribution of each round to the gradients.

A few sequences are computed at a time, in float32 or float64, so that temporary memory does not grow with the batch.

Shapes: B batch, H heads, R n_hashes, L positions, D width of a head, G sequences of a group, N = G * L rows, Q queries of a
block, W slots of its window, T blocks of a tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from reformer.model.lsh_blocks import PENALTY, SortedRound, Tile
from reformer.model.lsh_hash import sort_by_bucket, sort_keys
from reformer.model.lsh_rules import Rules
from reformer.model.lsh_threads import Scratch, run_in_threads
from reformer.model.unit_length import inverse_length

# Positions of the short sequences that form a group: enough for their blocks to fill tiles.
GROUP_ROWS = 1 << 13
# Positions that all threads together compute at a time. Groups of longer sequences run one after another, to save memory.
MAX_CONCURRENT_ROWS = 1 << 18
# Rows that are merged or scaled at a time, to save memory.
ROWS_PER_STEP = 1 << 14


@lru_cache
def kernels_exist() -> bool:
    """Returns whether this PyTorch has the private kernels and they compute the expected results."""
    q, k, mask = (torch.ones(1, 1, *shape, device="cpu", dtype=torch.float32) for shape in ((2, 4), (3, 4), (2, 3)))
    try:
        out, lse = _attend(q, k, k, mask)
        grads = _attend_backward(q, q, k, k, out, lse, mask)
    except (AttributeError, RuntimeError, TypeError):
        return False
    shapes = [x.shape for x in (out, lse, *grads)] == [q.shape, q.shape[:3], q.shape, k.shape, k.shape]
    return shapes and lse.allclose((q @ k.mT + mask).logsumexp(-1))


# The private operators below work in PyTorch 2.14.1. If `kernels_exist` finds that they do not, `lsh_portable` replaces them.
def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, attn_mask=mask, scale=1.0)


def _attend_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
        grad, q, k, v, out, lse, 0.0, False, attn_mask=mask, scale=1.0
    )


def forward(qk: Tensor, v: Tensor, buckets: Tensor, padding_mask: Tensor | None, rules: Rules) -> tuple[Tensor, Tensor]:
    """Returns output, (B, H, L, D), and logsumexp over all rounds, (B, H, L), infinite if a position sees only itself."""
    out, lse = torch.empty_like(v), torch.empty(v.shape[:3], dtype=torch.promote_types(v.dtype, torch.float32))

    def attend(group: _SequenceGroup, scratch: Scratch) -> None:
        inputs = _Inputs(group.rows(qk), group.rows(v), scratch)
        group_out = scratch.empty("sum", *inputs.v.shape).zero_()
        group_lse = inputs.v.new_full(inputs.v.shape[:1], -PENALTY)
        for sorted_round in _rounds(group, buckets, padding_mask, rules, lse.dtype):
            _merge(group_out, group_lse, *_attend_in_round(sorted_round, inputs, scratch), scratch)
        sees_only_itself = group_lse < -PENALTY / 2
        group.write(out, torch.where(sees_only_itself[:, None], inputs.v, group_out))
        group.write(lse, group_lse.masked_fill_(sees_only_itself, torch.inf))

    run_in_threads(attend, *_groups(qk), lse.dtype)
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
    """Returns the gradients of qk and v, (B, H, L, D) each, given the gradient of the output."""
    grad_qk, grad_v = torch.empty_like(qk), torch.empty_like(v)

    def backpropagate(group: _SequenceGroup, scratch: Scratch) -> None:
        inputs = _Inputs(group.rows(qk), group.rows(v), scratch)
        grads = _Gradients(group.rows(grad), group.rows(out), group.rows(lse), scratch)
        for sorted_round in _rounds(group, buckets, padding_mask, rules, lse.dtype):
            grads.add_round(sorted_round, inputs)
        group.write(grad_qk, grads.of_qk(inputs))
        group.write(grad_v, grads.of_v())

    run_in_threads(backpropagate, *_groups(qk), lse.dtype)
    return grad_qk, grad_v


class _Inputs:
    """Queries and values in one tensor, (N, 2 * D), to be indexed together, and the factors from queries to keys, (N)."""

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
        """Returns queries, (T, 1, Q, D), keys and values, (T, 1, W, D), of a tile with the window rows (T, W)."""
        shape = (len(rows), 1, tile.window_len, -1)
        q_and_v = self._scratch.select("tile of rows", self._q_and_v, rows.flatten()).view(shape)
        q, v = q_and_v.split(self.width, dim=-1)
        scale = self._scratch.select("scale", self.scale, rows.flatten()).view(shape)
        k = torch.mul(q, scale, out=self._scratch.empty("k", *q.shape))
        return q[:, :, tile.before : tile.before + block_len], k, v


def _attend_in_round(sorted_round: SortedRound, inputs: _Inputs, scratch: Scratch) -> tuple[Tensor, Tensor, Tensor]:
    """Returns output and logsumexp at the round's `query_rows`, and the index of each row among these."""
    query_rows = sorted_round.query_rows
    out = scratch.empty("round's out", len(query_rows), inputs.width)
    lse = scratch.empty("round's lse", len(query_rows))
    for tile in sorted_round.tiles():
        q, k, v = inputs.windows(sorted_round.window_rows(tile), tile, sorted_round.block_len)
        out_tile, lse_tile = _attend(q, k, v, sorted_round.mask(tile))
        out[tile.queries].copy_(out_tile.view(-1, inputs.width))
        lse[tile.queries].copy_(lse_tile.flatten())
    index = torch.empty(len(inputs.v) + 1, dtype=torch.int64)  # the last element is for fillers
    return out, lse, index.scatter_(0, query_rows, torch.arange(len(query_rows)))[:-1]


def _merge(out: Tensor, lse: Tensor, round_out: Tensor, round_lse: Tensor, index: Tensor, scratch: Scratch) -> None:
    """Merges output and logsumexp of a round, selected by `index`, into those of earlier rounds, (N, D) and (N), in place."""
    round_lse = round_lse.index_select(0, index)
    weight = (round_lse - lse).sigmoid_()[:, None]
    for step_out, step_weight, step_index in zip(*(x.split(ROWS_PER_STEP) for x in (out, weight, index)), strict=True):
        step_out.lerp_(scratch.select("round's rows", round_out, step_index), step_weight)
    torch.logaddexp(lse, round_lse, out=lse)


class _Gradients:
    """Sums over rounds of the gradients of queries, (N, D), and of keys and values, (N, 2 * D)."""

    def __init__(self, grad: Tensor, out: Tensor, lse: Tensor, scratch: Scratch) -> None:
        length, width = grad.shape
        self._grad_and_out, self._lse = scratch.cat("grad and out", grad, out), lse
        self._q = scratch.empty("sum", length, width).zero_()
        self._k_and_v = scratch.empty("grads of k and v", length, 2 * width).zero_()
        # A position that sees only itself passes its gradient to its own value.
        torch.mul(grad, lse.isinf()[:, None], out=self._k_and_v[:, width:])
        self._scratch = scratch

    def add_round(self, sorted_round: SortedRound, inputs: _Inputs) -> None:
        """Adds the contributions of the pairs of a round."""
        width = inputs.width
        for tile in sorted_round.tiles():
            window_rows = sorted_round.window_rows(tile)
            q, k, v = inputs.windows(window_rows, tile, sorted_round.block_len)
            query_rows = window_rows[:, tile.before : tile.before + sorted_round.block_len].flatten()
            lse = self._scratch.select("lse", self._lse, query_rows).view(q.shape[:3])
            grad_and_out = self._scratch.select("tile of grad and out", self._grad_and_out, query_rows)
            grad, out = grad_and_out.view(*q.shape[:3], -1).split(width, dim=-1)
            grad_q, grad_k, grad_v = _attend_backward(grad, q, k, v, out, lse, sorted_round.mask(tile))
            grad_k_and_v = self._scratch.cat("tile of k and v", grad_k, grad_v)
            self._q.index_add_(0, query_rows, grad_q.reshape(-1, width))
            self._k_and_v.index_add_(0, window_rows.flatten(), grad_k_and_v.view(-1, 2 * width))

    def of_qk(self, inputs: _Inputs) -> Tensor:
        """Returns the gradient of qk, grad_q + scale * (grad_k - sum(grad_k * k) * k), where k = scale * q has unit length."""
        rows = (self._q, self._k_and_v[:, : inputs.width], inputs.q, inputs.scale[:, None])
        for grad_q, grad_k, q, scale in zip(*(x.split(ROWS_PER_STEP) for x in rows), strict=True):
            k = torch.mul(q, scale, out=self._scratch.empty("k", *q.shape))
            along_key = torch.mul(grad_k, k, out=self._scratch.empty("along key", *k.shape)).sum(-1, keepdim=True)
            grad_q.addcmul_(grad_k.addcmul_(along_key, k, value=-1), scale)
        return self._q

    def of_v(self) -> Tensor:
        return self._k_and_v[:, self._q.shape[1] :]


@dataclass(frozen=True)
class _SequenceGroup:
    """Sequences that are computed together: some heads of some examples."""

    examples: slice
    heads: slice

    def rows(self, x: Tensor) -> Tensor:
        """Selects the rows of the group: (B, H, L, ...) to (N, ...), in float32 or wider."""
        return x[self.examples, self.heads].to(torch.promote_types(x.dtype, torch.float32)).flatten(0, 2)

    def write(self, x: Tensor, rows: Tensor) -> None:
        """Writes rows, (N, ...), to the group's part of x, (B, H, L, ...)."""
        part = x[self.examples, self.heads]
        part.copy_(rows.view(part.shape))


def _groups(qk: Tensor) -> tuple[list[_SequenceGroup], int]:
    """Divides all sequences into groups. Returns them, and the number of groups to compute at a time."""
    n_examples, n_heads, length = qk.shape[:3]
    n_sequences = n_examples * n_heads
    size = max(1, min(GROUP_ROWS // length, -(-n_sequences // torch.get_num_threads())))
    heads, examples = min(size, n_heads), max(1, size // n_heads)
    groups = [
        _SequenceGroup(slice(b, b + examples), slice(h, h + heads))
        for b in range(0, n_examples, examples)
        for h in range(0, n_heads, heads)
    ]
    return groups, max(1, MAX_CONCURRENT_ROWS // (length * heads * examples))


def _rounds(
    group: _SequenceGroup, buckets: Tensor, padding_mask: Tensor | None, rules: Rules, dtype: torch.dtype
) -> Iterator[SortedRound]:
    """Yields the hash rounds of the group."""
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
