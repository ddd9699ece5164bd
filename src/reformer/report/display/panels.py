"""The panels of each study's figure. Leaves out what is missing, and raises NotTested if nothing is left."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import cycle
from typing import TypeVar

from reformer.bench import techniques
from reformer.report.claims.learning import evaluated_without_lsh
from reformer.report.display.chart import (
    ATTENTION_COLOURS,
    LINE_COLOURS,
    Axis,
    Panel,
    Series,
    category_axis,
    line,
    linear_axis,
    log_axis,
)
from reformer.report.evidence import paper
from reformer.report.evidence.benchmarks import Content, peaks_along, points_along, points_by_length
from reformer.report.evidence.labels import MB, attention_label, differing_settings, distinct_labels
from reformer.report.evidence.measured import common_seeds, over_seeds
from reformer.report.evidence.results import NotTested, Run, RunGroup, by_value

Groups = Sequence[RunGroup]
T = TypeVar("T")
EVALUATED = ("full", "lsh-8", "lsh-4", "lsh-2", "lsh-1")
"""The columns of Table 2."""
EARLY = 0.2
"""Share of the training that learning curves leave out: its steep fall would hide the rest."""


def copying(groups: Groups) -> list[Panel]:
    """Table 2: accuracy against the attention of evaluation, with one panel for each attention of training."""
    panels = []
    for group in groups:
        ours = []
        for x, evaluated in enumerate(EVALUATED):
            if values := _scores(group, evaluated, "accuracy"):
                ours.append((x, [100 * value for value in values]))
        if not ours:
            continue
        series = [Series("here", "blue", line(ours))]
        if published := paper.TABLE_2.get(group.spec.attention):
            points = [(x, [100 * published[evaluated]]) for x, evaluated in enumerate(EVALUATED)]
            series.append(Series("the paper", "ink", line(points), dashed=True))
        x_axis = category_axis("evaluated with", [attention_label(kind).replace("LSH-", "") for kind in EVALUATED])
        y_axis = Axis("accuracy, %", 0, 100, [(tick, str(tick)) for tick in (0, 25, 50, 75, 100)])
        panels.append(Panel(f"Trained with {attention_label(group.spec.attention)}", x_axis, y_axis, series))
    return _some(panels, "no run on duplication has an evaluation")


def learning(groups: Groups) -> list[Panel]:
    """The learning curves of any runs, ordered by the value of a setting if they differ in that one alone."""
    settings = differing_settings(groups)
    return [_learning_curves(by_value(groups, settings[0]) if len(settings) == 1 else groups, LINE_COLOURS)]


def against_transformer(groups: Groups) -> list[Panel]:
    """The learning curves of a Reformer and a Transformer: after equal steps, and after equal time, for each data set."""
    panels = []
    for data in dict.fromkeys(group.spec.data for group in groups):
        pair = [group for group in groups if group.spec.data == data]
        named = zip(pair, ("Reformer", "Transformer"), strict=True)
        found = [(group, name) for group, name in named if any(map(_curve, group.runs.values()))]
        if not found:
            continue
        curves = _learning_curves([group for group, _ in found], ["blue", "ink"][-len(found) :])
        series = [replace(one, name=name) for one, (_, name) in zip(curves.series, found, strict=True)]
        panels.append(replace(curves, title=f"{data}: equal steps", series=series))
        with suppress(NotTested):
            speeds = [group.seconds_per_step() for group, _ in found]
            panels.append(replace(_against_time(panels[-1], speeds), title=f"{data}: equal time"))
    return _some(panels, "no run has a curve")


def _against_time(curves: Panel, seconds_per_step: Sequence[float]) -> Panel:
    """The same curves against the seconds of training."""
    series = [
        replace(one, points=[(x * seconds, mean, low, high) for x, mean, low, high in one.points])
        for one, seconds in zip(curves.series, seconds_per_step, strict=True)
    ]
    x_axis = linear_axis("seconds of training", [0, *(point[0] for one in series for point in one.points)])
    return replace(curves, x=x_axis, series=series)


def pair(groups: Groups, limit: float | None = None) -> list[Panel]:
    """The learning curves of two runs, and their difference with the limits of the claim about it."""
    curves = _learning_curves(groups, ["blue", "ink"], dashed_last=True)
    differences: dict[int, list[float]] = {}
    for seed in common_seeds(groups):
        one, other = (_curve(group.runs[seed]) for group in groups)
        for step in one.keys() & other.keys():
            differences.setdefault(step, []).append(one[step] - other[step])
    if not differences:
        return [curves]
    series = [Series(" − ".join(distinct_labels(groups)), "red", line(sorted(differences.items())))]
    y_axis = linear_axis("bits/dim", [0, *_heights(series)], least_span=0.02)
    if limit is not None:
        ends = (curves.x.low, curves.x.high)
        series += [Series("limits", "sky", line((x, [y]) for x in ends), dashed=True) for y in (limit, -limit)]
        y_axis = linear_axis("bits/dim", _heights(series))
    return [curves, Panel("Difference between the two", curves.x, y_axis, series)]


def with_levels(panel: Panel, levels: Mapping[str, float]) -> Panel:
    """Adds horizontal lines to learning curves."""
    lines = [
        Series(name, colour, line((x, [level]) for x in (panel.x.low, panel.x.high)), dashed=True)
        for (name, level), colour in zip(levels.items(), ("red", "pink"), strict=False)
    ]
    series = [*panel.series, *lines]
    return replace(panel, y=linear_axis(panel.y.label, _heights(series)), series=series)


def hash_rounds(groups: Groups) -> list[Panel]:
    """The learning curves, and the final score against the rounds with full attention as a level."""
    colours = [ATTENTION_COLOURS.get(group.spec.attention, "pink") for group in groups]
    panels = [_learning_curves(groups, colours)]
    rounds = [group.spec.n_hashes for group in groups if group.spec.n_hashes]
    series = []
    for group, colour in zip(groups, colours, strict=True):
        if values := _scores(group, "trained"):
            n = group.spec.n_hashes
            points = line((x, values) for x in range(len(rounds)) if n in (0, rounds[x]))
            series.append(Series(attention_label(group.spec.attention), colour, points, dashed=not n))
    if rounds and series:
        x_axis = category_axis("hash rounds", [str(n) for n in rounds])
        panels.append(Panel("Test split after training", x_axis, linear_axis("bits/dim", _heights(series)), series))
    return panels


def lsh_off(groups: Groups) -> list[Panel]:
    """Bits/dim with the LSH layers on and off, with one panel for each data set."""
    panels = []
    evaluated = evaluated_without_lsh(groups)
    for data in dict.fromkeys(group.spec.data for group in evaluated):
        here = [group for group in evaluated if group.spec.data == data]
        series = []
        for key, name, colour in (("trained", "LSH on", "blue"), ("off", "LSH switched off", "ink")):
            points = [(x, values) for x, group in enumerate(here) if (values := _scores(group, key))]
            series.append(Series(name, colour, line(points), joined=False))
        y_axis = linear_axis("bits/dim", [0, *_heights(series)])
        x_axis = category_axis("trained with", distinct_labels(here, separator="\n"))
        panels.append(Panel(f"Test split of {data}", x_axis, y_axis, series))
    return panels


def speed(benchmark: Content) -> list[Panel]:
    """Seconds a step here and in the paper, and the peak memory here, against the length."""
    time, memory, published = [], [], []
    for name, points in points_by_length(benchmark).items():
        colour, label = ATTENTION_COLOURS.get(name, "pink"), attention_label(name)
        timed = [
            (float(length), p["seconds_per_step"], p["seconds_min"], p["seconds_max"]) for length, p in points.items()
        ]
        time.append(Series(label, colour, timed))
        peaks = line((length, [p["peak_bytes"] / MB]) for length, p in points.items() if p["peak_bytes"] > 0)
        memory.append(Series(label, colour, peaks))
        if name in paper.FIGURE_5_SECONDS:
            theirs = zip(paper.LENGTHS, paper.FIGURE_5_SECONDS[name], strict=True)
            published.append(
                Series(label, colour, line((length, [seconds]) for length, seconds in theirs), dashed=True)
            )
    panels = [_against_length(f"Here: {benchmark['tokens']:,} tokens a step", "seconds a step", time)]
    if published:
        panels.append(_against_length("The paper: 32,768 tokens a step", "seconds a step", published))
    panels.append(_against_length("Here: peak memory of a step", "MB", memory))
    return panels


MEMORY_LINES = {
    techniques.ALL_TECHNIQUES: ("all techniques", "blue"),
    techniques.WITHOUT_REVERSIBLE: ("ordinary residuals", "ink"),
    techniques.WITHOUT_CHUNKS: ("not in chunks", "red"),
    techniques.FULL_ATTENTION: ("full attention", "green"),
    techniques.UNFUSED_ATTENTION: ("full attention, unfused", "green"),
    techniques.NO_TECHNIQUE: ("no technique", "pink"),
    techniques.NO_TECHNIQUE_UNFUSED: ("no technique, unfused", "pink"),
}
"""Name and colour of the steps that the memory benchmark compares."""


def memory(benchmark: Content) -> list[Panel]:
    """Peak memory against length, depth, hash rounds and d_ff, with all techniques and without some."""
    panels = []
    for axis, what, label in (
        ("seq_len", "Length", "sequence length, tokens"),
        ("n_layers", "Depth", "layers"),
        ("n_hashes", "Hash rounds", "hash rounds"),
        ("d_ff", "Feed-forward", "d_ff"),
    ):
        found = peaks_along(benchmark, axis)
        series = [
            Series(
                name,
                colour,
                line((x, [peak / MB]) for x, peak in found[used].items() if peak > 0 or axis != "seq_len"),
                dashed=used.attention == "unfused",
            )
            for used, (name, colour) in MEMORY_LINES.items()
            if used in found
        ]
        if series:
            point = points_along(benchmark, axis)[0]
            fixed = f"{point['n_layers']} layers" if axis == "seq_len" else f"{point['seq_len']:,} tokens"
            panels.append(_peaks(f"{what}, at {fixed}", label, series, log=axis == "seq_len"))
    return _some(panels, "the benchmark has no points")


def _peaks(title: str, label: str, series: list[Series], log: bool) -> Panel:
    values = sorted({point[0] for one in series for point in one.points})
    heights = _heights(series)
    if log:
        x_axis, y_axis = log_axis(label, values, at=values), log_axis("peak memory, MB", heights)
    else:
        x_axis = Axis(label, 0, max(values) * 1.05, [(value, f"{value:,.0f}") for value in values])
        y_axis = linear_axis("peak memory, MB", [0, *heights])
    return Panel(title, x_axis, y_axis, series)


def _learning_curves(groups: Groups, colours: Sequence[str], dashed_last: bool = False) -> Panel:
    """Validation bits/dim by step: mean, minimum and maximum over the seeds. A dashed last line leaves the first visible."""
    series = []
    for group, name, colour in zip(groups, distinct_labels(groups), cycle(colours), strict=False):
        curves = [curve for run in group.runs.values() if (curve := _curve(run))]
        if curves:
            steps = sorted(set.intersection(*(set(curve) for curve in curves)))
            steps = [step for step in steps if step >= EARLY * steps[-1]]
            points = line((step, [curve[step] for curve in curves]) for step in steps)
            series.append(Series(name, colour, points, dashed=dashed_last and group is groups[-1]))
    _some(series, "no run has a curve")
    x_values = [point[0] for one in series for point in one.points]
    x_axis = linear_axis("step", [0, *x_values])
    return Panel("Validation during training", x_axis, linear_axis("bits/dim", _heights(series)), series)


def _against_length(title: str, label: str, series: list[Series]) -> Panel:
    lengths = sorted({point[0] for one in series for point in one.points})
    x_axis = log_axis("sequence length, tokens", lengths, at=lengths)
    return Panel(title, x_axis, log_axis(label, _heights(series)), series)


def _heights(series: Iterable[Series]) -> list[float]:
    return [height for one in series for point in one.points for height in point[1:]]


def _scores(group: RunGroup, attention: str, metric: str = "bits_per_dim") -> tuple[float, ...]:
    try:
        return over_seeds([group], lambda run: run.score(attention, metric)).values
    except NotTested:
        return ()


def _curve(run: Run) -> dict[int, float]:
    try:
        return run.validation("bits_per_dim")
    except NotTested:
        return {}


def _some(found: list[T], otherwise: str) -> list[T]:
    if not found:
        raise NotTested(otherwise)
    return found
