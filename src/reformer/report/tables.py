"""The tables of each study: the numbers behind its figure, its size beside the paper's, where its runs are from."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from reformer.evaluation.techniques import ALL, FULL, NONE_UNFUSED
from reformer.report import measures, paper
from reformer.report import memory as memories
from reformer.report.measured import PERCENT, TIMES, Unit, over_seeds
from reformer.report.pictures import EVALUATED, MB, MEMORY_LINES, name_of
from reformer.report.results import NotTested, Results, Run, RunGroup

MISSING = "–"
PLAIN = Unit("", 3)
"""Bits/dim below a heading that names the unit."""


@dataclass(frozen=True)
class Cell:
    """A cell: its text, another's number below it, and a shade from 0 to 1."""

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


def table_2(results: Results) -> Table:
    """Accuracy by the attention of training and of evaluation, the paper's below ours."""
    rows, groups = [], results.select("duplication")
    evaluations = [*EVALUATED, *["off"] * _any_off(groups)]
    for group in groups:
        row = cells(name_of(group.spec.attention))
        published = paper.TABLE_2.get(group.spec.attention, {})
        for evaluated in evaluations:
            note = f"paper {100 * published[evaluated]:g}" if evaluated in published else ""
            text, mean = _score(group, evaluated, "accuracy", PERCENT)
            row.append(Cell(text, note, mean))
        rows.append(row)
    columns = ["Trained with ↓ evaluated with →", *("LSH off" if key == "off" else name_of(key) for key in evaluations)]
    return Table(columns, rows, "Share of the second w's symbols that are right, on sequences never trained on.")


def scores(groups: Sequence[RunGroup]) -> Table:
    """Size and score of each group after training, with the LSH layers off too where that was evaluated."""
    columns = ["Run", "Parameters", "Tokens seen", "Validation, bits/dim", "Test, bits/dim", "Seeds"]
    off = ["LSH off, bits/dim"] * _any_off(groups)
    columns[-1:-1] = off
    rows = []
    for group in groups:
        try:
            train = group.first().train
        except NotTested:
            rows.append(cells(describe(group), *[MISSING] * (len(columns) - 1)))
            continue
        rows.append(
            cells(
                describe(group),
                f"{train['n_parameters']:,}",
                f"{train['tokens_seen']:,}",
                _validation(group),
                _score(group, "trained", "bits_per_dim", PLAIN)[0],
                *(_score(group, "off", "bits_per_dim", PLAIN)[0] for _ in off),
                f"{len(group.present)} of {len(group.runs)}",
            )
        )
    note = "Mean ± standard deviation over the seeds, where there are several; claims take those that all their networks have."
    return Table(columns, rows, note)


def lsh_off(groups: Sequence[RunGroup]) -> Table:
    """Score of each group with its LSH layers on and off."""
    keys = ("trained", "off")
    rows = [
        cells(f"{group.spec.data}, {describe(group)}", *(_score(group, key, "bits_per_dim", PLAIN)[0] for key in keys))
        for group in groups
    ]
    return Table(["Run", "LSH on, bits/dim", "LSH switched off, bits/dim"], rows)


def speed(results: Results) -> Table:
    """Seconds a step by attention and length, the paper's below ours where it has that length."""
    by_attention = measures.points_by_length(results)
    lengths = sorted({length for points in by_attention.values() for length in points})
    rows = []
    for name, points in by_attention.items():
        published = dict(zip(paper.LENGTHS, paper.FIGURE_5_SECONDS.get(name, ()), strict=False))
        row = cells(name_of(name))
        for length in lengths:
            text = f"{points[length]['seconds_per_step']:#.3g}".rstrip(".") if length in points else MISSING
            row.append(Cell(text, f"paper {published[length]:g}" if length in published else ""))
        rows.append(row)
    tokens = results.benchmark("speed_by_length")["tokens"]
    note = (
        f"Seconds a step of {tokens:,} tokens: median of the repeats. The paper's steps have 32,768 tokens and ran on "
        "another machine: compare how times change along a row, not their size."
    )
    return Table(["Attention ↓ length\u00a0→", *(f"{length:,}" for length in lengths)], rows, note)


