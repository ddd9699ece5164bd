"""Writes run folders and benchmarks as the pipeline would, with plausible numbers, for the report's tests."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from math import exp, log, log2
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from reformer.files import Root, RunFiles
from reformer.report.evidence.results import Results
from reformer.runs.listed import ListedRuns
from reformer.runs.name import RunSpec

DATA = {"duplication": "duplication", "text": "wikipedia", "images": "emoji"}
"""The data set of each kind."""
PARTS = {data: kind for kind, data in DATA.items()}
"""The list of runs on each data set."""
SIMPLE = {
    "wikipedia": {"byte pairs": 3.9, "order-2 mix": 3.1},
    "emoji": {"pixel on the left": 5.9},
}
"""Bits/dim of the simple models of each data set."""
UNIT_TOKENS = (400, 700, 300, 600)
"""Scored tokens of the documents, images or words of a test set."""
ROUNDS = 8
"""Rounds of the speed benchmark."""

RUNS = [
    *(f"duplication_{attention}_reversible" for attention in ("full", "lsh-4", "lsh-2", "lsh-1")),
    "wikipedia_lsh-2_reversible",
    "wikipedia_lsh-2_ordinary",
    *(f"emoji_{attention}_reversible" for attention in ("full", "lsh-1", "lsh-2", "lsh-4", "lsh-8")),
]
"""What the profile cpu runs."""

ALL_RUNS = [
    *RUNS,
    "wikipedia_full_reversible",
    "wikipedia_full_reversible_separate-qk",
    "wikipedia_lsh-2_reversible_layers-6",
    "wikipedia_full_ordinary_separate-qk",
    "emoji_full_ordinary",
    "emoji_full_reversible_separate-qk",
    "emoji_full_ordinary_separate-qk",
]
"""Enough for every claim."""

COPY_ACCURACY = {
    "full": {"full": 1.0, "lsh-8": 0.962, "lsh-4": 0.931, "lsh-2": 0.802, "lsh-1": 0.561},
    "lsh-4": {"full": 0.431, "lsh-8": 0.9996, "lsh-4": 0.998, "lsh-2": 0.988, "lsh-1": 0.904, "unmasked": 0.008},
    "lsh-2": {"full": 0.312, "lsh-8": 0.9987, "lsh-4": 0.997, "lsh-2": 0.979, "lsh-1": 0.861, "unmasked": 0.009},
    "lsh-1": {"full": 0.224, "lsh-8": 0.9951, "lsh-4": 0.991, "lsh-2": 0.942, "lsh-1": 0.772, "unmasked": 0.007},
}
SAMPLES = {
    "wikipedia_lsh-2_reversible": (
        "text",
        {"given": list(b"a<b" * 60), "drawn": list(b"d & e" + b"no-space" * 40), "original": list(b"as it was")},
    ),
    "emoji_lsh-1_reversible": ("images", {"given": [9] * 36, "drawn": list(range(12)), "original": [200] * 12}),
}
"""What two of the runs have drawn, by their names."""
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
ENVIRONMENT = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "device": "AMD EPYC 7B13",
    "threads": 2,
    "torch": "2.14.1",
    "python": "3.11.9",
    "time": "2026-01-02T03:04:05Z",
}


def listed(
    names: Sequence[str], seeds: Sequence[int] | Mapping[str, Sequence[int]] = (1,), data: Mapping[str, str] = DATA
) -> ListedRuns:
    """The runs as params.yaml would list them, with the same seeds or with those of each name."""
    parts = {name: PARTS.get(RunSpec.parse(name).data, "text") for name in names}
    return ListedRuns(data, {name: seeds[name] if isinstance(seeds, Mapping) else seeds for name in names}, parts)


def results(
    root: Path, names: Sequence[str], seeds: Sequence[int] | Mapping[str, Sequence[int]] = (1,), profile: str = "cpu"
) -> Results:
    """The results of these runs."""
    return Results(Root(root), profile, listed(names, seeds))


def write_results(root: Path, runs: Sequence[str] = RUNS, seeds: Sequence[int] = (1,)) -> Path:
    """Writes every run, the simple models, both benchmarks, and what two runs have drawn."""
    write_simple(root)
    for name in runs:
        for seed in seeds:
            write_run(root, name, seed)
    for name, (kind, sample) in SAMPLES.items():
        if name in runs:
            write_samples(root, f"{name}_seed-{seeds[0]}", kind, sample)
    write_speed(root, {kind: {length: seconds(kind, length) for length in LENGTHS} for kind in ("full", *LSH)})
    write_memory(root)
    return root


LSH = ("lsh-1", "lsh-2", "lsh-4", "lsh-8")


def write_samples(root: Path, run: str, kind: str, sample: Mapping[str, Sequence[int]]) -> None:
    """Writes what a run has drawn."""
    content = {"name": run, "kind": kind, "split": "test", "temperature": 0.5, "samples": [sample]}
    write_json(files_of(root, run).samples, content)


def write_simple(root: Path, scores: Mapping[str, Mapping[str, float]] = SIMPLE) -> None:
    """Writes the scores of the simple models, the same on validation and on test data."""
    for data, by_model in scores.items():
        write_json(Root(root).simple(data), {"name": data, "uniform": 8.0, "val": by_model, "test": by_model})


def files_of(root: Path, run: str) -> RunFiles:
    """The files of a run, by its name with the seed."""
    return Root(root).run(run, PARTS.get(RunSpec.parse(run.rpartition("_seed-")[0]).data, "text"))


def write_run(
    root: Path,
    name: str,
    seed: int,
    bits: float | None = None,
    accuracy: Mapping[str, float] | None = None,
    off: float = 0.61,
) -> Path:
    """Writes one run's folder.

    Args:
        root: folder with `runs/`.
        name: the run's name, without its seed.
        seed: the run's seed.
        bits: its bits/dim at the end; plausible ones if not given.
        accuracy: on the duplication task, by the attention of evaluation; plausible ones if not given.
        off: bits/dim that switching the LSH layers off costs.
    """
    spec = RunSpec.parse(name)
    random = Random(f"{name}{seed}")
    files = files_of(root, f"{name}_seed-{seed}")
    folder = files.folder
    folder.mkdir(parents=True, exist_ok=True)
    steps, seq_len = {"emoji": (800, 768), "wikipedia": (600, 512)}.get(spec.data, (400, 128))
    end = _bits_per_dim(spec) + random.gauss(0, 0.004) if bits is None else bits
    scores: dict[str, Any] = {"trained": {"bits_per_dim": end, "accuracy": 0.4}}
    if spec.n_hashes:
        scores["off"] = {"bits_per_dim": end + off, "accuracy": 0.2}
    if spec.data == "duplication":
        for kind, mean in (accuracy or COPY_ACCURACY[spec.attention]).items():
            share = mean if accuracy else max(0.0, mean - abs(random.gauss(0, 0.02 * mean * (1 - mean))))
            scores[kind] = {"bits_per_dim": 7 * (1 - share), "accuracy": share}
    for of_attention in scores.values():
        of_attention["units"] = units(of_attention["bits_per_dim"], of_attention["accuracy"])
    _write_curve(folder / "curve.csv", steps, seq_len, end, random)
    n_layers = int(spec.value("model.n_layers") or (1 if spec.data == "duplication" else 3))
    trained = {
        "name": folder.name,
        "data": spec.data,
        "attention": spec.attention,
        "reversible": spec.reversible,
        "shared_qk": spec.shared_qk,
        "n_layers": n_layers,
        "settings": {"model": {"n_layers": n_layers}, "optimizer": {"lr": float(spec.value("optimizer.lr") or 0.001)}},
        "seed": seed,
        "steps": steps,
        "seq_len": seq_len,
        "d_model": 256,
        "n_parameters": 2_417_153,
        "tokens_seen": steps * 8 * seq_len,
        "val": {"bits_per_dim": end, "accuracy": 0.4},
    }
    command = f"python pipelines/train.py --config-dir=data/configs --config-name={folder.name}"
    measured = {"seconds": 61.5, "tokens_per_second": 12345.6, "peak_bytes": 912_345_678}
    evaluated = {"name": folder.name, "split": "test", "n_tokens": sum(UNIT_TOKENS), "unit_tokens": UNIT_TOKENS}
    write_json(files.train, trained)
    write_json(files.environment, {"command": command, **ENVIRONMENT, **measured})
    write_json(files.evaluation, {**evaluated, "results": scores})
    return folder


def units(bits: float, accuracy: float) -> list[list[float]]:
    """Nats and right predictions of each unit, which together have these scores. Units differ by some per mille."""
    differ = [1.004, 0.998, 1.002]
    nats, right = (
        [x * n * factor for n, factor in zip(UNIT_TOKENS, differ, strict=False)] for x in (bits * log(2), accuracy)
    )
    last = [x * sum(UNIT_TOKENS) - sum(found) for x, found in ((bits * log(2), nats), (accuracy, right))]
    return [list(pair) for pair in zip([*nats, last[0]], [*right, last[1]], strict=True)]


def seconds(attention: str, length: int) -> float:
    """A plausible time of a step."""
    if attention == "full":
        return 1.1 + length / 900
    return 1.3 + 0.6 * int(attention.removeprefix("lsh-")) * (1 + 0.02 * log2(length / 512))


def write_speed(
    root: Path, times: Mapping[str, Mapping[int, float]], peak: Callable[[str, int], float] = lambda kind, length: 4e8
) -> None:
    """Writes the speed benchmark from the median seconds by attention and length; the last point is skipped.

    The rounds of all points vary together by some per cent, and each by some per mille.
    """
    random = Random(4)
    together = [random.uniform(0.95, 1.05) for _ in range(ROUNDS)]
    points: list[dict[str, Any]] = [
        {
            "attention": kind,
            "seq_len": length,
            "batch_size": 32768 // length,
            "seconds": (rounds := [time * factor * random.uniform(0.998, 1.002) for factor in together]),
            "seconds_per_step": median(rounds),
            "seconds_min": min(rounds),
            "seconds_max": max(rounds),
            "peak_bytes": 2.1e8 + 9e4 * length if kind == "full" else peak(kind, length),
        }
        for kind, by_length in times.items()
        for length, time in by_length.items()
    ]
    points.append(
        {"attention": "full", "seq_len": 65536, "batch_size": 1, "skipped": "needs more memory than there is"}
    )
    environment = {**ENVIRONMENT, "command": "python pipelines/benchmark.py name=speed_by_length", "seconds": 400.0}
    content = {"environment": environment, "tokens": 32768, "points": points}
    write_json(Root(root).benchmark("speed_by_length"), content)


ALL, STORED, WHOLE = ("lsh", True, True), ("lsh", False, True), ("lsh", True, False)
NONE, NONE_UNFUSED = ("full", False, False), ("unfused", False, False)
PEAKS: dict[str, dict[tuple[str, bool, bool], dict[int, float]]] = {
    "seq_len": {
        ALL: {n: 2.4e4 * n for n in (1024, 2048, 4096)},
        ("full", True, True): {n: 2.9e4 * n for n in (1024, 2048, 4096)},
        ("unfused", True, True): {n: 2.9e4 * n + 50 * n**2 for n in (1024, 2048, 4096)},
        NONE: {n: 6.8e4 * n for n in (1024, 2048, 4096)},
        NONE_UNFUSED: {n: 6.8e4 * n + 80 * n**2 for n in (1024, 2048)},
    },
    "n_layers": {ALL: {1: 9.8e7, 3: 1.01e8, 6: 1.05e8}, STORED: {1: 8.4e7, 3: 1.37e8, 6: 2.19e8}},
    "n_hashes": {ALL: {1: 9.9e7, 4: 1.0e8, 8: 1.03e8}, STORED: {1: 1.39e8, 4: 1.45e8, 8: 1.47e8}},
    "d_ff": {ALL: {256: 1.01e8, 1024: 1.01e8, 2048: 1.04e8}, WHOLE: {256: 1.0e8, 1024: 1.4e8, 2048: 1.96e8}},
}
"""Peaks of the memory benchmark by axis, then techniques (attention, reversible, chunked), then value."""


def write_memory(root: Path, axis: str = "", peaks: Mapping[tuple[str, bool, bool], Mapping[int, float]] = {}) -> None:
    """Writes the memory benchmark, along one axis with other bytes by techniques and value; the last point is skipped."""
    usual = {"seq_len": 4096, "n_layers": 3, "n_hashes": 2, "d_ff": 1024}
    points: list[dict[str, Any]] = [
        {
            **labels(name, techniques),
            **usual,
            name: value,
            "peak_bytes": peak,
            "seconds_per_step": 0.4,
        }
        for name, by_techniques in {**PEAKS, **({axis: peaks} if axis else {})}.items()
        for techniques, by_value in by_techniques.items()
        for value, peak in by_value.items()
    ]
    skipped = {**labels("seq_len", NONE_UNFUSED), **usual, "skipped": "needs more memory than there is"}
    environment = {**ENVIRONMENT, "command": "python pipelines/benchmark.py name=memory", "seconds": 95.0}
    write_json(Root(root).benchmark("memory"), {"environment": environment, "points": [*points, skipped]})


def labels(axis: str, techniques: tuple[str, bool, bool]) -> dict[str, Any]:
    """The axis and the techniques of a point of the memory benchmark."""
    return {"axis": axis, **dict(zip(("attention", "reversible", "chunked"), techniques, strict=True))}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes the content, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2))


def write_curve(folder: Path, bits: Mapping[int, float]) -> None:
    """Replaces the curve of a run by validation bits/dim at some steps."""
    with (folder / "curve.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["step", "tokens", "split", "loss", "bits_per_dim", "accuracy"])
        table.writerows([step, step * 8, "val", value * 0.693, value, 0.5] for step, value in bits.items())


def _write_curve(path: Path, steps: int, seq_len: int, end: float, random: Random) -> None:
    rows: list[list[Any]] = [["step", "tokens", "split", "loss", "bits_per_dim", "accuracy"]]
    for step in range(steps // 10, steps + 1, steps // 10):
        bits = end + (8 - end) * (exp(-5 * step / steps) - exp(-5)) + random.gauss(0, 0.004)
        for split, gap in (("train", -0.03), ("val", 0.0)):
            rows.append([step, step * 8 * seq_len, split, (bits + gap) * 0.693, bits + gap, max(0, 1 - bits / 8)])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _bits_per_dim(spec: RunSpec) -> float:
    base = {"duplication": 0.02, "wikipedia": 2.61}.get(spec.data, 5.02)
    rounds = 0.18 / spec.n_hashes if spec.n_hashes and spec.data == "emoji" else 0.0
    return base + rounds + 0.3 * (not spec.shared_qk) - (0.3 if spec.value("model.n_layers") else 0.0)
