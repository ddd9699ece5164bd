"""Benchmarks of training steps: time by length (Figure 5 right), memory by technique (Tables 1 and 3), single long steps."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from reformer.bench.config import ONE_STEP, BenchmarkConfig
from reformer.bench.memory_benchmark import memory_steps
from reformer.bench.minimum_memory import format_minimum, minimum_bytes
from reformer.bench.step import Step, measure, timed_in_rounds
from reformer.files import write_json
from reformer.machine import choose_device, environment
from reformer.model.config import with_attention
from reformer.progress import ProgressBar
from reformer.runs.config import LoggerConfig
from reformer.runs.side_by_side import places
from reformer.tracking.metrics import PEAK_MB, SECONDS_PER_STEP, benchmark_axis, benchmark_metric
from reformer.tracking.wandb_run import open_run, variant, wandb_errors_ignored

Labels = dict[str, Any]


def run_benchmark(config: BenchmarkConfig, path: Path, command: str, logger: LoggerConfig) -> dict[str, Any]:
    """Measures all points of a benchmark, writes them to a file and logs them.

    Args:
        config: the benchmark.
        path: JSON file to write.
        command: command line, for the record.
        logger: settings of W&B.

    Returns:
        The content of the file: environment, tokens per step (speed_by_length only), and points, each with its labels and the
        result of `measure`. speed_by_length also has the seconds of every round.
    """
    device = choose_device(config.accelerator).type
    begin = perf_counter()
    points = [{**labels, **result} for labels, result in _measured(config, device)]
    if config.name == "speed_by_length":
        _time(config, device, points)
    content: dict[str, Any] = {
        "environment": {**environment(torch.device(device), command), "seconds": perf_counter() - begin}
    }
    if config.name == "speed_by_length":
        content["tokens"] = config.tokens
    content["points"] = points
    write_json(path, content)
    _log(config, points, logger)
    return content


def steps(config: BenchmarkConfig, device: str) -> list[tuple[Labels, Step]]:
    """Lists the steps to measure, each with the labels of its point."""
    if config.name == "speed_by_length":
        return [
            (
                {"attention": attention, "seq_len": length, "batch_size": config.tokens // length},
                Step(
                    replace(with_attention(config.model, attention), max_seq_len=length),
                    length,
                    config.tokens // length,
                    repeats=0,
                    device=device,
                    exact_peak=True,
                ),
            )
            for attention in config.attentions
            for length in config.lengths
        ]
    if config.name == "memory":
        return list(memory_steps(config, device))
    model = replace(config.model, max_seq_len=config.seq_len)
    labels: Labels = {"reversible": model.reversible, "n_layers": model.n_layers, "seq_len": config.seq_len}
    step = Step(model, config.seq_len, 1, repeats=0, device=device, print_phases=True)
    return [({**labels, "must_store_bytes": minimum_bytes(model, config.seq_len)}, step)]


def _measured(config: BenchmarkConfig, device: str) -> Iterator[tuple[Labels, dict[str, float | str]]]:
    """Measures the steps, and reports the progress."""
    todo = steps(config, device)
    bar = ProgressBar(config.name, len(todo), unit="points")
    one_step = config.name in ONE_STEP
    shown: AbstractContextManager[object] = nullcontext() if one_step else bar  # a long step prints its phases instead
    at_once = places(threads=1) if device == "cpu" and not one_step else 1
    with shown:
        for number, ((labels, step), result) in enumerate(zip(todo, _results(todo, at_once), strict=True), 1):
            minimum = labels.get("must_store_bytes")
            text = ", ".join(f"{name} {value}" for name, value in labels.items() if value is not minimum)
            bar.note(text)
            if "skipped" in result and at_once > 1:
                result = measure(step)  # alone, it may have enough memory
            bar.advance()
            if one_step or not bar.on_terminal:
                print(f"{config.name} {number} of {len(todo)}: {text}: {_format_result(result, one_step)}", flush=True)
            if minimum:
                print(f"minimum by arithmetic: {format_minimum(minimum)}")
            yield labels, result


def _results(todo: Sequence[tuple[Labels, Step]], at_once: int) -> Iterator[dict[str, float | str]]:
    """Measures the steps in order. Peaks of memory do not depend on what runs beside: a process for each core measures one."""
    if at_once == 1:
        yield from (measure(step) for _, step in todo)
        return
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(measure, (replace(step, threads=1) for _, step in todo))


def _time(config: BenchmarkConfig, device: str, points: list[dict[str, Any]]) -> None:
    """Adds to each measured point its seconds of every round, their median, least and greatest."""
    measured = [
        (point, step) for point, (_, step) in zip(points, steps(config, device), strict=True) if "skipped" not in point
    ]
    for point, _ in measured:
        point["seconds"] = []
    with ProgressBar(f"{config.name}: time", config.repeats * len(measured), unit="steps") as bar:
        for index, seconds in timed_in_rounds([step for _, step in measured], config.repeats):
            measured[index][0]["seconds"].append(seconds)
            bar.advance()
    for point, _ in measured:
        seconds = point["seconds"]
        point |= {"seconds_per_step": median(seconds), "seconds_min": min(seconds), "seconds_max": max(seconds)}
        text = f"{point['attention']}, {point['seq_len']} tokens: {point['seconds_per_step']:.3f} s"
        print(f"{config.name}: {text} ({point['seconds_min']:.3f} to {point['seconds_max']:.3f})", flush=True)


def _format_result(result: dict[str, float | str], timed: bool) -> str:
    if "skipped" in result:
        return f"skipped: {result['skipped']}"
    extra, peak = float(result["peak_bytes"]), float(result["process_peak_bytes"])
    seconds = f"{result['seconds_per_step']:.3f} s, " if timed else ""
    return f"{seconds}peak of the step {extra / 1e6:,.0f} MB, of the process {peak / 1e6:,.0f} MB"


def _log(config: BenchmarkConfig, points: list[dict[str, Any]], logger: LoggerConfig) -> None:
    """Logs a curve for each attention or set of techniques."""
    settings = asdict(config)
    settings |= variant(config.name, settings)
    opened = open_run(logger, config.name, config.name, "benchmark", settings, [config.name])
    with opened as run, wandb_errors_ignored():
        for point in points:
            if "skipped" in point:
                continue
            axis, curve = _axis_and_curve(config.name, point)
            metrics = {benchmark_metric(config.name, curve, PEAK_MB): point["peak_bytes"] / 1e6}
            if config.name != "memory":  # its steps run side by side, and their times mean nothing
                metrics[benchmark_metric(config.name, curve, SECONDS_PER_STEP)] = point["seconds_per_step"]
            horizontal = benchmark_axis(config.name, axis)
            run.define_metric(horizontal)
            for name in metrics:
                run.define_metric(name, step_metric=horizontal)
            run.log({horizontal: point[axis], **metrics})


def _axis_and_curve(name: str, point: dict[str, Any]) -> tuple[str, str]:
    """Returns the label on the horizontal axis of a point, and the name of its curve."""
    if name == "speed_by_length":
        return "seq_len", point["attention"]
    residuals = "reversible" if point["reversible"] else "ordinary"
    if name == "memory":
        chunks = "chunked" if point["chunked"] else "whole"
        return point["axis"], f"by_{point['axis']}/{point['attention']}_{residuals}_{chunks}"
    return "n_layers", residuals
