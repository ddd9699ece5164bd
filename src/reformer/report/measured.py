"""A measured value with its unit and its spread, and how it is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isinf, sqrt
from statistics import fmean, stdev

from reformer.report.results import LearnedNothing, NotTested, Run, RunGroup


@dataclass(frozen=True)
class Unit:
    """How a number is written."""

    suffix: str = ""
    digits: int = 1
    scale: float = 1.0
    prefix: str = ""
    signed: bool = False

    def number(self, value: float) -> str:
        """The number alone."""
        text = f"{value * self.scale:{'+' if self.signed else ''},.{self.digits}f}"
        return f"{0:.{self.digits}f}" if not text.strip("+-0.") else text.replace("-", "−")

    def text(self, value: float, spread: float | None = None) -> str:
        """The number with its unit, and its spread where there is one."""
        if isinf(value):
            return "none"
        after = "" if spread is None else f" ± {spread * self.scale:,.{self.digits}f}"
        return f"{self.prefix}{self.number(value)}{after}{self.suffix}"


PERCENT = Unit(" %", 1, 100)
MORE_PERCENT = Unit(" %", 1, 100, signed=True)
POINTS = Unit(" points", 1, 100, signed=True)
BITS = Unit(" bits/dim", 3)
MORE_BITS = Unit(" bits/dim", 3, signed=True)
FINE_BITS = Unit(" bits/dim", 4, signed=True)
TIMES = Unit("", 2, prefix="×")
TOKENS = Unit(" tokens", 0)
T_90 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833)
"""Student's t that leaves out 5 % on either side, by degrees of freedom, from 1. More take the last, which is safe."""


@dataclass(frozen=True)
class Measured:
    """What was measured for a claim.

    Attributes:
        values: one for each seed, or the one value of a benchmark.
        low: least value that a benchmark's repeated timings allow.
        high: greatest such value.
        source: what the values are, where that needs words.
        n_wanted: seeds that were asked for; 0 for a benchmark.
    """

    values: tuple[float, ...]
    low: float | None = None
    high: float | None = None
    source: str = ""
    n_wanted: int = 0

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation between seeds; None for one seed."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def interval(self) -> tuple[float, float]:
        """Where the mean over all seeds there could be lies: Student's t, 90 %. The value itself for one seed."""
        n = len(self.values)
        if n == 1:
            return self.mean, self.mean
        reach = T_90[min(n - 1, len(T_90)) - 1] * stdev(self.values) / sqrt(n)
        return self.mean - reach, self.mean + reach

    def text(self, unit: Unit) -> str:
        """The value and its spread."""
        return unit.text(self.mean, self.spread)

    def basis(self, unit: Unit) -> str:
        """What the value rests on: the number of seeds, or the range of the timings."""
        if self.low is not None and self.high is not None:
            return f"{unit.number(self.low)} to {unit.number(self.high)} by the timings"
        return "; ".join(filter(None, (self.source, self._seeds())))

    def _seeds(self) -> str:
        n = len(self.values)
        if not self.n_wanted:
            return ""
        if n == 1:
            return f"{'one seed' if self.n_wanted == 1 else f'1 of {self.n_wanted} seeds'}, spread unknown"
        return f"{n} of {self.n_wanted} seeds" if n < self.n_wanted else f"{n} seeds"


def common_seeds(groups: Sequence[RunGroup]) -> list[int]:
    """The seeds that all groups have."""
    return [seed for seed in groups[0].runs if all(seed in group.runs for group in groups)] if groups else []


def over_seeds(groups: Sequence[RunGroup], value: Callable[..., float]) -> Measured:
    """Computes a value from one run of each group, for each seed that all of them have and of which the runs are there.

    Args:
        groups: groups that go into the value.
        value: takes one run of each group.

    Raises:
        NotTested: there is no such seed, or one with which a network learned nothing.
    """
    values: list[float] = []
    reason = NotTested("no seed is common to the runs that are compared" if groups else "no runs were asked for")
    for seed in common_seeds(groups):
        runs: list[Run] = [group.runs[seed] for group in groups]
        try:
            values.append(value(*runs))
        except LearnedNothing:
            raise
        except NotTested as missing:
            reason = missing
    if not values:
        raise reason
    return Measured(tuple(values), n_wanted=max(len(group.runs) for group in groups))
