"""The verdicts in Markdown, as the README contains them between two comments for each profile."""

from collections import Counter
from collections.abc import Sequence

from reformer.markdown import markdown_table
from reformer.report.claims.claim import (
    NEEDS_MORE,
    NOT_REPRODUCED,
    REPRODUCED,
    RULE,
    UNDECIDED,
    Judgement,
    counts,
    origins,
)
from reformer.report.display import tables
from reformer.report.evidence.results import NotTested, Results
from reformer.report.evidence.source import Source
from reformer.runs.listed import ListedRuns

MARKS = {NOT_REPRODUCED: "**not reproduced**"}


def summary(results: Results, judgements: Sequence[Judgement], source: Source | None) -> str:
    """A sentence, and a table with each claim, the paper's number, ours and the verdict.

    Args:
        results: all results.
        judgements: one for every claim.
        source: the source of all results; None where there are none.
    """
    lines = [
        f"<!-- results of {results.profile}: from its report, by make results -->",
        "",
        f"Profile `{results.profile}`, {provenance(results, source)}. {_counted(judgements)}",
        "",
    ]
    rows = []
    for judgement in judgements:
        claim = judgement.claim
        mark = MARKS.get(judgement.verdict, judgement.verdict)
        if judgement.decide:
            mark += f": {judgement.decide}"
        rows.append([claim.text, f"{claim.paper} ({claim.where})", judgement.ours, judgement.interval, mark])
    lines += [markdown_table(["claim", "paper", "here", "interval", ""], rows), "", RULE, "", *_table_2(results)]
    lines.append(f"<!-- end of the results of {results.profile} -->")
    return "\n".join(lines) + "\n"


def headlines(results: Results, judgements: Sequence[Judgement]) -> str:
    """The number of claims by verdict, then the decided claims that sum up the report, a line each."""
    lines = [f"<!-- verdicts of {results.profile}: from its report, by make results -->", "", _counted(judgements), ""]
    for judgement in judgements:
        if judgement.claim.headline and judgement.decided:
            mark = MARKS.get(judgement.verdict, judgement.verdict)
            lines.append(f"- {judgement.claim.text}: {judgement.ours}, {mark} (paper: {judgement.claim.paper}).")
    lines += ["", f"<!-- end of the verdicts of {results.profile} -->"]
    return "\n".join(lines) + "\n"


def _counted(judgements: Sequence[Judgement]) -> str:
    n = counts(judgements)
    return (
        f"Of {len(judgements)} claims, {origins(judgements)}: **{n[REPRODUCED]} reproduced, {n[NOT_REPRODUCED]} not, "
        f"{n[UNDECIDED]} undecided; the other {n[NEEDS_MORE]} need more than these runs.**"
    )


def _table_2(results: Results) -> list[str]:
    """Accuracy on the duplication task by the attention of training and of evaluation."""
    try:
        table = tables.copying(results.select(ListedRuns.all_of, "duplication"))
    except NotTested:
        return []
    rows = [[" ".join([cell.text, *([f"({cell.note})"] if cell.note else [])]) for cell in row] for row in table.rows]
    return [f"Table 2. {table.note}", "", markdown_table(table.columns, rows), ""]


def provenance(results: Results, source: Source | None) -> str:
    """Seeds, commit, device and time in words."""
    seeds = seeds_in_words(results)
    if has_several_seeds(results):
        seeds += " (mean ± standard deviation)"
    if source is None:
        return seeds
    commits = "commits" if "," in source.commit else "commit"
    return f"{seeds}, {commits} {source.commit}, {source.device}, {source.time} of training and benchmarks"


def seeds_in_words(results: Results) -> str:
    """The seeds. If they differ between networks, adds the numbers of networks, and puts the most seeds last."""
    networks = Counter(tuple(seeds) for seeds in results.listed.seeds.values())
    words = {seeds: "one seed" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}" for seeds in networks}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    counts: Counter[str] = Counter()
    for seeds in sorted(networks, key=len):
        counts[words[seeds]] += networks[seeds]
    return ", ".join(f"{phrase} of {n} networks" for phrase, n in counts.items()) or "no runs"


def has_several_seeds(results: Results) -> bool:
    """Returns whether some runs were repeated with several seeds."""
    return any(len(seeds) > 1 for seeds in results.listed.seeds.values())
