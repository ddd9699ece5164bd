"""A measured value with its unit and its uncertainty."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import hypot, inf, isfinite, isinf, sqrt
from statistics import fmean, stdev

import numpy as np

from reformer.report.evidence.results import NotLearned, NotTested, Run, RunGroup


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
GIGABYTES = Unit(" GB", 1, 1e-9)
BLEU = Unit(" BLEU", 1)
CONFIDENCE = 0.98
"""Probability with which an interval contains the true value. A verdict is wrong only if the true value lies beyond one end."""
Z = 2.326
"""Quantile of the normal distribution for one end of the interval."""
STUDENT = (31.821, 6.965, 4.541, 3.747, 3.365, 3.143, 2.998, 2.896, 2.821, 2.764)
"""The same quantile of Student's t for 1 to 10 degrees of freedom."""
N_RESAMPLES = 200
PEAK_ERROR = 0.02
"""Relative error of a peak of memory, the greatest that repeated measurements showed."""
MOST_SEEDS = 100
"""Greatest number of seeds that a reader would train."""


def student(freedom: int) -> float:
    """The quantile of Student's t for one end of the interval; an expansion (Cornish and Fisher) beyond the table."""
    if freedom <= len(STUDENT):
        return STUDENT[freedom - 1]
    return Z + (Z**3 + Z) / (4 * freedom) + (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * freedom**2)


@dataclass(frozen=True)
class Measured:
    """The measurement of a claim's number.

    Attributes:
        values: one for each seed, or the one value of a benchmark.
        range: interval of a benchmark's value. None: the interval follows from the seeds.
        source: an explanation of the values; often empty.
        n_wanted: seeds that params.yaml lists; 0 for a benchmark.
        n_units: documents, images or words of the test set; 0 for a benchmark.
        sampling: standard error of the mean from the choice of these units.
        decides: what would narrow the interval of a benchmark's value.
        fall: bits/dim by which the compared networks fell in the last fifth of their training: the greatest of their means.
    """

    values: tuple[float, ...]
    range: tuple[float, float] | None = None
    source: str = ""
    n_wanted: int = 0
    n_units: int = 0
    sampling: float = 0.0
    decides: str = "more rounds of timing (benchmark.repeats), or a machine without other work"
    fall: float = 0.0

    @classmethod
    def of_peaks(cls, ratio: float, source: str = "") -> "Measured":
        """A ratio of two peaks of memory, each exact to PEAK_ERROR."""
        bounds = ratio * (1 - PEAK_ERROR) / (1 + PEAK_ERROR), ratio * (1 + PEAK_ERROR) / (1 - PEAK_ERROR)
        exact = f"peaks exact to {100 * PEAK_ERROR:g} %"
        source = ", ".join(filter(None, (source, exact)))
        return cls((ratio,), range=bounds, source=source, decides="larger sizes (profile cpu-long)")

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
        """The interval of the true value with the probability CONFIDENCE: unbounded for a single seed."""
        if self.range is not None:
            return self.range
        reach = self._reach(len(self.values))
        return self.mean - reach, self.mean + reach

    def _reach(self, n_seeds: int) -> float:
        """Half of the interval if there were so many seeds: error of the seeds and of the test set together."""
        if self.deviation is None:
            return inf
        return hypot(student(n_seeds - 1) * self.deviation / sqrt(n_seeds), Z * self.sampling)

    def more_seeds(self, distance: float) -> int | None:
        """The number of further seeds whose interval is narrower than this on each side; None if no number is enough."""
        n = len(self.values)
        enough = (more for more in range(1, MOST_SEEDS) if self._reach(n + more) < distance)
        return None if self.deviation is None else next(enough, None)

    def text(self, unit: Unit) -> str:
        """The mean and the standard deviation."""
        return unit.text(self.mean, self.deviation)

    def basis(self) -> str:
        """The evidence behind the value, in words."""
        return ", ".join(filter(None, (self.source, self._seeds(), self._units())))

    def _seeds(self) -> str:
        n = len(self.values)
        if not self.n_wanted:
            return ""
        if n < self.n_wanted:
            return f"{n} of {self.n_wanted} seeds"
        return "one seed" if n == 1 else f"{n} seeds"

    def _units(self) -> str:
        return f"{self.n_units:,} test units" if self.n_units else ""


def common_seeds(groups: Sequence[RunGroup]) -> list[int]:
    """The seeds that all groups have."""
    return [seed for seed in groups[0].runs if all(seed in group.runs for group in groups)] if groups else []


def over_seeds(groups: Sequence[RunGroup], value: Callable[..., float]) -> Measured:
    """Computes a value for each seed that all groups have. A seed with a missing file is left out.

    The error from the choice of the test set is that of its bootstrap: the value with the documents, images or words drawn
    anew, the same ones for all seeds.

    Args:
        groups: the compared groups.
        value: takes one run of each group.

    Raises:
        NotLearned: a network has not learned enough with one of the seeds.
        NotTested: no seed is left.
    """
    found: dict[int, float] = {}
    reason = NotTested("no seed is common to the runs that are compared")
    for seed in common_seeds(groups):
        try:
            found[seed] = value(*(group.runs[seed] for group in groups))
        except NotLearned:
            raise
        except NotTested as missing:
            reason = missing
    if not found:
        raise reason
    runs = [[group.runs[seed] for group in groups] for seed in found]
    n_units, sampling = _sampling(runs, value)
    return Measured(
        tuple(found.values()),
        n_wanted=max(len(group.runs) for group in groups),
        n_units=n_units,
        sampling=sampling,
        fall=max(_fall(of_group) for of_group in zip(*runs, strict=True)),
    )


def _sampling(runs: Sequence[Sequence[Run]], value: Callable[..., float]) -> tuple[int, float]:
    """The number of units of the test set, and the standard error of the mean value from their choice."""
    n_units = 0
    with suppress(NotTested):
        n_units = len(runs[0][0].unit_tokens)
    if not n_units:
        return 0, 0.0
    weights = np.random.default_rng(0).multinomial(n_units, [1 / n_units] * n_units, N_RESAMPLES)
    means = []
    for drawn in weights:
        with suppress(NotTested):
            means.append(fmean(value(*(run.resampled(drawn) for run in of_seed)) for of_seed in runs))
    finite = [mean for mean in means if isfinite(mean)]  # a diverged network has none
    return n_units, stdev(finite) if len(finite) > 1 else 0.0


def _fall(runs: Sequence[Run]) -> float:
    """Bits/dim by which the runs fell, on average, in the last fifth of their training; 0 if that is not known."""
    with suppress(NotTested):
        return max(0.0, -fmean(run.last_fifth() for run in runs))
    return 0.0
