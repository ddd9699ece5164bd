"""Benchmarks measure every point they name, each in a process of its own, and log their curves."""

import json
from dataclasses import replace

import pytest
import torch

from reformer.evaluation import benchmark, step
from reformer.evaluation.config import BenchmarkConfig
from reformer.evaluation.phases import told_phases
from reformer.evaluation.step import Step, measure
from reformer.model.config import ReformerConfig
from reformer.model.reformer_lm import ReformerLM
from reformer.training.config import LoggerConfig

SMALL = ReformerConfig(n_layers=1, d_model=8, d_ff=10, n_heads=2, d_head=5, chunk_len=4)
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

    monkeypatch.setattr(benchmark, "measure", measure)
    return asked


def test_speed_by_length_keeps_the_tokens_of_a_step(measured, tmp_path):
    config = BenchmarkConfig("speed_by_length", SMALL, tokens=32, lengths=[8, 16], attentions=["full", "lsh-2"])
    path = tmp_path / "benchmarks" / "speed.json"
    content = benchmark.run_benchmark(config, path, "a command", LoggerConfig(mode="disabled"))
    assert [step.seq_len * step.batch_size for step in measured] == [32] * 4
    assert [(step.model.attention, step.model.n_hashes) for step in measured][2:] == [(["lsh"], 2)] * 2
    assert json.loads(path.read_text()) == content
    assert content["tokens"] == 32
    assert content["environment"]["command"] == "a command"
    assert content["points"][0] == {"attention": "full", "seq_len": 8, "batch_size": 4, **RESULT}
    assert content["points"][1]["skipped"] == "too large"


def test_memory_by_depth_changes_depth_and_residuals_only(measured, tmp_path):
    config = BenchmarkConfig("memory_by_depth", SMALL, depths=[1, 3], seq_len=24)
    content = benchmark.run_benchmark(config, tmp_path / "m.json", "", LoggerConfig(mode="disabled"))
    assert [(step.model.n_layers, step.model.reversible) for step in measured] == [
        (1, False),
        (3, False),
        (1, True),
        (3, True),
    ]
    assert content["points"][3] == {"reversible": True, "n_layers": 3, "seq_len": 24, **RESULT}


def test_one_step_is_taken_once_and_held_against_what_must_be_stored(measured, tmp_path, capfd):
    config = BenchmarkConfig("million", SMALL, seq_len=24)
    content = benchmark.run_benchmark(config, tmp_path / "m.json", "", LoggerConfig(mode="disabled"))
    (step,), (point,) = measured, content["points"]
    assert (step.seq_len, step.model.max_seq_len, step.batch_size, step.repeats, step.tells_phases) == (
        24,
        24,
        1,
        0,
        True,
    )
    stored = point["must_store_bytes"]
    assert stored["streams"] == stored["gradients_of_streams"] == 2 * 24 * 8 * 4
    assert stored["buckets"] == 2 * 4 * 24 * 2
    assert "to be stored: streams 0.00 + " in capfd.readouterr().out


def test_the_phases_of_a_step_are_told_in_order(capfd):
    tokens = torch.randint(19, (1, 40))
    model = ReformerLM(replace(SMALL, vocab_size=19, n_layers=2, loss_chunk_size=13))
    optimizer = torch.optim.Adam(model.parameters())
    with told_phases(model, optimizer):
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
    step._child(sender, None)
    assert sender.result == {"skipped": "needs more memory than there is"}
    fail("shapes do not match")
    with pytest.raises(RuntimeError, match="shapes"):
        step._child(sender, None)


@pytest.mark.slow
def test_the_peak_of_a_step_is_its_own():
    held = torch.ones(1 << 28)  # by the process that starts the one that measures
    large = Step(ReformerConfig(256, 4096, 1, 64, 2048, attention=["local"]), 4096, 2, 1, "cpu")
    found = measure(large)
    hidden = 2 * 4096 * 2048 * 4
    assert hidden < found["peak_bytes"] < 8 * hidden
    assert found["process_peak_bytes"] < held.nbytes
    assert found["seconds_min"] <= found["seconds_per_step"] <= found["seconds_max"]
