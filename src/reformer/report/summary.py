"""The verdicts in Markdown: what the README shows of a profile, between two comments that hold its place there."""

from collections import Counter
from collections.abc import Sequence

from reformer.report import tables
from reformer.report.claim import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, RULE, Judgement, counts, whose
from reformer.report.results import NotTested, Results
from reformer.report.source import Source
from reformer.report.tables import markdown_table

MARKS = {REPRODUCED: "reproduced", NOT_REPRODUCED: "**not reproduced**", NOT_TESTED: "not tested"}


def summary(results: Results, judgements: Sequence[Judgement], source: Source | None) -> str:
    """A sentence and a table: each claim, the paper's number, ours with its spread, the verdict.

    Args:
        results: what was measured.
        judgements: of every claim.
        source: of all that was measured; None where nothing was.
    """
    n = counts(judgements)
    lines = [
        f"<!-- results of {results.profile}: from its report, by make results -->",
        "",
        f"Profile `{results.profile}`, {provenance(results, source)}. Of {len(judgements)} claims, {whose(judgements)}: "
        f"**{n[REPRODUCED]} reproduced, {n[NOT_REPRODUCED]} not, {n[NOT_TESTED]} not tested at this size.**",
        "",
    ]
    rows = []
    for judgement in judgements:
        claim = judgement.claim
        mark = MARKS[judgement.verdict]
        if judgement.measured and judgement.reason:
            mark += f": {judgement.reason}"
        rows.append([claim.text, f"{claim.paper} ({claim.where})", judgement.ours, mark])
    lines += [markdown_table(["claim", "paper", "here", ""], rows), "", RULE, "", *_cross(results)]
    lines.append(f"<!-- end of the results of {results.profile} -->")
    return "\n".join(lines) + "\n"


def _cross(results: Results) -> list[str]:
    """Table 2: accuracy on the duplication task by the attention of training and of evaluation."""
    try:
        table = tables.table_2(results)
    except NotTested:
        return []
    rows = [[" ".join([cell.text, *([f"({cell.note})"] if cell.note else [])]) for cell in row] for row in table.rows]
    return [f"Table 2. {table.note}", "", markdown_table(table.columns, rows), ""]


def provenance(results: Results, source: Source | None) -> str:
    """Seeds, commit, device and time in words."""
    seeds = seeds_in_words(results)
    if has_spread(results):
        seeds += " (mean ± standard deviation)"
    if source is None:
        return seeds
    commits = "commits" if "," in source.commit else "commit"
    return f"{seeds}, {commits} {source.commit}, {source.device}, {source.time} of training and benchmarks"


def seeds_in_words(results: Results) -> str:
    """The seeds, and how many of the networks have them where some have more than others; those come last."""
    networks = Counter(tuple(seeds) for seeds in results.runs.values())
    words = {seeds: "one seed" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}" for seeds in networks}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    counts: Counter[str] = Counter()
    for seeds in sorted(networks, key=len):
        counts[words[seeds]] += networks[seeds]
    return ", ".join(f"{said} of {n} networks" for said, n in counts.items()) or "no runs"


def has_spread(results: Results) -> bool:
    """Whether some runs were repeated with several seeds."""
    return any(len(seeds) > 1 for seeds in results.runs.values())
