"""The page: one self-contained HTML file without scripts, made from page.html and page.css."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reformer.report.claims.claim import (
    NEEDS_MORE,
    NOT_REPRODUCED,
    REPRODUCED,
    RULE,
    UNDECIDED,
    VERDICTS,
    Judgement,
    chance_of_a_wrong_verdict,
    counts,
    origins,
)
from reformer.report.claims.learning import MARGIN
from reformer.report.display import tables
from reformer.report.display.chart import COLOURS, NEUTRALS, Figure, Panel
from reformer.report.display.figures import key_as_svg, panel_as_svg
from reformer.report.display.interval import interval_as_svg
from reformer.report.display.panels import with_levels
from reformer.report.display.samples import samples_of
from reformer.report.display.summary import has_several_seeds, provenance, seeds_in_words
from reformer.report.display.tables import Table
from reformer.report.display.views import view_of
from reformer.report.evidence.measured import CONFIDENCE
from reformer.report.evidence.results import NotTested, Results
from reformer.report.evidence.source import Source, environments_of, source_of
from reformer.studies import Study

MARKS = {REPRODUCED: "✓", NOT_REPRODUCED: "✗", UNDECIDED: "?", NEEDS_MORE: "–"}


@dataclass(frozen=True)
class Section:
    """A study as the page shows it. Parts without measurements are None, and `missing` says why."""

    study: Study
    judgements: list[Judgement]
    figure: Figure | None = None
    caption: str = ""
    table: Table | None = None
    scale: Table | None = None
    source: Source | None = None
    provenance: Table | None = None
    missing: str = ""


def section_of(study: Study, judgements: list[Judgement], results: Results) -> Section:
    """Gathers the figure and the tables of a study."""
    view = view_of(study)
    try:
        if study.benchmark:
            content = results.benchmark(study.benchmark)
            source, figure = source_of([content["environment"]]), Figure(study.id, view.panels(content))
            return Section(study, judgements, figure, view.caption, view.table(content), source=source)
        groups = results.select(study.runs)
        figure, table = Figure(study.id, with_simple_models(view.panels(groups), study, results)), view.table(groups)
    except NotTested as missing:
        return Section(study, judgements, missing=str(missing))
    trained = [run for group in groups for run in group.trained]
    scale = tables.scale(view.paper_scale, trained[0]) if view.paper_scale and trained else None
    source = source_of(environments_of(trained))
    return Section(study, judgements, figure, view.caption, table, scale, source, tables.provenance(groups))


def with_simple_models(panels: list[Panel], study: Study, results: Results) -> list[Panel]:
    """Adds the scores of the simple models of the data to the learning curves of a study of text or images."""
    if study.kind not in ("text", "images"):
        return panels
    try:
        return [with_levels(panels[0], results.simple(study.kind, "val")), *panels[1:]]
    except NotTested:
        return panels


def render_page(
    results: Results,
    judgements: list[Judgement],
    sections: list[Section],
    source: Source | None,
    sampled: Sequence[str],
) -> str:
    """Renders the page.

    Args:
        results: all results.
        judgements: one for every claim.
        sections: one for every study.
        source: the source of all results; None where there are none.
        sampled: names, with their seed, of the runs whose samples are shown.
    """
    environment = Environment(
        loader=PackageLoader("reformer.report", "display"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = environment.loader.get_source(environment, "page.css")[0]  # type: ignore[union-attr]
    return environment.get_template("page.html").render(
        profile=results.profile,
        seeds=seeds_in_words(results),
        has_several_seeds=has_several_seeds(results),
        provenance=provenance(results, source),
        judgements=sorted(judgements, key=lambda judgement: judgement.verdict == NEEDS_MORE),
        sections=sorted(sections, key=lambda section: bool(section.missing)),
        samples=list(samples_of(results, sampled)),
        n=counts(judgements),
        origins=origins(judgements),
        marks=MARKS,
        rule=RULE,
        slugs={verdict: verdict.replace(" ", "-") for verdict in VERDICTS},
        draw_interval=interval_as_svg,
        confidence=CONFIDENCE,
        chance=chance_of_a_wrong_verdict(judgements),
        margin=MARGIN,
        simple_models=simple_models_in_words(results),
        colours=COLOURS | NEUTRALS,
        draw_panel=lambda panel, name: Markup(panel_as_svg(panel, name)),
        draw_key=lambda series, name: Markup(key_as_svg(series, name)),
        style=Markup(style),
    )


def simple_models_in_words(results: Results) -> str:
    """The test scores of the simple models of each data set."""
    found = []
    for kind in ("text", "images"):
        with suppress(NotTested):
            scores = ", ".join(f"{name} {bits:.3f}" for name, bits in results.simple(kind).items())
            found.append(f"{results.listed.data[kind]}: {scores}")
    return "; ".join(found)
