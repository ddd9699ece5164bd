"""Draws figures with matplotlib: PNG files, and SVG for the page. The same numbers give the same bytes."""

import re
from collections.abc import Iterable, Iterator
from html import escape
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from reformer.files import written_whole
from reformer.report.display.chart import COLOURS, MARKERS, NEUTRALS, Axis, Figure, Panel, Series, short

PANEL_SIZE = (4.8, 3.0)
"""Inches. At a width of 345 pixels on the screen, letters of 11 points are 11 pixels high."""
KEY_SIZE = (0.5, 0.18)
"""Inches of a line in the legend of the page."""
GROUND, MUTED, RULE = (NEUTRALS[name][0] for name in ("ground", "muted", "rule"))
STYLE = {
    "font.size": 11,
    "font.sans-serif": ["DejaVu Sans"],
    "text.color": MUTED,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": RULE,
    "axes.axisbelow": True,
    "savefig.dpi": 150,
    "svg.fonttype": "none",
}
MOST_MARKERS = 20
"""Most points of a line that has markers."""
VARIABLES = {light: f"var(--{name})" for name, (light, _) in (NEUTRALS | COLOURS).items()}
"""The page's name for each colour."""


def draw_figure(figure: Figure, path: Path) -> None:
    """Writes the figure as PNG: its panels side by side, four of them two by two, above the legend."""
    n = len(figure.panels)
    columns = 2 if n == 4 else min(n, 3)
    rows = -(-n // columns)
    with matplotlib.style.context(["default", STYLE]):
        canvas = _canvas(PANEL_SIZE[0] * columns, PANEL_SIZE[1] * rows + 0.4)
        grid = list(canvas.subplots(rows, columns, squeeze=False).flat)
        for axes, panel in zip(grid, figure.panels, strict=False):
            _draw_panel(axes, panel)
            axes.set_title(panel.title)
        for axes in grid[n:]:
            axes.set_visible(False)
        legend = figure.legend()
        handles = [Line2D([], [], label=series.name, **_style(series)) for series in legend]
        n_columns = _legend_columns([series.name for series in legend], PANEL_SIZE[0] * columns)
        canvas.legend(handles=handles, loc="outside lower center", ncols=n_columns, frameon=False)
        drawn = BytesIO()
        canvas.savefig(drawn, format="png", metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as out:
        out.write(drawn.getvalue())


def panel_as_svg(panel: Panel, name: str) -> str:
    """The panel without its title as an SVG element. A browser shows the values of a marker under the pointer.

    Args:
        panel: the panel.
        name: unique on the page, as the SVG's internal references are made from it.
    """
    with matplotlib.style.context(["default", STYLE, {"svg.hashsalt": name}]):
        canvas = _canvas(*PANEL_SIZE)
        _draw_panel(canvas.subplots(), panel)
        return _as_svg(canvas, f"{panel.title}: {panel.y.label} against {panel.x.label}", _values(panel))


def key_as_svg(series: Series, name: str) -> str:
    """The line of a legend as an SVG element; the name is as above."""
    with matplotlib.style.context(["default", STYLE, {"svg.hashsalt": name}]):
        canvas = Canvas(figsize=KEY_SIZE)
        canvas.add_artist(Line2D([0.04, 0.5, 0.96], [0.5] * 3, markevery=[1], **_style(series)))
        return _as_svg(canvas, "")


def _canvas(width: float, height: float) -> Canvas:
    return Canvas(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))


def _as_svg(canvas: Canvas, label: str, values: Iterable[str] = ()) -> str:
    """The drawing with the page's colours, without sizes, and without the parts that would affect the page around it.

    Args:
        canvas: the drawing.
        label: text that replaces the drawing for screen readers; without one, they skip it.
        values: titles of the markers of all lines, in the order of drawing.
    """
    drawn = StringIO()
    canvas.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>|\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    titles = iter(values)
    svg = re.sub('<g id="line">.*?</g>', lambda found: _titled(found[0], titles), svg, flags=re.DOTALL)
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if f"#{found[1]}" in svg else "", svg)
    svg = re.sub(r"#[0-9a-f]{6}\b", lambda colour: VARIABLES.get(colour[0], colour[0]), svg)
    role = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    return re.sub(r'^<svg.*?(viewBox="[^"]*").*?>', rf"<svg {role} \1>", svg, count=1, flags=re.DOTALL)


def _titled(line: str, titles: Iterator[str]) -> str:
    return re.sub("(<use [^>]*)/>", lambda marker: f"{marker[1]}><title>{escape(next(titles))}</title></use>", line)


def _values(panel: Panel) -> Iterator[str]:
    """The values of each marker in words."""
    names = dict(panel.x.ticks)
    for series in panel.series:
        for x, y, low, high in series.points if len(series.points) <= MOST_MARKERS else ():
            place = names.get(x, short(x)).replace("\n", ", ")
            span = f" ({_number(low)} to {_number(high)})" if low != high else ""
            yield f"{series.name}, {panel.x.label} {place}: {_number(y)}{span}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}".replace("-", "−")


def _legend_columns(names: list[str], inches: float) -> int:
    """The number of names in a row: all of them if they fit, otherwise as many as fit in any row."""
    widths = [0.7 + 0.08 * len(name) for name in names]
    return len(names) if sum(widths) <= inches else max(1, int(inches / max(widths)))


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for series in filter(lambda series: series.points, panel.series):
        x, y, low, high = zip(*series.points, strict=True)
        axes.plot(x, y, gid="line", **_style(series))
        if low != high:
            draw_range = axes.fill_between if series.joined else axes.vlines
            draw_range(x, low, high, color=COLOURS[series.colour][0], alpha=0.2, linewidth=1.5)
    _set_axis(axes, "x", panel.x)
    _set_axis(axes, "y", panel.y)


def _set_axis(axes: Axes, name: str, axis: Axis) -> None:
    axes.set(**{f"{name}label": axis.label, f"{name}scale": "log" if axis.log else "linear"})
    margin = (axis.high / axis.low) ** 0.03 if axis.log else (axis.high - axis.low) * 0.02
    limits = (axis.low / margin, axis.high * margin) if axis.log else (axis.low - margin, axis.high + margin)
    axes.set(**{f"{name}lim": limits})
    ruler = getattr(axes, f"{name}axis")
    ruler.set_ticks([value for value, _ in axis.ticks], labels=[text for _, text in axis.ticks])
    ruler.set_ticks([], minor=True)


def _style(series: Series) -> dict[str, Any]:
    colour = COLOURS[series.colour][0]
    return {
        "color": colour,
        "linestyle": "" if not series.joined else "--" if series.dashed else "-",
        "marker": MARKERS[series.colour] if len(series.points) <= MOST_MARKERS else "",
        "markersize": 5,
        "markerfacecolor": GROUND if series.dashed else colour,
        "linewidth": 1.3 if series.dashed else 1.8,
    }
