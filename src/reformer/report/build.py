"""Writes the report: a page, the claims as JSON and Markdown, headline numbers, curves as CSV, and figures as PNG."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from math import isfinite
from typing import Any

from reformer.files import Root, write_json, write_text
from reformer.report.claims.all_claims import CLAIMS
from reformer.report.claims.claim import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, Judgement, counts, judge
from reformer.report.display.curves import curves_as_csv
from reformer.report.display.figures import draw_figure
from reformer.report.display.page import render_page, section_of
from reformer.report.display.summary import summary
from reformer.report.evidence.measured import over_seeds
from reformer.report.evidence.results import NotTested, Results, Run
from reformer.report.evidence.source import source_of_all
from reformer.runs.listed import ListedRuns
from reformer.studies import STUDIES


def build_report(root: Root, profile: str, listed: ListedRuns, sampled: Sequence[str] = ()) -> dict[str, int]:
    """Judges every claim and writes the report.

    Args:
        root: the folder of all results. A claim whose results are missing there is "not tested at this size".
        profile: name of the profile that was run.
        listed: the runs of params.yaml.
        sampled: names, with their seed, of the runs whose samples are shown.

    Returns:
        The number of claims by verdict.

    Raises:
        SettingError: a name is not one of a run, or the lists leave open which runs a claim compares.
    """
    results = Results(root, profile, listed)
    judgements = [judge(claim, results) for claim in CLAIMS]
    sections = [
        section_of(study, [judgement for judgement in judgements if judgement.claim.study == study.id], results)
        for study in STUDIES
    ]
    folder = root.report
    for old in folder.glob("figures/*.png"):
        old.unlink()
    for section in sections:
        if section.figure:
            draw_figure(section.figure, folder / "figures" / f"{section.study.id}.png")
    source = source_of_all(results, [study.benchmark for study in STUDIES if study.benchmark])
    write_text(folder / "index.html", render_page(results, judgements, sections, source, sampled))
    write_text(folder / "results.md", summary(results, judgements, source))
    write_text(folder / "curves.csv", curves_as_csv(results))
    write_json(folder / "claims.json", claims_as_json(results, judgements))
    write_json(folder / "metrics.json", metrics(results, judgements))
    return counts(judgements)


def claims_as_json(results: Results, judgements: list[Judgement]) -> dict[str, Any]:
    """All claims with their numbers and verdicts, and the headlines as sentences."""
    headlines = [j for j in judgements if j.claim.headline]
    return {
        "profile": results.profile,
        "seeds": {name: list(seeds) for name, seeds in results.listed.seeds.items()},
        "counts": counts(judgements),
        "headlines": [f"{j.claim.text}: {j.ours} ({j.verdict}; paper: {j.claim.paper})" for j in headlines],
        "claims": [
            {
                "id": j.claim.id,
                "study": j.claim.study,
                "claim": j.claim.text,
                "paper": j.claim.paper,
                "where": j.claim.where,
                "criterion": j.criterion,
                "limit": j.claim.limit,
                "measured": j.ours,
                "basis": j.basis,
                "values": [value if isfinite(value) else None for value in j.measured.values] if j.measured else [],
                "verdict": j.verdict,
            }
            for j in judgements
        ],
    }


def metrics(results: Results, judgements: list[Judgement]) -> dict[str, Any]:
    """The headline numbers for `dvc metrics show`. Leaves out those that were not measured.

    Bits/dim are test scores of the LSH run with the fewest rounds on text and on images, with its LSH layers on and off; the
    other numbers are those of claims.
    """
    found = {j.claim.metric: j.measured.mean for j in judgements if j.claim.metric and j.measured}
    for kind, word in (("text", "text"), ("images", "image")):
        for attention, name in (("trained", f"{word}_bits_per_dim"), ("off", f"{word}_bits_per_dim_lsh_off")):
            with suppress(NotTested):
                groups = results.select(ListedRuns.by_rounds, kind)[:1]
                found[name] = over_seeds(groups, partial(Run.score, attention=attention)).mean
    numbers = {name: round(value, 6) for name, value in found.items() if isfinite(value)}
    names_of_counts = {REPRODUCED: "reproduced", NOT_REPRODUCED: "not_reproduced", NOT_TESTED: "not_tested"}
    return {"claims": {names_of_counts[verdict]: n for verdict, n in counts(judgements).items()}, **numbers}
