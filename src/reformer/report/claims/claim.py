"""A claim and its judgement."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from reformer.report.evidence.labels import MISSING
from reformer.report.evidence.measured import Measured, Unit
from reformer.report.evidence.results import NotTested, Results

REPRODUCED, NOT_REPRODUCED, NOT_TESTED = "reproduced", "not reproduced", "not tested at this size"
TOO_FEW_SEEDS = "too few seeds to tell"
ONE_SEED = "the difference may be chance"
NOT_IN_PAPER = "not in the paper"
RULE = (
    "With several seeds, the 90 % confidence interval of the mean (Student's t) is compared with the limit of the claim; for "
    "two networks, it is the interval of their difference, paired by seed. The claim is reproduced if the whole interval "
    "keeps the limit, and not reproduced if no part of it does. If only a part does, there are too few seeds to tell, and the "
    "claim counts as not tested. With one seed, the value itself is compared with the limit, since its standard deviation is "
    "unknown; one seed cannot show that two networks learn alike. Times are medians. Peaks of memory are measured once."
)


@dataclass(frozen=True)
class Claim:
    """A claim with a number that decides it. Exactly one of the three limits is given.

    Attributes:
        id: name in claims.json.
        study: id of the study that tests it.
        text: the claim in words.
        paper: the paper's number.
        where: the place of that number in the paper.
        criterion: the comparison in words; `{limit}` stands for the limit.
        measure: computes the number from the results; raises NotTested.
        unit: the unit of the number.
        at_least: least number that reproduces the claim; see `verdict_on` for several seeds.
        at_most: greatest number that reproduces it.
        within: greatest absolute value that reproduces it.
        metric: name of the number in `dvc metrics show`; most claims have none.
        headline: whether the claim is one of the few that sum up the report.
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
class Judgement:
    """A claim with its measurement and verdict. The reason says why it was not tested, or why its number decides nothing."""

    claim: Claim
    verdict: str
    measured: Measured | None = None
    reason: str = ""

    @property
    def criterion(self) -> str:
        """The criterion in words."""
        return self.claim.criterion.format(limit=self.claim.unit.text(self.claim.limit).lstrip("+−"))

    @property
    def ours(self) -> str:
        """The measured value with its standard deviation."""
        return MISSING if self.measured is None else self.measured.text(self.claim.unit)

    @property
    def basis(self) -> str:
        """The basis of the measured value, and the reason if it decides nothing."""
        if self.measured is None:
            return self.reason
        parts = [self.measured.basis(self.claim.unit)]
        if self.measured.deviation is not None:
            least, greatest = map(self.claim.unit.number, self.measured.interval)
            parts.append(f"90 % interval {least} to {greatest}")
        return ", ".join(parts) + (f": {self.reason}" if self.reason else "")


def judge(claim: Claim, results: Results) -> Judgement:
    """Measures the number of a claim and compares it with the limit."""
    try:
        measured = claim.measure(results)
    except NotTested as missing:
        return Judgement(claim, NOT_TESTED, reason=str(missing))
    if claim.within is not None and measured.deviation is None:
        return Judgement(claim, NOT_TESTED, measured, ONE_SEED)
    verdict = verdict_on(measured, claim.allowed)
    return Judgement(claim, verdict, measured, TOO_FEW_SEEDS if verdict == NOT_TESTED else "")


def verdict_on(measured: Measured, allowed: tuple[float, float]) -> str:
    """Compares the interval of the mean with the allowed range; one value is its own interval."""
    least, greatest = allowed
    low, high = measured.interval
    if least <= low and high <= greatest:
        return REPRODUCED
    return NOT_TESTED if low <= greatest and high >= least else NOT_REPRODUCED


def origins(judgements: Sequence[Judgement]) -> str:
    """The number of claims from the paper and from its users, in words."""
    from_users = sum(judgement.claim.where == NOT_IN_PAPER for judgement in judgements)
    return f"{len(judgements) - from_users} from the paper and {from_users} from its users"


def counts(judgements: Sequence[Judgement]) -> dict[str, int]:
    """The number of claims by verdict."""
    verdicts = [judgement.verdict for judgement in judgements]
    return {verdict: verdicts.count(verdict) for verdict in (REPRODUCED, NOT_REPRODUCED, NOT_TESTED)}
