"""Time and peak memory of a training step, measured in a new process: earlier use of memory would raise the peak."""

import ctypes
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Adam, Optimizer

from reformer.bench.phases import phases_printed
from reformer.machine import peak_bytes, use_threads
from reformer.model.config import ReformerConfig
from reformer.model.reformer_lm import ReformerLM
from reformer.processes import end_with_parent

PRELOADED = ["reformer.bench.step", "torch._dynamo"]
"""Modules that every step needs. The first optimiser of a process imports the second."""

OUT_OF_MEMORY = ("out of memory", "can't allocate memory")
"""Parts of the error messages of CUDA and of the CPU when memory runs out."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Options of glibc's mallopt (malloc.h)."""

Loss = Callable[[Tensor], Tensor]
"""A function of tokens, (B, L), that returns their mean loss."""


def own_network(config: ReformerConfig) -> tuple[nn.Module, Loss]:
    """Builds this project's network, and its loss."""
    model = ReformerLM(config)
    return model, lambda tokens: model(tokens, tokens).nll.mean()


@dataclass(frozen=True)
class Step:
    """A training step to measure: forward pass, backward pass and Adam."""

    model: ReformerConfig
    seq_len: int
    batch_size: int
    repeats: int
    """Timed steps after a warm-up. 0 times the warm-up itself."""
    device: str
    network: Callable[[ReformerConfig], tuple[nn.Module, Loss]] = own_network
    print_phases: bool = False
    """Print the current pass and layer, for steps that take minutes."""
    unfused: bool = False
    """Compute full attention by its plain formula, which stores the weights of all pairs of positions."""
    exact_peak: bool = False
    """Return freed memory to the system at once. This is slower, but makes the peak exact to one per cent."""
    threads: int = 0
    """CPU threads; 0 leaves PyTorch's choice."""


def measure(step: Step) -> dict[str, float | str]:
    """Measures a step in a new process.

    Returns:
        seconds_per_step (the median), seconds_min, seconds_max, process_peak_bytes, and peak_bytes, the peak above the
        memory of the weights, their gradients and the optimiser's state. Or `skipped` with the reason if the step cannot run.
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
            return {"skipped": "killed by the system, which probably ran out of memory"}
        raise RuntimeError(f"the process of a measured step ended with status {process.exitcode}") from None
    finally:
        process.join()


def fresh_processes() -> BaseContext:
    """Returns a context whose processes start with all code loaded and nothing else, as forks of a server that only imports.

    The server has neither threads nor CUDA, because neither would work in a fork.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _child(sender: Connection, step: Step) -> None:
    end_with_parent()
    try:
        with sdpa_kernel(SDPBackend.MATH) if step.unfused else nullcontext():
            sender.send(_measure(step))
    except RuntimeError as error:  # the base class of torch.OutOfMemoryError
        if not any(text in str(error) for text in OUT_OF_MEMORY):
            raise
        sender.send({"skipped": "out of memory"})


def _measure(step: Step) -> dict[str, float | str]:
    device = torch.device(step.device)
    use_threads(step.threads)
    torch.manual_seed(1)
    if step.exact_peak:
        _return_freed_memory()
    _load_code(step, device)
    model, loss, optimizer = _build(step, device)
    _allocate_state(model, optimizer)
    phases: AbstractContextManager[None] = nullcontext()
    if step.print_phases and isinstance(model, ReformerLM):
        phases = phases_printed(model, optimizer)
    tokens = torch.randint(step.model.vocab_size, (step.batch_size, step.seq_len), device=device)
    at_rest = _reset_peak(device)
    with phases:
        seconds = [timed_step(loss, optimizer, tokens)]
    peak = peak_bytes(device) - at_rest
    if step.repeats:
        seconds = [timed_step(loss, optimizer, tokens) for _ in range(step.repeats)]
    return {
        "seconds_per_step": median(seconds),
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "peak_bytes": max(peak, 0),
        "process_peak_bytes": peak_bytes(device),
    }


def timed_in_rounds(steps: Sequence[Step], rounds: int) -> Iterator[tuple[int, float]]:
    """Times all steps in one new process: in each round every step once, so that a disturbance of the machine affects all.

    Args:
        steps: the steps.
        rounds: rounds after a first one that warms up and does not count.

    Yields:
        The number of a step and its seconds, as soon as it is measured.
    """
    context = fresh_processes()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_rounds, args=(sender, steps, rounds))  # type: ignore[attr-defined]
    process.start()
    sender.close()
    try:
        for _ in range(rounds * len(steps)):
            yield receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"the process of the timed steps ended with status {process.exitcode}") from None
    finally:
        process.terminate()
        process.join()


def _rounds(sender: Connection, steps: Sequence[Step], rounds: int) -> None:
    end_with_parent()
    torch.manual_seed(1)
    calls = []
    for step in steps:
        device = torch.device(step.device)
        _, loss, optimizer = _build(step, device)
        tokens = torch.randint(step.model.vocab_size, (step.batch_size, step.seq_len), device=device)
        calls.append(partial(timed_step, loss, optimizer, tokens))
    for number in range(rounds + 1):
        for index, call in enumerate(calls):
            seconds = call()
            if number:
                sender.send((index, seconds))


def timed_step(loss: Loss, optimizer: Optimizer, tokens: Tensor) -> float:
    """Takes a training step and returns its seconds."""
    _synchronize(tokens.device)
    begin = time.perf_counter()
    optimizer.zero_grad()
    loss(tokens).backward()
    optimizer.step()
    _synchronize(tokens.device)
    return time.perf_counter() - begin


def _build(step: Step, device: torch.device) -> tuple[nn.Module, Loss, Optimizer]:
    model, loss = step.network(step.model)
    return model.to(device), loss, Adam(model.parameters())


def _load_code(step: Step, device: torch.device) -> None:
    """Loads all code and libraries by a step of the same network on a short sequence."""
    length = min(step.seq_len, 2 * step.model.chunk_len)
    short = replace(step.model, max_seq_len=length, axial_pos_shape=[])
    _, loss, optimizer = _build(replace(step, model=short), device)
    timed_step(loss, optimizer, torch.randint(step.model.vocab_size, (1, length), device=device))


def _allocate_state(model: nn.Module, optimizer: Optimizer) -> None:
    """Allocates what a network keeps between steps: gradients, here zero, and the optimiser's state."""
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()


def _reset_peak(device: torch.device) -> int:
    """Resets the peak if the system allows it, and returns the bytes in use."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    return peak_bytes(device)


def _return_freed_memory() -> None:
    """Makes glibc return freed blocks of more than 128 KiB to the system instead of keeping them for reuse.

    Kept blocks count as memory of the process, and differ by a tenth between similar sizes of tensors.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            mallopt(option, 1 << 17)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
