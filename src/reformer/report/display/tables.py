"""The tables of each study: the numbers behind its figure, its size and the paper's, and the origin of its runs."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from reformer.bench.techniques import ALL_TECHNIQUES, FULL_ATTENTION, NO_TECHNIQUE_UNFUSED
from reformer.report.claims.learning import evaluated_without_lsh
from reformer.report.display.panels import EVALUATED, MEMORY_LINES, Groups
from reformer.report.evidence import paper
from reformer.report.evidence.benchmarks import Content, peaks_along, points_by_length, share_of_peak
from reformer.report.evidence.labels import (
    FURTHER,
    MB,
    MISSING,
    attention_label,
    describe,
    device,
    duration,
    short_commit,
)
from reformer.report.evidence.measured import PERCENT, TIMES, Unit, over_seeds
from reformer.report.evidence.results import NotTested, Run, RunGroup

PLAIN = Unit("", 3)
"""Bits/dim in a column whose heading has the unit."""


@dataclass(frozen=True)
class Cell:
    """A cell: its text, a published number below it, and a shade from 0 to 1."""

    text: str
    note: str = ""
    shade: float | None = None


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows."""

    columns: list[str]
    rows: list[list[Cell]]
    note: str = ""


def cells(*texts: str) -> list[Cell]:
    """Plain cells."""
    return [Cell(text) for text in texts]


def copying(groups: Groups) -> Table:
    """Table 2: accuracy by the attention of training and of evaluation, with the paper's numbers below."""
    rows = []
    evaluations = [*EVALUATED, *(key for key in FURTHER if _any_evaluated(groups, key))]
    for group in groups:
        row = cells(attention_label(group.spec.attention))
        published = paper.TABLE_2.get(group.spec.attention, {})
        for evaluated in evaluations:
            note = f"paper {100 * published[evaluated]:g}" if evaluated in published else ""
            text, mean = _score(group, evaluated, "accuracy", PERCENT)
            row.append(Cell(text, note, mean))
        rows.append(row)
    heads = [attention_label(key) for key in evaluations]
    note = "Share of the second w's symbols that are predicted correctly, on sequences outside the training."
    return Table(["Trained with ↓ evaluated with →", *heads], rows, note)


def scores(groups: Groups) -> Table:
    """Size and score of each group after training, also with the LSH layers off where that was evaluated."""
    return _scores_with(groups, {})


def against_transformer(groups: Groups) -> Table:
    """Size, score, time and memory of each group's training."""
    measured = {"Seconds a step": "seconds_per_step", "Peak of the process, MB": "peak_mb"}
    return _scores_with(groups, measured)


def _scores_with(groups: Groups, measured: Mapping[str, str]) -> Table:
    columns = [
        "Run",
        "Parameters",
        "Tokens seen",
        "Learning rate",
        "Fell in the last fifth",
        "Validation",
        "Test",
        "Seeds",
    ]
    off = [attention_label("off")] * _any_evaluated(groups, "off")
    columns[-1:-1] = [*off, *measured]
    rows = []
    for group in groups:
        name = f"{group.spec.data}, {describe(group)}"
        try:
            train = group.first().train
        except NotTested:
            rows.append(cells(name, *[MISSING] * (len(columns) - 1)))
            continue
        rows.append(
            cells(
                name,
                f"{train['n_parameters']:,}",
                f"{train['tokens_seen']:,}",
                _or_missing(partial(group.value, "optimizer.lr")),
                _or_missing(partial(_fall, group)),
                over_seeds([group], lambda run: float(run.train["val"]["bits_per_dim"])).text(PLAIN),
                _score(group, "trained", "bits_per_dim", PLAIN)[0],
                *(_score(group, "off", "bits_per_dim", PLAIN)[0] for _ in off),
                *(_or_missing(partial(_cost, group, key)) for key in measured.values()),
                f"{len(group.trained)} of {len(group.runs)}",
            )
        )
    note = (
        "Scores are in bits/dim: mean ± standard deviation over the seeds. A claim compares the seeds that all of its networks "
        "have."
    )
    if measured:
        note += " Times are those of trainings side by side on one machine, and include no evaluation."
    return Table(columns, rows, note)


def _fall(group: RunGroup) -> str:
    return PLAIN.text(-over_seeds([group], Run.last_fifth).mean)


def _cost(group: RunGroup, key: str) -> str:
    """Median seconds of a training step, or the greatest memory of the process in MB, over the seeds."""
    if key == "peak_mb":
        return f"{max(run.environment['peak_bytes'] for run in group.trained) / MB:,.0f}"
    return f"{group.seconds_per_step():.3f}"


def _or_missing(text: Callable[[], str]) -> str:
    try:
        return text()
    except NotTested:
        return MISSING


