"""Writes the report: a page, the claims as JSON and Markdown, headline numbers, curves as CSV, and figures as PNG."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from math import isfinite
from typing import Any

from reformer.files import write_json, write_text
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.claims.claim import VERDICTS, Judgement, chance_of_a_wrong_verdict, counts, judge
from reformer.report.display.curves import curves_as_csv
from reformer.report.display.figures import draw_figure
from reformer.report.display.page import render_page, section_of
from reformer.report.display.summary import headlines, summary
from reformer.report.evidence.measured import CONFIDENCE, over_seeds
from reformer.report.evidence.results import NotTested, Results, Run
from reformer.report.evidence.source import source_of_all
from reformer.runs.listed import ListedRuns
from reformer.studies import STUDIES


def build_report(results: Results, sampled: Sequence[str] = ()) -> dict[str, int]:
    """Judges every claim and writes the report.

    Args:
        results: all results. A claim whose results are missing "needs more".
        sampled: names, with their seed, of the runs whose samples are shown.

    Returns:
        The number of claims by verdict.

    Raises:
        SettingError: a name is not one of a run, or the lists leave open which runs a claim compares.
    """
    judgements = [judge(claim, results) for claim in CLAIMS]
    sections = [
        section_of(study, [judgement for judgement in judgements if judgement.claim.study == study.id], results)
        for study in STUDIES
    ]
    folder = results.root.report
    for old in folder.glob("figures/*.png"):
        old.unlink()
    for section in sections:
        if section.figure:
            draw_figure(section.figure, folder / "figures" / f"{section.study.id}.png")
    source = source_of_all(results, [study.benchmark for study in STUDIES if study.benchmark])
    write_text(folder / "index.html", render_page(results, judgements, sections, source, sampled))
    write_text(folder / "results.md", summary(results, judgements, source))
    write_text(folder / "verdicts.md", headlines(results, judgements))
    write_text(folder / "curves.csv", curves_as_csv(results))
    write_json(folder / "claims.json", claims_as_json(results, judgements))
    write_json(folder / "metrics.json", metrics(results, judgements))
    return counts(judgements)


SCHEMA_VERSION = 2
"""Version of the form of claims.json, which claims.schema.json describes."""


def claims_as_json(results: Results, judgements: list[Judgement]) -> dict[str, Any]:
    """All claims with their numbers, intervals and verdicts, and the headlines as sentences."""
    chosen = [j for j in judgements if j.claim.headline and j.decided]
    return {
        "version": SCHEMA_VERSION,
        "profile": results.profile,
        "confidence": CONFIDENCE,
        "chance_of_a_wrong_verdict": round(chance_of_a_wrong_verdict(judgements), 4),
        "seeds": {name: list(seeds) for name, seeds in results.listed.seeds.items()},
        "counts": counts(judgements),
        "headlines": [f"{j.claim.text}: {j.ours} ({j.verdict}; paper: {j.claim.paper})" for j in chosen],
        "claims": [_claim_as_json(judgement) for judgement in judgements],
    }


def _claim_as_json(judgement: Judgement) -> dict[str, Any]:
    claim, measured = judgement.claim, judgement.measured
    return {
        "id": claim.id,
        "study": claim.study,
        "claim": claim.text,
        "paper": claim.paper,
        "where": claim.where,
        "criterion": judgement.criterion,
        "why": claim.why,
        "allowed": _finite(claim.allowed),
        "measured": judgement.ours,
        "value": _finite([measured.mean])[0] if measured else None,
        "interval": _finite(measured.interval) if measured else [None, None],
        "values": _finite(measured.values) if measured else [],
        "test_units": measured.n_units if measured else 0,
        "fell_in_the_last_fifth": round(measured.fall, 6) if measured else 0.0,
        "basis": judgement.basis,
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "decide": judgement.decide,
    }


def _finite(values: Iterable[float]) -> list[float | None]:
    return [value if isfinite(value) else None for value in values]


def metrics(results: Results, judgements: list[Judgement]) -> dict[str, Any]:
    """The headline numbers for `dvc metrics show`. Leaves out those that were not measured.

    Bits/dim are test scores of the run with LSH layers on text and on images whose name is first in the alphabet, with these
    layers on and off; the other numbers are those of claims.
    """
    found = {j.claim.metric: j.measured.mean for j in judgements if j.claim.metric and j.measured}
    for kind, word in (("text", "text"), ("images", "image")):
        for attention, name in (("trained", f"{word}_bits_per_dim"), ("off", f"{word}_bits_per_dim_lsh_off")):
            with suppress(NotTested):
                of_kind = [group for group in results.select(ListedRuns.hashing) if group.kind == kind]
                groups = sorted(of_kind, key=lambda group: group.name)[:1]
                found[name] = over_seeds(groups, partial(Run.score, attention=attention)).mean
    numbers = {name: round(value, 6) for name, value in found.items() if isfinite(value)}
    by_verdict = counts(judgements)
    return {"claims": {verdict.replace(" ", "_"): by_verdict[verdict] for verdict in VERDICTS}, **numbers}
