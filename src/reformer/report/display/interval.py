"""A claim's interval as a small bar against its limit."""

from math import isfinite

from markupsafe import Markup

from reformer.report.claims.claim import Judgement

WIDTH, HEIGHT, EDGE = 120, 14, 6
"""Size of the drawing, and the room that an interval without an end has beyond the scale, in pixels."""
MARGIN = 0.35
"""Room on each side of the drawn values, as a share of their span."""


def interval_as_svg(judgement: Judgement) -> Markup:
    """The bar of the interval and the dot of the value, over the shaded range that reproduces the claim; empty without one."""
    measured = judgement.measured
    if measured is None or not isfinite(measured.mean):
        return Markup()
    least, greatest = judgement.claim.allowed
    limits = [limit for limit in (least, greatest) if isfinite(limit)]
    shown = [value for value in (*measured.interval, measured.mean, *limits) if isfinite(value)]
    span = (max(shown) - min(shown)) or abs(shown[0]) or 1.0
    low, high = min(shown) - MARGIN * span, max(shown) + MARGIN * span

    def x(value: float) -> float:
        return EDGE + (WIDTH - 2 * EDGE) * (min(max(value, low), high) - low) / (high - low)

    begin, end = (
        x(value) + side * EDGE * (not isfinite(value)) for value, side in zip(measured.interval, (-1, 1), strict=True)
    )
    text = f"{judgement.ours}, interval {judgement.interval or 'without an end'}; {judgement.criterion}"
    middle = HEIGHT / 2
    lines = "".join(f'<line class="limit" x1="{x(v):.1f}" x2="{x(v):.1f}" y1="0" y2="{HEIGHT}"/>' for v in limits)
    allowed = f'<rect class="allowed" x="{x(least):.1f}" y="0" width="{x(greatest) - x(least):.1f}" height="{HEIGHT}"/>'
    bar = f'<line class="bar" x1="{begin:.1f}" x2="{end:.1f}" y1="{middle}" y2="{middle}"/>'
    dot = f'<circle cx="{x(measured.mean):.1f}" cy="{middle}" r="3"/>'
    return Markup(
        '<svg class="interval" role="img" viewBox="0 0 {} {}" width="{}" height="{}"><title>{}</title>'
    ).format(WIDTH, HEIGHT, WIDTH, HEIGHT, text) + Markup(f"{allowed}{lines}{bar}{dot}</svg>")
