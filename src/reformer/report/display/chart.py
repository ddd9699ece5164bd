"""Figures as data: panels of lines with their axes and colours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

COLOURS = {
    "ink": ("#1d2433", "#e8ebf0"),
    "blue": ("#0072b2", "#5aa9ea"),
    "sky": ("#3a9fd8", "#a5dcff"),
    "green": ("#009e73", "#2fc296"),
    "red": ("#d55e00", "#ff9248"),
    "pink": ("#b8578f", "#e79cc4"),
}
"""Colours of lines on a light and on a dark ground, after Okabe and Ito: distinct to colour-blind readers."""
NEUTRALS = {"ground": ("#ffffff", "#12161e"), "muted": ("#5b6475", "#a0a9ba"), "rule": ("#dfe3ea", "#2c3442")}
"""Colours of the ground, of axes with their text, and of grid lines."""

MARKERS = {"ink": "s", "blue": "o", "sky": "o", "green": "^", "red": "D", "pink": "v"}
ATTENTION_COLOURS = {"full": "ink", "lsh-1": "sky", "lsh-2": "blue", "lsh-4": "green", "lsh-8": "red", "lsh-16": "pink"}
LINE_COLOURS = ("sky", "blue", "green", "red", "pink", "ink")
"""Colours, in order, of lines that do not compare kinds of attention."""


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        name: its name in the legend; lines of the same name share one entry.
        colour: a key of COLOURS.
        points: (x, y, low, high) each; low and high equal y where no range is known.
        dashed: whether it is dashed with hollow markers, as published numbers and limits are.
        joined: whether a line joins the points.
    """

    name: str
    colour: str
    points: list[tuple[float, float, float, float]]
    dashed: bool = False
    joined: bool = True


@dataclass(frozen=True)
class Axis:
    """An axis with its unit in the label; the ticks are (value, text)."""

    label: str
    low: float
    high: float
    ticks: list[tuple[float, str]]
    log: bool = False


@dataclass(frozen=True)
class Panel:
    """One plot."""

    title: str
    x: Axis
    y: Axis
    series: list[Series]


@dataclass(frozen=True)
class Figure:
    """Panels side by side with one legend. The id is unique on a page."""

    id: str
    panels: list[Panel]

    def legend(self) -> list[Series]:
        """The first line of each name, in the order of appearance."""
        first: dict[str, Series] = {}
        for panel in self.panels:
            for series in panel.series:
                first.setdefault(series.name, series)
        return list(first.values())


def line(points: Iterable[tuple[float, Sequence[float]]]) -> list[tuple[float, float, float, float]]:
    """Points of a line from all values at each x: their mean, minimum and maximum. Leaves out points that are not finite."""
    found = [(x, sum(values) / len(values), min(values), max(values)) for x, values in points]
    return [point for point in found if all(map(isfinite, point))]


def linear_axis(label: str, values: Iterable[float], least_span: float = 0.0) -> Axis:
    """An axis around the values with about five round ticks. `least_span` keeps noise from filling the plot."""
    values = list(values) or [0.0]
    low, high = min(values), max(values)
    if high - low < least_span:
        middle = (low + high) / 2
        low, high = middle - least_span / 2, middle + least_span / 2
    step = _round_step((high - low) / 4 or 1.0)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = [(i * step, _tick(i * step, max(0, -floor(log10(step))))) for i in range(first, last + 1)]
    return Axis(label, first * step, last * step, ticks)


def log_axis(label: str, values: Iterable[float], at: Sequence[float] = ()) -> Axis:
    """A logarithmic axis around the values, with ticks at 1, 2 and 5 of each decade or at the given values."""
    values = list(values) or [1.0]
    decades = range(floor(log10(min(values))) - 1, ceil(log10(max(values))) + 2)
    marks = list(at) or [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    low = max((mark for mark in marks if mark <= min(values) * 1.001), default=min(values))
    high = min((mark for mark in marks if mark >= max(values) * 0.999), default=max(values))
    if low == high:
        low, high = low / 2, high * 2
    return Axis(label, low, high, [(mark, short(mark)) for mark in marks if low <= mark <= high], log=True)


def category_axis(label: str, names: Sequence[str]) -> Axis:
    """An axis with the names at 0, 1, 2, …"""
    return Axis(label, -0.25, len(names) - 0.75, [(float(i), name) for i, name in enumerate(names)])


def short(value: float) -> str:
    """1024 as 1K, 0.5 as 0.5."""
    if value >= 1024 and value % 1024 == 0:
        return f"{value / 1024:g}K"
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def _round_step(step: float) -> float:
    size = 10.0 ** floor(log10(step))
    return next(size * digit for digit in (1, 2, 5, 10) if size * digit >= step * 0.999)


def _tick(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    return (text if float(text.replace(",", "")) else f"{0:.{digits}f}").replace("-", "−")
