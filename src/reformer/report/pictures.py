"""The panels of each study's figure. What is not there is left out; a figure of nothing raises `NotTested`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from reformer.evaluation import techniques
from reformer.report import measures, paper
from reformer.report import memory as memories
from reformer.report.chart import (
    ATTENTION_COLOURS,
    Axis,
    Panel,
    Series,
    category_axis,
    line,
    linear_axis,
    log_axis,
)
from reformer.report.measured import common_seeds, over_seeds
from reformer.report.results import NotTested, Results, Run, RunGroup

EVALUATED = ("full", "lsh-8", "lsh-4", "lsh-2", "lsh-1")
OURS, PAPER = "here", "the paper"
MB = 1e6
EARLY = 0.2
"""Share of the training that learning curves leave out: its steep fall would hide what comes after."""
T = TypeVar("T")


def name_of(attention: str) -> str:
    """The attention as the paper writes it: LSH-4, full."""
    return attention.replace("lsh", "LSH")


def table_2(results: Results) -> list[Panel]:
    """Accuracy against the attention of evaluation, a panel for each attention of training, with the paper's."""
    panels = []
    for group in _some(results.select("duplication"), "the profile has no run on duplication"):
        ours = []
        for x, evaluated in enumerate(EVALUATED):
            if values := _scores(group, evaluated, "accuracy"):
                ours.append((x, [100 * value for value in values]))
        if not ours:
            continue
        series = [Series(OURS, "blue", line(ours))]
        if published := paper.TABLE_2.get(group.spec.attention):
            points = [(x, [100 * published[evaluated]]) for x, evaluated in enumerate(EVALUATED)]
            series.append(Series(PAPER, "ink", line(points), dashed=True))
        x_axis = category_axis("evaluated with", [name_of(kind).replace("LSH-", "") for kind in EVALUATED])
        y_axis = Axis("accuracy, %", 0, 100, [(tick, str(tick)) for tick in (0, 25, 50, 75, 100)])
        panels.append(Panel(f"Trained with {name_of(group.spec.attention)}", x_axis, y_axis, series, digits=1))
    return _some(panels, "no run on duplication has an evaluation")


def learning_curves(
    groups: Sequence[RunGroup], names: Sequence[str], colours: Sequence[str], dashed: str = ""
) -> Panel:
    """Held-out bits/dim by step: mean, least and greatest over the seeds. `dashed` names a line that hides another."""
    series = []
    for group, name, colour in zip(groups, names, colours, strict=True):
        curves = [curve for run in group.runs.values() if (curve := _curve(run))]
        if curves:
            steps = sorted(set.intersection(*(set(curve) for curve in curves)))
            steps = [step for step in steps if step >= EARLY * steps[-1]]
            points = line((step, [curve[step] for curve in curves]) for step in steps)
            series.append(Series(name, colour, points, dashed=name == dashed))
    _some(series, "no run has a curve")
    x_values = [point[0] for one in series for point in one.points]
    return Panel(
        "Held-out data while training",
        linear_axis("step", [0, *x_values]),
        linear_axis("bits/dim", _heights(series)),
        series,
        label_ends=len(series) > 2,
    )


def reversible(results: Results, data: tuple[str, ...]) -> list[Panel]:
    """The two curves, and beside them their difference with the limits that the claim sets it."""
    panels = _pair(results.twins(results.data(data), "reversible"), ["reversible", "ordinary"])
    if len(panels) == 1:
        return panels
    curves, apart = panels
    ends, limits = (apart.x.low, apart.x.high), (measures.PARITY_LIMIT, -measures.PARITY_LIMIT)
    apart.series.extend(Series("limits", "sky", line((x, [y]) for x in ends), dashed=True) for y in limits)
    return [curves, replace(apart, y=linear_axis("bits/dim", _heights(apart.series)))]


def shared_qk(results: Results, data: tuple[str, ...]) -> list[Panel]:
    """The two curves, and beside them their difference."""
    return _pair(results.twins(results.data(data), "shared_qk"), ["shared QK", "separate QK"])


def hash_rounds(groups: Sequence[RunGroup]) -> list[Panel]:
    """The curves by rounds, and beside them the score at the end against the rounds, full attention as a level."""
    colours = [ATTENTION_COLOURS.get(group.spec.attention, "pink") for group in groups]
    panels = [learning_curves(groups, [name_of(group.spec.attention) for group in groups], colours)]
    rounds = [group.spec.n_hashes for group in groups if group.spec.n_hashes]
    series = []
    for group, colour in zip(groups, colours, strict=True):
        if values := _scores(group, "trained"):
            n = group.spec.n_hashes
            points = line((x, values) for x in range(len(rounds)) if n in (0, rounds[x]))
            series.append(Series(name_of(group.spec.attention), colour, points, dashed=not n))
    if rounds and series:
        x_axis = category_axis("hash rounds", [str(n) for n in rounds])
        panels.append(Panel("Test data after training", x_axis, linear_axis("bits/dim", _heights(series)), series))
    return panels


def by_depth(groups: Sequence[RunGroup]) -> list[Panel]:
    """The curves by number of layers."""
    names = [f"{group.spec.n_layers or group.first().train['n_layers']} layers" for group in groups]
    colours = ["sky", "blue", "green", "red", "pink"] * len(groups)
    return [learning_curves(groups, names, colours[: len(groups)])]


