"""Writes run folders and benchmarks as the pipeline would, with plausible numbers, for the report's tests."""

import csv
import json
from math import exp, log2
from pathlib import Path
from random import Random
from typing import Any

from reformer.report.results import RunSpec

RUNS = [
    *(f"duplication_{attention}_reversible" for attention in ("full", "lsh-4", "lsh-2", "lsh-1")),
    "wikipedia_lsh-2_reversible",
    "wikipedia_lsh-2_ordinary",
    *(f"photos_{attention}_reversible" for attention in ("full", "lsh-1", "lsh-2", "lsh-4", "lsh-8")),
]
COPY_ACCURACY = {
    "full": {"full": 1.0, "lsh-8": 0.962, "lsh-4": 0.931, "lsh-2": 0.802, "lsh-1": 0.561},
    "lsh-4": {"full": 0.431, "lsh-8": 0.9996, "lsh-4": 0.998, "lsh-2": 0.988, "lsh-1": 0.904},
    "lsh-2": {"full": 0.312, "lsh-8": 0.9987, "lsh-4": 0.997, "lsh-2": 0.979, "lsh-1": 0.861},
    "lsh-1": {"full": 0.224, "lsh-8": 0.9951, "lsh-4": 0.991, "lsh-2": 0.942, "lsh-1": 0.772},
}
ENVIRONMENT = {
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "device": "AMD EPYC 7B13",
    "threads": 2,
    "torch": "2.14.1",
    "python": "3.11.9",
    "time": "2026-01-02T03:04:05Z",
}


def write_results(root: Path, runs: list[str] = RUNS, seeds: tuple[int, ...] = (1,)) -> Path:
    """Writes every run and both benchmarks."""
    for name in runs:
        for seed in seeds:
            write_run(root, name, seed)
    write_benchmarks(root)
    return root


def write_run(root: Path, name: str, seed: int, worse: float = 0.0) -> Path:
    """Writes one run's folder; `worse` is added to its bits/dim and taken from its accuracy."""
    spec = RunSpec.parse(name)
    random = Random(f"{name}{seed}")
    folder = root / "runs" / f"{name}_seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    steps, seq_len = (800, 768) if spec.data == "photos" else (600, 512) if spec.data == "wikipedia" else (400, 128)
    end = _bits_per_dim(spec) + worse + random.gauss(0, 0.004)
    curve = []
    for step in range(steps // 10, steps + 1, steps // 10):
        bits = end + (8 - end) * exp(-5 * step / steps) - (8 - end) * exp(-5) + random.gauss(0, 0.004)
        for split, gap in (("train", -0.03), ("val", 0.0)):
            curve.append([step, step * 8 * seq_len, split, (bits + gap) * 0.693, bits + gap, max(0, 1 - bits / 8)])
    with (folder / "curve.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["step", "tokens", "split", "loss", "bits_per_dim", "accuracy"], *curve])
    scores: dict[str, Any] = {"trained": {"bits_per_dim": end, "accuracy": 0.4}}
    if spec.n_hashes:
        scores["off"] = {"bits_per_dim": end + 0.61, "accuracy": 0.2}
    if spec.data == "duplication":
        for kind, accuracy in COPY_ACCURACY[spec.attention].items():
            accuracy = min(1.0, max(0.0, accuracy - worse - abs(random.gauss(0, 0.02 * (1 - accuracy)))))
            scores[kind] = {"bits_per_dim": 7 * (1 - accuracy), "accuracy": accuracy}
    write_json(
        folder / "train.json",
        {
            "name": folder.name,
            "data": spec.data,
            "attention": spec.attention,
            "reversible": spec.reversible,
            "shared_qk": spec.shared_qk,
            "n_layers": spec.n_layers or (1 if spec.data == "duplication" else 3),
            "seed": seed,
            "steps": steps,
            "seq_len": seq_len,
            "d_model": 256,
            "n_parameters": 2_417_153,
            "tokens_seen": steps * 8 * seq_len,
            "val": {"bits_per_dim": end, "accuracy": 0.4},
        },
    )
    command = f"python pipelines/train.py --config-dir=data/configs --config-name={folder.name}"
    measured = {"seconds": 61.5, "tokens_per_second": 12345.6, "peak_bytes": 912_345_678}
    write_json(folder / "environment.json", {"command": command, **ENVIRONMENT, **measured})
    write_json(
        folder / "evaluation.json", {"name": folder.name, "split": "test", "n_tokens": 300_000, "results": scores}
    )
    return folder


def write_benchmarks(root: Path) -> None:
    """Writes both benchmarks."""
    points: list[dict[str, Any]] = []
    for length in (512, 1024, 2048, 4096, 8192, 16384):
        for kind in ("full", "lsh-1", "lsh-2", "lsh-4", "lsh-8"):
            if kind == "full":
                seconds, peak = 1.1 + length / 900, 2.1e8 + 9e4 * length
            else:
                rounds = int(kind.removeprefix("lsh-"))
                seconds, peak = 1.3 + 0.6 * rounds * (1 + 0.02 * log2(length / 512)), 3.2e8 + 4e7 * rounds
            time = {"seconds_per_step": seconds, "seconds_min": seconds * 0.97, "seconds_max": seconds * 1.05}
            points.append(
                {"attention": kind, "seq_len": length, "batch_size": 32768 // length, **time, "peak_bytes": int(peak)}
            )
    points[-5] = {"attention": "full", "seq_len": 16384, "batch_size": 2, "skipped": "needs more memory than there is"}
    environment = {**ENVIRONMENT, "command": "python pipelines/benchmark.py name=speed_by_length", "seconds": 400.0}
    write_json(
        root / "benchmarks" / "speed_by_length.json", {"environment": environment, "tokens": 32768, "points": points}
    )
    depths = [
        {
            "reversible": kind,
            "n_layers": n,
            "seq_len": 4096,
            "peak_bytes": int(1.4e8 + n * (5e6 if kind else 9.4e7)),
            "seconds_per_step": n * 0.4,
        }
        for kind in (False, True)
        for n in (1, 2, 4, 8, 12)
    ]
    environment = {**ENVIRONMENT, "command": "python pipelines/benchmark.py name=memory_by_depth", "seconds": 95.0}
    write_json(root / "benchmarks" / "memory_by_depth.json", {"environment": environment, "points": depths})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes the content, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2))


def _bits_per_dim(spec: RunSpec) -> float:
    base = {"duplication": 0.02, "wikipedia": 2.61}.get(spec.data, 5.02)
    return base + (0.18 / spec.n_hashes if spec.n_hashes and spec.data == "photos" else 0.0)