def memory(results: Results) -> Table:
    """Peak memory by the value of each axis and by what is made use of, then Hugging Face's by depth."""
    rows = []
    for axis, unit in (("seq_len", "tokens"), ("n_layers", "layers"), ("n_hashes", "rounds"), ("d_ff", "d_ff")):
        found = memories.peaks(results, axis)
        for value in sorted({value for by_value in found.values() for value in by_value}):
            row = [found.get(used, {}).get(value) for used in MEMORY_LINES]
            rows.append(cells(f"{unit} {value:,}", *(MISSING if peak is None else f"{peak / MB:,.0f}" for peak in row)))
    theirs = {ALL: paper.HUGGING_FACE_MB[True], NONE_UNFUSED: paper.HUGGING_FACE_MB[False]}
    for depth in paper.HUGGING_FACE_MB[True]:
        row = [theirs[used][depth] if used in theirs else None for used in MEMORY_LINES]
        rows.append(cells(f"Hugging Face, layers {depth}", *(MISSING if peak is None else f"{peak:,}" for peak in row)))
    note = (
        "MB above what was held before the step; each point in a process of its own, which gives freed memory back at "
        "once. Hugging Face: all memory of training a Reformer and BERT on a GPU, length 512, batch 8."
    )
    with suppress(NotTested):
        beside = memories.share_of(results, FULL)
        note += (
            f" All techniques, LSH attention among them, take {TIMES.text(beside.mean)} of the peak with fused full "
            f"attention in its place, {beside.source}."
        )
    return Table(["Peak, MB", *(name for name, _ in MEMORY_LINES.values())], rows, note)


def scale(theirs: Mapping[str, str], run: Run) -> Table:
    """The size of a study's runs beside the paper's."""
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


def provenance(groups: Sequence[RunGroup]) -> Table:
    """Command, commit, device and time of every run."""
    rows = []
    for run in (run for group in groups for run in group.runs.values()):
        try:
            env = run.environment
        except NotTested as missing:
            rows.append(cells(run.folder.name, str(missing), *[MISSING] * 5))
            continue
        rows.append(
            cells(
                run.folder.name,
                env["command"],
                short_commit(env["commit"]),
                device(env),
                duration(env["seconds"]),
                f"{env['tokens_per_second']:,.0f}",
                f"{env['peak_bytes'] / MB:,.0f}",
            )
        )
    return Table(["Run", "Command", "Commit", "Device", "Time", "Tokens/s", "Peak, MB"], rows)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (lines[0], ["---"] * len(head), *lines[1:]))


def short_commit(commit: str) -> str:
    """The first digits, and whether there were changes."""
    digits, plus, changes = commit.partition("+")
    return digits[:10] + plus + changes


def describe(group: RunGroup) -> str:
    """The group in words, without its data set."""
    spec = group.spec
    words = [name_of(spec.attention), "reversible" if spec.reversible else "ordinary"]
    words += ["separate QK"] * (not spec.shared_qk) + [f"{spec.n_layers} layers"] * bool(spec.n_layers)
    return ", ".join([*words, *filter(None, [spec.other])])


def device(environment: Mapping[str, object]) -> str:
    """The device, and its threads where there are some."""
    threads = environment.get("threads")
    return f"{environment['device']}, {threads} threads" if threads else str(environment["device"])


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _any_off(groups: Sequence[RunGroup]) -> bool:
    return any(_score(group, "off", "bits_per_dim", PLAIN)[1] is not None for group in groups)


def _validation(group: RunGroup) -> str:
    return over_seeds([group], lambda run: float(run.train["val"]["bits_per_dim"])).text(PLAIN)


def _score(group: RunGroup, attention: str, metric: str, unit: Unit) -> tuple[str, float | None]:
    try:
        measured = over_seeds([group], lambda run: run.score(attention, metric))
    except NotTested:
        return MISSING, None
    return measured.text(unit), measured.mean
