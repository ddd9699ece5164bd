"""A round's sorted positions in blocks of queries: the window of places each block looks at, and the mask over it.

Masks are made by arithmetic on floating-point numbers, which PyTorch does several times as fast on CPU as comparisons.

Shapes: G sequences, L positions, Q queries of a block, P sorted places with room for windows, W places of a window, T blocks of
a tile.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from reformer.model.lsh_rules import Rules

# Queries of a block where chunk_len is a multiple of it: few, so that a window holds little that is masked, yet enough for
# matrix products at full speed.
BLOCK_LEN = 32
# Pairs of a tile for each thread: what stays in the cache of its core.
TILE_PAIRS = 1 << 16
# What is taken off a logit for each step that its pair is from being visible. A power of two: products with it are exact.
PENALTY = 2.0**64
# Up to here float32 holds every whole number.
EXACT_IN_FLOAT32 = 1 << 24


@dataclass(frozen=True)
class Tile:
    """Blocks with windows of one size.

    Attributes:
        first_windows: the number of each one's window among all windows of that size, (T,).
        queries: the places of their queries among the round's `query_rows`.
        before: places of the window before the block.
        window_len: W.
    """

    first_windows: Tensor
    queries: slice
    before: int
    window_len: int


class SortedRound:
    """One round of G sequences, cut into blocks.

    Attributes:
        block_len: Q.
        query_rows: row (position of a sequence) of the queries of all tiles, in turn, int64. Blocks are filled up with
            places without a position: there, the number of rows.
    """

    def __init__(
        self, keys: Tensor, order: Tensor, earlier: Sequence[Tensor], rules: Rules, dtype: torch.dtype
    ) -> None:
        """
        Args:
            keys: in sorted order, (G, L), >= 0 and rising; only positions with equal ones may meet.
            order: positions in sorted order, (G, L), int64.
            earlier: codes of earlier rounds, (G, L) each: pairs that those show are hidden.
            dtype: type of the masks.
        """
        n_sequences, length = keys.shape
        self._rules, self._dtype = rules, dtype
        self.block_len = block_len = BLOCK_LEN if rules.chunk_len % BLOCK_LEN == 0 else rules.chunk_len
        n_blocks = -(-length // block_len)
        before, after = window_extents(keys, rules, block_len)
        room_before, room_after = int(before.max()), int(after.max())
        room = (room_before, n_blocks * block_len - length + room_after)

        rows = pad(order + length * torch.arange(n_sequences)[:, None], room)
        width = rows.shape[1]
        self._rows = rows.flatten()
        compared = [keys, *([order] if rules.lag else []), *(codes.gather(-1, order) for codes in earlier)]
        exact = dtype == torch.float64 or max(int(x.max()) for x in compared) < EXACT_IN_FLOAT32
        numbers = dtype if exact else torch.float64
        # A place without a position has a key of its own.
        own_keys = (-1 - torch.arange(width, dtype=numbers)).repeat(n_sequences, 1)
        own_keys[:, room_before : room_before + length] = keys
        self._compared = torch.stack([own_keys.flatten(), *(pad(x.to(numbers), room).flatten() for x in compared[1:])])

        # Blocks with windows of one size side by side.
        self._extents, in_order = ((before << 32) + after).flatten().sort(stable=True)
        first_blocks = (torch.arange(n_sequences)[:, None] * width + room_before) // block_len
        self._blocks = (first_blocks + torch.arange(n_blocks)).flatten()[in_order]
        query_rows = self._rows.view(-1, block_len)[self._blocks]
        nowhere = self._compared[0].view(-1, block_len)[self._blocks] < 0
        self.query_rows = query_rows.masked_fill_(nowhere, keys.numel()).flatten()

    def tiles(self) -> Iterator[Tile]:
        """All blocks, in tiles."""
        first, block_len = 0, self.block_len
        for extent, count in zip(
            *(x.tolist() for x in self._extents.unique_consecutive(return_counts=True)), strict=True
        ):
            before, after = extent >> 32, extent & 0xFFFFFFFF
            window_len = before + block_len + after
            step = max(1, TILE_PAIRS * torch.get_num_threads() // (block_len * window_len))
            for start in range(first, first + count, step):
                end = min(start + step, first + count)
                first_windows = self._blocks[start:end] - before // block_len
                yield Tile(first_windows, slice(start * block_len, end * block_len), before, window_len)
            first += count

    def window_rows(self, tile: Tile) -> Tensor:
        """The rows that the tile's blocks look at, (T, W), int64. A place without a position gives some row."""
        return self._windows(self._rows, tile)

    def mask(self, tile: Tile) -> Tensor:
        """What to add to the logits of the tile, (T, 1, Q, W): 0 for visible pairs, -PENALTY or less for others."""
        rules, dtype = self._rules, self._dtype
        windows = iter(self._windows(self._compared, tile))
        away = self._steps(next(windows), tile)
        of_places = mask_of_places(rules, self.block_len, tile.before, tile.window_len, dtype)
        mask = torch.addcmul(of_places, away, away, value=-PENALTY)
        if rules.lag:
            later = self._steps(next(windows), tile).sub_(1).clamp_max_(0)
            mask.add_(later, alpha=PENALTY)
        # Counting a pair in the first round that shows it, and no other, is what subtracting log N does (equation 16).
        nearest: Tensor | None = None
        for codes in windows:
            steps = self._steps(codes, tile, rules.lag).abs_()
            nearest = steps if nearest is None else torch.minimum(nearest, steps, out=nearest)
        if nearest is not None:
            mask.add_(nearest.sub_(rules.reach + 1).clamp_max_(0), alpha=PENALTY)
        return mask[:, None]

    def _windows(self, x: Tensor, tile: Tile) -> Tensor:
        """(..., P) -> (..., T, W)."""
        return x.unfold(-1, tile.window_len, self.block_len).index_select(-2, tile.first_windows)

    def _steps(self, windows: Tensor, tile: Tile, lag: int = 0) -> Tensor:
        """From (T, W), how much larger each query's number is than each key's, (T, Q, W)."""
        queries = windows[:, tile.before : tile.before + self.block_len]
        if lag:
            queries = queries - lag
        return (queries[:, :, None] - windows[:, None]).to(self._dtype)


