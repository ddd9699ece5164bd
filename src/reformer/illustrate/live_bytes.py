"""Counts the bytes of tensors that are alive: the same on every machine, whatever the allocator or other processes do.

States of random generators, some 5 KB for each branch with dropout, are no results of operators and are not counted.
"""

import weakref
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Sums up the storages made by operators within the context, each until it is freed.

    It sees the operators of its own thread only. `torch.set_num_threads(1)` keeps LSH attention in that thread.

    Attributes:
        now: bytes alive.
        peak: the most there were.
    """

    def __init__(self, aside: Iterable[Tensor] = ()) -> None:
        """Begins with nothing.

        Args:
            aside: parameters. What has exactly as many bytes as one of them is taken for its gradient, and not counted.
        """
        super().__init__()
        self.now = self.peak = 0
        self._aside: Collection[int] = {x.nbytes for x in aside}
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        for x in tree_leaves(result):
            if isinstance(x, Tensor) and x.untyped_storage()._cdata not in given:
                self._count(x.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        name, size = storage._cdata, storage.nbytes()
        if name in self._seen or size in self._aside:
            return
        self._seen.add(name)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, name, size)

    def _free(self, name: int, size: int) -> None:
        self._seen.discard(name)
        self.now -= size


def bytes_of(loss: Callable[[], Tensor], aside: Iterable[Tensor] = ()) -> tuple[int, int]:
    """Counts the bytes of a forward and a backward pass, in one thread.

    Args:
        loss: computes a number that has a gradient.
        aside: as for `LiveBytes`.

    Returns:
        Bytes that are alive between the passes, and the peak of both passes.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with LiveBytes(aside) as live:
            value = loss()
            kept = live.now
            value.backward()
    finally:
        torch.set_num_threads(n_threads)
    return kept, live.peak