def lsh_off(groups: Sequence[RunGroup]) -> list[Panel]:
    """Bits/dim with the LSH layers on and off, a panel for each data set."""
    panels = []
    for data in dict.fromkeys(group.spec.data for group in groups):
        here = [group for group in groups if group.spec.data == data]
        series = []
        for key, name, colour in (("trained", "LSH on", "blue"), ("off", "LSH switched off", "ink")):
            points = [(x, values) for x, group in enumerate(here) if (values := _scores(group, key))]
            series.append(Series(name, colour, line(points), joined=False))
        labels = [name_of(g.spec.attention) + (" ord." if not g.spec.reversible else "") for g in here]
        y_axis = linear_axis("bits/dim", [0, *_heights(series)])
        panels.append(Panel(f"Test data: {data}", category_axis("trained with", labels), y_axis, series))
    return panels


def speed(results: Results) -> list[Panel]:
    """Seconds a step here and in the paper, and the peak memory here, against the length."""
    by_attention = measures.points_by_length(results)
    tokens = results.benchmark("speed_by_length")["tokens"]
    published = {
        name: dict(zip(paper.LENGTHS, seconds, strict=True)) for name, seconds in paper.FIGURE_5_SECONDS.items()
    }
    time, memory, theirs = [], [], []
    for name, points in by_attention.items():
        colour, label = ATTENTION_COLOURS.get(name, "pink"), name_of(name)
        timed = [
            (float(length), p["seconds_per_step"], p["seconds_min"], p["seconds_max"]) for length, p in points.items()
        ]
        time.append(Series(label, colour, timed))
        peaks = line((length, [p["peak_bytes"] / MB]) for length, p in points.items() if p["peak_bytes"] > 0)
        memory.append(Series(label, colour, peaks))
        if name in published:
            points_there = line((length, [seconds]) for length, seconds in published[name].items())
            theirs.append(Series(label, colour, points_there, dashed=True))
    panels = [_against_length(f"Here: {tokens:,} tokens a step", "seconds a step", time)]
    if theirs:
        panels.append(_against_length("The paper: 32,768 tokens a step", "seconds a step", theirs))
    panels.append(_against_length("Here: peak memory of a step", "MB", memory))
    return panels


MEMORY_LINES = {
    techniques.ALL: ("all techniques", "blue"),
    techniques.STORED: ("ordinary residuals", "ink"),
    techniques.WHOLE: ("not in chunks", "red"),
    techniques.FULL: ("full attention", "green"),
    techniques.UNFUSED: ("full attention, unfused", "green"),
    techniques.NONE: ("no technique", "pink"),
    techniques.NONE_UNFUSED: ("no technique, unfused", "pink"),
}
"""Name and colour of the steps that the memory benchmark compares."""


def memory(results: Results) -> list[Panel]:
    """Peak memory against length, depth, hash rounds and d_ff, with all techniques and without some."""
    panels = []
    for axis, what, label in (
        ("seq_len", "Length", "sequence length, tokens"),
        ("n_layers", "Depth", "layers"),
        ("n_hashes", "Hash rounds", "hash rounds"),
        ("d_ff", "Feed-forward", "d_ff"),
    ):
        found = memories.peaks(results, axis)
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
            point = memories.points(results, axis)[0]
            held = f"{point['n_layers']} layers" if axis == "seq_len" else f"{point['seq_len']:,} tokens"
            panels.append(_peaks(f"{what}, at {held}", label, series, log=axis == "seq_len"))
    return _some(panels, "the benchmark has no points")


def _peaks(title: str, label: str, series: list[Series], log: bool) -> Panel:
    values = sorted({point[0] for one in series for point in one.points})
    heights = _heights(series)
    if log:
        x_axis, y_axis = log_axis(label, values, at=values), log_axis("peak memory, MB", heights)
    else:
        x_axis = Axis(label, 0, max(values) * 1.05, [(value, f"{value:,.0f}") for value in values])
        y_axis = linear_axis("peak memory, MB", [0, *heights])
    return Panel(title, x_axis, y_axis, series, digits=0)


def _pair(pair: tuple[RunGroup, RunGroup], names: list[str]) -> list[Panel]:
    curves = learning_curves(pair, names, ["blue", "ink"], dashed=names[1])
    differences: dict[int, list[float]] = {}
    for seed in common_seeds(pair):
        one, other = (_curve(group.runs[seed]) for group in pair)
        for step in one.keys() & other.keys():
            differences.setdefault(step, []).append(one[step] - other[step])
    if not differences:
        return [curves]
    series = [Series(f"{names[0]} − {names[1]}", "red", line(sorted(differences.items())))]
    y_axis = linear_axis("bits/dim", [0, *_heights(series)], least_span=0.02)
    return [curves, Panel("Difference between the two", curves.x, y_axis, series, digits=4)]


def _against_length(title: str, label: str, series: list[Series]) -> Panel:
    lengths = sorted({point[0] for one in series for point in one.points})
    x_axis = log_axis("sequence length, tokens", lengths, at=lengths)
    return Panel(title, x_axis, log_axis(label, _heights(series)), series, label_ends=True)


def _heights(series: Iterable[Series]) -> list[float]:
    return [height for one in series for point in one.points for height in point[1:]]


def _scores(group: RunGroup, attention: str, metric: str = "bits_per_dim") -> tuple[float, ...]:
    try:
        return over_seeds([group], lambda run: run.score(attention, metric)).values
    except NotTested:
        return ()


def _curve(run: Run) -> dict[int, float]:
    try:
        return run.curve("val", "bits_per_dim")
    except NotTested:
        return {}


def _some(things: list[T], otherwise: str) -> list[T]:
    if not things:
        raise NotTested(otherwise)
    return things
