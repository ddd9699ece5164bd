"""One measured training step, in a process of its own: memory that another has used would count as its peak."""

import multiprocessing
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import torch

from reformer.model.config import ReformerConfig
from reformer.model.reformer_lm import ReformerLM
from reformer.training.environment import peak_bytes


@dataclass(frozen=True)
class Step:
    """A training step (forward, backward, Adam) to be measured."""

    model: ReformerConfig
    seq_len: int
    batch_size: int
    repeats: int
    """Steps that are timed, after one that is not."""
    device: str


def measure(step: Step) -> dict[str, float | str]:
    """Runs a step in a fresh process.

    Returns:
        seconds_per_step (the median), seconds_min, seconds_max, and peak_bytes above what the network holds at rest with its
        gradients and the optimiser's state; or `skipped` with the reason, where the step cannot be run.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, step))
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


def _child(sender: Connection, step: Step) -> None:
    try:
        sender.send(_measure(step))
    except torch.OutOfMemoryError:
        sender.send({"skipped": "needs more memory than there is"})
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        sender.send({"skipped": "needs more memory than there is"})


def _measure(step: Step) -> dict[str, float | str]:
    device = torch.device(step.device)
    torch.manual_seed(1)
    model = ReformerLM(step.model).to(device)
    optimizer = torch.optim.Adam(model.parameters())

    def run(length: int, batch_size: int) -> float:
        tokens = torch.randint(step.model.vocab_size, (batch_size, length), device=device)
        _wait(device)
        begin = time.perf_counter()
        optimizer.zero_grad()
        model(tokens, tokens).nll.mean().backward()
        optimizer.step()
        _wait(device)
        return time.perf_counter() - begin

    run(min(step.seq_len, 2 * step.model.chunk_len), 1)
    at_rest = _restart_peak(device)
    run(step.seq_len, step.batch_size)
    peak = peak_bytes(device) - at_rest
    seconds = [run(step.seq_len, step.batch_size) for _ in range(step.repeats)]
    return {
        "seconds_per_step": median(seconds),
        "seconds_min": min(seconds),
        "seconds_max": max(seconds),
        "peak_bytes": max(peak, 0),
    }


def _restart_peak(device: torch.device) -> int:
    """Makes the peak begin anew, where that can be done, and returns the bytes held now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    return peak_bytes(device)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
