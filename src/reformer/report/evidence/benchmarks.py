"""The points of the benchmarks of speed and memory, arranged by what they compare."""

from collections.abc import Sequence
from math import inf, log2
from typing import Any

from reformer.bench.techniques import ALL_TECHNIQUES, Techniques
from reformer.report.evidence.results import NotTested

Content = dict[str, Any]
"""A benchmark as `Results.benchmark` reads it."""
Points = dict[str, dict[int, dict[str, Any]]]
"""Points of the speed benchmark by attention, then by length in ascending order."""
Peaks = dict[Techniques, dict[int, float]]
"""Bytes by the techniques in use, then by the value of an axis in ascending order."""


def points_by_length(speed: Content) -> Points:
    """The points of the speed benchmark."""
    by_attention: Points = {}
    for point in speed["points"]:
        by_attention.setdefault(point["attention"], {})[point["seq_len"]] = point
    return {name: dict(sorted(points.items())) for name, points in by_attention.items()}


def crossing(lengths: Sequence[int], full: Sequence[float], lsh: Sequence[float]) -> tuple[float, int]:
    """Finds the length from which on LSH attention is faster than full attention.

    Interpolates between two lengths as if both times were powers of the length.

    Args:
        lengths: measured lengths in ascending order.
        full: times of full attention at these lengths.
        lsh: times of LSH attention.

    Returns:
        The length: the first one if LSH attention is faster at every length, infinite if it is slower at the last one. And the
        number of measured lengths up to the last at which LSH attention is not faster.
    """
    gaps = [log2(slow / fast) for slow, fast in zip(full, lsh, strict=True)]
    n_before = max((i for i, gap in enumerate(gaps, 1) if gap <= 0), default=0)
    if n_before == 0:
        return float(lengths[0]), 0
    if n_before == len(lengths):
        return inf, n_before
    (before, after), (at, to) = gaps[n_before - 1 : n_before + 1], lengths[n_before - 1 : n_before + 1]
    return at * (to / at) ** (before / (before - after)), n_before


def points_along(memory: Content, axis: str) -> list[dict[str, Any]]:
    """The points of the memory benchmark along one axis: seq_len, n_layers, n_hashes or d_ff."""
    found = [point for point in memory["points"] if point["axis"] == axis]
    return sorted(found, key=lambda point: point[axis])


def peaks_along(memory: Content, axis: str) -> Peaks:
    """The peaks along one axis."""
    found: Peaks = {}
    for point in points_along(memory, axis):
        techniques = Techniques(point["attention"], point["reversible"], point["chunked"])
        found.setdefault(techniques, {})[point[axis]] = point["peak_bytes"]
    return found


def share_of_peak(memory: Content, without: Techniques) -> tuple[float, int]:
    """The peak with all techniques over the peak without some, at the greatest length that has both; and that length."""
    by_length = peaks_along(memory, "seq_len")
    lengths = by_length.get(ALL_TECHNIQUES, {}).keys() & by_length.get(without, {}).keys()
    if not lengths:
        raise NotTested("no length was measured both with all techniques and without them")
    length = max(lengths)
    return by_length[ALL_TECHNIQUES][length] / measurable(by_length[without][length]), length


def measurable(peak: float) -> float:
    """The peak; raises NotTested if it is too small to divide by."""
    if peak <= 0:
        raise NotTested("the memory of a step is too small to be measured")
    return peak
