"""The measured numbers of claims about time and memory against length. Each raises NotTested where its number is missing."""

from collections.abc import Callable, Mapping
from math import comb, isinf
from statistics import median
from typing import Any

from reformer.report.evidence.benchmarks import Points, crossing, points_by_length
from reformer.report.evidence.measured import Measured
from reformer.report.evidence.results import NotTested, Results

EARLY = 4096
"""Tokens from which on LSH attention should be faster than full attention."""
LONG = 4096
"""Least length of the longest sequences that test a claim about long ones."""
MISSED = 0.005
"""Probability with which the true median lies beyond one end of the interval of a time."""

Point = Mapping[str, Any]


def interval_of_median(values: list[float]) -> tuple[float, float]:
    """The interval of the true median, by the binomial distribution of the number of values on each side of it.

    Raises:
        NotTested: there are too few values for any interval.
    """
    n, below, share = len(values), -1, 0.0
    for k in range(n):  # the median lies below the kth smallest value with the probability of at most k values below it
        share += comb(n, k) / 2.0**n
        if share > MISSED:
            break
        below = k
    if below < 0:
        raise NotTested(f"{n} rounds of timing give no interval: set benchmark.repeats to 8 or more")
    ordered = sorted(values)
    return ordered[below], ordered[n - 1 - below]


def ratio_of_times(results: Results, pairs: Callable[[Points], list[tuple[Point, Point]]]) -> Measured:
    """The greatest median ratio of two times, each ratio taken within a round.

    Args:
        results: all results.
        pairs: selects pairs of points, (numerator, denominator).
    """
    found = []
    for after, before in pairs(_points(results)):
        ratios = [one / other for one, other in zip(after["seconds"], before["seconds"], strict=True)]
        found.append((median(ratios), interval_of_median(ratios)))
    value, bounds = max(found)
    n_rounds = len(ratios)
    return Measured((value,), range=bounds, source=f"median of {n_rounds} interleaved rounds")


def lsh_time_growth(results: Results) -> Measured:
    """Greatest ratio, over the numbers of rounds, of the time of an LSH step at the greatest length to that at the least."""
    return ratio_of_times(results, lambda points: [_ends(by_length) for by_length in _lsh_points(points)])


def full_time_growth(results: Results) -> Measured:
    """Factor of the time of a step with full attention from a quarter of the greatest length to the greatest."""

    def quarter(points: Points) -> list[tuple[Point, Point]]:
        full = points.get("full", {})
        longest, _ = _ends(full)
        if longest["seq_len"] // 4 not in full:
            raise NotTested("the benchmark has no full attention at a quarter of the greatest length")
        return [(longest, full[longest["seq_len"] // 4])]

    return ratio_of_times(results, quarter)


def time_against_full(results: Results, attention: str) -> Measured:
    """Time of a step with LSH attention over that with full attention, at the greatest length."""

    def longest(points: Points) -> list[tuple[Point, Point]]:
        full, lsh = points.get("full", {}), points.get(attention, {})
        both = full.keys() & lsh.keys()
        if not both or max(both) < LONG:
            raise NotTested(f"the benchmark has no length of {LONG:,} or more with both full attention and {attention}")
        return [(lsh[max(both)], full[max(both)])]

    return ratio_of_times(results, longest)


def overtaking_length(results: Results, attention: str, limit: int) -> Measured:
    """Least length from which on LSH attention is faster than full attention; infinite where there is none.

    The value of each round is a value of its own, and the interval that of their median.

    Raises:
        NotTested: full attention is still faster at the last length, and that is below the limit.
    """
    points = _points(results)
    full, lsh = (points.get(name, {}) for name in ("full", attention))
    lengths = [length for length in full if length in lsh]
    if not lengths:
        raise NotTested(f"the benchmark has no length with both full attention and {attention}")
    found = []
    for number in range(len(full[lengths[0]]["seconds"])):
        times = ([by_length[length]["seconds"][number] for length in lengths] for by_length in (full, lsh))
        found.append(crossing(lengths, *times)[0])
    value = sorted(found)[len(found) // 2]
    if isinf(value) and lengths[-1] < limit:
        raise NotTested(f"full attention is still faster at {lengths[-1]:,} tokens, where the measurement ends")
    return Measured((value,), range=interval_of_median(found), source=f"median of {len(found)} interleaved rounds")


def lsh_memory_growth(results: Results) -> Measured:
    """Greatest ratio of the peak memory of an LSH step at the greatest length to that at the least."""
    ratios = []
    for points in _lsh_points(_points(results)):
        last, first = _ends(points)
        if first["peak_bytes"] <= 0:
            raise NotTested("the memory of the shortest sequences is too small to be measured")
        ratios.append(last["peak_bytes"] / first["peak_bytes"])
    return Measured.of_peaks(max(ratios))


def _points(results: Results) -> Points:
    return points_by_length(results.benchmark("speed_by_length"))


def _lsh_points(points: Points) -> list[dict[int, dict[str, Any]]]:
    found = [by_length for name, by_length in points.items() if name.startswith("lsh-")]
    if not found:
        raise NotTested("the benchmark has no LSH attention")
    return found


def _ends(points: Mapping[int, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The points of the greatest and of the least length."""
    if len(points) < 2:
        raise NotTested("the benchmark has fewer than two lengths")
    if max(points) < LONG:
        raise NotTested(f"the longest sequences have {max(points):,} tokens: a claim about long ones needs {LONG:,}")
    return points[max(points)], points[min(points)]
