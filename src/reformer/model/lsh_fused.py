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

from reformer.model.lsh_blocks import PENALTY, Blocks, Tile
from reformer.model.lsh_hash import sort_by_bucket, sort_keys
from reformer.model.lsh_rules import Rules, to_unit_length

# Positions computed at a time: enough for their blocks to fill tiles, few enough to stay in the shared cache.
GROUP_ROWS = 1 << 14


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
    for group in _groups(qk):
        q, values = group.rows(qk), group.rows(v)
        k, _ = to_unit_length(q)
        merged: tuple[Tensor, Tensor] | None = None
        for blocks in _rounds(group, buckets, padding_mask, rules, q.dtype):
            found = _attend_in_blocks(q, k, values, blocks)
            merged = found if merged is None else _merge(*merged, *found)
        assert merged is not None
        alone = merged[1] < -PENALTY / 2
        group.write(out, torch.where(alone[:, None], values, merged[0]))
        group.write(lse, merged[1].masked_fill(alone, torch.inf))
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
    for group in _groups(qk):
        q, values, group_out, group_lse, group_grad = (group.rows(x) for x in (qk, v, out, lse, grad))
        k, scale = to_unit_length(q)
        # A position that sees only itself hands its gradient to its own value.
        grad_values = torch.where(group_lse.isinf()[:, None], group_grad, 0)
        grad_q, grad_k = torch.zeros_like(q), torch.zeros_like(k)
        for blocks in _rounds(group, buckets, padding_mask, rules, q.dtype):
            for tile in blocks.tiles():
                query_rows, key_rows = blocks.rows(tile)
                q_tile, out_tile, grad_tile = (_take(x, query_rows, tile) for x in (q, group_out, group_grad))
                k_tile, v_tile = (_take(x, key_rows, tile) for x in (k, values))
                lse_tile = group_lse.index_select(0, query_rows).view(q_tile.shape[:3])
                grads = _attend_backward(grad_tile, q_tile, k_tile, v_tile, out_tile, lse_tile, blocks.mask(tile))
                for total, rows, share in zip(
                    (grad_q, grad_k, grad_values), (query_rows, key_rows, key_rows), grads, strict=True
                ):
                    total.index_add_(0, rows, share.view(len(rows), -1))
        along = (grad_k * k).sum(-1, keepdim=True)
        group.write(grad_qk, grad_q.addcmul_(grad_k.addcmul_(along, k, value=-1), scale))
        group.write(grad_v, grad_values)
    return grad_qk, grad_v


def _attend_in_blocks(q: Tensor, k: Tensor, v: Tensor, blocks: Blocks) -> tuple[Tensor, Tensor]:
    """One round's output, (N, D), and logsumexp, (N)."""
    out, lse = q.new_empty(blocks.n_places, q.shape[1]), q.new_empty(blocks.n_places)
    for tile in blocks.tiles():
        query_rows, key_rows = blocks.rows(tile)
        q_tile, k_tile, v_tile = _take(q, query_rows, tile), _take(k, key_rows, tile), _take(v, key_rows, tile)
        out_tile, lse_tile = _attend(q_tile, k_tile, v_tile, blocks.mask(tile))
        for whole, part in ((out, out_tile), (lse, lse_tile)):
            whole.view(-1, part[0].numel()).index_copy_(0, tile.blocks, part.flatten(1))
    return out.index_select(0, blocks.place), lse.index_select(0, blocks.place)


def _take(x: Tensor, rows: Tensor, tile: Tile) -> Tensor:
    """(T, 1, rows of a block, D)."""
    return x.index_select(0, rows).view(len(tile.blocks), 1, -1, x.shape[1])


def _merge(out: Tensor, lse: Tensor, out_added: Tensor, lse_added: Tensor) -> tuple[Tensor, Tensor]:
    """Output and logsumexp of two sets of pairs together; overwrites the first output."""
    return out.lerp_(out_added, (lse_added - lse).sigmoid_()[:, None]), torch.logaddexp(lse, lse_added)


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


def _groups(qk: Tensor) -> Iterator[_Group]:
    n_examples, n_heads, length = qk.shape[:3]
    heads = min(n_heads, max(1, GROUP_ROWS // length))
    examples = max(1, GROUP_ROWS // (length * n_heads))
    for b in range(0, n_examples, examples):
        for h in range(0, n_heads, heads):
            yield _Group(slice(b, b + examples), slice(h, h + heads))


def _rounds(
    group: _Group, buckets: Tensor, padding_mask: Tensor | None, rules: Rules, dtype: torch.dtype
) -> Iterator[Blocks]:
    """Each round of the group, in turn."""
    part = buckets[group.examples, group.heads]
    mask = None if padding_mask is None else padding_mask[group.examples, None, None]
    keys = sort_keys(part, mask)
    order = sort_by_bucket(keys)
    if rules.same_bucket_mask:
        meeting = keys
    else:
        meeting = torch.zeros_like(keys) if mask is None else (~mask).to(keys.dtype).expand_as(keys)
    codes = rules.codes(keys, order, mask).flatten(0, 1) if rules.duplicate_correction else None
    meeting, order = meeting.flatten(0, 1), order.flatten(0, 1)
    for r in range(order.shape[1]):
        earlier = [] if codes is None else [codes[:, before] for before in range(r)]
        yield Blocks(meeting[:, r], order[:, r], earlier, rules, dtype)
