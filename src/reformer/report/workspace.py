"""The studies in W&B: a saved workspace of all curves, and a report with a section a study. Needs the extra `workspace`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces import expr

from reformer.report.results import IMAGES, TEXTS

TITLE = "Claims of the Reformer paper"
LINES = ("variant", "settings")
"""What the runs of one line share: all but the seed."""
MEMORY_AXES = {"seq_len": "length", "n_layers": "layers", "n_hashes": "hash rounds", "d_ff": "d_ff"}
EVALUATIONS = "test/evaluations"
CROSS = [f"test/{attention}/accuracy" for attention in ("full", "lsh-8", "lsh-4", "lsh-2", "lsh-1")]


@dataclass(frozen=True)
class Study:
    """A section of the report: runs that tags choose, a line for each but for its seed."""

    title: str
    data: Sequence[str]
    """Names of the data sets, whichever the profile has."""
    tags: Sequence[str] = ()
    """Tags that all its runs have."""
    without: Sequence[str] = ("separate-qk",)
    """Tags that none of them has."""


STUDIES = [
    Study("Hash rounds on the duplication task (Table 2)", ("duplication",)),
    Study("Sharing queries and keys on text (Figure 3, left)", TEXTS, ("full", "reversible"), ()),
    Study("Sharing queries and keys on images (Figure 3, left)", IMAGES, ("full", "reversible"), ()),
    Study("Reversible layers on text (Figure 3, right)", TEXTS),
    Study("Reversible layers on images (Figure 3, right)", IMAGES),
    Study("Hash rounds on images (Figure 4)", IMAGES, ("reversible",)),
    Study("Depth on text (Figure 5, left)", TEXTS, ("reversible",)),
]


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
    ]
    settings = ws.RunsetSettings(groupby=[expr.Metric("JobType"), *map(expr.Config, LINES)])
    return ws.Workspace(entity=entity, project=project, name=TITLE, sections=sections, runset_settings=settings)


def report(entity: str, project: str) -> wr.Report:
    """A section for each study, with its runs alone."""

    def grid(filters: list[expr.FilterExpr], panels: list[Any]) -> wr.PanelGrid:
        runs = wr.Runset(
            entity=entity, project=project, filters=expr.And(*filters), groupby=[f"config.{key}" for key in LINES]
        )
        return wr.PanelGrid(runsets=[runs], panels=panels)

    blocks: list[wr.H2 | wr.P | wr.PanelGrid] = [wr.P("Lines are means over seeds. The verdicts are in data/report.")]
    for study in STUDIES:
        chosen = [expr.Tags().isin(list(study.data)), *(expr.Tags().isin([tag]) for tag in study.tags)]
        chosen += [expr.Tags().notin(list(study.without))] if study.without else []
        blocks += [wr.H2(study.title), grid([*chosen, expr.Metric("JobType") == "train"], _learning())]
        if study.data == ("duplication",):
            blocks.append(grid([*chosen, expr.Metric("JobType") == "evaluate"], _cross()))
    benchmarks = [expr.Metric("JobType") == "benchmark"]
    blocks += [wr.H2("Time and memory against length (Figure 5, right)"), grid(benchmarks, _speed())]
    blocks += [wr.H2("Memory with each technique on and off (Tables 1 and 3)"), grid(benchmarks, _memory())]
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
