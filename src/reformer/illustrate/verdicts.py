"""The verdicts of a report, read from its claims.json or from a committed page, and the picture of their intervals."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes

from reformer.files import Root, read_json
from reformer.illustrate.picture import BLUE, GREEN, INK, MUTED, PINK, RED, RULE, Picture, sheet
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.claims.claim import NEEDS_MORE, NOT_REPRODUCED, REPRODUCED, UNDECIDED, Claim
from reformer.report.evidence.measured import Unit

LOOKS = {REPRODUCED: (GREEN, "o"), NOT_REPRODUCED: (RED, "D"), UNDECIDED: (BLUE, "s"), NEEDS_MORE: (PINK, "^")}
"""Colour and marker of each verdict."""
BAR = re.compile(r"(?<!\\)\|")
"""What separates the cells of a row."""
NUMBER = re.compile(r"[+−-]?[\d,]*\.?\d+")
Range = tuple[float, float]


@dataclass(frozen=True)
class Verdict:
    """A claim with its verdict.

    Attributes:
        id: its name in claims.json.
        text: the claim in words.
        verdict: one of the four verdicts.
        measured: the measured value in words.
        value: the measured value; None without one.
        deviation: its standard deviation over the seeds; None for less than two.
        interval: lowest and highest plausible value; infinite where it is not known.
        allowed: least and greatest value that reproduces the claim.
        decide: what would decide it, empty where that is done.
    """

    id: str
    text: str
    verdict: str
    measured: str
    value: float | None
    deviation: float | None
    interval: Range
    allowed: Range
    decide: str

    @property
    def limit(self) -> str:
        """The limit in words, such as `at most 0.050 bits/dim`."""
        unit = next((claim.unit for claim in CLAIMS if claim.id == self.id), Unit())
        least, greatest = self.allowed
        if isfinite(least) and isfinite(greatest):
            return f"within {unit.text(greatest).lstrip('+')} of 0"
        return f"at least {unit.text(least)}" if isfinite(least) else f"at most {unit.text(greatest)}"


def read_verdicts(root: Root, page: Path) -> tuple[list[Verdict], str]:
    """Reads the report of `dvc repro`, or a page of docs/ where there is none.

    Args:
        root: the folder of all results.
        page: a page written by `make results`.

    Returns:
        The verdicts, and where they come from.
    """
    report = root.report / "claims.json"
    if report.exists():
        content = read_json(report)
        return [_from_json(claim) for claim in content["claims"]], f"your report, profile {content['profile']}"
    return verdicts_of_page(page.read_text(encoding="utf-8")), f"the committed results, docs/{page.name}"


def _from_json(claim: dict[str, Any]) -> Verdict:
    return Verdict(
        claim["id"],
        claim["claim"],
        claim["verdict"],
        claim["measured"],
        claim["value"],
        _deviation(claim["measured"], _unit_of(claim["id"])),
        _range(claim["interval"]),
        _range(claim["allowed"]),
        claim["decide"],
    )


def _range(ends: Sequence[float | None]) -> Range:
    low, high = ends
    return -inf if low is None else low, inf if high is None else high


def _unit_of(name: str) -> Unit:
    return next((claim.unit for claim in CLAIMS if claim.id == name), Unit())


def verdicts_of_page(page: str) -> list[Verdict]:
    """Reads the table of claims of a page.

    It leaves out claims that have been reworded since the page was written, and takes the value alone as the interval where the
    page has none.
    """
    tables = page.split("| claim ", 1)[1:]
    head, _, *lines = ("| claim " + tables[0]).partition("\n\n")[0].splitlines() if tables else ("", "")
    columns = _cells(head)
    rows = [dict(zip(columns, _cells(line), strict=True)) for line in lines]
    by_text = {claim.text: claim for claim in CLAIMS}
    return [_from_row(by_text[row["claim"]], row) for row in rows if row["claim"] in by_text]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in BAR.split(line)[1:-1]]


def _from_row(claim: Claim, row: dict[str, str]) -> Verdict:
    verdict, _, decide = row.get("", "").replace("*", "").partition(": ")
    ends = [_number(end, claim.unit) for end in row.get("interval", row["here"]).split(" to ")]
    return Verdict(
        claim.id,
        claim.text,
        verdict,
        row["here"],
        _number(row["here"], claim.unit),
        _deviation(row["here"], claim.unit),
        _range((ends[0], ends[-1])),
        claim.allowed,
        decide,
    )


def _number(words: str, unit: Unit) -> float | None:
    """The first number of a text, without the factor of its unit."""
    found = NUMBER.search(words)
    return float(found[0].replace("−", "-").replace(",", "")) / unit.scale if found else None


def _deviation(words: str, unit: Unit) -> float | None:
    _, _, deviation = words.partition("±")
    return _number(deviation, unit)


def margins(verdict: Verdict) -> tuple[float, float, float]:
    """How far the value, and the two ends of its interval, are on the claim's side of the limit.

    Returns:
        Margin of the value, least and greatest margin in the interval; negative where the limit is missed.
    """
    least, greatest = verdict.allowed

    def margin(value: float) -> float:
        sides = ((value - least) if isfinite(least) else inf, (greatest - value) if isfinite(greatest) else inf)
        return min(sides)

    assert verdict.value is not None
    low, high = verdict.interval
    best = min(max((least + greatest) / 2, low), high) if isfinite(least) and isfinite(greatest) else verdict.value
    ends = (margin(low), margin(high))
    return margin(verdict.value), min(ends), max(*ends, margin(best))


def intervals(verdicts: Sequence[Verdict]) -> Picture:
    """Draws the interval of each measured claim beside its limit, which is the same line for all.

    Every row has a scale of its own: the greatest margin of the row is 1.
    """
    shown = [verdict for verdict in verdicts if verdict.value is not None]
    with sheet(10.8, 1.3 + 0.43 * len(shown), "interval of each claim against its limit") as drawn:
        axes = drawn.axes[0]
        axes.axvspan(0, 1.25, color=RULE, alpha=0.55, linewidth=0)
        axes.axvline(0, color=INK, linewidth=1.2)
        for place, verdict in enumerate(shown):
            _row(axes, place, verdict)
        axes.set_yticks(range(len(shown)), [fill(verdict.text, 50) for verdict in shown], fontsize=9)
        axes.set(xlim=(-1.25, 1.25), ylim=(len(shown) - 0.4, -0.6), xticks=[-1, -0.5, 0, 0.5, 1])
        axes.set_xlabel("distance from the limit, as a share of the row's greatest\n← limit missed        limit kept →")
        for name, (colour, marker) in LOOKS.items():
            if name in {verdict.verdict for verdict in shown}:
                axes.plot([], [], marker, color=colour, label=name)
        drawn.canvas.legend(loc="outside lower center", ncols=4, frameon=False)
    return drawn.picture


def _row(axes: Axes, place: int, verdict: Verdict) -> None:
    colour, marker = LOOKS.get(verdict.verdict, (MUTED, "v"))
    value, low, high = margins(verdict)
    scale = max(abs(end) for end in (value, low, high) if isfinite(end)) or 1.0
    left, right = max(low / scale, -1.25), min(high / scale, 1.25)
    axes.axhline(place + 0.5, color=RULE, linewidth=0.6)
    axes.plot([left, right], [place, place], color=colour, linewidth=4, solid_capstyle="butt", alpha=0.55)
    axes.plot(value / scale, place, marker, color=colour, markersize=7)
    axes.text(1.3, place, f"{verdict.measured}\n{verdict.limit}", va="center", color=INK, fontsize=8)
