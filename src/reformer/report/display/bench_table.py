"""The table and the figure of `make bench`, made from the file that `reformer.bench.side_by_side` wrote."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isinf, log
from statistics import median
from typing import Any

from reformer.markdown import markdown_table
from reformer.report.display.chart import ATTENTION_COLOURS, Figure, Panel, Series, line, log_axis
from reformer.report.evidence.benchmarks import crossing
from reformer.report.evidence.labels import attention_label, short_commit

OURS = "ours"
Content = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A target with its measurement.

    Attributes:
        what: the compared quantity.
        ours: its value here, in words.
        others: its value in the other implementation, or a reference.
        measured: the ratio or share that the target limits; None where it could not be measured.
        target: the target in words.
        met: whether the target is met.
        unit: the unit of the measured number.
    """

    what: str
    ours: str
    others: str
    measured: float | None
    target: str
    met: bool
    unit: str = "x"

    def cells(self) -> list[str]:
        """The row of the table."""
        number = "none" if self.measured is None else f"{self.measured:,.2f}".rstrip("0").rstrip(".")
        if self.measured is not None and self.measured >= 10:
            number = f"{self.measured:,.1f}"
        unit = "" if self.measured is None else f" {self.unit}".replace(" x", "x")
        return [self.what, self.ours, self.others, number + unit, self.target, "met" if self.met else "**missed**"]


def rows(content: Content, steps: Sequence[Content] = ()) -> list[Row]:
    """All targets.

    Args:
        content: the file that `run_side_by_side` wrote.
        steps: the files of the benchmarks of one step, million and paper_size, as far as they were run.
    """
    return [
        *_attention_rows(content),
        *_curve_rows(content),
        _growth_row(content),
        *_network_rows(content),
        _residuals_row(content),
        *map(_step_row, steps),
    ]