def lsh_off(groups: Groups) -> Table:
    """Score of each group with its LSH layers on and off."""
    rows = []
    for group in evaluated_without_lsh(groups):
        bits = (_score(group, key, "bits_per_dim", PLAIN)[0] for key in ("trained", "off"))
        rows.append(cells(f"{group.spec.data}, {describe(group)}", *bits))
    return Table(["Run", "LSH on, bits/dim", "LSH switched off, bits/dim"], rows)


def speed(benchmark: Content) -> Table:
    """Seconds a step by attention and length, with the paper's numbers below."""
    by_attention = points_by_length(benchmark)
    lengths = sorted({length for points in by_attention.values() for length in points})
    rows = []
    for name, points in by_attention.items():
        published = dict(zip(paper.LENGTHS, paper.FIGURE_5_SECONDS.get(name, ()), strict=False))
        row = cells(attention_label(name))
        for length in lengths:
            text = f"{points[length]['seconds_per_step']:#.3g}".rstrip(".") if length in points else MISSING
            row.append(Cell(text, f"paper {published[length]:g}" if length in published else ""))
        rows.append(row)
    note = (
        f"Seconds a step of {benchmark['tokens']:,} tokens: median of the repeats. The paper's steps have 32,768 tokens and "
        "ran on another machine: compare the changes along a row, not the numbers themselves."
    )
    return Table(["Attention ↓ length\u00a0→", *(f"{length:,}" for length in lengths)], rows, note)


def memory(benchmark: Content) -> Table:
    """Peak memory by the value of each axis and the techniques in use, then Hugging Face's by depth."""
    rows = []
    for axis, unit in (("seq_len", "tokens"), ("n_layers", "layers"), ("n_hashes", "rounds"), ("d_ff", "d_ff")):
        found = peaks_along(benchmark, axis)
        for value in sorted({value for by_value in found.values() for value in by_value}):
            row = [found.get(used, {}).get(value) for used in MEMORY_LINES]
            rows.append(cells(f"{unit} {value:,}", *(MISSING if peak is None else f"{peak / MB:,.0f}" for peak in row)))
    theirs = {ALL_TECHNIQUES: paper.HUGGING_FACE_MB[True], NO_TECHNIQUE_UNFUSED: paper.HUGGING_FACE_MB[False]}
    for depth in paper.HUGGING_FACE_MB[True]:
        row = [theirs[used][depth] if used in theirs else None for used in MEMORY_LINES]
        rows.append(cells(f"Hugging Face, layers {depth}", *(MISSING if peak is None else f"{peak:,}" for peak in row)))
    note = (
        "MB above the memory held before the step. Each point has a process of its own, which returns freed memory to the "
        "system at once. Hugging Face: all memory of training a Reformer and BERT on a GPU, length 512, batch 8."
    )
    with suppress(NotTested):
        share, length = share_of_peak(benchmark, FULL_ATTENTION)
        note += (
            f" At {length:,} tokens, the peak with all techniques is {TIMES.text(share)} that of the same step with fused "
            "full attention instead of LSH attention."
        )
    return Table(["Peak, MB", *(name for name, _ in MEMORY_LINES.values())], rows, note)


def scale(theirs: Mapping[str, str], run: Run) -> Table:
    """The size of a study's runs, below that of the paper's."""
    train = run.train
    ours = {
        "Data": train["data"],
        "Length": f"{train['seq_len']:,}",
        "Layers": str(train["n_layers"]),
        "d_model": f"{train['d_model']:,}",
        "Sequences a step": f"{train['tokens_seen'] / train['steps'] / train['seq_len']:,.0f}",
        "Steps": f"{train['steps']:,}",
    }
    rows = [cells("Paper", *theirs.values()), cells("Here", *(ours[key] for key in theirs))]
    return Table(["", *theirs], rows)


def provenance(groups: Groups) -> Table:
    """Command, commit, device and time of every run."""
    rows = []
    for run in (run for group in groups for run in group.runs.values()):
        try:
            env = run.environment
        except NotTested as missing:
            rows.append(cells(run.name, str(missing), *[MISSING] * 5))
            continue
        rows.append(
            cells(
                run.name,
                env["command"],
                short_commit(env["commit"]),
                device(env),
                duration(env["seconds"]),
                f"{env['tokens_per_second']:,.0f}",
                f"{env['peak_bytes'] / MB:,.0f}",
            )
        )
    return Table(["Run", "Command", "Commit", "Device", "Time", "Tokens/s", "Peak, MB"], rows)


def _any_evaluated(groups: Groups, attention: str) -> bool:
    return any(_score(group, attention, "bits_per_dim", PLAIN)[1] is not None for group in groups)


def _score(group: RunGroup, attention: str, metric: str, unit: Unit) -> tuple[str, float | None]:
    try:
        measured = over_seeds([group], lambda run: run.score(attention, metric))
    except NotTested:
        return MISSING, None
    return measured.text(unit), measured.mean
