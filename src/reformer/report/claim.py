"""What a claim and a study are, and how a claim is judged. The lists of them are in `claims.py` and `studies.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from reformer.report.chart import Panel
from reformer.report.measured import Measured, Unit
from reformer.report.results import NotTested, Results, RunGroup
from reformer.report.tables import MISSING, Table

REPRODUCED, NOT_REPRODUCED, NOT_TESTED = "reproduced", "not reproduced", "not tested at this size"
TOO_FEW_SEEDS = "too few seeds to tell"
ONE_SEED = "one seed cannot tell a difference from chance"
NOT_IN_PAPER = "not in the paper"
RULE = (
    "Several seeds are judged by the 90 % interval (Student's t) of their mean, paired where networks are compared: "
    "reproduced if all of it is within the limit, not if all of it is outside, otherwise not tested: too few seeds to "
    "tell. One seed is judged by its value alone, as its spread is unknown; whether two networks learn alike it cannot tell. "
    "Times are judged by their medians, peaks of memory are measured once."
)


@dataclass(frozen=True)
class Claim:
    """A claim with a number that decides it. Exactly one of the three limits is given.

    Attributes:
        id: name in claims.json.
        study: id of the study that tests it.
        text: the claim in words.
        paper: the paper's number.
        where: where it stands.
        criterion: what is compared, in words; `{limit}` stands for the limit.
        measure: takes the number from the results; raises NotTested.
        unit: of the number.
        at_least: least number that reproduces the claim; `verdict_on` says how several seeds are judged.
        at_most: greatest such number.
        within: greatest size of such a number, its sign aside.
        metric: name under which `dvc metrics show` lists the number; none for most.
        headline: whether the number is one of the few that sum up the report.
    """

    id: str
    study: str
    text: str
    paper: str
    where: str
    criterion: str
    measure: Callable[[Results], Measured]
    unit: Unit
    at_least: float | None = None
    at_most: float | None = None
    within: float | None = None
    metric: str = ""
    headline: bool = False

    @property
    def limit(self) -> float:
        """The one limit that is given."""
        return next(limit for limit in (self.at_least, self.at_most, self.within) if limit is not None)

    @property
    def allowed(self) -> tuple[float, float]:
        """Least and greatest number that reproduce the claim."""
        if self.within is not None:
            return -self.within, self.within
        return (-inf, self.limit) if self.at_least is None else (self.limit, inf)


@dataclass(frozen=True)
class Study:
    """A question, the runs or the benchmark that answer it, and how they are shown.

    Attributes:
        id: anchor in the page and name of the figure's file.
        title: heading of the section.
        source: the paper's figure or table.
        question: what is compared, in a sentence or two.
        caption: what to see in the figure.
        panels: of the figure; raises NotTested.
        table: the numbers; raises NotTested.
        groups: training runs of the study; raises NotTested.
        benchmark: name of the benchmark's file, for a study without training runs.
        paper_scale: size of the paper's runs.
    """

    id: str
    title: str
    source: str
    question: str
    caption: str
    panels: Callable[[Results], list[Panel]]
    table: Callable[[Results], Table]
    groups: Callable[[Results], list[RunGroup]] = lambda results: []
    benchmark: str = ""
    paper_scale: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """A claim with what was measured for it."""

    claim: Claim
    verdict: str
    measured: Measured | None = None
    reason: str = ""
    """Why it was not tested, or not with the number that there is."""

    @property
    def criterion(self) -> str:
        """The criterion in words."""
        return self.claim.criterion.format(limit=self.claim.unit.text(self.claim.limit).lstrip("+−"))

    @property
    def ours(self) -> str:
        """The measured value with its spread."""
        return MISSING if self.measured is None else self.measured.text(self.claim.unit)

    @property
    def basis(self) -> str:
        """What the measured value rests on, or why there is none or none that decides."""
        if self.measured is None:
            return self.reason
        parts = [self.measured.basis(self.claim.unit)]
        if self.measured.spread is not None:
            least, greatest = map(self.claim.unit.number, self.measured.interval)
            parts.append(f"90 % interval {least} to {greatest}")
        return ", ".join(parts) + (f": {self.reason}" if self.reason else "")


def judge(claim: Claim, results: Results) -> Judgement:
    """Measures a claim and holds the number against its limit."""
    try:
        measured = claim.measure(results)
    except NotTested as missing:
        return Judgement(claim, NOT_TESTED, reason=str(missing))
    if claim.within is not None and measured.spread is None:
        return Judgement(claim, NOT_TESTED, measured, ONE_SEED)
    verdict = verdict_on(measured, claim.allowed)
    return Judgement(claim, verdict, measured, TOO_FEW_SEEDS if verdict == NOT_TESTED else "")


def verdict_on(measured: Measured, allowed: tuple[float, float]) -> str:
    """The one rule, for differences and for one-sided limits. One value is its own interval."""
    least, greatest = allowed
    low, high = measured.interval
    if least <= low and high <= greatest:
        return REPRODUCED
    return NOT_TESTED if low <= greatest and high >= least else NOT_REPRODUCED


def whose(judgements: Sequence[Judgement]) -> str:
    """How many of the claims are the paper's, in words."""
    of_users = sum(judgement.claim.where == NOT_IN_PAPER for judgement in judgements)
    return f"{len(judgements) - of_users} of the paper's and {of_users} of its users"


def counts(judgements: Sequence[Judgement]) -> dict[str, int]:
    """Number of claims by verdict."""
    verdicts = [judgement.verdict for judgement in judgements]
    return {verdict: verdicts.count(verdict) for verdict in (REPRODUCED, NOT_REPRODUCED, NOT_TESTED)}
