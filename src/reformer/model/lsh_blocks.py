"""A round's sorted positions in blocks of queries: the window of places each block looks at, and the mask over it.

Masks are made by arithmetic on floating-point numbers, which PyTorch does several times as fast on CPU as comparisons.

Shapes: G sequences, L positions, Q queries of a block, P places of a stretch, W places of a window, T blocks of a tile.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from reformer.model.lsh_rules import Rules

# Queries of a block where chunk_len is a multiple of it: few, so that a window holds little that is masked, yet enough for
# matrix products at full speed.
BLOCK_LEN = 32
# Pairs of a tile for each thread: what stays in the cache of its core.
TILE_PAIRS = 1 << 16
# Sorted places of a long sequence held at a time.
STRETCH_LEN = 1 << 13
# What is taken off a logit for each step that its pair is from being visible. A power of two: products with it are exact.
PENALTY = 2.0**64
# Up to here float32 holds every whole number.
EXACT_IN_FLOAT32 = 1 << 24


class SortedRound:
    """One round of G sequences, cut into blocks, with what tells the visible pairs of each block."""

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
        n_sequences, self.length = keys.shape
        self.n_rows = keys.numel()
        self.rules, self.dtype = rules, dtype
        self.block_len = BLOCK_LEN if rules.chunk_len % BLOCK_LEN == 0 else rules.chunk_len
        self.n_blocks = -(-self.length // self.block_len)
        self.before, self.after = self._extents(keys)
        self.room_before, self.room_after = int(self.before.max()), int(self.after.max())
        self.rows = self._lay_out(order + self.length * torch.arange(n_sequences)[:, None])

        compared = [keys, *([order] if rules.lag else []), *(codes.gather(-1, order) for codes in earlier)]
        exact = dtype == torch.float64 or max(int(x.max()) for x in compared) < EXACT_IN_FLOAT32
        number = dtype if exact else torch.float64
        # A place without a position has a key of its own.
        nowhere = -1 - torch.arange(self.rows.shape[1], dtype=number)
        nowhere = nowhere.expand_as(self.rows).clone()
        nowhere[:, self.room_before : self.room_before + self.length] = keys
        self.compared = torch.stack([nowhere, *(self._lay_out(x.to(number)) for x in compared[1:])])

    def _extents(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Places that the window of each block takes in before and after it, (G, blocks of a sequence): whole blocks."""
        rules, block_len = self.rules, self.block_len
        first = (block_len * torch.arange(self.n_blocks)).expand(len(keys), -1)
        if rules.window == "sorted":
            before = after = torch.full_like(first, rules.chunk_len)
        else:
            inside = first % rules.chunk_len
            before = rules.chunk_len + inside
            after = (1 + rules.n_chunks_after) * rules.chunk_len - block_len - inside
        if not rules.same_bucket_mask:
            return before, after
        start = torch.searchsorted(keys, keys.gather(-1, first))
        # One block before is always taken in: fewer kinds of windows make fuller tiles.
        before = torch.minimum(before, self._whole_blocks((first - start).clamp_min(1)))
        if rules.causal:
            return before, torch.zeros_like(first)
        last = (first + block_len).clamp_max(self.length) - 1
        end = torch.searchsorted(keys, keys.gather(-1, last), right=True)
        return before, torch.minimum(after, self._whole_blocks((end - first - block_len).clamp_min(1)))

    def _whole_blocks(self, places: Tensor) -> Tensor:
        return (places + self.block_len - 1) // self.block_len * self.block_len

    def _lay_out(self, x: Tensor) -> Tensor:
        """(G, L) -> (G, room, whole blocks and room)."""
        filled = self.n_blocks * self.block_len - self.length
        return pad(x, (self.room_before, filled + self.room_after))

    def stretches(self) -> Iterator["Stretch"]:
        """All blocks: those of several sequences at once, or a bounded number of those of one."""
        step = self.n_blocks if len(self.rows) > 1 else max(1, STRETCH_LEN // self.block_len)
        for first in range(0, self.n_blocks, step):
            yield Stretch(self, first, min(first + step, self.n_blocks))


@dataclass(frozen=True)
class Tile:
    """Blocks with windows of one size.

    Attributes:
        blocks: their numbers in the stretch, (T,).
        queries: their places among the stretch's `query_rows`.
        before: places of the window before the block.
        after: places of the window after the block.
    """

    blocks: Tensor
    queries: slice
    before: int
    after: int


class Stretch:
    """Neighbouring blocks of each of the sequences, with room for the windows around them.

    Attributes:
        block_len: Q.
        rows: row (position of a sequence) at each place, (P,), int64. A place without a position has some row.
        query_rows: rows of the queries of all tiles, in turn, int64. Where there is no position: the number of rows.
    """

    def __init__(self, whole: SortedRound, first: int, last: int) -> None:
        self.block_len = whole.block_len
        self._rules, self._dtype = whole.rules, whole.dtype
        places = slice(first * whole.block_len, last * whole.block_len + whole.room_before + whole.room_after)
        rows = whole.rows[:, places]
        self.rows = rows.flatten()
        self._compared = whole.compared[:, :, places].flatten(1)

        # Blocks with windows of one size side by side.
        extents = (whole.before[:, first:last] << 32) + whole.after[:, first:last]
        starts = torch.arange(0, rows.numel(), rows.shape[1])[:, None] + whole.room_before
        numbers = starts // self.block_len + torch.arange(last - first)
        self._extents, by_extent = extents.flatten().sort(stable=True)
        self._blocks = numbers.flatten()[by_extent]
        query_rows = self.rows.view(-1, self.block_len)[self._blocks]
        nowhere = self._compared[0].view(-1, self.block_len)[self._blocks] < 0
        self.query_rows = query_rows.masked_fill_(nowhere, whole.n_rows).flatten()

    def tiles(self) -> Iterator[Tile]:
        """All blocks, in tiles."""
        kinds, counts = self._extents.unique_consecutive(return_counts=True)
        first = 0
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
            before, after = kind >> 32, kind & 0xFFFFFFFF
            pairs = self.block_len * (before + self.block_len + after)
            step = max(1, TILE_PAIRS * torch.get_num_threads() // pairs)
            for start in range(first, first + count, step):
                end = min(start + step, first + count)
                queries = slice(start * self.block_len, end * self.block_len)
                yield Tile(self._blocks[start:end], queries, before, after)
            first += count

    def windows(self, x: Tensor, tile: Tile) -> tuple[Tensor, Tensor]:
        """All windows of the tile's size in x (P, ...), an overlapping view, (windows, W, ...), and which are its own, (T,)."""
        window_len, step = tile.before + self.block_len + tile.after, self.block_len
        n_windows = (len(x) - window_len) // step + 1
        strides = (step * x.stride(0), *x.stride())
        overlapping = x.as_strided((n_windows, window_len, *x.shape[1:]), strides, x.storage_offset())
        return overlapping, tile.blocks - tile.before // step

    def window_places(self, tile: Tile) -> Tensor:
        """The places of the windows, (T * W), int64."""
        places = self.block_len * tile.blocks[:, None] + torch.arange(-tile.before, self.block_len + tile.after)
        return places.flatten()

    def mask(self, tile: Tile) -> Tensor:
        """What to add to the logits of the tile, (T, 1, Q, W): 0 for visible pairs, -PENALTY or less for others."""
        rules = self._rules
        windows = iter(
            [all_windows.index_select(0, own) for all_windows, own in (self.windows(x, tile) for x in self._compared)]
        )
        away = self._steps(next(windows), tile)
        mask = torch.addcmul(self._mask_of_places(tile), away, away, value=-PENALTY)
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

    def _mask_of_places(self, tile: Tile) -> Tensor:
        """The part of the mask that is the same for all blocks, (Q, W)."""
        query = torch.arange(self.block_len)[:, None]
        key = torch.arange(-tile.before, self.block_len + tile.after)
        # Where only equal buckets meet, places are in the order of positions.
        by_place = self._rules.causal and self._rules.same_bucket_mask
        visible = key < query if by_place else key != query
        if self._rules.window == "sorted":
            visible &= (key - query).abs() <= self._rules.chunk_len
        return torch.where(visible, 0.0, -PENALTY).to(self._dtype)

    def _steps(self, windows: Tensor, tile: Tile, lag: int = 0) -> Tensor:
        """From (T, W), how much larger each query's number is than each key's, (T, Q, W)."""
        queries = windows[:, tile.before : tile.before + self.block_len] - lag
        return (queries[:, :, None] - windows[:, None]).to(self._dtype)
