"""What is measured for the claims about memory (Tables 1 and 3): peaks of training steps with each technique on and off."""

from collections.abc import Mapping
from statistics import linear_regression
from typing import Any

from reformer.evaluation.techniques import ALL, STORED, WHOLE, Techniques
from reformer.report.measured import Measured
from reformer.report.results import NotTested, Results

FLAT = 1.1
"""What is no more than this is no growth: a process's peak is measured to some per cent."""
ONE_PROCESS = "peak of one process a point"


Peaks = dict[Techniques, dict[int, float]]
"""Bytes by what is made use of, then by the value of an axis, least first."""


def points(results: Results, axis: str) -> list[dict[str, Any]]:
    """The points of the benchmark along one axis: seq_len, n_layers, n_hashes or d_ff."""
    found = [point for point in results.benchmark("memory")["points"] if point["axis"] == axis]
    return sorted(found, key=lambda point: point[axis])


def peaks(results: Results, axis: str) -> Peaks:
    """The peaks along one axis."""
    found: Peaks = {}
    for point in points(results, axis):
        techniques = Techniques(point["attention"], point["reversible"], point["chunked"])
        found.setdefault(techniques, {})[point[axis]] = point["peak_bytes"]
    return found


def bytes_per_layer(by_depth: Mapping[int, float]) -> float:
    """Slope of the peak over the number of layers, by least squares."""
    if len(by_depth) < 2:
        raise NotTested("the benchmark has fewer than two depths")
    return linear_regression(list(by_depth), list(by_depth.values())).slope


def slope_ratio(results: Results) -> Measured:
    """Peak memory that one more layer costs with reversible residuals, over what it costs with ordinary ones."""
    by_depth = peaks(results, "n_layers")
    ordinary = bytes_per_layer(by_depth.get(STORED, {}))
    if ordinary <= 0:
        raise NotTested("the peak of the ordinary network does not grow with depth: these sizes are too small")
    return Measured((bytes_per_layer(by_depth.get(ALL, {})) / ordinary,), source=ONE_PROCESS)


def growth_with_rounds(results: Results) -> Measured:
    """Ratio of the peak with the most hash rounds to that with the fewest, all techniques on."""
    return Measured((_growth(peaks(results, "n_hashes"), ALL),), source=ONE_PROCESS)


def growth_with_d_ff(results: Results) -> Measured:
    """Ratio of the peak with the widest chunked feed-forward to that with the narrowest."""
    by_width = peaks(results, "d_ff")
    growth = _growth(by_width, ALL)
    if growth <= FLAT and _growth(by_width, WHOLE) <= FLAT:
        raise NotTested("the peak does not grow without chunks either: these sizes are too small")
    return Measured((growth,), source=ONE_PROCESS)


def share_of(results: Results, without: Techniques) -> Measured:
    """Peak with all techniques over that without them, at the greatest length that both could be measured at."""
    by_length = peaks(results, "seq_len")
    lengths = by_length.get(ALL, {}).keys() & by_length.get(without, {}).keys()
    if not lengths:
        raise NotTested("no length was measured both with all techniques and without them")
    length = max(lengths)
    return Measured((by_length[ALL][length] / _seen(by_length[without][length]),), source=f"at {length:,} tokens")


def _growth(by_techniques: Peaks, techniques: Techniques) -> float:
    found = list(by_techniques.get(techniques, {}).values())
    if len(found) < 2:
        raise NotTested("the benchmark has fewer than two points of a line")
    return found[-1] / _seen(found[0])


def _seen(peak: float) -> float:
    if peak <= 0:
        raise NotTested("the memory of a step is too small to be seen")
    return peak
