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
from math import prod

import torch
from torch import Tensor

from reformer.model.lsh_blocks import PENALTY, SortedRound, Stretch, Tile
from reformer.model.lsh_hash import sort_by_bucket, sort_keys
from reformer.model.lsh_rules import Rules, to_unit_length
from reformer.model.lsh_threads import share_out

# Positions of several short sequences computed together: enough for their blocks to fill tiles.
GROUP_ROWS = 1 << 13
# Positions that all threads together may compute at a time: longer sequences take turns, to save memory.
ROWS_AT_A_TIME = 1 << 18


@lru_cache
def kernels_exist() -> bool:
    """Whether this PyTorch has the kernels, which are not public, in the form used here."""
    q, k, mask = torch.ones(1, 1, 2, 4), torch.ones(1, 1, 3, 4), torch.zeros(1, 1, 2, 3)
    try:
        out, lse = _attend(q, k, k, mask)
        grads = _attend_backward(q, q, k, k, out, lse, mask)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return [x.shape for x in (out, lse, *grads)] == [q.shape, q.shape[:3], q.shape, k.shape, k.shape]


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

    def attend(group: _Group) -> None:
        q, values = group.rows(qk), group.rows(v)
        inputs = {"q": q, "k": to_unit_length(q)[0], "v": values}
        # One row more than there are positions, for what lies at places without one.
        group_out, group_lse = q.new_zeros(len(q) + 1, q.shape[1]), q.new_full((len(q) + 1,), -PENALTY)
        scratch = _Scratch(lse.dtype)
        for stretch in _stretches(group, buckets, padding_mask, rules, q.dtype):
            found_out, found_lse = _attend_in_blocks(stretch, scratch, inputs)
            rows = stretch.query_rows
            before = group_lse.index_select(0, rows)
            merged = scratch.take("merged", group_out, rows)
            merged.lerp_(found_out, (found_lse - before).sigmoid_()[:, None])
            group_out.index_copy_(0, rows, merged)
            group_lse.index_copy_(0, rows, torch.logaddexp(before, found_lse))
        alone = group_lse[:-1] < -PENALTY / 2
        group.write(out, torch.where(alone[:, None], values, group_out[:-1]))
        group.write(lse, group_lse[:-1].masked_fill_(alone, torch.inf))

    share_out(attend, *_groups(qk))
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

    def pull_back(group: _Group) -> None:
        inputs = {name: group.rows(x) for name, x in {"q": qk, "v": v, "grad": grad, "out": out, "lse": lse}.items()}
        k, scale = to_unit_length(inputs["q"])
        # A position that sees only itself hands its gradient to its own value.
        grad_values = inputs["grad"] * inputs["lse"].isinf()[:, None]
        grad_q, grad_k = torch.zeros_like(k), torch.zeros_like(k)
        scratch = _Scratch(lse.dtype)
        for stretch in _stretches(group, buckets, padding_mask, rules, k.dtype):
            _add_gradients_in_blocks(stretch, scratch, inputs | {"k": k}, grad_q, grad_k, grad_values)
        along = (grad_k * k).sum(-1, keepdim=True)
        group.write(grad_qk, grad_q.addcmul_(grad_k.addcmul_(along, k, value=-1), scale))
        group.write(grad_v, grad_values)

    share_out(pull_back, *_groups(qk))
    return grad_qk, grad_v


