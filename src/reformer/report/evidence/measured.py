"""A measured value with its unit and its uncertainty."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isinf, sqrt
from statistics import fmean, stdev

from reformer.report.evidence.results import LearnedNothing, NotTested, RunGroup


@dataclass(frozen=True)
class Unit:
    """The format of a number."""

    suffix: str = ""
    digits: int = 1
    scale: float = 1.0
    prefix: str = ""
    signed: bool = False

    def number(self, value: float) -> str:
        """The number alone."""
        text = f"{value * self.scale:{'+' if self.signed else ''},.{self.digits}f}"
        return f"{0:.{self.digits}f}" if not text.strip("+-0.") else text.replace("-", "−")

    def text(self, value: float, deviation: float | None = None) -> str:
        """The number with its unit, and with its standard deviation if there is one."""
        if isinf(value):
            return "none"
        after = "" if deviation is None else f" ± {deviation * self.scale:,.{self.digits}f}"
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
"""Student's t of a 90 % interval for 1 to 9 degrees of freedom. More use the last value, which widens the interval."""


@dataclass(frozen=True)
class Measured:
    """The measurement of a claim's number.

    Attributes:
        values: one for each seed, or the one value of a benchmark.
        low: least value that the repeated timings of a benchmark allow.
        high: greatest such value.
        source: an explanation of the values; often empty.
        n_wanted: seeds that params.yaml lists; 0 for a benchmark.
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
    def deviation(self) -> float | None:
        """Standard deviation over the seeds; None for one seed."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % confidence interval of the mean (Student's t); for one seed, the value itself."""
        n = len(self.values)
        if n == 1:
            return self.mean, self.mean
        reach = T_90[min(n - 1, len(T_90)) - 1] * stdev(self.values) / sqrt(n)
        return self.mean - reach, self.mean + reach

    def text(self, unit: Unit) -> str:
        """The mean and the standard deviation."""
        return unit.text(self.mean, self.deviation)

    def basis(self, unit: Unit) -> str:
        """The number of seeds or the range of the timings behind the value, in words."""
        if self.low is not None and self.high is not None:
            return f"{unit.number(self.low)} to {unit.number(self.high)} by the timings"
        return "; ".join(filter(None, (self.source, self._seeds())))

    def _seeds(self) -> str:
        n = len(self.values)
        if not self.n_wanted:
            return ""
        if n < self.n_wanted:
            return f"{n} of {self.n_wanted} seeds"
        return "one seed" if n == 1 else f"{n} seeds"


def common_seeds(groups: Sequence[RunGroup]) -> list[int]:
    """The seeds that all groups have."""
    return [seed for seed in groups[0].runs if all(seed in group.runs for group in groups)] if groups else []


def over_seeds(groups: Sequence[RunGroup], value: Callable[..., float]) -> Measured:
    """Computes a value for each seed that all groups have. A seed with a missing file is left out.

    Args:
        groups: the compared groups.
        value: takes one run of each group.

    Raises:
        LearnedNothing: a network learned nothing with one of the seeds.
        NotTested: no seed is left.
    """
    values: list[float] = []
    reason = NotTested("no seed is common to the runs that are compared")
    for seed in common_seeds(groups):
        try:
            values.append(value(*(group.runs[seed] for group in groups)))
        except LearnedNothing:
            raise
        except NotTested as missing:
            reason = missing
    if not values:
        raise reason
    return Measured(tuple(values), n_wanted=max(len(group.runs) for group in groups))
