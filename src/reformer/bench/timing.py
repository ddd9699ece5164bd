"""Timing of alternatives by alternating calls, so that a disturbance of the machine affects all of them."""

from collections.abc import Callable, Mapping
from time import perf_counter

import torch

MATRIX_SIZE = 2048
"""Rows and columns of the matrices whose product measures the machine's rate of arithmetic."""


def time_alternately(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    seconds: float,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, list[float]]:
    """Times the calls one after the other in several rounds. The first round warms up and does not count.

    Args:
        calls: the alternatives by name.
        repeats: rounds that count.
        seconds: time limit of each call. A call whose total time exceeds it is not repeated. If it exceeds the limit in the
            first round, that round counts.

    Returns:
        The seconds of all counted repetitions of each call.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    spent = dict.fromkeys(calls, 0.0)
    for number in range(repeats + 1):
        for name, call in calls.items():
            if times[name] and spent[name] > seconds:
                continue
            begin = clock()
            call()
            took = clock() - begin
            spent[name] += took
            if number or took > seconds:
                times[name].append(took)
    return times


def matrix_product() -> Callable[[], object]:
    """Returns a call of 2 * MATRIX_SIZE^3 float32 operations, which nearly reaches the machine's peak rate."""
    a, b = torch.randn(MATRIX_SIZE, MATRIX_SIZE), torch.randn(MATRIX_SIZE, MATRIX_SIZE)
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)
