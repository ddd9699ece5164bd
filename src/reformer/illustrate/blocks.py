"""Drawings of residual blocks, and bars of bytes."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from reformer.illustrate.picture import BLUE, GREEN, GROUND, INK, MUTED, RED, SKY, Picture, sheet


def residual_blocks() -> Picture:
    """Draws an ordinary residual layer, a reversible one, and the reversible one undone (equations 7 to 10)."""
    titles = ("ordinary residual layer", "reversible layer, forwards", "reversible layer, undone")
    with sheet(11.5, 4.0, "residual and reversible layers", columns=3) as drawn:
        for axes, title in zip(drawn.axes, titles, strict=True):
            axes.set(xlim=(-0.4, 10.4), ylim=(0, 8.6), title=title)
            axes.axis("off")
        ordinary, forwards, undone = drawn.axes
        _arrow(ordinary, (1, 3), (9, 3), SKY)
        for x, name, colour in ((2.4, "attention", BLUE), (6.3, "feed-forward", GREEN)):
            _branch(ordinary, (x, 3), (x + 1.4, 3), name, colour, "+", height=6.4)
        _ends(ordinary, [(3, "x", "y")])
        ordinary.text(5, 0.9, "both inputs must be stored\nuntil the backward pass", ha="center", color=RED)
        for axes, sign in ((forwards, "+"), (undone, "−")):
            for y in (7.5, 2.8):
                _arrow(axes, *(((0.9, y), (9.1, y)) if axes is forwards else ((9.1, y), (0.9, y))), SKY)
            _cross(axes, (2.6, 2.8), (3.7, 7.5), "attention", BLUE, sign)
            _cross(axes, (6.2, 7.5), (7.3, 2.8), "feed-forward", GREEN, sign)
            _ends(axes, [(7.5, "x₁", "y₁"), (2.8, "x₂", "y₂")])
        forwards.text(5, 0.5, "y₁ = x₁ + attention(x₂)\ny₂ = x₂ + feed-forward(y₁)", ha="center", color=INK)
        undone.text(5, 0.5, "x₂ = y₂ − feed-forward(y₁)\nx₁ = y₁ − attention(x₂)", ha="center", color=INK)
    return drawn.picture


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, color=colour, linewidth=2.2))


def _box(axes: Axes, middle: tuple[float, float], text: str, colour: str) -> None:
    x, y = middle
    style = "round,pad=0,rounding_size=0.25"
    axes.add_patch(
        FancyBboxPatch(
            (x - 1.65, y - 0.5), 3.3, 1.0, style, facecolor=GROUND, edgecolor=colour, linewidth=1.8, zorder=3
        )
    )
    axes.text(x, y, text, ha="center", va="center", color=colour, zorder=4)


def _sum(axes: Axes, at: tuple[float, float], sign: str) -> None:
    axes.plot(*at, "o", markersize=15, color=GROUND, markeredgecolor=INK, zorder=3)
    axes.text(*at, sign, ha="center", va="center", color=INK, zorder=4, weight="bold")


def _read(axes: Axes, at: tuple[float, float], colour: str) -> None:
    """A dot where a branch reads a stream."""
    axes.plot(*at, "o", markersize=6, color=colour, zorder=3)


def _branch(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str, colour: str, sign: str, height: float
) -> None:
    middle = ((start[0] + end[0]) / 2, height)
    _read(axes, start, colour)
    _arrow(axes, start, (start[0], height - 0.45), colour)
    _arrow(axes, (end[0], height), (end[0], end[1] + 0.22), colour)
    _box(axes, middle, text, colour)
    _sum(axes, end, sign)


def _cross(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str, colour: str, sign: str) -> None:
    """A branch from one stream to a sum on the other."""
    up = 0.2 if end[1] < start[1] else -0.2  # the arrow ends at the rim of the sum
    _read(axes, start, colour)
    _arrow(axes, start, (end[0] + up * (start[0] - end[0]) / (start[1] - end[1]), end[1] + up), colour)
    _box(axes, ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), text, colour)
    _sum(axes, end, sign)


def _ends(axes: Axes, streams: list[tuple[float, str, str]]) -> None:
    for y, left, right in streams:
        axes.text(0.4, y, left, ha="center", va="center", color=INK, fontsize=13)
        axes.text(9.6, y, right, ha="center", va="center", color=INK, fontsize=13)


def bars(bars_by_name: Mapping[str, Mapping[str, float]], limit: float, limit_name: str, label: str) -> Picture:
    """Draws stacked horizontal bars beside a limit.

    Args:
        bars_by_name: the parts of each bar by name, in the unit of the label.
        limit: where to draw a line across the bars.
        limit_name: what the limit is.
        label: quantity and unit of the axis.
    """
    colours: dict[str, str] = {}
    with sheet(9, 1.0 + 0.75 * len(bars_by_name), label) as drawn:
        axes = drawn.axes[0]
        for place, (name, parts) in enumerate(bars_by_name.items()):
            left = 0.0
            for part, size in parts.items():
                first = part not in colours
                colour = colours.setdefault(part, (BLUE, SKY, GREEN, RED, MUTED, INK)[len(colours) % 6])
                axes.barh(name, size, left=left, color=colour, label=part if first else None, height=0.6)
                left += size
            axes.text(left, place, f" {left:,.1f}", va="center", color=INK)
        axes.axvline(limit, color=INK, linestyle="--")
        axes.text(limit, -0.4, f" {limit_name}", color=INK, va="bottom")
        axes.invert_yaxis()
        axes.set(xlabel=label)
        axes.margins(x=0.1)
        drawn.canvas.legend(loc="outside lower center", ncols=3, frameon=False)
    return drawn.picture
