"""Draws the figures as PNG files: the same bytes for the same numbers."""

import base64
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from reformer.report.chart import COLOURS, MARKERS, Axis, Figure, Panel, Series

PANEL_SIZE = (4.2, 3.1)
"""Inches."""

STYLE = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e6eb",
    "axes.axisbelow": True,
    "savefig.dpi": 150,
}


def draw_figure(figure: Figure, path: Path) -> None:
    """Writes the figure as PNG, panels side by side, four of them two by two."""
    n = len(figure.panels)
    columns = 2 if n == 4 else min(n, 3)
    rows = -(-n // columns)
    with matplotlib.style.context(["default", STYLE]):
        size = (PANEL_SIZE[0] * columns, PANEL_SIZE[1] * rows + 0.4)
        canvas = Canvas(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
        FigureCanvasAgg(canvas)
        grid = canvas.subplots(rows, columns, squeeze=False).flat
        for axes, panel in zip(grid, figure.panels, strict=False):
            _draw_panel(axes, panel)
        for axes in list(grid)[n:]:
            axes.set_visible(False)
        handles = [Line2D([], [], label=series.name, **_look(series)) for series in figure.legend()]
        n_columns = _legend_columns([series.name for series in figure.legend()], size[0])
        canvas.legend(handles=handles, loc="outside lower center", ncols=n_columns, frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.savefig(path, metadata={"Software": None})


def _legend_columns(names: list[str], inches: float) -> int:
    """All names in one row if they fit, or else as many as fit whichever they are."""
    widths = [0.7 + 0.08 * len(name) for name in names]
    return len(names) if sum(widths) <= inches else max(1, int(inches / max(widths)))


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for series in filter(lambda series: series.points, panel.series):
        x, y, low, high = zip(*series.points, strict=True)
        axes.plot(x, y, **_look(series))
        if low != high:
            spread = axes.fill_between if series.joined else axes.vlines
            spread(x, low, high, color=COLOURS[series.colour][0], alpha=0.2, linewidth=1.5)
    axes.set_title(panel.title, fontweight="bold")
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


def _look(series: Series) -> dict[str, Any]:
    colour = COLOURS[series.colour][0]
    return {
        "color": colour,
        "linestyle": "" if not series.joined else "--" if series.dashed else "-",
        "marker": MARKERS[series.colour] if len(series.points) <= 20 else "",
        "markersize": 5,
        "markerfacecolor": "white" if series.dashed else colour,
        "linewidth": 1.3 if series.dashed else 1.8,
    }


def data_uri(png: bytes) -> str:
    """A picture as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
