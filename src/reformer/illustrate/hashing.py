"""Pictures of hashing: hyperplanes, the circle of Figure 1, a network's queries, and a sentence step by step (Figure 2).

Shapes: L positions, W width of a vector, R n_hashes.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle, Wedge
from torch import Tensor

from reformer.illustrate.picture import BLUE, GROUND, INK, MUTED, RED, RULE, Picture, bucket_colour, sheet
from reformer.model.lsh import hash_vectors
from reformer.model.lsh_hash import sort_by_bucket

SHOWN_SPACE = "␣"
OTHERS = "other buckets"
HEIGHTS = (1.0, 1.35, 1.35, 1.35, 1.9)
"""Relative heights of the rows of `steps`."""


def hyperplanes(points: Tensor, rotations: Sequence[Tensor], rounds: Sequence[int]) -> Picture:
    """Draws points of the plane, cut by the hyperplanes (here lines) of the first rounds of two buckets each.

    Args:
        points: (L, 2). The first is the query.
        rotations: result of `draw_rotations` for 2 buckets.
        rounds: number of hyperplanes of each panel.
    """
    sides = hash_vectors(points[None, None], rotations)[0, 0]  # (R, L)
    normals = rotations[0][0, 0, :, :, 0]
    with sheet(3.1 * len(rounds), 3.3, "points that share all sides with the query", columns=len(rounds)) as drawn:
        for axes, n_rounds in zip(drawn.axes, rounds, strict=True):
            same = (sides[:n_rounds] == sides[:n_rounds, :1]).all(0)
            for a, b in normals[:n_rounds].tolist():
                axes.axline((0, 0), (-b, a), color=MUTED, linewidth=1)
            left_out, kept, query = points[~same], points[same], points[:1]
            axes.scatter(left_out[:, 0], left_out[:, 1], s=9, color=RULE, edgecolor=MUTED, linewidth=0.4, label=OTHERS)
            axes.scatter(kept[:, 0], kept[:, 1], s=14, color=BLUE, label="the query's bucket")
            axes.scatter(query[:, 0], query[:, 1], s=150, color=RED, marker="*", zorder=3, label="the query")
            axes.set_title(f"{n_rounds} line{'s' * (n_rounds > 1)}: {int(same.sum()) - 1} of {len(points) - 1} left")
            axes.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal", xlabel="first coordinate")
        drawn.axes[0].set_ylabel("second coordinate")
        drawn.canvas.legend(
            *drawn.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
        )
    return drawn.picture


def circles(pairs: dict[str, float], rotations: Sequence[Tensor]) -> Picture:
    """Draws Figure 1: for each round, the circle in the colours of its buckets, and a pair of points on it.

    Args:
        pairs: the angle between the two points in degrees, by the title of a row.
        rotations: result of `draw_rotations` for vectors of width 2.
    """
    n_rounds = rotations[0].shape[2]
    ring = torch.arange(0, 360.0, 1.0)
    with sheet(2.6 * n_rounds, 2.5 * len(pairs), "points on a circle", len(pairs), n_rounds) as drawn:
        for row, (title, degrees) in enumerate(pairs.items()):
            both = torch.tensor([90 - degrees / 2, 90 + degrees / 2])
            buckets = hash_vectors(_on_circle(torch.cat([ring, both]))[None, None], rotations)[0, 0]
            for axes, of_round in zip(drawn.axes[row * n_rounds :], buckets, strict=False):
                _circle(axes, ring.tolist(), of_round[:-2].tolist())
                _pair(axes, both, of_round[-2:].tolist())
            drawn.axes[row * n_rounds].text(-1.75, 0, title, rotation=90, va="center", ha="center", color=INK)
        for number, axes in enumerate(drawn.axes[:n_rounds], 1):
            axes.text(0, 1.62, f"rotation {number}", ha="center", color=INK, weight="bold")
    return drawn.picture


def _on_circle(degrees: Tensor) -> Tensor:
    angles = degrees.deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


def _circle(axes: Axes, degrees: list[float], buckets: list[int]) -> None:
    axes.set(xlim=(-1.5, 1.5), ylim=(-1.15, 1.5), aspect="equal")
    axes.axis("off")
    starts = [at for at in range(len(buckets)) if buckets[at] != buckets[at - 1]]
    for start, end in zip(starts, [*starts[1:], starts[0] + len(buckets)], strict=True):
        arc = Wedge((0, 0), 1.1, degrees[start], end, width=0.2, color=bucket_colour(buckets[start], 0.55), linewidth=0)
        axes.add_patch(arc)


def _pair(axes: Axes, degrees: Tensor, buckets: list[int]) -> None:
    for (x, y), bucket in zip(_on_circle(degrees).tolist(), buckets, strict=True):
        axes.plot([0, x], [0, y], color=MUTED, linewidth=1)
        axes.plot(x, y, "o", markersize=10, color=bucket_colour(bucket), markeredgecolor=INK)
        axes.text(1.35 * x, 1.32 * y, str(bucket), ha="center", va="center", color=INK)
    verdict = "same\nbucket" if buckets[0] == buckets[1] else "different\nbuckets"
    axes.text(0, -0.35, verdict, ha="center", va="center", color=INK)


def letters_in_plane(queries: Tensor, text: str, buckets: Tensor) -> Picture:
    """Draws each letter at the two principal components of its query, in the colour of its bucket.

    Args:
        queries: queries of one head, (L, W).
        text: one letter for each query.
        buckets: bucket of each query in one round, (L,).
    """
    unit = queries / queries.norm(dim=-1, keepdim=True)
    _, sizes, directions = torch.linalg.svd(unit - unit.mean(0), full_matrices=False)
    plane = (unit @ (directions[:2] * directions[:2].sum(1, keepdim=True).sign()).T).tolist()
    shares = (100 * sizes**2 / (sizes**2).sum()).tolist()
    with sheet(7.6, 4.6, "letters at the principal components of their queries") as drawn:
        axes = drawn.axes[0]
        for (x, y), letter, bucket in zip(plane, text, buckets.tolist(), strict=True):
            colour = bucket_colour(bucket)
            axes.text(x, y, letter.replace(" ", SHOWN_SPACE), color=colour, ha="center", va="center", weight="bold")
        axes.set(xlabel=f"first principal component ({shares[0]:.0f} % of the variance)")
        axes.set(ylabel=f"second principal component ({shares[1]:.0f} %)")
        for bucket in sorted(set(buckets.tolist())):
            axes.scatter([], [], color=bucket_colour(bucket), label=str(bucket))
        drawn.canvas.legend(loc="outside right center", title="bucket", frameon=False)
        axes.update_datalim(plane)
        axes.margins(0.08)
        axes.autoscale_view()
    return drawn.picture


def steps(text: str, buckets: Tensor, chunk_len: int, slot: int) -> Picture:
    """Draws the steps of Figure 2 on a text: hash, sort, cut into chunks, look one chunk back.

    Args:
        text: L letters.
        buckets: bucket of each letter in one round, (L,).
        chunk_len: letters of a chunk.
        slot: place in the sorted order of the query whose keys are shown.
    """
    order, ids = sort_by_bucket(buckets).tolist(), buckets.tolist()
    window = range(max(0, (slot // chunk_len - 1) * chunk_len), min(len(text), (slot // chunk_len + 1) * chunk_len))
    keys = [key for key in window if order[key] < order[slot] and ids[order[key]] == ids[order[slot]]]
    in_place, everything = range(len(text)), frozenset(range(len(text)))
    rows = (
        _Row("1. the sequence", in_place, [], len(text), everything),
        _Row("2. hash: the colour is the bucket", in_place, ids, len(text), everything),
        _Row("3. sort by bucket, then by position", order, ids, len(text), everything),
        _Row(f"4. cut into chunks of {chunk_len}", order, ids, chunk_len, everything),
        _Row("5. attend: a query (framed) sees earlier letters of its bucket", order, ids, chunk_len, {slot, *keys}),
    )
    with sheet(0.205 * len(text), 5.2, "a sentence: hashed, sorted, cut into chunks", rows=5, heights=HEIGHTS) as drawn:
        for axes, row in zip(drawn.axes, rows, strict=True):
            row.draw(axes, text)
        rows[-1].draw_arrows(drawn.axes[-1], slot, keys)
    return drawn.picture


@dataclass(frozen=True)
class _Row:
    """A row of letters.

    Attributes:
        title: what the row shows.
        places: position of the letter in each slot.
        buckets: bucket of each position, empty where they are not known yet.
        chunk_len: slots between two gaps.
        shown: slots that are not faint.
    """

    title: str
    places: Sequence[int]
    buckets: Sequence[int]
    chunk_len: int
    shown: Set[int]

    def draw(self, axes: Axes, text: str) -> None:
        all_shown = len(self.shown) == len(text)
        axes.axis("off")
        below = 1.15 if not all_shown else 0.5 if self.buckets else 0.05
        axes.set(xlim=(-0.1, self._left(len(text) - 1) + 1.1), ylim=(-below, 1.05), title=self.title)
        for slot, place in enumerate(self.places):
            left, is_shown = self._left(slot), slot in self.shown
            colour = bucket_colour(self.buckets[place], 0.45 if is_shown else 0.1) if self.buckets else GROUND
            axes.add_patch(Rectangle((left, 0), 0.94, 1, facecolor=colour, edgecolor=RULE, linewidth=0.6))
            _write(axes, left + 0.47, 0.46, text[place].replace(" ", SHOWN_SPACE), 10, INK if is_shown else RULE)
            if self.buckets and all_shown:
                _write(axes, left + 0.47, -0.3, str(self.buckets[place]), 7, MUTED)

    def draw_arrows(self, axes: Axes, query: int, keys: Sequence[int]) -> None:
        axes.add_patch(Rectangle((self._left(query), 0), 0.94, 1, fill=False, edgecolor=INK, linewidth=2, zorder=3))
        for key in keys:
            arrow = FancyArrowPatch(
                (self._left(query) + 0.47, 0),
                (self._left(key) + 0.47, 0),
                arrowstyle="-|>",
                connectionstyle="arc3,rad=-0.2",
                mutation_scale=7,
                shrinkA=0,
                shrinkB=0,
                color=INK,
                linewidth=0.9,
            )
            axes.add_patch(arrow)

    def _left(self, slot: int) -> float:
        return slot + 0.5 * (slot // self.chunk_len)


def _write(axes: Axes, x: float, y: float, text: str, size: float, colour: str) -> None:
    axes.text(x, y, text, ha="center", va="center", fontsize=size, color=colour)
