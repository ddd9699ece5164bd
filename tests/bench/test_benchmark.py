"""Benchmarks measure every point they name, each in a process of its own, and log their curves."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from reformer.bench import benchmark, step
from reformer.bench.config import BenchmarkConfig
from reformer.bench.phases import phases_printed
from reformer.bench.step import Step, fresh_processes, measure, timed_in_rounds
from reformer.model.config import ReformerConfig
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import LoggerConfig
from reformer.settings import SettingError

SMALL = ReformerConfig(n_layers=1, d_model=8, d_ff=10, n_heads=2, d_head=5, chunk_len=4)
SMALL_STEP = Step(SMALL, 24, 1, 0, "cpu")
RESULT = {
    "seconds_per_step": 2.0,
    "seconds_min": 1.0,
    "seconds_max": 3.0,
    "peak_bytes": 5_000_000,
    "process_peak_bytes": 7_000_000,
}


@pytest.fixture
def measured(monkeypatch):
    """Takes the place of the measuring processes; gives the steps that were asked for."""
    asked = []

    def measure(step):
        asked.append(step)
        return {"skipped": "too large"} if step.seq_len == 16 and step.model.attention == ["full"] else RESULT

    def timed_in_rounds(steps, rounds):
        """Tells other seconds for each step in each round."""
        return [(number, 100 * number + seconds) for seconds in range(rounds) for number in range(len(steps))]

    monkeypatch.setattr(benchmark, "measure", measure)
    monkeypatch.setattr(benchmark, "places", lambda threads: 1)
    monkeypatch.setattr(benchmark, "timed_in_rounds", timed_in_rounds)
    return asked


def test_speed_by_length_keeps_the_tokens_of_a_step(measured, tmp_path):
    config = BenchmarkConfig(
        "speed_by_length", SMALL, tokens=32, lengths=[8, 16], attentions=["full", "lsh-2"], repeats=4
    )
    path = tmp_path / "benchmarks" / "speed.json"
    content = benchmark.run_benchmark(config, path, "a command", LoggerConfig(mode="disabled"))
    assert [step.seq_len * step.batch_size for step in measured] == [32] * 4
    assert [(step.model.attention, step.model.n_hashes) for step in measured][2:] == [(["lsh"], 2)] * 2
    assert all(step.exact_peak and step.repeats == 0 for step in measured)
    assert json.loads(path.read_text()) == content
    assert content["tokens"] == 32
    assert content["environment"]["command"] == "a command"
    timed = {"seconds": [0, 1, 2, 3], "seconds_per_step": 1.5, "seconds_min": 0, "seconds_max": 3}
    assert content["points"][0] == {"attention": "full", "seq_len": 8, "batch_size": 4, **RESULT, **timed}
    assert content["points"][1] == {"attention": "full", "seq_len": 16, "batch_size": 2, "skipped": "too large"}
    assert [point["seconds"] for point in content["points"][2:]] == [[100, 101, 102, 103], [200, 201, 202, 203]]


def test_one_step_and_memory_are_measured_without_rounds(measured, tmp_path):
    for config in (BenchmarkConfig("million", SMALL, seq_len=24), MEMORY):
        content = benchmark.run_benchmark(config, tmp_path / "m.json", "", LoggerConfig(mode="disabled"))
        assert not any("seconds" in point for point in content["points"])


def test_peaks_are_measured_side_by_side_in_order_and_alone_where_memory_ran_out(monkeypatch, tmp_path):
    meet = threading.Barrier(2, timeout=20)

    def measure(step):
        if step.threads == 0:
            return RESULT  # alone
        meet.wait()  # fails unless two are measured at once
        return {"skipped": "out of memory"} if step.seq_len == 32 else {**RESULT, "peak_bytes": step.seq_len}

    monkeypatch.setattr(benchmark, "measure", measure)
    monkeypatch.setattr(benchmark, "places", lambda threads: 2)
    content = benchmark.run_benchmark(MEMORY, tmp_path / "m.json", "", LoggerConfig(mode="disabled"))
    peaks = [point["peak_bytes"] for point in content["points"]]
    assert peaks == [
        RESULT["peak_bytes"] if point["seq_len"] == 32 else point["seq_len"] for point in content["points"]
    ]


CHUNKED = replace(SMALL, ff_chunk_size=5, loss_chunk_size=6)
MEMORY = BenchmarkConfig("memory", CHUNKED, lengths=[24, 32], depths=[3], rounds=[2], widths=[7, 20], seq_len=40)


def test_memory_switches_off_along_each_axis_what_should_save_there(measured, tmp_path):
    content = benchmark.run_benchmark(MEMORY, tmp_path / "m.json", "", LoggerConfig(mode="disabled"))
    by_axis = {}
    for point, asked in zip(content["points"], measured, strict=True):
        model = asked.model
        used = (*model.attention, asked.unfused, model.reversible, model.ff_chunk_size, model.loss_chunk_size)
        sizes = {"seq_len": asked.seq_len, "n_layers": model.n_layers, "n_hashes": model.n_hashes, "d_ff": model.d_ff}
        assert {name: point[name] for name in sizes} == sizes
        assert model.max_seq_len == asked.seq_len
        by_axis.setdefault(point["axis"], {}).setdefault(used, []).append(point[point["axis"]])
    every, stored, whole = ("lsh", False, True, 5, 6), ("lsh", False, False, 5, 6), ("lsh", False, True, 0, 0)
    full = [("full", unfused, *others) for unfused in (False, True) for others in ((True, 5, 6), (False, 0, 0))]
    assert by_axis == {
        "seq_len": {used: [24, 32] for used in (every, *full)},
        "n_layers": {every: [3], stored: [3]},
        "n_hashes": {every: [2], stored: [2]},
        "d_ff": {every: [7, 20], whole: [7, 20]},
    }
    point = {"axis": "seq_len", "seq_len": 24, "n_layers": 1, "n_hashes": 4, "d_ff": 10}
    assert content["points"][0] == {**point, "attention": "lsh", "reversible": True, "chunked": True, **RESULT}


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"rounds": []}, "rounds"), ({"widths": [0]}, "widths"), ({"model": SMALL}, "model.ff_chunk_size")],
)
def test_a_memory_benchmark_without_anything_to_compare_is_refused(changes, named):
    with pytest.raises(SettingError, match=named):
        replace(MEMORY, **changes)


def test_every_curve_of_memory_has_a_name_and_an_axis_of_its_own(measured):
    points = [labels for labels, _ in benchmark.steps(MEMORY, "cpu")]
    named = {benchmark._axis_and_curve("memory", point) for point in points}
    assert ("n_layers", "by_n_layers/lsh_ordinary_chunked") in named
    assert len(named) == 11


def test_one_step_is_taken_once_and_held_against_what_must_be_stored(measured, tmp_path, capfd):
    config = BenchmarkConfig("million", SMALL, seq_len=24)
    content = benchmark.run_benchmark(config, tmp_path / "m.json", "", LoggerConfig(mode="disabled"))
    (step,), (point,) = measured, content["points"]
    assert (step.seq_len, step.model.max_seq_len, step.batch_size, step.repeats, step.print_phases) == (
        24,
        24,
        1,
        0,
        True,
    )
    stored = point["must_store_bytes"]
    assert stored["streams"] == stored["gradients_of_streams"] == 2 * 24 * 8 * 4
    assert stored["buckets"] == 2 * 4 * 24 * 2
    assert "minimum by arithmetic: streams 0.00 + " in capfd.readouterr().out


def test_the_phases_of_a_step_are_told_in_order(capfd):
    tokens = torch.randint(19, (1, 40))
    model = ReformerLM(replace(SMALL, vocab_size=19, n_layers=2, loss_chunk_size=13))
    optimizer = torch.optim.Adam(model.parameters())
    with phases_printed(model, optimizer):
        model(tokens, tokens).nll.mean().backward()
        optimizer.step()
    told = [line.split("GB  ")[1] for line in capfd.readouterr().err.splitlines()]
    layers = [f"layer {n} of 2, {branch}" for n in (1, 2) for branch in ("attention", "feed-forward")]
    there, back = [f"forward, {layer}" for layer in layers], [f"backward, {layer}" for layer in reversed(layers)]
    assert told == [*there, "loss", *back, "optimiser", "done"]


def test_a_step_that_fails_for_want_of_memory_is_skipped_and_another_failure_is_not(monkeypatch):
    class Sender:
        def send(self, result):
            self.result = result

    def fail(message):
        def measure(_):
            raise RuntimeError(message)

        monkeypatch.setattr(step, "_measure", measure)

    sender = Sender()
    fail("DefaultCPUAllocator: can't allocate memory")
    step._child(sender, SMALL_STEP)
    assert sender.result == {"skipped": "out of memory"}
    for message in ("shapes do not match", "CUDA error: an illegal memory access was encountered"):
        fail(message)
        with pytest.raises(RuntimeError, match=message):
            step._child(sender, SMALL_STEP)


def recorded(path, config):
    """A network whose every step is written down, with its process."""
    model = torch.nn.Linear(3, 1)

    def loss(tokens):
        with path.open("a") as out:
            out.write(f"{os.getpid()} {config.max_seq_len} {tuple(tokens.shape)}\n")
        if config.n_layers == 7:
            raise RuntimeError("of this step")
        return model.weight.square().sum()

    return model, loss


def steps_recorded(path, **settings):
    """Two steps whose lengths differ."""
    config = replace(SMALL, **settings)
    return [
        Step(replace(config, max_seq_len=length), length, 24 // length, 0, "cpu", partial(recorded, path))
        for length in (8, 12)
    ]


def test_in_each_round_every_step_is_timed_once_and_the_first_round_warms_up(tmp_path):
    begin = time.perf_counter()
    found = list(timed_in_rounds(steps_recorded(tmp_path / "log"), 3))
    assert [number for number, _ in found] == [0, 1] * 3
    assert all(0 < seconds < time.perf_counter() - begin for _, seconds in found)
    pids, steps = zip(*((line.split(" ", 1)) for line in (tmp_path / "log").read_text().splitlines()), strict=True)
    assert list(steps) == ["8 (3, 8)", "12 (2, 12)"] * 4
    assert len(set(pids)) == 1
    assert int(pids[0]) != os.getpid()


def test_rounds_that_are_no_longer_wanted_end_their_process(tmp_path):
    rounds = timed_in_rounds(steps_recorded(tmp_path / "log"), 1 << 20)
    next(rounds)
    rounds.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "log").read_text().split()[0]), 0)


def test_a_timed_step_that_fails_ends_the_benchmark(tmp_path):
    with pytest.raises(RuntimeError, match=r"^the process of the timed steps ended with status 1$"):
        list(timed_in_rounds(steps_recorded(tmp_path / "log", n_layers=7), 2))


@pytest.mark.slow
def test_the_peak_of_a_step_is_its_own():
    held = torch.ones(1 << 28)  # by the process that starts the one that measures
    large = Step(ReformerConfig(256, 4096, 1, 64, 2048, attention=["local"]), 4096, 2, 1, "cpu")
    found = measure(large)
    hidden = 2 * 4096 * 2048 * 4
    assert hidden < found["peak_bytes"] < 8 * hidden
    assert found["process_peak_bytes"] < held.nbytes
    assert found["seconds_min"] <= found["seconds_per_step"] <= found["seconds_max"]


def _state(sender):
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    sender.send((int(status["Threads"]), torch.cuda.is_initialized(), "torch._dynamo" in sys.modules))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_measured_step_begins_with_all_code_loaded_and_neither_threads_nor_cuda():
    context = fresh_processes()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_state, args=(sender,))
    process.start()
    sender.close()
    assert receiver.recv() == (1, False, True)
    process.join()


@pytest.mark.slow
@pytest.mark.parametrize("unfused", [False, True])
def test_the_peak_of_a_step_is_that_of_a_process_started_from_nothing(monkeypatch, unfused):
    model = ReformerConfig(256, 1536, 1, 64, 512, attention=["full"])
    asked = Step(model, 1536, 1, 0, "cpu", unfused=unfused, exact_peak=True)
    found = measure(asked)
    monkeypatch.setattr(step, "fresh_processes", lambda: multiprocessing.get_context("spawn"))
    assert found["peak_bytes"] == pytest.approx(measure(asked)["peak_bytes"], abs=2_000_000)
    weights = 4 * 1536**2 * 4
    assert (found["peak_bytes"] > weights) == unfused


def test_a_measured_step_ends_with_the_process_that_asked_for_it(tmp_path):
    """Killed without a chance to say so: the step, here one that would take a minute, must not go on for nobody."""
    code = f"""
import time
from pathlib import Path
from reformer.bench import step
from reformer.model.config import ReformerConfig

def slow(config):
    Path({str(tmp_path / "pid")!r}).write_text(str(__import__("os").getpid()))
    time.sleep(60)

if __name__ == "__main__":
    step.PRELOADED = []
    step.measure(step.Step(ReformerConfig(max_seq_len=8), 8, 1, 0, "cpu", network=slow))
"""
    script = tmp_path / "asks.py"
    script.write_text(code)
    asking = subprocess.Popen([sys.executable, script])
    written = tmp_path / "pid"
    deadline = time.monotonic() + 60
    while not (written.exists() and written.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    asking.kill()
    asking.wait()
    while time.monotonic() < deadline:
        try:
            os.kill(int(written.read_text()), 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("the step goes on")
