"""`make bench`: sides are timed in turns, the table says what the file holds, and whether each target is met."""

import json
from dataclasses import replace
from math import inf

import pytest
import torch

from reformer.bench import peers, side_by_side
from reformer.bench.side_by_side import Sizes, run_side_by_side
from reformer.bench.step import own_network
from reformer.bench.timing import time_alternately
from reformer.model.config import ReformerConfig
from reformer.report.display import bench_table as report
from reformer.report.display.figures import draw_figure
from reformer.report.evidence.benchmarks import crossing
from reformer.settings import SettingError

SMALL = ReformerConfig(n_layers=1, d_model=8, d_ff=16, n_heads=2, d_head=4, chunk_len=4, ff_chunk_size=24)
SIZES = Sizes(
    n_heads=2,
    d_head=8,
    chunk_len=4,
    length=64,
    short_length=32,
    curve=(16, 32),
    curve_hashes=(1, 4),
    growth=(16, 64),
    leak_buckets=(16, 2),
    model=SMALL,
    repeats=1,
)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A whole run at small sizes, with this project's own attention and network in the peers' place."""
    path = tmp_path_factory.mktemp("bench") / "benchmarks" / "side_by_side.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(side_by_side, "require_peers", lambda: None)
        patch.setattr(side_by_side, "version", lambda name: "1.0")
        patch.setattr(
            side_by_side, "NETWORKS", dict.fromkeys(("ours", "reformer-pytorch", "transformers"), own_network)
        )
        patch.setattr(side_by_side, "reformer_pytorch_attention", lambda *sizes, same_masks: lambda qk, v: qk + v)
        patch.setattr(side_by_side, "measure", lambda step: {"peak_bytes": 5_000_000})
        content = run_side_by_side(SIZES, path, "a command")
    assert json.loads(path.read_text()) == json.loads(json.dumps(content))
    return json.loads(path.read_text())


def seconds_of(content, key, index=0, **seconds):
    """The content with other times in one place."""
    points = [*content[key]]
    points[index] = {**points[index], "seconds": {**points[index]["seconds"], **seconds}}
    return {**content, key: points}


def row_of(content, start):
    return next(row for row in report.rows(content) if row.what.startswith(start))


def test_sides_take_turns_and_a_slow_one_is_timed_once():
    now, calls = 0, []

    def call(name, takes):
        def act():
            nonlocal now
            calls.append(name)
            now += takes

        return act

    times = time_alternately({"quick": call("quick", 1), "slow": call("slow", 9)}, 3, 5, clock=lambda: now)
    assert calls == ["quick", "slow", "quick", "quick", "quick"]
    assert times == {"quick": [1, 1, 1], "slow": [9]}


def test_all_that_the_table_needs_is_measured(content):
    table = report.markdown(content)
    assert table.count("\n| attention, 64 tokens, 4 rounds; ") == 2
    assert "a command" in json.dumps(content["environment"])
    for text in (
        "training step, 64 tokens",
        "training step, 32 tokens",
        "extra peak memory",
        "reversible training step",
    ):
        assert text in table
    assert len(content["attention"][0]["seconds"]["ours"]) == 2


def test_the_sorted_window_leaks_nothing_and_chunks_do(content):
    for leak in content["leak"]:
        assert leak["share_moved"]["sorted"] == 0
    assert content["leak"][1]["share_moved"]["chunk"] > 0


def test_the_picture_is_drawn(content, tmp_path):
    draw_figure(report.curve_figure(content), tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("theirs", "met"), [([5.9], False), ([1.0, 6.1, 90.0], True)])
def test_a_target_is_judged_by_medians(content, theirs, met):
    row = row_of(seconds_of(content, "attention", ours=[1.0], **{"reformer-pytorch, our masks": theirs}), "attention,")
    assert row.met == met
    assert row.measured == sorted(theirs)[len(theirs) // 2]
    assert row.cells()[-1] == ("met" if met else "**missed**")


def test_the_share_of_the_matrix_rate_counts_seven_products_of_both_chunks_in_each_round(content):
    attention = content["attention"][0]
    assert attention["operations"] == 7 * (2 * 8) * (2 * 4) * 64 * 4 * 2  # width, chunks seen, positions, rounds, heads
    seconds = {"ours": [2.0], "matrix product": [1.0]}
    share = row_of(seconds_of(content, "attention", **seconds), "its share").measured
    assert share == pytest.approx(100 * attention["operations"] / 2 / attention["matrix_product_operations"])


def test_the_faster_peer_counts(content):
    faster = seconds_of(content, "network_time", ours=[1.0], transformers=[2.0], **{"reformer-pytorch": [9.0]})
    row = row_of(faster, "training step, 64")
    assert (row.measured, row.met) == (2.0, False)


@pytest.mark.parametrize(
    ("at", "times", "met"),
    [
        (2048, {2048: 1.01, 4096: 3.0, 32768: 12.0}, True),
        (2048, {2048: 1.0, 4096: 3.0, 32768: 12.0}, False),
        (2048, {2048: 1.5, 4096: 0.9, 32768: 12.0}, False),  # from there on
        (32768, {32768: 10.0, 65536: 20.0}, True),
        (32768, {32768: 9.9, 65536: 20.0}, False),
        (32768, {32768: 11.0, 65536: 9.0}, False),
    ],
)
def test_full_attention_must_be_beaten_from_a_length_on(content, at, times, met):
    curve = [{"seq_len": n, "seconds": {"lsh-4": [1.0], "full": [full]}} for n, full in times.items()]
    row = row_of({**content, "curve": curve}, f"4 rounds against full attention, {at:,}")
    assert (row.measured, row.met) == (times[at], met)


@pytest.mark.parametrize(("share", "met"), [(0.36, True), (0.34, False)])
def test_the_share_of_the_matrix_rate_has_a_target(content, share, met):
    attention = content["attention"][0]
    ours = attention["operations"] / attention["matrix_product_operations"] / share
    row = row_of(seconds_of(content, "attention", ours=[ours], **{"matrix product": [1.0]}), "its share")
    assert row.met == met


@pytest.mark.parametrize(("bytes_of_ours", "met"), [(5e6, True), (5.1e6, False)])
def test_our_extra_memory_is_held_against_that_of_the_faster_peer(content, bytes_of_ours, met):
    faster = seconds_of(content, "network_time", transformers=[1.0], **{"reformer-pytorch": [2.0]})
    peaks = {"ours": bytes_of_ours, "transformers": 1e7, "reformer-pytorch": 1e9}
    peaks = [{"network": name, "peak_bytes": size} for name, size in peaks.items()]
    assert row_of({**faster, "network_peak": peaks}, "its extra peak memory").met == met


@pytest.mark.parametrize(("reversible", "met"), [(1.4, True), (1.41, False)])
def test_recomputing_may_cost_so_much_time(content, reversible, met):
    seconds = {"reversible": [reversible], "ordinary": [1.0]}
    assert row_of(seconds_of(content, "residuals", **seconds), "reversible training step").met == met


def test_growth_is_that_of_the_time_of_a_token(content):
    row = row_of(seconds_of(content, "growth", **{"16": [1.0], "64": [5.0]}), "time a token")
    assert (row.measured, row.met) == (25.0, True)


def test_the_crossing_lies_between_the_lengths_where_the_faster_changes():
    lengths, full, lsh = [512, 1024, 2048], [0.25, 0.5, 2.0], [1.0, 1.0, 1.0]
    assert crossing(lengths, full, lsh) == (pytest.approx(1024 * 2**0.5), 2)
    assert crossing(lengths[2:], full[2:], lsh[2:]) == (2048, 0)
    assert crossing(lengths[:2], full[:2], lsh[:2]) == (inf, 2)


def test_a_missing_peer_is_told_in_one_line_with_its_remedy(monkeypatch, tmp_path):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(peers, "import_module", missing)
    with pytest.raises(SettingError, match=r"^reformer_pytorch is not installed here: run `make bench`.*$"):
        run_side_by_side(SIZES, tmp_path / "x.json", "")


def test_peers_take_a_training_step():
    pytest.importorskip("reformer_pytorch", reason="installed by `make bench` only")
    config = replace(SMALL, max_seq_len=64)
    tokens = torch.randint(config.vocab_size, (1, 64))
    for network in peers.PEERS.values():
        model, loss = network(config)
        loss(tokens).backward()
        assert sum(parameter.numel() for parameter in model.parameters()) > 0


@pytest.mark.parametrize(("gigabytes", "met"), [(15.9, True), (16.1, False), (None, False)])
def test_a_step_on_a_million_tokens_is_held_against_its_memory(content, gigabytes, met):
    point = {"seq_len": 1 << 20, "n_layers": 6, "must_store_bytes": {"streams": 4e9, "activations_if_stored": 9e9}}
    if gigabytes is None:
        point |= {"skipped": "out of memory"}
    else:
        point |= {"seconds_per_step": 90.0, "process_peak_bytes": gigabytes * 1e9}
    step = {"points": [point], "environment": {"commit": "0123456789ab+changes"}}
    row = report.rows(content, [step])[-1]
    assert row.met == met
    assert row.measured == gigabytes
    assert "must be stored 4.0 GB" in row.others
    assert "(0123456789+changes)" in row.what
    assert row.what in report.markdown(content, [step])
