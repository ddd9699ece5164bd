"""The page: one self-contained HTML file from a template, with its style, its script and its numbers inside."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reformer.report import tables
from reformer.report.chart import COLOURS, MARKERS, Figure
from reformer.report.claim import NOT_REPRODUCED, NOT_TESTED, REPRODUCED, RULE, Judgement, Study, counts, whose
from reformer.report.drawn import drawn_by
from reformer.report.figures import data_uri, draw_figure
from reformer.report.results import NotTested, Results
from reformer.report.source import Source, environments_of, source_of
from reformer.report.summary import has_spread, provenance, seeds_in_words
from reformer.report.tables import Table

MARKS = {REPRODUCED: "✓", NOT_REPRODUCED: "✗", NOT_TESTED: "–"}


@dataclass(frozen=True)
class Section:
    """A study as the page shows it; what was not measured is None, and `missing` says why."""

    study: Study
    judgements: list[Judgement]
    figure: Figure | None = None
    image: str = ""
    """The figure as a data URI, for readers without scripts."""
    table: Table | None = None
    scale: Table | None = None
    source: Source | None = None
    provenance: Table | None = None
    missing: str = ""


def section_of(study: Study, judgements: list[Judgement], results: Results, figures: Path) -> Section:
    """Draws a study's figure into the folder and gathers its tables."""
    try:
        figure = Figure(study.id, study.caption, study.panels(results))
        table = study.table(results)
        groups = study.groups(results)
    except NotTested as missing:
        return Section(study, judgements, missing=str(missing))
    path = figures / f"{study.id}.png"
    draw_figure(figure, path)
    image = data_uri(path.read_bytes())
    if study.benchmark:
        source = source_of([results.benchmark(study.benchmark)["environment"]])
        return Section(study, judgements, figure, image, table, source=source)
    present = [run for group in groups for run in group.present]
    scale = tables.scale(study.paper_scale, present[0]) if study.paper_scale and present else None
    source = source_of(environments_of(present))
    return Section(study, judgements, figure, image, table, scale, source, tables.provenance(groups))


def render_page(
    results: Results,
    judgements: list[Judgement],
    sections: list[Section],
    source: Source | None,
    sampled: Sequence[str],
) -> str:
    """The whole page; the source is that of everything on it, the samples those of the runs named last."""
    environment = Environment(
        loader=PackageLoader("reformer", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    files = {name: Markup(environment.loader.get_source(environment, name)[0]) for name in ("report.css", "report.js")}  # type: ignore[union-attr]
    return environment.get_template("report.html").render(
        profile=results.profile,
        seeds=seeds_in_words(results),
        has_spread=has_spread(results),
        provenance=provenance(results, source),
        judgements=sorted(judgements, key=lambda judgement: judgement.verdict == NOT_TESTED),
        sections=sorted(sections, key=lambda section: bool(section.missing)),
        drawn=list(drawn_by(results, sampled)),
        n=counts(judgements),
        whose=whose(judgements),
        marks=MARKS,
        rule=RULE,
        slugs={verdict: verdict.split(" at ")[0].replace(" ", "-") for verdict in MARKS},
        colours=COLOURS,
        charts=_charts(sections),
        style=files["report.css"],
        script=files["report.js"],
    )


def _charts(sections: list[Section]) -> dict[str, Any]:
    figures = {section.figure.id: asdict(section.figure) for section in sections if section.figure}
    return {"markers": MARKERS, "figures": figures}