def window_extents(keys: Tensor, rules: Rules, block_len: int) -> tuple[Tensor, Tensor]:
    """Places that the window of each block takes in before and after it, (G, blocks of a sequence): whole blocks.

    Where only equal buckets may meet, no further than the buckets of the block's own queries reach.
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

    def whole_blocks(places: Tensor) -> Tensor:
        return (places + block_len - 1) // block_len * block_len

    start = torch.searchsorted(keys, keys.gather(-1, first))
    # One block before is always taken in: fewer kinds of windows make fuller tiles.
    before = torch.minimum(before, whole_blocks((first - start).clamp_min(1)))
    if rules.causal:
        return before, torch.zeros_like(first)
    last = (first + block_len).clamp_max(length) - 1
    end = torch.searchsorted(keys, keys.gather(-1, last), right=True)
    return before, torch.minimum(after, whole_blocks((end - first - block_len).clamp_min(1)))


@lru_cache(maxsize=256)
def mask_of_places(rules: Rules, block_len: int, before: int, window_len: int, dtype: torch.dtype) -> Tensor:
    """The part of the mask that is the same for all blocks, (Q, W)."""
    query = torch.arange(block_len)[:, None]
    key = torch.arange(window_len) - before
    # Where only equal buckets meet, places are in the order of positions.
    by_place = rules.causal and rules.same_bucket_mask
    visible = key < query if by_place else key != query
    if rules.window == "sorted":
        visible &= (key - query).abs() <= rules.chunk_len
    return torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, -PENALTY)
