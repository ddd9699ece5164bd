"""Lines for the report's panels."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import cycle
from math import ceil, floor, log2, log10

import numpy as np
from torch import Tensor

from reformer.illustrate.inside import share_of_collisions
from reformer.report.display.chart import LINE_COLOURS, Axis, Panel, Series, line, linear_axis

ROUND_COLOURS = {1: "sky", 2: "blue", 4: "green", 8: "red"}
"""Colours of numbers of hash rounds, as in the report."""
ROOM = 0.03
"""Room above a linear axis, as a share of it."""
MOST_TICKS = 7
"""Most ticks of a logarithmic axis."""


def curve(name: str, colour: str, x: Sequence[float], y: Iterable[float], dashed: bool = False) -> Series:
    """Returns a line through the points; several y at an x, as a tuple, are shown by their mean and their range."""
    points = zip(x, (value if isinstance(value, tuple) else (value,) for value in y), strict=True)
    return Series(name, colour, line((at, [float(value) for value in values]) for at, values in points), dashed)


def chart(
    title: str, x_label: str, y_label: str, lines: Sequence[Series], log: str = "", y_from_zero: bool = False
) -> Panel:
    """Returns a panel with axes around all points.

    Args:
        title: what the panel shows.
        x_label, y_label: quantity and unit of each axis.
        lines: the lines.
        log: the axes that are logarithmic, such as "x" or "xy". The ticks of x are then at the points.
        y_from_zero: lets a linear y axis begin at 0.
    """
    x = [point[0] for drawn in lines for point in drawn.points]
    y = [height for drawn in lines for point in drawn.points for height in point[1:]] + [0.0] * y_from_zero
    x_axis = _log_axis(x_label, sorted(set(x))) if "x" in log else linear_axis(x_label, x)
    decades = range(floor(log10(min(y))), ceil(log10(max(y))) + 1) if "y" in log else ()
    y_axis = _log_axis(y_label, [10.0**n for n in decades]) if "y" in log else _with_room(linear_axis(y_label, y))
    return Panel(title, x_axis, y_axis, list(lines))


def _with_room(axis: Axis) -> Axis:
    """The axis with room for half a marker above its last tick."""
    return replace(axis, high=axis.high + ROOM * (axis.high - axis.low))


def _log_axis(label: str, values: Sequence[float]) -> Axis:
    """A logarithmic axis over the values, with ticks at no more than MOST_TICKS of them."""
    step = -(-len(values) // MOST_TICKS)
    return Axis(label, values[0], values[-1], [(value, _tick(value)) for value in values[::-step][::-1]], log=True)


def _tick(value: float) -> str:
    if value == 2 ** round(log2(value)) and value >= 1024:
        return f"{value / 2**20:g}M" if value >= 2**20 else f"{value / 2**10:g}K"
    if value == float(f"1e{round(log10(value))}") and not 1e-3 < value < 1e5:
        return f"$10^{{{round(log10(value))}}}$"
    return f"{value:,g}"


def held_weight(title: str, weights: Tensor) -> Panel:
    """Draws the share of the weight that the largest n keys of a query hold, on average.

    Args:
        title: the network.
        weights: rows of weights, one matrix for each head, (heads, queries, keys). The heads of several layers are counted
            through.
    """
    n_keys = [n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500) if 1.2 * n < weights.shape[-1]] + [weights.shape[-1]]
    held = weights.sort(dim=-1, descending=True).values.cumsum(-1).mean(1)[:, [n - 1 for n in n_keys]] * 100
    lines = [
        curve(f"head {number}", colour, n_keys, row)
        for number, (row, colour) in enumerate(zip(held.tolist(), cycle(LINE_COLOURS), strict=False), 1)
    ]
    lines.append(curve("all keys alike", "ink", n_keys, [100 * n / n_keys[-1] for n in n_keys], dashed=True))
    return chart(title, "number of keys", "% of the weight", lines, log="x", y_from_zero=True)


def collision_panel(degrees: Sequence[float], n_buckets: int) -> Panel:
    """Measures collisions in 1, 2, 4 and 8 rounds, and draws them over 1 - (1 - P)^rounds.

    P is 1 - angle / pi for two buckets: the probability that a random hyperplane does not separate the vectors. For other
    numbers of buckets, it is the measured share of a single round.

    Args:
        degrees: angles between pairs of vectors.
        n_buckets: buckets of a round.
    """
    measured = share_of_collisions(degrees, n_buckets, max(ROUND_COLOURS)).numpy()
    fine = np.arange(0, 181, 2)
    single = 1 - fine / 180 if n_buckets == 2 else np.interp(fine, [0, *degrees], [1, *measured[:, 0]])
    lines = []
    for rounds, colour in ROUND_COLOURS.items():
        name = f"{rounds} round{'s' * (rounds > 1)}"
        lines.append(Series(name, colour, curve(name, colour, degrees, measured[:, rounds - 1]).points, joined=False))
    lines += [
        curve("formula", "ink", fine.tolist(), 1 - (1 - single) ** rounds, dashed=True) for rounds in ROUND_COLOURS
    ]
    x_axis = Axis("angle, degrees", 0, 180, [(angle, str(angle)) for angle in range(0, 181, 45)])
    return Panel(f"{n_buckets} buckets", x_axis, linear_axis("share of pairs that collide", [0, 1]), lines)
