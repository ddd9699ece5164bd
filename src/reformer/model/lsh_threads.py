"""Python threads for work that consists of many small operations.

An operation that PyTorch itself divides among threads ends when the last of them does: short ones then cost more to divide
than to compute, and wait for as long as another program keeps one core busy. Parts that do not need each other are better
given to threads as wholes, each with its data in the cache of its own core.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import TypeVar

import torch
from torch import Tensor

Part = TypeVar("Part")


def share_out(work: Callable[[Part], None], parts: Sequence[Part], most_threads: int) -> None:
    """Does the work on each part, without gradients, on up to most_threads threads, which divide PyTorch's own among them."""
    n_threads = torch.get_num_threads()
    n_workers = min(len(parts), n_threads, most_threads)
    inferring = torch.is_inference_mode_enabled()

    def work_without_gradients(part: Part) -> None:
        with torch.inference_mode(inferring), torch.no_grad():  # threads do not inherit either
            work(part)

    if n_workers <= 1:
        for part in parts:
            work_without_gradients(part)
        return
    try:
        with ThreadPoolExecutor(
            n_workers, initializer=torch.set_num_threads, initargs=(n_threads // n_workers,)
        ) as pool:
            list(pool.map(work_without_gradients, parts))
    finally:
        torch.set_num_threads(n_threads)  # a thread's own number is also what threads started later begin with


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
            memory = self._memory[name] = torch.empty(size, dtype=self._dtype)
        return memory[:size].view(shape)

    def take(self, name: str, x: Tensor, rows: Tensor) -> Tensor:
        """x[rows]."""
        return torch.index_select(x, 0, rows, out=self.empty(name, len(rows), *x.shape[1:]))
