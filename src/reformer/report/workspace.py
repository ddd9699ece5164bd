"""The studies in W&B: a saved workspace of all curves, and a report with a section a study. Needs the extra `workspace`."""

from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces import expr

from reformer.report.results import NotTested, Results
from reformer.report.studies import STUDIES

TITLE = "Claims of the Reformer paper"
DRAWN = "What the networks draw"
LINES = ("variant", "settings")
"""What the runs of one line share: all but the seed."""
MEMORY_AXES = {"seq_len": "length", "n_layers": "layers", "n_hashes": "hash rounds", "d_ff": "d_ff"}
EVALUATIONS = "test/evaluations"
CROSS = [f"test/{attention}/accuracy" for attention in ("full", "lsh-8", "lsh-4", "lsh-2", "lsh-1")]


def workspace(entity: str, project: str) -> ws.Workspace:
    """All curves of the project, a line for the runs that differ in their seed only.

    Args:
        entity: the user or team that the project belongs to.
        project: its name.
    """
    sections = [
        ws.Section("Learning", panels=_learning(), is_open=True),
        ws.Section("Evaluated with other attention", panels=_cross(), is_open=True),
        ws.Section("Time and memory of a step", panels=[*_speed(), *_memory()], is_open=True),
        ws.Section("Speed and memory of the training", panels=_machine()),
        ws.Section("Texts and images drawn", panels=_drawn()),
    ]
    settings = ws.RunsetSettings(groupby=[expr.Metric("JobType"), *map(expr.Config, LINES)])
    return ws.Workspace(entity=entity, project=project, name=TITLE, sections=sections, runset_settings=settings)


def report(entity: str, project: str, results: Results) -> wr.Report:
    """A section for each study, in the order of data/report, with the runs that are compared there alone.

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
            compared = expr.Config("variant").isin([group.name for group in study.groups(results)])
        except NotTested as reason:
            blocks.append(wr.P(f"Not shown: {reason}."))
            continue
        if study.id != "lsh_off":
            blocks.append(grid(_learning(), compared, expr.Metric("JobType") == "train"))
        if study.id in EVALUATED:
            blocks.append(grid(EVALUATED[study.id](), compared, expr.Metric("JobType") == "evaluate"))
    blocks += [wr.H2(DRAWN), grid(_drawn(), expr.Metric("JobType") == "generate")]
    return wr.Report(entity=entity, project=project, title=TITLE, blocks=blocks, width="fluid")


def _learning() -> list[wr.LinePlot]:
    return [
        _by_step("val/bits_per_dim", "Held-out bits/dim"),
        _by_step("val/accuracy", "Held-out accuracy"),
        _by_step("train/loss", "Training loss, nats"),
    ]


def _machine() -> list[wr.LinePlot]:
    return [_by_step("train/tokens_per_second", "Tokens a second"), _by_step("train/peak_memory_MB", "Peak memory, MB")]


def _by_step(metric: str, title: str) -> wr.LinePlot:
    return wr.LinePlot(title=title, x="trainer/global_step", y=[metric], title_x="step")


def _cross() -> list[wr.BarPlot | wr.WeavePanelSummaryTable]:
    """Training attention x evaluation attention: W&B joins the tables of all evaluations into one."""
    bars = wr.BarPlot(title="Test accuracy by the attention of the evaluation", metrics=CROSS)
    return [bars, wr.WeavePanelSummaryTable(table_name=EVALUATIONS, layout=wr.Layout(w=16, h=10))]


def _off() -> list[wr.BarPlot]:
    metrics = ["test/trained/bits_per_dim", "test/off/bits_per_dim"]
    return [wr.BarPlot(title="Test bits/dim with the LSH layers on and off", metrics=metrics)]


def _drawn() -> list[wr.MediaBrowser | wr.WeavePanelSummaryTable]:
    """What the networks drew at the end of held-out sequences."""
    images = wr.MediaBrowser(title="Given, drawn, original", media_keys=["test/images"])
    return [images, wr.WeavePanelSummaryTable(table_name="test/texts", layout=wr.Layout(w=16, h=10))]


def _speed() -> list[wr.LinePlot]:
    return [
        _by_axis("speed_by_length", "seq_len", "seconds_per_step", "Seconds a step against length"),
        _by_axis("speed_by_length", "seq_len", "peak_MB", "Peak memory against length, MB"),
    ]


def _memory() -> list[wr.LinePlot]:
    return [
        _by_axis("memory", axis, "peak_MB", f"Peak memory against {name}, MB", f"by_{axis}/")
        for axis, name in MEMORY_AXES.items()
    ]


def _by_axis(benchmark: str, axis: str, measured: str, title: str, curves: str = "") -> wr.LinePlot:
    """All curves of a benchmark against its own axis, on logarithmic scales."""
    regex = f"^{benchmark}/{curves}.*/{measured}$"
    return wr.LinePlot(title=title, x=f"{benchmark}/{axis}", metric_regex=regex, log_x=True, log_y=True, title_x=axis)


BENCHMARKS = {"speed_by_length": _speed, "memory": _memory}
"""Panels of the studies that have a benchmark."""
EVALUATED = {"duplication": _cross, "lsh_off": _off}
"""Panels of the studies whose runs are evaluated with other attention than they were trained with."""
