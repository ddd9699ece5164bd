"""Python threads for work that consists of many small operations.

PyTorch's own threads divide each operation and wait for the last of them. Small operations then cost more to divide than to
compute, and another program on one core delays all of them. These threads each compute independent parts of the work, with the
data in the cache of their own core.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from math import prod
from threading import local
from typing import TypeVar

import torch
from torch import Tensor

Part = TypeVar("Part")

# Largest scratch memory that an idle thread keeps.
MAX_IDLE_BYTES = 48 << 20


class Scratch:
    """Reusable buffers, each under a name: the first access to fresh memory takes longer than the computation in it."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._buffers: dict[str, Tensor] = {}

    def empty(self, name: str, *shape: int) -> Tensor:
        """Returns an uninitialised tensor of the shape, which is valid until the name is used again."""
        size = prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < size:
            with torch.inference_mode(False):  # a later call can run outside of inference mode
                buffer = self._buffers[name] = torch.empty(size, dtype=self._dtype)
        return buffer[:size].view(shape)

    def select(self, name: str, x: Tensor, rows: Tensor) -> Tensor:
        """Returns x[rows], (n, ...), for n rows."""
        return torch.index_select(x, 0, rows, out=self.empty(name, len(rows), *x.shape[1:]))

    def cat(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        """Concatenates x, (..., m), and y, (..., n), to (..., m + n)."""
        return torch.cat([x, y], dim=-1, out=self.empty(name, *x.shape[:-1], x.shape[-1] + y.shape[-1]))

    @property
    def n_bytes(self) -> int:
        """The size of all buffers in bytes."""
        return sum(buffer.nbytes for buffer in self._buffers.values())


def run_in_threads(
    work: Callable[[Part, Scratch], None], parts: Sequence[Part], max_threads: int, dtype: torch.dtype
) -> None:
    """Runs the work on each part, without gradients, in up to max_threads threads, which share PyTorch's own threads.

    Args:
        work: function of a part and of scratch memory of the dtype, which its thread reuses for one part after another.
    """
    n_threads = torch.get_num_threads()
    n_workers = min(len(parts), n_threads, max_threads)
    inference_mode = torch.is_inference_mode_enabled()

    def work_on(own_parts: Sequence[Part]) -> None:
        torch.set_num_threads(n_threads // n_workers)
        # Both modes belong to a thread: new threads do not inherit them.
        with torch.inference_mode(inference_mode), torch.no_grad(), _thread_scratch(dtype) as scratch:
            for part in own_parts:
                work(part, scratch)

    if n_workers <= 1:
        scratch = Scratch(dtype)
        with torch.no_grad():
            for part in parts:
                work(part, scratch)
        return
    try:
        list(_threads(n_threads).map(work_on, [parts[first::n_workers] for first in range(n_workers)]))
    finally:
        torch.set_num_threads(n_threads)  # threads that start later inherit the number that was set last


@lru_cache(maxsize=1)
def _threads(max_threads: int) -> ThreadPoolExecutor:
    # The pool outlives a call, because a new thread would allocate fresh memory.
    return ThreadPoolExecutor(max_threads, thread_name_prefix="lsh")


if hasattr(os, "register_at_fork"):  # missing on systems without fork
    os.register_at_fork(after_in_child=_threads.cache_clear)
_idle = local()


@contextmanager
def _thread_scratch(dtype: torch.dtype) -> Iterator[Scratch]:
    """Yields this thread's scratch memory, and keeps it for the next call unless it is too large."""
    idle: dict[str, Scratch] = vars(_idle)
    scratch = idle.pop(str(dtype), None) or Scratch(dtype)
    yield scratch
    if scratch.n_bytes <= MAX_IDLE_BYTES:
        idle[str(dtype)] = scratch
