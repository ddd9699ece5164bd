"""A hash round on CPU: its sorted positions in blocks of queries, the window of keys of each block, and the attention mask.

A slot is an index in the sorted order, a position an index in the sequence, a row an index into all sequences end to end.
Masks are computed in floating point, which is several times as fast on CPU as comparisons.

Shapes: G sequences, L positions, Q queries of a block, P slots of all sequences with padding for windows, W slots of a window,
T blocks of a tile.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from reformer.model.lsh_rules import Rules

# Queries of a block if chunk_len is a multiple of it: few, so that little of a window is masked, but enough for matrix products
# at full speed.
BLOCK_LEN = 32
# Pairs in a tile per thread. Their logits fit into the cache of a core.
TILE_PAIRS = 1 << 16
# The mask adds a multiple of -PENALTY to the logits of invisible pairs. Multiplication by a power of two is exact.
PENALTY = 2.0**64
# Float32 represents all integers up to this one.
MAX_FLOAT32_INTEGER = 1 << 24


@dataclass(frozen=True)
class Tile:
    """Blocks with windows of the same size, computed in one call.

    Attributes:
        first_windows: index of each block's window among all windows of that size, (T,).
        queries: range of the tile's queries in the `query_rows` of the round.
        before: slots of a window before the block.
        window_len: W.
    """

    first_windows: Tensor
    queries: slice
    before: int
    window_len: int


class SortedRound:
    """One hash round of G sequences, cut into blocks.

    Attributes:
        block_len: Q.
        query_rows: row of each query, in the order of the tiles, int64. The last block of a sequence can end in fillers, which
            are slots without a position. Their row is the number of rows.
    """

    def __init__(
        self, keys: Tensor, order: Tensor, earlier: Sequence[Tensor], rules: Rules, dtype: torch.dtype
    ) -> None:
        """
        Args:
            keys: sort keys in sorted order, (G, L), >= 0. Only positions with equal keys can see each other.
            order: positions in sorted order, (G, L), int64.
            earlier: codes of the earlier rounds, (G, L) each. Pairs that are visible in those are masked.
            dtype: dtype of the masks.
        """
        n_sequences, length = keys.shape
        self._rules, self._dtype = rules, dtype
        self.block_len = block_len = BLOCK_LEN if rules.chunk_len % BLOCK_LEN == 0 else rules.chunk_len
        n_blocks = -(-length // block_len)
        before, after = window_extents(keys, rules, block_len)
        max_before, max_after = int(before.max()), int(after.max())
        padding = (max_before, n_blocks * block_len - length + max_after)

        rows = pad(order + length * torch.arange(n_sequences)[:, None], padding)
        padded_len = rows.shape[1]
        self._rows = rows.flatten()
        criteria = [keys, *([order] if rules.query_shift else []), *(codes.gather(-1, order) for codes in earlier)]
        exact = dtype == torch.float64 or max(int(x.max()) for x in criteria) < MAX_FLOAT32_INTEGER
        criteria_dtype = dtype if exact else torch.float64
        # Each filler has a negative key of its own.
        padded_keys = (-1 - torch.arange(padded_len, dtype=criteria_dtype)).repeat(n_sequences, 1)
        padded_keys[:, max_before : max_before + length] = keys
        padded_criteria = [pad(x.to(criteria_dtype), padding).flatten() for x in criteria[1:]]
        self._criteria = torch.stack([padded_keys.flatten(), *padded_criteria])

        # Blocks with windows of the same size become neighbours.
        self._extents, by_extent = ((before << 32) + after).flatten().sort(stable=True)
        first_blocks = (torch.arange(n_sequences)[:, None] * padded_len + max_before) // block_len
        self._blocks = (first_blocks + torch.arange(n_blocks)).flatten()[by_extent]
        query_rows = self._rows.view(-1, block_len)[self._blocks]
        is_filler = self._criteria[0].view(-1, block_len)[self._blocks] < 0
        self.query_rows = query_rows.masked_fill_(is_filler, keys.numel()).flatten()

    def tiles(self) -> Iterator[Tile]:
        """Yields the tiles, which together contain all blocks."""
        first, block_len = 0, self.block_len
        extents, counts = (x.tolist() for x in self._extents.unique_consecutive(return_counts=True))
        for extent, count in zip(extents, counts, strict=True):
            before, after = extent >> 32, extent & 0xFFFFFFFF
            window_len = before + block_len + after
            step = max(1, TILE_PAIRS * torch.get_num_threads() // (block_len * window_len))
            for start in range(first, first + count, step):
                end = min(start + step, first + count)
                first_windows = self._blocks[start:end] - before // block_len
                yield Tile(first_windows, slice(start * block_len, end * block_len), before, window_len)
            first += count

    def window_rows(self, tile: Tile) -> Tensor:
        """Returns the rows in the windows of the tile's blocks, (T, W), int64. Fillers have arbitrary valid rows."""
        return self._windows(self._rows, tile)

    def mask(self, tile: Tile) -> Tensor:
        """Returns the mask to add to the tile's logits, (T, 1, Q, W): 0 for visible pairs, -PENALTY or less for others."""
        rules = self._rules
        windows = iter(self._windows(self._criteria, tile))
        key_difference = self._differences(next(windows), tile)
        by_slot = slot_mask(rules, self.block_len, tile.before, tile.window_len, self._dtype)
        mask = torch.addcmul(by_slot, key_difference, key_difference, value=-PENALTY)
        if rules.query_shift:
            # Negative unless the key is earlier than the query.
            order_violation = self._differences(next(windows), tile).sub_(1).clamp_max_(0)
            mask.add_(order_violation, alpha=PENALTY)
        # A pair counts in the first round that shows it, which has the effect of subtracting log N (equation 16).
        nearest: Tensor | None = None
        for codes in windows:
            distance = self._differences(codes, tile, rules.query_shift).abs_()
            nearest = distance if nearest is None else torch.minimum(nearest, distance, out=nearest)
        if nearest is not None:
            mask.add_(nearest.sub_(rules.max_distance + 1).clamp_max_(0), alpha=PENALTY)
        return mask[:, None]

    def _windows(self, x: Tensor, tile: Tile) -> Tensor:
        """Selects the windows of the tile: (..., P) to (..., T, W)."""
        return x.unfold(-1, tile.window_len, self.block_len).index_select(-2, tile.first_windows)

    def _differences(self, windows: Tensor, tile: Tile, query_shift: int = 0) -> Tensor:
        """Subtracts each key's number, and the shift, from each query's: (T, W) to (T, Q, W)."""
        queries = windows[:, tile.before : tile.before + self.block_len]
        if query_shift:
            queries = queries - query_shift
        return (queries[:, :, None] - windows[:, None]).to(self._dtype)


