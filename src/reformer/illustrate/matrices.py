"""Pictures of matrices: weights of attention, pairs that are visible, tables of scores. Rows are queries, columns keys."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from reformer.illustrate.picture import GREEN, GROUND, INK, MUTED, RED, SHADES, SKY, Picture, bucket_colour, sheet


def weights_by_bucket(
    panels: Mapping[str, tuple[Tensor, Sequence[int]]], buckets: Sequence[int], chunk_len: int
) -> Picture:
    """Draws matrices of weights side by side (Figure 2 a to d). The colour is the query's bucket, its depth the weight's root.

    Args:
        panels: by title, the weights in the order of positions, (L, L), and the order in which to show them, (L,).
        buckets: bucket of each position, (L,).
        chunk_len: the last panel shows the windows of chunks of this length.
    """
    with sheet(3.05 * len(panels), 3.4, "weights of attention, by bucket", columns=len(panels)) as drawn:
        for axes, (title, (weights, order)) in zip(drawn.axes, panels.items(), strict=True):
            depth = weights[list(order)][:, list(order)].clamp(0, 1).sqrt().numpy()
            colours = np.array([bucket_colour(buckets[place]) for place in order])[:, None]
            axes.imshow(1 - depth[..., None] * (1 - colours), interpolation="nearest")
            axes.set_title(title)
            is_sorted = list(order) != sorted(order)
            axes.set(xlabel="key, sorted" if is_sorted else "key, position", xticks=[], yticks=[])
            axes.set(ylabel="query, sorted" if is_sorted else "query, position")
        _windows(drawn.axes[-1], len(buckets), chunk_len)
    return drawn.picture


def _windows(axes: Axes, length: int, chunk_len: int) -> None:
    for start in range(0, length, chunk_len):
        left, right, top, bottom = max(0, start - chunk_len), start + chunk_len, start, start + chunk_len
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]) - 0.5
        axes.plot(*corners.T, color=MUTED, linewidth=0.9)


def changes(panels: Mapping[str, tuple[Tensor, Tensor]]) -> Picture:
    """Draws which pairs stay visible, vanish or appear when a later token changes.

    Args:
        panels: by title, the visible pairs before and after the change, (L, L) bool each.
    """
    with sheet(4.1 * len(panels), 4.6, "pairs that a later token changes", columns=len(panels)) as drawn:
        for axes, (title, (before, after)) in zip(drawn.axes, panels.items(), strict=True):
            codes = np.where(before & after, 1, np.where(before, 2, np.where(after, 3, 0)))
            colours = np.array([_rgb(GROUND), _rgb(SKY), _rgb(RED), _rgb(GREEN)])
            axes.imshow(colours[codes], interpolation="nearest")
            axes.set(xlabel="key, position", ylabel="query, position")
            axes.set_title(title)
        for name, colour in (("seen before and after", SKY), ("lost", RED), ("gained", GREEN)):
            drawn.axes[0].scatter([], [], marker="s", s=60, color=colour, label=name)
        drawn.canvas.legend(loc="outside lower center", ncols=3, frameon=False)
    return drawn.picture


def heads(panels: Mapping[str, Tensor], columns: int) -> Picture:
    """Draws weights of several heads, (L, L) each, on one scale, and says what the scale is."""
    rows = -(-len(panels) // columns)
    with sheet(2.35 * columns + 0.6, 2.5 * rows, "weights of each head", rows, columns) as drawn:
        for number, (axes, (title, weights)) in enumerate(zip(drawn.axes, panels.items(), strict=True)):
            image = axes.imshow(weights.numpy(), cmap=SHADES, vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(title)
            axes.set(xlabel="key, position" if number // columns == rows - 1 else "")
            axes.set(ylabel="query, position" if number % columns == 0 else "")
        drawn.canvas.colorbar(image, ax=drawn.axes, label="weight", shrink=0.7)
    return drawn.picture


def table(
    rows: Sequence[str], columns: Sequence[str], percent: Sequence[Sequence[float]], row_label: str, column_label: str
) -> Picture:
    """Draws a table of percentages, each cell shaded by its value.

    Args:
        rows, columns: their names.
        percent: values from 0 to 100 by row.
        row_label, column_label: what the names are.
    """
    values = np.array(percent)
    with sheet(1.15 * len(columns) + 1.9, 0.55 * len(rows) + 1.1, f"{row_label} by {column_label}") as drawn:
        axes = drawn.axes[0]
        axes.imshow(values / 100, cmap=SHADES, vmin=0, vmax=1.6, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            axes.text(j, i, f"{value:.1f} %", ha="center", va="center", color=INK if value < 60 else GROUND)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        axes.set(xlabel=column_label, ylabel=row_label)
        axes.tick_params(length=0)
    return drawn.picture


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
