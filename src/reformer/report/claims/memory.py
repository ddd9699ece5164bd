"""The measured numbers of claims about the memory of a training step. Each raises NotTested where its number is missing."""

from collections.abc import Mapping
from dataclasses import replace
from statistics import linear_regression

from reformer.bench.config import BenchmarkConfig
from reformer.bench.techniques import ALL_TECHNIQUES, WITHOUT_CHUNKS, WITHOUT_REVERSIBLE, Techniques
from reformer.report.evidence.benchmarks import Peaks, measurable, peaks_along, share_of_peak
from reformer.report.evidence.measured import GIGABYTES, Measured
from reformer.report.evidence.results import NotTested, Results

FLAT = 1.1
"""Greatest ratio that counts as no growth: peaks of a process vary by some per cent."""


def bytes_per_layer(by_depth: Mapping[int, float]) -> float:
    """Slope of the peak over the number of layers, by least squares."""
    if len(by_depth) < 2:
        raise NotTested("the benchmark has fewer than two depths")
    return linear_regression(list(by_depth), list(by_depth.values())).slope


def slope_ratio(results: Results) -> Measured:
    """Peak memory that one more layer costs with reversible residuals, over its cost with ordinary ones."""
    by_depth = peaks_along(results.benchmark("memory"), "n_layers")
    ordinary = bytes_per_layer(by_depth.get(WITHOUT_REVERSIBLE, {}))
    if ordinary <= 0:
        raise NotTested("the peak of the ordinary network does not grow with depth: these sizes are too small")
    return Measured.of_peaks(bytes_per_layer(by_depth.get(ALL_TECHNIQUES, {})) / ordinary)


def growth_with_rounds(results: Results) -> Measured:
    """Ratio of the peak with the most hash rounds to that with the fewest, with all techniques on."""
    return Measured.of_peaks(_growth(peaks_along(results.benchmark("memory"), "n_hashes"), ALL_TECHNIQUES))


def growth_with_d_ff(results: Results) -> Measured:
    """Ratio of the peak with the widest chunked feed-forward to that with the narrowest."""
    by_width = peaks_along(results.benchmark("memory"), "d_ff")
    growth = _growth(by_width, ALL_TECHNIQUES)
    if growth <= FLAT and _growth(by_width, WITHOUT_CHUNKS) <= FLAT:
        raise NotTested("the peak does not grow without chunks either: these sizes are too small")
    return Measured.of_peaks(growth)


def share_without(results: Results, techniques: Techniques) -> Measured:
    """Peak with all techniques over that with fewer, at the greatest length at which both were measured."""
    share, length = share_of_peak(results.benchmark("memory"), techniques)
    return Measured.of_peaks(share, f"at {length:,} tokens")


def million_tokens(results: Results) -> Measured:
    """Peak memory of a training step on a million tokens: of the whole process."""
    try:
        (point,) = results.benchmark("million")["points"]
    except NotTested:
        raise NotTested(f"not measured here{_by_arithmetic(results.million)}") from None
    return Measured(
        (point["process_peak_bytes"],), range=(point["process_peak_bytes"],) * 2, source="peak of the process"
    )


def _by_arithmetic(million: BenchmarkConfig | None) -> str:
    """What a step on a million tokens must store, in words; empty if its sizes are unknown."""
    if million is None:
        return ""
    from reformer.bench.minimum_memory import minimum_bytes  # imports torch

    sizes = minimum_bytes(replace(million.model, max_seq_len=million.seq_len), million.seq_len)
    sizes.pop("activations_if_stored")
    return f"; by arithmetic, it must store {GIGABYTES.text(sum(sizes.values()))}"


def _growth(by_techniques: Peaks, techniques: Techniques) -> float:
    found = list(by_techniques.get(techniques, {}).values())
    if len(found) < 2:
        raise NotTested("the benchmark has fewer than two points of a line")
    return found[-1] / measurable(found[0])
