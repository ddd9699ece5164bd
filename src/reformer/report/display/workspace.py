"""The studies in W&B: a workspace with all curves, and a report with one section a study. Needs the extra `workspace`."""

from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces import expr

from reformer.report.display.panels import EVALUATED
from reformer.report.evidence.results import NotTested, Results
from reformer.studies import STUDIES
from reformer.tracking import metrics

TITLE = "Claims of the Reformer paper"
SAMPLES = "Generated samples"
LINES = (metrics.VARIANT, metrics.SETTINGS_HASH)
"""Config keys that group runs into lines: the runs of a line differ only in the seed."""
MEMORY_AXES = {"seq_len": "length", "n_layers": "layers", "n_hashes": "hash rounds", "d_ff": "d_ff"}


def workspace(entity: str, project: str) -> ws.Workspace:
    """All curves of the project, with one line for the runs that differ only in their seed.

    Args:
        entity: the user or team that the project belongs to.
        project: its name.
    """
    sections = [
        ws.Section("Learning", panels=_learning(), is_open=True),
        ws.Section("Evaluated with other attention", panels=_cross(), is_open=True),
        ws.Section("Time and memory of a step", panels=[*_speed(), *_memory()], is_open=True),
        ws.Section("Speed and memory of the training", panels=_machine()),
        ws.Section(SAMPLES, panels=_samples()),
    ]
    settings = ws.RunsetSettings(groupby=[expr.Metric("JobType"), *map(expr.Config, LINES)])
    return ws.Workspace(entity=entity, project=project, name=TITLE, sections=sections, runset_settings=settings)


def report(entity: str, project: str, results: Results) -> wr.Report:
    """One section for each study, in the order of data/report, with only the runs that the study compares.

    Args:
        entity: the user or team that the project belongs to.
        project: its name.
        results: the profile and the names of the runs.
    """

    def grid(panels: list[Any], *filters: expr.FilterExpr) -> wr.PanelGrid:
        of_profile = expr.Tags().isin([results.profile])
        runs = wr.Runset(
            entity=entity,
            project=project,
            filters=expr.And(of_profile, *filters),
            groupby=[f"config.{key}" for key in LINES],
        )
        return wr.PanelGrid(runsets=[runs], panels=panels)

    blocks: list[wr.H2 | wr.P | wr.PanelGrid] = [wr.P("Lines are means over seeds. The verdicts are in data/report.")]
    for study in STUDIES:
        blocks += [wr.H2(f"{study.title} ({study.source})"), wr.P(study.question)]
        if study.benchmark:
            blocks.append(grid(BENCHMARKS[study.benchmark](), expr.Metric("JobType") == "benchmark"))
            continue
        try:
            compared = expr.Config(metrics.VARIANT).isin([group.name for group in results.select(study.runs)])
        except NotTested as reason:
            blocks.append(wr.P(f"Not shown: {reason}."))
            continue
        if study.id != "lsh_off":
            blocks.append(grid(_learning(), compared, expr.Metric("JobType") == "train"))
        if study.id in EVALUATIONS:
            blocks.append(grid(EVALUATIONS[study.id](), compared, expr.Metric("JobType") == "evaluate"))
    blocks += [wr.H2(SAMPLES), grid(_samples(), expr.Metric("JobType") == "generate")]
    return wr.Report(entity=entity, project=project, title=TITLE, blocks=blocks, width="fluid")


def _learning() -> list[wr.LinePlot]:
    return [
        _by_step(metrics.score("val", "bits_per_dim"), "Validation bits/dim"),
        _by_step(metrics.score("val", "accuracy"), "Validation accuracy"),
        _by_step(metrics.TRAIN_LOSS, "Training loss, nats"),
    ]


def _machine() -> list[wr.LinePlot]:
    return [
        _by_step(metrics.TOKENS_PER_SECOND, "Tokens a second"),
        _by_step(metrics.PEAK_MEMORY, "Peak memory, MB"),
    ]


def _by_step(metric: str, title: str) -> wr.LinePlot:
    return wr.LinePlot(title=title, x=metrics.STEP, y=[metric], title_x="step")


def _cross() -> list[wr.BarPlot | wr.WeavePanelSummaryTable]:
    """Attention of the training against that of the evaluation. W&B joins the tables of all evaluations into one."""
    shown = [metrics.evaluation_score("test", attention, "accuracy") for attention in EVALUATED]
    bars = wr.BarPlot(title="Test accuracy by the attention of the evaluation", metrics=shown)
    table = wr.WeavePanelSummaryTable(table_name=metrics.evaluations("test"), layout=wr.Layout(w=16, h=10))
    return [bars, table]


def _off() -> list[wr.BarPlot]:
    shown = [metrics.evaluation_score("test", attention, "bits_per_dim") for attention in ("trained", "off")]
    return [wr.BarPlot(title="Test bits/dim with the LSH layers on and off", metrics=shown)]


def _samples() -> list[wr.MediaBrowser | wr.WeavePanelSummaryTable]:
    images = wr.MediaBrowser(title="Given, generated, original", media_keys=[metrics.images("test")])
    return [images, wr.WeavePanelSummaryTable(table_name=metrics.texts("test"), layout=wr.Layout(w=16, h=10))]


def _speed() -> list[wr.LinePlot]:
    return [
        _by_axis("speed_by_length", "seq_len", metrics.SECONDS_PER_STEP, "Seconds a step against length"),
        _by_axis("speed_by_length", "seq_len", metrics.PEAK_MB, "Peak memory against length, MB"),
    ]


def _memory() -> list[wr.LinePlot]:
    return [
        _by_axis("memory", axis, metrics.PEAK_MB, f"Peak memory against {name}, MB", f"by_{axis}/")
        for axis, name in MEMORY_AXES.items()
    ]


def _by_axis(benchmark: str, axis: str, measured: str, title: str, curves: str = "") -> wr.LinePlot:
    """All curves of a benchmark along one axis, on logarithmic scales."""
    regex = f"^{metrics.benchmark_metric(benchmark, f'{curves}.*', measured)}$"
    x = metrics.benchmark_axis(benchmark, axis)
    return wr.LinePlot(title=title, x=x, metric_regex=regex, log_x=True, log_y=True, title_x=axis)


BENCHMARKS = {"speed_by_length": _speed, "memory": _memory}
"""Panels of the studies that have a benchmark."""
EVALUATIONS = {"duplication": _cross, "lsh_off": _off}
"""Panels of the studies that evaluate runs with other attention than that of their training."""
