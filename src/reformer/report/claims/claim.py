"""A claim and its judgement."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite

from reformer.report.evidence.labels import MISSING
from reformer.report.evidence.measured import BITS, CONFIDENCE, Measured, Unit
from reformer.report.evidence.results import NotTested, Results

REPRODUCED, NOT_REPRODUCED, UNDECIDED, NEEDS_MORE = "reproduced", "not reproduced", "undecided", "needs more"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, UNDECIDED, NEEDS_MORE)
NOT_IN_PAPER = "not in the paper"
RULE = (
    f"Each number has an interval that contains the true value with a probability of {100 * CONFIDENCE:g} %. The claim is "
    "reproduced if the whole interval keeps the limit, not reproduced if no part of it does, and undecided otherwise. A claim "
    "that these runs cannot test needs more: larger networks, longer training or another machine."
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
        why: the reason for this limit.
        measure: computes the number from the results; raises NotTested.
        unit: the unit of the number.
        needs: what would decide the claim where these runs cannot.
        trained_out: whether the paper speaks of networks that are trained to the end.
        at_least: least number that reproduces the claim.
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
    why: str
    measure: Callable[[Results], Measured]
    unit: Unit
    needs: str = "profile cpu-long"
    trained_out: bool = False
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
    """A claim with its measurement and verdict. The reason says why there is no verdict, and `decide` what would give one."""

    claim: Claim
    verdict: str
    measured: Measured | None = None
    reason: str = ""
    decide: str = ""

    @property
    def decided(self) -> bool:
        """Whether the claim is reproduced or not."""
        return self.verdict in (REPRODUCED, NOT_REPRODUCED)

    @property
    def criterion(self) -> str:
        """The criterion in words."""
        return self.claim.criterion.format(limit=self.claim.unit.text(self.claim.limit).lstrip("+−"))

    @property
    def ours(self) -> str:
        """The measured value with its standard deviation."""
        return MISSING if self.measured is None else self.measured.text(self.claim.unit)

    @property
    def interval(self) -> str:
        """The interval in words; empty without one."""
        if self.measured is None or not all(map(isfinite, self.measured.interval)):
            return ""
        low, high = map(self.claim.unit.number, self.measured.interval)
        return low if low == high else f"{low} to {high}"

    @property
    def basis(self) -> str:
        """The evidence behind the measured value, or the reason that there is none."""
        return self.measured.basis() if self.measured else self.reason

    @property
    def open(self) -> str:
        """What is missing for a verdict; empty where there is one."""
        return ": ".join(filter(None, (self.reason, self.decide)))


def judge(claim: Claim, results: Results) -> Judgement:
    """Measures the number of a claim and compares its interval with the limit."""
    try:
        measured = claim.measure(results)
    except NotTested as missing:
        return Judgement(claim, NEEDS_MORE, reason=str(missing), decide=claim.needs)
    verdict = verdict_on(measured.interval, claim.allowed)
    if verdict == UNDECIDED:
        return Judgement(claim, verdict, measured, decide=what_decides(claim, measured))
    distance = distance_to_limit(measured.interval, claim.allowed)
    if claim.trained_out and still_learning(measured.fall, distance):
        reason = (
            f"the networks still fell by {BITS.text(measured.fall)} in the last fifth of their training, and "
            f"{BITS.text(distance)} would change the verdict"
        )
        return Judgement(claim, NEEDS_MORE, measured, reason, claim.needs)
    return Judgement(claim, verdict, measured)


def verdict_on(interval: tuple[float, float], allowed: tuple[float, float]) -> str:
    """Compares an interval with the allowed range."""
    (low, high), (least, greatest) = interval, allowed
    if least <= low and high <= greatest:
        return REPRODUCED
    return UNDECIDED if low <= greatest and high >= least else NOT_REPRODUCED


def distance_to_limit(interval: tuple[float, float], allowed: tuple[float, float]) -> float:
    """The least change of the number that would take an end of its interval across the limit."""
    return min(abs(end - limit) for end in interval for limit in allowed if isfinite(limit))


def still_learning(fall: float, distance: float) -> bool:
    """Returns whether networks still change too much for a claim about networks that are trained to the end.

    Args:
        fall: bits/dim by which they fell in the last fifth of their training.
        distance: change that would take the number across the limit.
    """
    return fall > distance


def what_decides(claim: Claim, measured: Measured) -> str:
    """The evidence that would decide a claim whose interval contains its limit, in words."""
    if not measured.n_wanted:
        return measured.decides
    if measured.deviation is None:
        return "three seeds or more"
    distance = min(abs(measured.mean - limit) for limit in claim.allowed if isfinite(limit))
    more = measured.more_seeds(distance)
    return f"about {more} more seed{'s' * (more > 1)}" if more else f"more than seeds can tell: {claim.needs}"


def chance_of_a_wrong_verdict(judgements: Sequence[Judgement]) -> float:
    """A bound of the probability that any decided claim has the wrong verdict, even if each true value lies at its limit."""
    uncertain = sum(j.decided and j.measured is not None and len(set(j.measured.interval)) > 1 for j in judgements)
    return min(1.0, uncertain * (1 - CONFIDENCE) / 2)


def origins(judgements: Sequence[Judgement]) -> str:
    """The number of claims from the paper and from its users, in words."""
    from_users = sum(judgement.claim.where == NOT_IN_PAPER for judgement in judgements)
    return f"{len(judgements) - from_users} from the paper and {from_users} from its users"


def counts(judgements: Sequence[Judgement]) -> dict[str, int]:
    """The number of claims by verdict."""
    verdicts = [judgement.verdict for judgement in judgements]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS}
