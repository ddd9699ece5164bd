"""The arithmetic of a plan: operations as PyTorch counts them, memory as live tensors have it, parameters by hand."""

from dataclasses import replace

import pytest
import torch
from torch.optim import Adafactor, Adam
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop, sdpa_flop

from reformer.bench.plan import plan_run, sequence_flops, step_memory
from reformer.illustrate.live_bytes import LiveBytes
from reformer.model import lsh_fused, lsh_portable
from reformer.model.attention_kinds import KINDS
from reformer.model.config import ReformerConfig
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import RunConfig

LENGTH = 384
SMALL = ReformerConfig(
    *(101, LENGTH, 2, 40, 72, 3, 16), chunk_len=16, n_hashes=2, ff_chunk_size=100, loss_chunk_size=90
)
RESIDUALS = {
    "reversible": {},
    "stored": {"reversible": False},
    "ordinary": {"reversible": False, "n_streams": 1, "dropout": 0.1},
}
WHOLE = {"ff_chunk_size": 0, "loss_chunk_size": 0}
ATEN = torch.ops.aten
FORMULAS = {
    **flop_registry,
    ATEN._scaled_dot_product_flash_attention_for_cpu: sdpa_flop,  # PyTorch does not count it by itself
    ATEN._scaled_dot_product_flash_attention_for_cpu_backward: sdpa_backward_flop,
}


class CountedFlops(TorchDispatchMode):
    """Sums up what PyTorch's formulas give for each operator. (Its own counter also follows modules, which replay breaks.)"""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if formula := FORMULAS.get(func.overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    """LSH attention as GPUs compute it, in tiles as large as theirs."""
    monkeypatch.setattr(lsh_fused, "kernels_exist", lambda: False)
    monkeypatch.setattr(lsh_portable, "CPU_TILE", lsh_portable.LARGE_TILE)


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other cost seconds where other processes use the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def counted_flops(config):
    model, tokens = ReformerLM(config), torch.randint(config.vocab_size, (1, LENGTH))
    with CountedFlops() as counted:
        model(tokens, tokens).nll.mean().backward()
    return counted.total


@pytest.mark.parametrize("chunks", [{}, WHOLE])
@pytest.mark.parametrize("residuals", RESIDUALS)
@pytest.mark.parametrize(
    "attention",
    [
        {"attention": ["full"], "shared_qk": False, "causal": False},
        {"attention": ["full"], "causal": False},
        {"attention": ["lsh"]},
        {"attention": ["lsh"], "n_hashes": 5},
        {"attention": ["lsh", "full"], "causal": False},
        {"attention": ["off"]},
    ],
)
def test_the_operations_are_those_that_pytorch_counts(attention, residuals, chunks):
    config = replace(SMALL, **attention, **RESIDUALS[residuals], **chunks)
    assert sequence_flops(config, LENGTH) == pytest.approx(counted_flops(config), rel=0.02)


def test_causal_attention_takes_half_of_all_pairs_and_windows_take_two_chunks():
    assert KINDS["full"].pairs(SMALL, LENGTH) == pytest.approx(sum(range(1, LENGTH + 1)), rel=0.01)
    assert KINDS["local"].pairs(SMALL, LENGTH) == LENGTH * 2 * 16
    assert KINDS["lsh"].pairs(SMALL, LENGTH) == LENGTH * 2 * (2 * 16)


@pytest.mark.parametrize("chunks", [{}, WHOLE])
@pytest.mark.parametrize("residuals", RESIDUALS)
@pytest.mark.parametrize(
    "attention",
    [
        {"attention": ["full"]},
        {"attention": ["full"], "shared_qk": False},
        {"attention": ["local"]},
        {"attention": ["lsh"]},
        {"attention": ["lsh"], "n_hashes": 7, "d_head": 64},
    ],
)
def test_a_step_s_peak_lies_within_a_third_of_the_estimate(attention, residuals, chunks):
    sizes = {"n_layers": 3, "d_model": 96, "d_ff": 256, "n_heads": 4, "d_head": 24}
    config = replace(SMALL, **sizes | attention, **RESIDUALS[residuals], **chunks)
    model, tokens = ReformerLM(config), torch.randint(config.vocab_size, (2, LENGTH))
    with LiveBytes(aside=model.parameters()) as live:
        model(tokens, tokens).nll.mean().backward()
    memory = step_memory(config, LENGTH, 2, "adam")
    assert 3 / 4 < live.peak / (memory["stored"] + memory["work"]) < 4 / 3


@pytest.mark.parametrize(("name", "kind"), [("adam", Adam), ("adafactor", Adafactor)])
def test_weights_and_the_optimiser_s_state_have_the_bytes_that_are_told(name, kind):
    model, tokens = ReformerLM(SMALL), torch.randint(SMALL.vocab_size, (1, LENGTH))
    optimizer = kind(model.parameters())
    model(tokens, tokens).nll.mean().backward()
    optimizer.step()
    state = sum(x.nbytes for kept in optimizer.state.values() for key, x in kept.items() if key != "step")
    memory = step_memory(SMALL, LENGTH, 1, name)
    assert memory["optimizer"] == state
    assert memory["weights"] == memory["gradients"] == sum(parameter.nbytes for parameter in model.parameters())
    assert step_memory(SMALL, LENGTH, 1, name, data_parallel=True)["gradients"] == 2 * memory["gradients"]


def paper_size(**settings):
    """The paper's ablations on enwik8."""
    sizes = {"n_layers": 3, "d_model": 1024, "d_ff": 4096, "n_heads": 8, "d_head": 64, "n_hashes": 2, "chunk_len": 128}
    chunks = {"ff_chunk_size": 4096, "loss_chunk_size": 8192}
    return ReformerConfig(256, 65536, positions="learned", **sizes, **chunks, **settings)


def test_the_paper_s_size_has_the_parameters_that_its_widths_make():
    run = RunConfig(
        data=type("Data", (), {"name": "letters", "batch_size": 8, "seq_len": 65536, "vocab_size": 256}),
        model=paper_size(),
    )
    run.trainer.devices, run.trainer.max_steps = 4, 7
    plan = plan_run(run)
    attention, feed_forward = 3 * 1024 * 512 + 2 * 1024, 2 * 1024 * 4096 + 4096 + 1024 + 2 * 1024
    head = 2 * 2048 + 2048 * 256 + 256
    assert plan.n_parameters == (256 + 65536) * 1024 + 3 * (attention + feed_forward) + head
    assert (plan.tokens_per_step, plan.tokens, plan.devices) == (8 * 65536, 7 * 8 * 65536, 4)
    assert plan.memory == step_memory(run.model, 65536, 2, "adam", data_parallel=True)
    assert plan.device_hours(2.0) == pytest.approx(7 * 8 * sequence_flops(run.model, 65536) / 2e12 / 3600)


def test_at_the_paper_s_size_full_attention_takes_most_operations_and_stored_activations_most_memory():
    full = sequence_flops(paper_size(attention=["full"]), 65536)
    assert 4 < full / sequence_flops(paper_size(), 65536) < 5
    deep = replace(paper_size(), n_layers=24)
    reversible, stored = (step_memory(replace(deep, reversible=r), 65536, 1, "adam")["stored"] for r in (True, False))
    assert stored > 20 * reversible