class _Scratch:
    """Memory used again and again under a name: to touch fresh memory takes longer than what is computed in it."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._memory: dict[str, Tensor] = {}

    def empty(self, name: str, *shape: int) -> Tensor:
        size = prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.numel() < size:
            memory = self._memory[name] = torch.empty(size, dtype=self._dtype)
        return memory[:size].view(shape)

    def take(self, name: str, x: Tensor, rows: Tensor) -> Tensor:
        """x[rows]"""
        return torch.index_select(x, 0, rows, out=self.empty(name, len(rows), *x.shape[1:]))

    def windows(self, name: str, x: Tensor, stretch: Stretch, tile: Tile) -> Tensor:
        """What the tile looks at in x (P, D): keys or values for the kernels, (T, 1, W, D)."""
        overlapping, chosen = stretch.windows(x, tile)
        return self.take(name, overlapping, chosen).view(len(chosen), 1, -1, x.shape[1])

    def queries(self, name: str, x: Tensor, stretch: Stretch, tile: Tile) -> Tensor:
        """What belongs to the tile's own queries in x (P, D), (T, 1, Q, D), or in x (P), (T, 1, Q)."""
        blocks = x.view(-1, stretch.block_len, *x.shape[1:])
        return self.take(name, blocks, tile.blocks)[:, None]


def _attend_in_blocks(stretch: Stretch, scratch: _Scratch, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Output and logsumexp of a stretch at its `query_rows`."""
    q, k, v = (scratch.take(name, inputs[name], stretch.rows) for name in "qkv")
    out = scratch.empty("out", len(stretch.query_rows), q.shape[1])
    lse = scratch.empty("lse", len(stretch.query_rows))
    for tile in stretch.tiles():
        q_tile = scratch.queries("q_tile", q, stretch, tile)
        k_tile, v_tile = scratch.windows("k_tile", k, stretch, tile), scratch.windows("v_tile", v, stretch, tile)
        out_tile, lse_tile = _attend(q_tile, k_tile, v_tile, stretch.mask(tile))
        out[tile.queries].copy_(out_tile.view(-1, q.shape[1]))
        lse[tile.queries].copy_(lse_tile.flatten())
    return out, lse


def _add_gradients_in_blocks(
    stretch: Stretch, scratch: _Scratch, inputs: dict[str, Tensor], grad_q: Tensor, grad_k: Tensor, grad_v: Tensor
) -> None:
    """Adds a stretch's share to the gradients of queries, keys and values, (N, D) each."""
    places = {name: scratch.take(name, x, stretch.rows) for name, x in inputs.items()}
    sums = [scratch.empty(name, *places["k"].shape).zero_() for name in ("grad_k", "grad_v")]
    for tile in stretch.tiles():
        q, grad, out, lse = (
            scratch.queries(name + "_tile", places[name], stretch, tile) for name in ("q", "grad", "out", "lse")
        )
        k, v = (scratch.windows(name + "_tile", places[name], stretch, tile) for name in "kv")
        shares = [x.flatten(0, 2) for x in _attend_backward(grad, q, k, v, out, lse, stretch.mask(tile))]
        grad_q.index_add_(0, stretch.rows.view(-1, stretch.block_len)[tile.blocks].flatten(), shares[0])
        window_places = stretch.window_places(tile)
        for total, share in zip(sums, shares[1:], strict=True):
            total.index_add_(0, window_places, share)
    for total, share in zip((grad_k, grad_v), sums, strict=True):
        total.index_add_(0, stretch.rows, share)


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


def _stretches(
    group: _Group, buckets: Tensor, padding_mask: Tensor | None, rules: Rules, dtype: torch.dtype
) -> Iterator[Stretch]:
    """All rounds of the group, in turn and in parts."""
    mask = None if padding_mask is None else padding_mask[group.examples, None, None]
    keys = sort_keys(buckets[group.examples, group.heads], mask)
    order = sort_by_bucket(keys)
    codes = rules.codes(keys, order, mask).flatten(0, 1) if rules.duplicate_correction else None
    if not rules.same_bucket_mask:
        keys = torch.zeros_like(keys) if mask is None else (~mask).to(keys.dtype).expand_as(keys)
    keys, order = keys.gather(-1, order).flatten(0, 1), order.flatten(0, 1)
    for r in range(order.shape[1]):
        earlier = [] if codes is None else [codes[:, before] for before in range(r)]
        yield from SortedRound(keys[:, r].contiguous(), order[:, r], earlier, rules, dtype).stretches()
