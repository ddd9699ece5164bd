"""Figures inside the page show their values under the pointer."""

import re

from reformer.report.display.chart import Panel, Series, category_axis, line, linear_axis
from reformer.report.display.figures import panel_as_svg


def test_every_marker_has_its_values_as_title_and_long_lines_have_none():
    series = [
        Series("LSH-4", "green", line([(0, [1.0, 3.0]), (1, [1234.5])])),
        Series("every <step>", "blue", line([(x / 20, [2.0]) for x in range(21)])),
        Series("limits", "sky", line([(1, [-0.02])]), joined=False),
    ]
    panel = Panel("Time", category_axis("hash rounds", ["1", "2\nall"]), linear_axis("s", [-1, 2000]), series)
    svg = panel_as_svg(panel, "here")
    assert re.findall("<title>(.*?)</title></use>", svg) == [
        "LSH-4, hash rounds 1: 2 (1 to 3)",
        "LSH-4, hash rounds 2, all: 1,234",
        "limits, hash rounds 2, all: −0.02",
    ]
    assert svg.count("<title>") == 3
