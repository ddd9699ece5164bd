"""Writes the report: a page, the claims as JSON and Markdown, a few headline numbers, and the figures as PNG."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

from reformer.report.claim import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, Judgement, counts, judge
from reformer.report.claims import CLAIMS
from reformer.report.curves import write_curves
from reformer.report.measured import over_seeds
from reformer.report.page import Section, render_page, section_of
from reformer.report.results import IMAGES, TEXTS, NotTested, Results, Run
from reformer.report.source import source_of_all
from reformer.report.studies import STUDIES
from reformer.report.summary import summary


def build_report(root: Path, profile: str, runs: Mapping[str, Sequence[int]], sampled: Sequence[str] = ()) -> None:
    """Judges every claim and writes `report/` under the root.

    Args:
        root: folder with `runs/` and `benchmarks/`; what is missing there makes its claims "not tested at this size".
        profile: name of the profile that was run.
        runs: seeds of each of its runs, by the run's name without a seed.
        sampled: names, with their seed, of the runs whose samples are shown.

    Raises:
        SettingError: a run is not named as runs are.
    """
    results = Results(root, profile, runs)
    judgements = [judge(claim, results) for claim in CLAIMS]
    folder = root / "report"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("figures/*.png"):
        old.unlink()
    sections: list[Section] = []
    for study in STUDIES:
        of_study = [judgement for judgement in judgements if judgement.claim.study == study.id]
        sections.append(section_of(study, of_study, results, folder / "figures"))
    source = source_of_all(results, [study.benchmark for study in STUDIES if study.benchmark])
    (folder / "index.html").write_text(render_page(results, judgements, sections, source, sampled), encoding="utf-8")
    (folder / "results.md").write_text(summary(results, judgements, source), encoding="utf-8")
    write_curves(results, folder / "curves.csv")
    _write_json(folder / "claims.json", claims_as_json(results, judgements))
    _write_json(folder / "metrics.json", metrics(results, judgements))


def claims_as_json(results: Results, judgements: list[Judgement]) -> dict[str, Any]:
    """All claims with their numbers and verdicts, and the headlines as sentences."""
    headlines = [j for j in judgements if j.claim.headline]
    return {
        "profile": results.profile,
        "seeds": {name: list(seeds) for name, seeds in results.runs.items()},
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
    """The headline numbers for `dvc metrics show`; those that were not measured are left out.

    Bits/dim are test scores of the first network with LSH listed on text and on images, as it is and with its LSH layers
    switched off; the other numbers are those of claims.
    """
    found = {j.claim.metric: j.measured.mean for j in judgements if j.claim.metric and j.measured}
    for kind, names in (("text", TEXTS), ("image", IMAGES)):
        data = results.data(names)
        groups = [group for group in results.groups if group.spec.data == data and group.spec.n_hashes][:1]
        for attention, name in (("trained", f"{kind}_bits_per_dim"), ("off", f"{kind}_bits_per_dim_lsh_off")):
            with suppress(NotTested):
                found[name] = over_seeds(groups, partial(Run.score, attention=attention)).mean
    numbers = {name: round(value, 6) for name, value in found.items() if isfinite(value)}
    names_of_counts = {REPRODUCED: "reproduced", NOT_REPRODUCED: "not_reproduced", NOT_TESTED: "not_tested"}
    return {"claims": {names_of_counts[verdict]: n for verdict, n in counts(judgements).items()}, **numbers}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
