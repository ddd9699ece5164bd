"""One measured training step, in a process of its own: memory that another has used would count as its peak."""

import ctypes
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Adam, Optimizer

from reformer.bench.phases import told_phases
from reformer.machine import peak_bytes
from reformer.model.config import ReformerConfig
from reformer.model.reformer_lm import ReformerLM
from reformer.processes import end_with_parent

PRELOADED = ["reformer.bench.step", "torch._dynamo"]
"""What every step needs; the second is loaded by the first optimiser that is made."""

WANTS_MEMORY = ("out of memory", "can't allocate memory")
"""What the errors for want of memory say, of CUDA and of the CPU."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options of glibc's mallopt, from malloc.h."""

LossOf = Callable[[Tensor], Tensor]
"""The mean loss of a batch of tokens, (B, L)."""


def own_network(config: ReformerConfig) -> tuple[nn.Module, LossOf]:
    """This project's network, and its loss."""
    model = ReformerLM(config)
    return model, lambda tokens: model(tokens, tokens).nll.mean()


@dataclass(frozen=True)
class Step:
    """A training step (forward, backward, Adam) to be measured."""

    model: ReformerConfig
    seq_len: int
    batch_size: int
    repeats: int
    """Steps that are timed, after one that is not; 0 times that one."""
    device: str
    network: Callable[[ReformerConfig], tuple[nn.Module, LossOf]] = own_network
    tells_phases: bool = False
    """Whether it tells what it computes now, for steps of minutes."""
    unfused: bool = False
    """Whether full attention follows its plain formula, which holds the weights of all pairs of positions."""
    exact_peak: bool = False
    """Whether freed memory goes back to the system at once: slower, but the peak is what was held at a time, to a per cent."""


def measure(step: Step) -> dict[str, float | str]:
    """Runs a step in a process of its own.

    Returns:
        seconds_per_step (the median), seconds_min, seconds_max, and peak_bytes above what the network holds at rest with its
        gradients and the optimiser's state; or `skipped` with the reason, where the step cannot be run.
    """
    context = fresh_processes()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, step))  # type: ignore[attr-defined]
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGKILL:
            return {"skipped": "was killed by the system, most likely for want of memory"}
        raise RuntimeError(f"a measured step ended with status {process.exitcode}") from None
    finally:
        process.join()


def fresh_processes() -> BaseContext:
    """Starts processes that hold nothing but loaded code, and hold it at once: copies of one that only loads it.

    That one computes nothing, so that it has no threads and no CUDA, which a copy could not use.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _child(sender: Connection, step: Step) -> None:
    end_with_parent()  # a step may take minutes
    try:
        attention = sdpa_kernel(SDPBackend.MATH) if step.unfused else nullcontext()
        with attention:
            sender.send(_measure(step))
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if not any(words in str(error) for words in WANTS_MEMORY):
            raise
        sender.send({"skipped": "needs more memory than there is"})


def _measure(step: Step) -> dict[str, float | str]:
    device = torch.device(step.device)
    torch.manual_seed(1)
    if step.exact_peak:
        _give_back_at_once()
    _warm_up(step, device)
    model, loss, optimizer = _trained(step, device)
    _begin(model, optimizer)
    phases: AbstractContextManager[None] = nullcontext()
    if step.tells_phases and isinstance(model, ReformerLM):
        phases = told_phases(model, optimizer)
    tokens = torch.randint(step.model.vocab_size, (step.batch_size, step.seq_len), device=device)
    at_rest = _restart_peak(device)
    with phases:
        seconds = [take_step(loss, optimizer, tokens)]
    peak = peak_bytes(device) - at_rest
    if step.repeats:
        seconds = [take_step(loss, optimizer, tokens) for _ in range(step.repeats)]
    return {
        "seconds_per_step": median(seconds),
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "peak_bytes": max(peak, 0),
        "process_peak_bytes": peak_bytes(device),
    }


def take_step(loss: LossOf, optimizer: Optimizer, tokens: Tensor) -> float:
    """One training step; its seconds."""
    _wait(tokens.device)
    begin = time.perf_counter()
    optimizer.zero_grad()
    loss(tokens).backward()
    optimizer.step()
    _wait(tokens.device)
    return time.perf_counter() - begin


def _trained(step: Step, device: torch.device) -> tuple[nn.Module, LossOf, Optimizer]:
    model, loss = step.network(step.model)
    return model.to(device), loss, Adam(model.parameters())


def _warm_up(step: Step, device: torch.device) -> None:
    """Loads all code and libraries: a step of the same network on a short sequence."""
    length = min(step.seq_len, 2 * step.model.chunk_len)
    short = replace(step.model, max_seq_len=length, axial_pos_shape=[])
    _, loss, optimizer = _trained(replace(step, model=short), device)
    take_step(loss, optimizer, torch.randint(step.model.vocab_size, (1, length), device=device))


def _begin(model: nn.Module, optimizer: Optimizer) -> None:
    """Makes what a network in training holds at rest: gradients, here 0, and the optimiser's state."""
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()


def _restart_peak(device: torch.device) -> int:
    """Makes the peak begin anew, where that can be done, and returns the bytes held now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    return peak_bytes(device)


def _give_back_at_once() -> None:
    """Keeps glibc, where that is the C library, from holding back freed blocks of more than 128 KiB for later use.

    What it holds back counts as the process's, and changes by a tenth from one size of tensors to the next.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            mallopt(option, 1 << 17)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
