"""Verdicts are the same from a report and from a page, and margins are positive where a claim keeps its limit."""

from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from reformer.files import Root, write_json
from reformer.illustrate.verdicts import Verdict, intervals, margins, read_verdicts, verdicts_of_page
from reformer.markdown import markdown_table
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.claims.claim import REPRODUCED, UNDECIDED

HEAD = ["claim", "paper", "here", "interval", ""]
BY_ID = {claim.id: claim for claim in CLAIMS}
TEXT, COPYING, SPEED = (BY_ID[name] for name in ("reversible_text", "copy_full", "lsh_time_flat"))
ROWS = [
    [TEXT.text, "paper | here", "−0.0101 ± 0.0172 bits/dim", "−0.0494 to +0.0291", "reproduced"],
    [COPYING.text, "100 %", "100.0 %", "100.0", "**not reproduced**"],
    [SPEED.text, "–", "×1,234.56", "", "undecided: more rounds, or a machine"],
    ["a claim of an earlier version", "–", "–", "", "reproduced"],
]


def page_of(rows: list[list[str]], head: list[str] = HEAD) -> str:
    return f"# Results\n\n{markdown_table(head, rows)}\n\nTable 2.\n\n{markdown_table(['a', 'b'], [['1', '2']])}\n"


def test_a_page_is_read_back():
    text, copying, speed = verdicts_of_page(page_of(ROWS))
    assert (text.id, text.verdict, text.value, text.deviation) == ("reversible_text", REPRODUCED, -0.0101, 0.0172)
    assert text.interval == (-0.0494, 0.0291)
    assert (text.allowed, text.limit) == ((-0.05, 0.05), "within 0.0500 bits/dim of 0")
    assert (copying.verdict, copying.value, copying.interval) == ("not reproduced", 1.0, (1.0, 1.0))
    assert copying.limit == "at least 99.5 %"
    assert (speed.verdict, speed.decide) == (UNDECIDED, "more rounds, or a machine")
    assert (speed.value, speed.deviation, speed.interval) == (1234.56, None, (-inf, inf))


def test_a_page_without_intervals_has_its_values():
    rows = [[*row[:3], row[4]] for row in ROWS]
    assert [verdict.interval for verdict in verdicts_of_page(page_of(rows, [*HEAD[:3], ""]))][1] == (1.0, 1.0)


def test_a_page_without_results_has_no_verdicts():
    assert verdicts_of_page("# Results\n") == []


def test_the_report_is_read_where_there_is_one(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(page_of(ROWS))
    assert read_verdicts(Root(tmp_path), page) == (
        verdicts_of_page(page_of(ROWS)),
        "the committed results, docs/page.md",
    )
    claim = {
        "id": TEXT.id,
        "claim": TEXT.text,
        "verdict": REPRODUCED,
        "measured": "−0.0101 ± 0.0172 bits/dim",
        "value": -0.01013,
        "interval": [None, 0.02913],
        "allowed": [-0.05, 0.05],
        "decide": "",
    }
    write_json(Root(tmp_path).report / "claims.json", {"profile": "tiny", "claims": [claim]})
    (verdict,), origin = read_verdicts(Root(tmp_path), page)
    assert origin == "your report, profile tiny"
    assert (verdict.value, verdict.deviation, verdict.interval) == (-0.01013, 0.0172, (-inf, 0.02913))


def verdict(value: float, interval: tuple[float, float], allowed: tuple[float, float]) -> Verdict:
    (first, *_) = verdicts_of_page(page_of(ROWS))
    return replace(first, value=value, interval=interval, allowed=allowed)


@pytest.mark.parametrize(
    ("value", "interval", "allowed", "expected"),
    [
        (3.0, (2.0, 5.0), (1.0, inf), (2.0, 1.0, 4.0)),
        (3.0, (2.0, 5.0), (-inf, 4.0), (1.0, -1.0, 2.0)),
        (3.0, (-inf, inf), (-inf, 4.0), (1.0, -inf, inf)),
        (-1.0, (-3.0, 2.0), (-4.0, 4.0), (3.0, 1.0, 4.0)),  # 0, in the middle, is the farthest from both limits
        (5.0, (3.0, 7.0), (-4.0, 4.0), (-1.0, -3.0, 1.0)),
        (-1.0, (-inf, inf), (-4.0, 4.0), (3.0, -inf, 4.0)),
    ],
)
def test_margins_are_distances_from_the_limit(value, interval, allowed, expected):
    assert margins(verdict(value, interval, allowed)) == expected


def test_the_picture_shows_measured_claims_alone():
    both = [verdict(3.0, (3.0, 3.0), (3.0, inf)), verdict(-1.0, (-inf, inf), (-4.0, 4.0))]
    unmeasured = replace(both[0], value=None, measured="–")
    assert intervals([*both, unmeasured]).png == intervals(both).png
