"""Charts have room for all points."""

from reformer.illustrate.curves import chart, curve


def test_a_logarithmic_axis_spans_all_lines():
    panel = chart(
        "", "tokens", "MB", [curve("a", "blue", [4096, 8192], [1, 2]), curve("b", "red", [512], [3])], log="xy"
    )
    assert (panel.x.low, panel.x.high) == (512, 8192)
    assert [text for _, text in panel.x.ticks] == ["512", "4K", "8K"]


def test_a_linear_axis_has_room_above_the_greatest_point():
    panel = chart("", "step", "%", [curve("a", "blue", [1, 3], [0, 100])])
    assert panel.y.low == 0
    assert panel.y.high > 100


def test_several_values_at_a_point_are_a_range():
    assert curve("a", "blue", [2], [(5.0, 1.0, 3.0)]).points == [(2, 3.0, 1.0, 5.0)]
