"""The measured numbers of claims about time and memory against length. Each raises NotTested where its number is missing."""

from collections.abc import Mapping
from math import isinf, log2

from reformer.report.evidence.benchmarks import Points, crossing, points_by_length
from reformer.report.evidence.measured import Measured
from reformer.report.evidence.results import NotTested, Results

EARLY = 4096
"""Tokens from which on LSH attention should be faster than full attention."""


def lsh_time_growth(results: Results) -> Measured:
    """Greatest ratio, over the numbers of rounds, of the time of an LSH step at the greatest length to that at the least."""
    growth = []
    for points in _lsh_points(results):
        first, last = _ends(points)
        value = last["seconds_per_step"] / first["seconds_per_step"]
        low, high = last["seconds_min"] / first["seconds_max"], last["seconds_max"] / first["seconds_min"]
        growth.append((value, low, high))
    value, low, high = max(growth)
    return Measured((value,), low=low, high=high)


def full_time_growth(results: Results) -> Measured:
    """Factor by which the last doubling of the length multiplies the time of a step with full attention."""
    points = _points(results).get("full", {})
    before, after = _ends(dict(list(points.items())[-2:]))
    doublings = log2(after["seq_len"] / before["seq_len"])

    def factor(key_after: str, key_before: str) -> float:
        return (after[key_after] / before[key_before]) ** (1 / doublings)

    low, high = factor("seconds_min", "seconds_max"), factor("seconds_max", "seconds_min")
    return Measured((factor("seconds_per_step", "seconds_per_step"),), low=low, high=high)


def overtaking_length(results: Results, attention: str, limit: int) -> Measured:
    """Least length from which on LSH attention is faster than full attention; infinite where there is none.

    Raises:
        NotTested: full attention is still faster at the last length, and that is below the limit.
    """
    full, lsh = (_points(results).get(name, {}) for name in ("full", attention))
    lengths = [length for length in full if length in lsh]
    if not lengths:
        raise NotTested(f"the benchmark has no length with both full attention and {attention}")
    times = ([points[length]["seconds_per_step"] for length in lengths] for points in (full, lsh))
    length, n_before = crossing(lengths, *times)
    if n_before == 0:
        return Measured((length,), source="faster at every measured length")
    last = lengths[n_before - 1]
    if not isinf(length):
        return Measured((length,), source=f"between {last:,} and {lengths[n_before]:,}")
    if last < limit:
        raise NotTested(f"full attention is still faster at {last:,} tokens, where the measurement ends")
    return Measured((length,), source=f"full attention is faster at {last:,}")


def lsh_memory_growth(results: Results) -> Measured:
    """Greatest ratio of the peak memory of an LSH step at the greatest length to that at the least."""
    ratios = []
    for points in _lsh_points(results):
        first, last = _ends(points)
        if first["peak_bytes"] <= 0:
            raise NotTested("the memory of the shortest sequences is too small to be measured")
        ratios.append(last["peak_bytes"] / first["peak_bytes"])
    return Measured((max(ratios),), source="peak of one process a point")


def _points(results: Results) -> Points:
    return points_by_length(results.benchmark("speed_by_length"))


def _lsh_points(results: Results) -> list[dict[int, dict[str, float]]]:
    found = [points for name, points in _points(results).items() if name.startswith("lsh-")]
    if not found:
        raise NotTested("the benchmark has no LSH attention")
    return found


def _ends(points: Mapping[int, dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    if len(points) < 2:
        raise NotTested("the benchmark has fewer than two lengths")
    return points[min(points)], points[max(points)]