def markdown(content: Content, steps: Sequence[Content] = ()) -> str:
    """The targets, the circumstances of the measurement, the times against length, and the leak between positions."""
    environment, rate = content["environment"], matrix_rate(content)
    peers = ", ".join(f"{name} {version}" for name, version in environment["peers"].items())
    where = (
        f"{environment['device']}, {environment['threads']} threads, torch {environment['torch']}, {peers}; "
        f"float32 matrix product {rate / 1e9:,.0f} GFLOP/s in the same run. Medians of alternating calls; "
        f"forward and backward pass, LSH with the paper's chunks; OpenMP's threads wait briefly (GOMP_SPINCOUNT="
        f"{environment['gomp_spincount']}) for all of them; load at the start {environment['load_before']:.1f}; "
        f"{environment['seconds'] / 60:.0f} minutes; commit {short_commit(environment['commit'])}, {environment['time']}."
    )
    head = ["", "ours", "others", "measured", "target", ""]
    parts = [
        markdown_table(head, [row.cells() for row in rows(content, steps)]),
        where,
        _limits_words(content),
        *_curve_words(content),
        _leak_words(content),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def curve_figure(content: Content) -> Figure:
    """The time of attention against length, and its ratio to that of full attention."""
    names = sorted(content["curve"][0]["seconds"], key=lambda name: name != "full")
    lengths = [point["seq_len"] for point in content["curve"]]
    x_axis = log_axis("tokens", lengths, at=[length for length in lengths if log(length / lengths[0], 4) % 1 == 0])

    def panel(title: str, label: str, values: Callable[[dict[str, Any], str], Sequence[float]]) -> Panel:
        points = {
            name: [(point["seq_len"], values(point["seconds"], name)) for point in content["curve"]] for name in names
        }
        series = [
            Series(
                attention_label(name), ATTENTION_COLOURS.get(name, "pink"), line(points[name]), dashed=name == "full"
            )
            for name in names
        ]
        return Panel(
            title, x_axis, log_axis(label, [y for name in names for _, some in points[name] for y in some]), series
        )

    panels = [
        panel("Time, forward and backward", "seconds", lambda seconds, name: seconds[name]),
        panel("Times faster than full attention", "", lambda seconds, name: [_ratio(seconds, "full", name)]),
    ]
    return Figure("side_by_side", panels)


def matrix_rate(content: Content) -> float:
    """Operations a second of a large float32 matrix product, whose calls alternated with those of attention."""
    attention = content["attention"][0]
    return attention["matrix_product_operations"] / median(attention["seconds"]["matrix product"])


def _attention_rows(content: Content) -> Iterator[Row]:
    attention, n_hashes = content["attention"][0], content["sizes"]["n_hashes"]
    seconds = attention["seconds"]
    peer = "reformer-pytorch"
    what = f"attention, {attention['seq_len']:,} tokens, {n_hashes} rounds"
    for side, masks in (
        (f"{peer}, our masks", "both with the paper's masks"),
        (peer, f"{peer} without masks, its default"),
    ):
        ratio = _ratio(seconds, side, OURS)
        others = f"{peer} {_time(seconds[side])}"
        yield Row(f"{what}; {masks}", _time(seconds[OURS]), others, ratio, ">= 6x (goal 10x)", ratio >= 6)
    rate = attention["operations"] / median(seconds[OURS])
    share = 100 * rate / matrix_rate(content)
    ours, others = f"{rate / 1e9:.0f} GFLOP/s", f"matrix product {matrix_rate(content) / 1e9:.0f} GFLOP/s"
    yield Row("its share of the matrix rate", ours, others, share, ">= 35 % (goal 50 %)", share >= 35, "%")


def _curve_rows(content: Content) -> Iterator[Row]:
    name = f"lsh-{content['sizes']['n_hashes']}"
    points = {point["seq_len"]: point["seconds"] for point in content["curve"]}
    what = f"{content['sizes']['n_hashes']} rounds against full attention"
    for length, least in ((2048, 1), (32768, 10)):
        if length not in points:
            continue
        ratio = _ratio(points[length], "full", name)
        longer = [_ratio(seconds, "full", name) for n, seconds in points.items() if n >= length]
        ours, others = _time(points[length][name]), f"full {_time(points[length]['full'])}"
        met = min(longer) >= least if least > 1 else min(longer) > 1
        target = f"{'>=' if least > 1 else '>'} {least}x from there on"
        yield Row(f"{what}, {length:,} tokens", ours, others, ratio, target, met)


def _growth_row(content: Content) -> Row:
    seconds = content["growth"][0]["seconds"]
    lengths = sorted(map(int, seconds))
    each = {length: median(seconds[str(length)]) / length for length in lengths}
    first, last = lengths[0], lengths[-1]
    grown = 100 * (each[last] / each[first] - 1)
    what = f"time a token, from {first:,} to {last:,} tokens"
    ours, others = f"{each[last] * 1e6:.1f} us", f"{each[first] * 1e6:.1f} us at {first:,}"
    return Row(what, ours, others, grown, "< 30 % more", grown < 30, "% more")


def _network_rows(content: Content) -> Iterator[Row]:
    peaks = {peak["network"]: peak.get("peak_bytes") for peak in content["network_peak"]}
    for number, point in enumerate(content["network_time"]):
        seconds = point["seconds"]
        others = [name for name in seconds if name != OURS]
        fastest = min(others, key=lambda name: median(seconds[name]))
        ratio, least = _ratio(seconds, fastest, OURS), 1 if number else 3
        what = f"training step, {point['seq_len']:,} tokens"
        words = ", ".join(f"{name} {_time(seconds[name])}" for name in others)
        target = "not slower" if number else ">= 3x the faster (goal 4x)"
        yield Row(what, _time(seconds[OURS]), words, ratio, target, ratio >= least)
        if number == 0:
            share = peaks[OURS] / peaks[fastest] if peaks[OURS] and peaks[fastest] else None
            words = ", ".join(f"{name} {_megabytes(peaks[name])}" for name in others)
            target = "<= 0.5x that of the faster"
            met = share is not None and share <= 0.5
            yield Row("its extra peak memory", _megabytes(peaks[OURS]), words, share, target, met)


def _residuals_row(content: Content) -> Row:
    point = content["residuals"][0]
    seconds = point["seconds"]
    ratio = _ratio(seconds, "reversible", "ordinary")
    what = f"reversible training step, {point['seq_len']:,} tokens"
    others = f"ordinary {_time(seconds['ordinary'])}"
    return Row(what, _time(seconds["reversible"]), others, ratio, "<= 1.4x", ratio <= 1.4)


def _step_row(step: Content) -> Row:
    (point,), commit = step["points"], short_commit(step["environment"]["commit"])
    what = (
        f"one training step on {point['seq_len']:,} tokens, {point['n_layers']} layers: peak of the process ({commit})"
    )
    stored = sum(size for name, size in point["must_store_bytes"].items() if name != "activations_if_stored") / 1e9
    target = "<= 16 GB (goal 10 GB)"
    others = f"what must be stored {stored:.1f} GB"
    if "skipped" in point:
        return Row(what, point["skipped"], others, None, target, False)
    peak = point["process_peak_bytes"] / 1e9
    return Row(what, f"{point['seconds_per_step'] / 60:.1f} minutes", others, peak, target, peak <= 16, "GB")


def _limits_words(content: Content) -> str:
    """The share of a step's time that its arithmetic needs at the rate of a large matrix product."""
    point = content["network_time"][0]
    least = point["operations"] / matrix_rate(content)
    taken = median(point["seconds"][OURS])
    return (
        f"At that rate, the matrix products of our training step would take {least:.2f} s of its {taken:.2f} s "
        f"({100 * least / taken:.0f} %). This counts both chunks for each query; keys of other buckets are mostly skipped."
    )


def _curve_words(content: Content) -> list[str]:
    """All times against length, and the lengths from which on LSH attention is faster."""
    curve = [point["seconds"] for point in content["curve"]]
    lengths = [point["seq_len"] for point in content["curve"]]
    names = [name for name in curve[0] if name != "full"]
    rows = []
    for length, seconds in zip(lengths, curve, strict=True):
        cells = [f"{_time(seconds[name])} ({_times(_ratio(seconds, 'full', name))})" for name in names]
        rows.append([f"{length:,}", *cells, _time(seconds["full"])])
    where = []
    for name in names:
        at, n_before = crossing(lengths, *([median(seconds[side]) for seconds in curve] for side in ("full", name)))
        words = "at no length here" if isinf(at) else f"from {at:,.0f} tokens on" if n_before else "at all lengths here"
        where.append(f"{attention_label(name)} {words}")
    table = markdown_table(["tokens", *map(attention_label, names), "full"], rows)
    return [table, "Faster than full attention: " + ", ".join(where) + "."]


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.2g}x"


def _leak_words(content: Content) -> str:
    shares = [
        f"{100 * leak['share_moved']['chunk']:.3g} % with {leak['n_buckets']} buckets "
        f"({100 * leak['share_moved']['sorted']:.3g} %)"
        for leak in content.get("leak", [])
    ]
    seconds = content["attention"][0]["seconds"]
    cost = _ratio(seconds, "ours, window of sorted places", OURS)
    return (
        "Share of the outputs for random vectors that change when one later token changes, with the paper's chunks (and with "
        f"a window of sorted positions): {', '.join(shares)}. That window takes {cost:.2f} times as long."
    )


def _ratio(seconds: dict[str, Sequence[float]], name: str, other: str) -> float:
    return median(seconds[name]) / median(seconds[other])


def _time(seconds: Sequence[float]) -> str:
    value = median(seconds)
    return f"{1000 * value:.1f} ms" if value < 0.1 else f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def _megabytes(n_bytes: float | None) -> str:
    return "not measured" if n_bytes is None else f"{n_bytes / 1e6:,.0f} MB"
