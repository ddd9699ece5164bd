"""The steps of the memory benchmark: along four axes, with all techniques and without some (Tables 1 and 3)."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from reformer.bench.config import BenchmarkConfig
from reformer.bench.step import Step
from reformer.bench.techniques import TECHNIQUES_BY_AXIS, Techniques


def memory_steps(config: BenchmarkConfig, device: str) -> Iterator[tuple[dict[str, Any], Step]]:
    """Yields the steps, each with the labels of its point: axis, sizes and techniques."""
    values = {"seq_len": config.lengths, "n_layers": config.depths, "n_hashes": config.rounds, "d_ff": config.widths}
    model = config.model
    fixed = {"seq_len": config.seq_len} | {name: getattr(model, name) for name in ("n_layers", "n_hashes", "d_ff")}
    for axis, compared in TECHNIQUES_BY_AXIS.items():
        for techniques in compared:
            for value in values[axis]:
                sizes = {**fixed, axis: value}
                yield {"axis": axis, **sizes, **asdict(techniques)}, _step(config, sizes, techniques, device)


def _step(config: BenchmarkConfig, sizes: dict[str, int], techniques: Techniques, device: str) -> Step:
    model = replace(
        config.model,
        n_layers=sizes["n_layers"],
        n_hashes=sizes["n_hashes"],
        d_ff=sizes["d_ff"],
        max_seq_len=sizes["seq_len"],
        attention=["lsh" if techniques.attention == "lsh" else "full"],
        reversible=techniques.reversible,
        ff_chunk_size=config.model.ff_chunk_size if techniques.chunked else 0,
        loss_chunk_size=config.model.loss_chunk_size if techniques.chunked else 0,
    )
    unfused = techniques.attention == "unfused"
    return Step(model, sizes["seq_len"], 1, repeats=0, device=device, unfused=unfused, exact_peak=True)
