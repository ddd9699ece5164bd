"""Pictures in the report's colours that a notebook shows. The same numbers give the same bytes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure as Canvas
from PIL import Image

from reformer.report.display.chart import COLOURS, NEUTRALS, Figure, Panel
from reformer.report.display.figures import STYLE, draw_figure

DPI = 150
"""Pixels per inch of the PNG."""
SHOWN_DPI = 90
"""Pixels per inch on the screen: a page of code is about 800 pixels wide, and screens with finer pixels stay sharp."""
INK, BLUE, SKY, GREEN, RED, PINK = (light for light, _ in COLOURS.values())
GROUND, MUTED, RULE = (light for light, _ in NEUTRALS.values())
BUCKET_COLOURS = (BLUE, RED, GREEN, PINK, "#b59a00", INK)
"""Colours of buckets 0, 1, 2, …, which repeat after the last."""
SHADES = LinearSegmentedColormap.from_list("shades", [GROUND, SKY, BLUE, INK])
"""Colours of weights from 0 to 1."""


class Picture:
    """A PNG with a description, which IPython shows without further set-up."""

    def __init__(self, png: bytes, description: str) -> None:
        """
        Args:
            png: the drawing at `DPI` pixels per inch.
            description: one line that stands for the picture where none can be shown.
        """
        image = Image.open(BytesIO(png)).convert("RGB")
        self.width = image.width * SHOWN_DPI // DPI
        packed = BytesIO()
        palette = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)  # keeps rare colours
        palette.save(packed, "PNG", optimize=True)
        self.png, self.description = packed.getvalue(), description

    def __repr__(self) -> str:
        return f"<picture: {self.description}>"

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return self.png, {"width": self.width}


class Sheet:
    """An empty sheet with one or more axes. `picture` holds the result when the `with` block of `sheet` has ended."""

    def __init__(self, canvas: Canvas, axes: list[Axes]) -> None:
        self.canvas, self.axes = canvas, axes
        self.picture: Picture


@contextmanager
def sheet(
    width: float, height: float, description: str, rows: int = 1, columns: int = 1, heights: Sequence[float] = ()
) -> Iterator[Sheet]:
    """Opens a sheet in the report's style, and turns it into a picture at the end of the block.

    Args:
        width, height: inches.
        description: one line about the picture.
        rows, columns: number of axes below and beside each other.
        heights: relative heights of the rows. Empty makes them equal.
    """
    with matplotlib.style.context(["default", STYLE, {"axes.grid": False}]):
        canvas = Canvas(figsize=(width, height), layout="constrained")
        drawn = Sheet(canvas, list(canvas.subplots(rows, columns, squeeze=False, height_ratios=heights or None).flat))
        yield drawn
        png = BytesIO()
        canvas.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    drawn.picture = Picture(png.getvalue(), description)


def panels(*drawn: Panel) -> Picture:
    """Draws the report's panels side by side with one legend."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "panels.png"
        draw_figure(Figure("panels", list(drawn)), path)
        return Picture(path.read_bytes(), "; ".join(f"{panel.y.label} against {panel.x.label}" for panel in drawn))


def bucket_colour(bucket: int, strength: float = 1.0) -> tuple[float, float, float]:
    """Returns the colour of a bucket. A strength below 1 mixes it with the ground."""
    red, green, blue = to_rgb(BUCKET_COLOURS[bucket % len(BUCKET_COLOURS)])
    return (1 - strength * (1 - red), 1 - strength * (1 - green), 1 - strength * (1 - blue))
