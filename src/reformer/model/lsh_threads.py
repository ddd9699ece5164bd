"""Python threads for work that consists of many small operations.

An operation that PyTorch itself divides among threads ends when the last of them does: short ones then cost more to divide
than to compute, and wait for as long as another program keeps one core busy. Parts that do not need each other are better
given to threads as wholes, each with its data in the cache of its own core.
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

# Scratch memory that a thread holds on to when it has done its work.
MOST_KEPT_BYTES = 48 << 20


class Scratch:
    """Memory used again and again under a name: to touch fresh memory takes longer than what is computed in it."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._memory: dict[str, Tensor] = {}

    def empty(self, name: str, *shape: int) -> Tensor:
        """A tensor of that shape with any content, valid until the name is used again."""
        size = prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.numel() < size:
            with torch.inference_mode(False):  # it may be used again in another mode
                memory = self._memory[name] = torch.empty(size, dtype=self._dtype)
        return memory[:size].view(shape)

    def take(self, name: str, x: Tensor, rows: Tensor) -> Tensor:
        """x[rows]."""
        return torch.index_select(x, 0, rows, out=self.empty(name, len(rows), *x.shape[1:]))

    def cat(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        """x and y side by side."""
        return torch.cat([x, y], dim=-1, out=self.empty(name, *x.shape[:-1], x.shape[-1] + y.shape[-1]))

    @property
    def n_bytes(self) -> int:
        return sum(memory.nbytes for memory in self._memory.values())


def share_out(
    work: Callable[[Part, Scratch], None], parts: Sequence[Part], most_threads: int, dtype: torch.dtype
) -> None:
    """Does the work on each part, without gradients, on up to most_threads threads, which divide PyTorch's own among them.

    Args:
        work: called with a part, and with scratch memory of the dtype that its thread uses for one part after another.
    """
    n_threads = torch.get_num_threads()
    n_workers = min(len(parts), n_threads, most_threads)
    inferring = torch.is_inference_mode_enabled()

    def work_on(own_parts: Sequence[Part], scratch: Scratch) -> None:
        for part in own_parts:
            work(part, scratch)

    def work_in_thread(own_parts: Sequence[Part]) -> None:
        torch.set_num_threads(n_threads // n_workers)
        # Threads inherit neither of the modes.
        with torch.inference_mode(inferring), torch.no_grad(), _kept_scratch(dtype) as scratch:
            work_on(own_parts, scratch)

    if n_workers <= 1:
        with torch.no_grad():
            work_on(parts, Scratch(dtype))
        return
    try:
        list(_threads(n_threads).map(work_in_thread, [parts[first::n_workers] for first in range(n_workers)]))
    finally:
        torch.set_num_threads(n_threads)  # a thread's own number is also what threads started later begin with


@lru_cache(maxsize=1)
def _threads(most: int) -> ThreadPoolExecutor:
    # Kept, as memory that a new thread touches is new to it.
    return ThreadPoolExecutor(most, thread_name_prefix="lsh")


if hasattr(os, "register_at_fork"):  # where processes can fork
    os.register_at_fork(after_in_child=_threads.cache_clear)
_kept = local()


@contextmanager
def _kept_scratch(dtype: torch.dtype) -> Iterator[Scratch]:
    """This thread's scratch memory, which stays for the next time unless there is much of it."""
    kept: dict[str, Scratch] = vars(_kept)
    scratch = kept.pop(str(dtype), None) or Scratch(dtype)
    yield scratch
    if scratch.n_bytes <= MOST_KEPT_BYTES:
        kept[str(dtype)] = scratch
