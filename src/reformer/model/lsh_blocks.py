"""A round's sorted positions in blocks of queries: the window of places each block looks at, and the mask over it.

Masks are made by arithmetic on floating-point numbers, which PyTorch does several times as fast on CPU as comparisons.

Shapes: G sequences, L positions, P places of the layout, Q queries of a block, W places of its window, T blocks of a tile.
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
# Pairs of a tile: what stays in cache.
TILE_PAIRS = 1 << 18
# What is taken off a logit for each step that its pair is from being visible.
PENALTY = 2.0**64
# Up to here float32 holds every whole number.
EXACT_IN_FLOAT32 = 1 << 24


@dataclass(frozen=True)
class Tile:
    """Blocks with windows of one size.

    Attributes:
        blocks: their numbers in the layout, (T,).
        before: places of the window before the block.
        after: places of the window after the block.
    """

    blocks: Tensor
    before: int
    after: int


class Blocks:
    """One round of G sequences. The layout holds one sequence's places after another's, each with room for windows around it.

    Attributes:
        block_len: Q.
        n_places: P.
        place: place of each position, (G * L), int64.
    """

    def __init__(
        self, keys: Tensor, order: Tensor, earlier: Sequence[Tensor], rules: Rules, dtype: torch.dtype
    ) -> None:
        """
        Args:
            keys: (G, L), >= 0, rising in sorted order; only positions with equal ones may meet.
            order: positions in sorted order, (G, L), int64.
            earlier: codes of earlier rounds, (G, L) each: pairs that those show are hidden.
            dtype: type of the masks.
        """
        n_sequences, self._length = keys.shape
        self._rules, self._dtype = rules, dtype
        self.block_len = BLOCK_LEN if rules.chunk_len % BLOCK_LEN == 0 else rules.chunk_len
        self._n_blocks = -(-self._length // self.block_len)
        self._room = 2 * rules.chunk_len
        self._width = self._n_blocks * self.block_len + 2 * self._room
        self.n_places = n_sequences * self._width
        self._sorted_keys = keys.gather(-1, order)

        first_row = self._length * torch.arange(n_sequences)[:, None]
        first_place = self._width * torch.arange(n_sequences)[:, None] + self._room
        rows = order + first_row
        self.place = torch.empty(rows.numel(), dtype=torch.int64)
        self.place.scatter_(0, rows.flatten(), (first_place + torch.arange(self._length)).flatten())
        self._rows = self._lay_out(rows)

        compared = [self._sorted_keys, *([order] if rules.lag else []), *(codes.gather(-1, order) for codes in earlier)]
        exact = max(int(x.max()) for x in compared) < EXACT_IN_FLOAT32
        compared = [self._lay_out(x.to(dtype if exact else torch.float64)) for x in compared]
        nowhere = self._lay_out(torch.ones_like(order)) == 0
        compared[0][nowhere] = -1 - torch.arange(
            int(nowhere.sum()), dtype=compared[0].dtype
        )  # each different from all others
        self._compared = torch.stack(compared)

    def _lay_out(self, x: Tensor) -> Tensor:
        """(G, L) -> (P)."""
        return pad(x, (self._room, self._width - self._room - self._length)).flatten()

    def tiles(self) -> Iterator[Tile]:
        """All blocks, in tiles."""
        before, after = self._extents()
        first_block = (torch.arange(len(before))[:, None] * self._width + self._room) // self.block_len
        numbers = first_block + torch.arange(self._n_blocks)
        kinds = before * self._width + after
        for kind in kinds.unique().tolist():
            before_len, after_len = divmod(kind, self._width)
            pairs = self.block_len * (before_len + self.block_len + after_len)
            for blocks in numbers[kinds == kind].split(max(1, TILE_PAIRS // pairs)):
                yield Tile(blocks, before_len, after_len)

    def _extents(self) -> tuple[Tensor, Tensor]:
        """Places that the window of each block takes in before and after it, (G, blocks of a sequence): whole blocks."""
        rules, block_len = self._rules, self.block_len
        first = (block_len * torch.arange(self._n_blocks)).expand(len(self._sorted_keys), -1)
        if rules.window == "sorted":
            before = after = torch.full_like(first, rules.chunk_len)
        else:
            inside = first % rules.chunk_len
            before = rules.chunk_len + inside
            after = (1 + rules.n_chunks_after) * rules.chunk_len - block_len - inside
        if not rules.same_bucket_mask:
            return before, after
        last = (first + block_len).clamp_max(self._length) - 1
        start = torch.searchsorted(self._sorted_keys, self._sorted_keys.gather(-1, first))
        end = torch.searchsorted(self._sorted_keys, self._sorted_keys.gather(-1, last), right=True)
        before = torch.minimum(before, self._whole_blocks(first - start))
        after = torch.minimum(after, self._whole_blocks((end - first - block_len).clamp_min(0)))
        return before, torch.zeros_like(after) if rules.causal else after

    def _whole_blocks(self, places: Tensor) -> Tensor:
        return (places + self.block_len - 1) // self.block_len * self.block_len

    def rows(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """Rows of the tile's queries, (T * Q), and of its windows, (T * W). A place without a position gives some row."""
        windows = self._windows(self._rows[None], tile)[0]
        return self._queries(windows, tile).flatten(), windows.flatten()

    def mask(self, tile: Tile) -> Tensor:
        """What to add to the logits of the tile, (T, 1, Q, W): 0 for visible pairs, -PENALTY or less for others."""
        rules = self._rules
        windows = iter(self._windows(self._compared, tile))
        away = self._steps(next(windows), tile)
        mask = torch.addcmul(self._mask_of_places(tile), away, away, value=-PENALTY)
        if rules.lag:
            ahead = self._steps(next(windows), tile)
            mask.add_(ahead.sub_(1).clamp_max_(0), alpha=PENALTY)
        # Counting a pair in the first round that shows it, and no other, is what subtracting log N does (equation 16).
        nearest = None
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
        # Inside a bucket, and so wherever only equal buckets meet, places are in the order of positions.
        by_place = self._rules.causal and self._rules.same_bucket_mask
        visible = key < query if by_place else key != query
        if self._rules.window == "sorted":
            visible &= (key - query).abs() <= self._rules.chunk_len
        return torch.where(visible, 0.0, -PENALTY).to(self._dtype)

    def _windows(self, x: Tensor, tile: Tile) -> Tensor:
        """What the tile's blocks look at in (..., P): (..., T, W)."""
        window = tile.before + self.block_len + tile.after
        return x.unfold(-1, window, self.block_len).index_select(-2, tile.blocks - tile.before // self.block_len)

    def _queries(self, windows: Tensor, tile: Tile) -> Tensor:
        return windows[:, tile.before : tile.before + self.block_len]

    def _steps(self, windows: Tensor, tile: Tile, lag: int = 0) -> Tensor:
        """From (T, W), how much larger each query's number is than each key's, (T, Q, W)."""
        queries = self._queries(windows, tile) - lag
        return (queries[:, :, None] - windows[:, None]).to(self._dtype)
