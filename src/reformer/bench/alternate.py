"""Times several ways to do the same thing in turn: what disturbs the machine for a while then disturbs them all."""

from collections.abc import Callable, Mapping
from time import perf_counter

import torch

MATRIX = 2048
"""Rows and columns of the matrices whose product gives the machine's rate."""


def alternate(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    seconds: float,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, list[float]]:
    """Times the calls one after the other, round after round, after a round that does not count.

    Args:
        repeats: rounds that count.
        seconds: a call that has taken this long in all is not made again; one that takes longer than this is made once, and
            that once counts.

    Returns:
        Seconds of each call that counts.
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
    """A call of 2 * MATRIX^3 operations in float32: the most that arithmetic can reach on this machine, near enough."""
    a, b = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX)
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)
