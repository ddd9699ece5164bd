import math

import pytest

from reformer.report.display.chart import COLOURS, MARKERS, category_axis, line, linear_axis, log_axis


@pytest.mark.parametrize("values", [[2.61, 5.9], [0.0, 0.0], [-0.0031, 0.0007], [97, 1268], [5.0], []])
def test_a_linear_axis_holds_its_values_between_few_round_ticks(values):
    axis = linear_axis("bits/dim", values)
    assert axis.low <= min(values, default=0) <= max(values, default=0) <= axis.high
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 7
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


def test_ticks_are_written_with_the_digits_they_need():
    assert [text for _, text in linear_axis("", [-0.01, 0.01]).ticks] == ["−0.010", "−0.005", "0.000", "0.005", "0.010"]
    assert [text for _, text in linear_axis("", [0, 2000]).ticks] == ["0", "500", "1,000", "1,500", "2,000"]


def test_noise_does_not_fill_an_axis_with_a_least_span():
    axis = linear_axis("bits/dim", [0.0001, 0.0002], least_span=0.02)
    assert axis.high - axis.low >= 0.02


@pytest.mark.parametrize("values", [[0.067, 3.5], [1.0, 1.0], [210.0, 947.0], []])
def test_a_logarithmic_axis_holds_its_values(values):
    axis = log_axis("seconds", values)
    assert 0 < axis.low <= min(values, default=1) <= max(values, default=1) <= axis.high
    assert axis.low < axis.high
    assert axis.ticks


def test_lengths_are_their_own_ticks():
    ticks = log_axis("tokens", [512, 16384], at=[512, 1024, 16384]).ticks
    assert ticks == [(512, "512"), (1024, "1K"), (16384, "16K")]


def test_one_category_has_room_around_it():
    axis = category_axis("trained with", ["LSH-2"])
    assert axis.low < 0 < axis.high


def test_a_line_shows_mean_and_range_and_leaves_out_what_is_not_finite():
    assert line([(1, [2.0, 4.0]), (2, [math.nan, 1.0]), (3, [math.inf])]) == [(1, 3.0, 2.0, 4.0)]


def test_every_colour_has_a_marker():
    assert COLOURS.keys() == MARKERS.keys()