def window_extents(keys: Tensor, rules: Rules, block_len: int) -> tuple[Tensor, Tensor]:
    """Computes the slots of each block's window before and after the block, (G, blocks of a sequence), as whole blocks.

    With the same-bucket mask, a window ends with the buckets of the block's queries.
    """
    length = keys.shape[1]
    first = torch.arange(0, length, block_len).expand(len(keys), -1)
    if rules.window == "sorted":
        before = after = torch.full_like(first, rules.chunk_len)
    else:
        inside = first % rules.chunk_len
        before = rules.chunk_len + inside
        after = (1 + rules.n_chunks_after) * rules.chunk_len - block_len - inside
    if not rules.same_bucket_mask:
        return before, after

    def whole_blocks(slots: Tensor) -> Tensor:
        return (slots + block_len - 1) // block_len * block_len

    start = torch.searchsorted(keys, keys.gather(-1, first))
    # A window has at least one block before its own: fewer sizes of windows fill tiles better.
    before = torch.minimum(before, whole_blocks((first - start).clamp_min(1)))
    if rules.causal:
        return before, torch.zeros_like(first)
    last = (first + block_len).clamp_max(length) - 1
    end = torch.searchsorted(keys, keys.gather(-1, last), right=True)
    return before, torch.minimum(after, whole_blocks((end - first - block_len).clamp_min(1)))


@lru_cache(maxsize=256)
def slot_mask(rules: Rules, block_len: int, before: int, window_len: int, dtype: torch.dtype) -> Tensor:
    """Returns the part of the mask that depends on slots alone and is the same for all blocks, (Q, W)."""
    query = torch.arange(block_len)[:, None]
    key = torch.arange(window_len) - before
    # Within a bucket, slots are in the order of positions.
    slots_decide_causality = rules.causal and rules.same_bucket_mask
    visible = key < query if slots_decide_causality else key != query
    if rules.window == "sorted":
        visible &= (key - query).abs() <= rules.chunk_len
    return torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, -PENALTY)
