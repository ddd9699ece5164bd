"""The base class of attention and feed-forward: a function of the normalised residual stream, computed in parts.

The intermediate activations of a branch are many times larger than its input and output. A branch therefore splits its input
into chunks of the sequence and its output into summands, and the backward pass handles one of them at a time. A forward pass in
chunks (section 3, "Chunking") saves no memory in training by itself: autograd would save the activations of all chunks.

A branch with layers or hooks of the user's own (`has_plain_layers` is false) is computed whole, by one call of each layer.

Shapes: B batch, L positions, D d_model.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reformer.model.plain import has_plain_layers


class Branch(nn.Module):
    """A residual branch: a layer adds its output to a residual stream. The output is deterministic once buckets are given."""

    norm: nn.LayerNorm

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Splits x, (B, L, D), into chunks of positions that can be computed independently."""
        return (x,)

    def summands(self, x: Tensor, padding_mask: Tensor | None, buckets: list[Tensor]) -> Iterator[Tensor]:
        """Computes tensors that sum to the output, one at a time.

        Args:
            x: a chunk from `split`, (B, L, D).
            padding_mask: (B, L), true at real tokens.
            buckets: the buckets of an earlier call with the same x. An empty list is filled with new ones.

        Yields:
            (B, L, D).
        """
        raise NotImplementedError

    def forward(self, x: Tensor, padding_mask: Tensor | None = None, buckets: list[Tensor] | None = None) -> Tensor:
        """Computes the output, (B, L, D). The backward pass recomputes each chunk if there are several."""
        saved_buckets = [] if buckets is None else buckets

        def output_of(chunk: Tensor) -> Tensor:
            return _sum(self.summands(chunk, padding_mask, saved_buckets))

        x = x.to(dtype_of(self, x))
        chunks = self.split(x) if has_plain_layers(self) else (x,)
        if len(chunks) == 1:
            return output_of(x)
        if not torch.is_grad_enabled():
            return torch.cat([output_of(chunk) for chunk in chunks], dim=1)
        outs = [checkpoint(output_of, chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks]
        return torch.cat(outs, dim=1)


@contextmanager
def watched(branch: Branch, call: Callable[[Tensor], object]) -> Iterator[None]:
    """Calls a function with each chunk, (B, L, D), that the branch computes, also in the backward pass.

    A hook would see the forward pass alone, because a branch with a hook stores its activations.
    """
    summands = branch.summands

    def call_and_compute(x: Tensor, padding_mask: Tensor | None, buckets: list[Tensor]) -> Iterator[Tensor]:
        call(x)
        return summands(x, padding_mask, buckets)

    vars(branch)["summands"] = call_and_compute
    try:
        yield
    finally:
        del vars(branch)["summands"]


def dtype_of(branch: Branch, x: Tensor) -> torch.dtype:
    """Returns the type of number that a branch computes in: that of its LayerNorm's weight or, without one, that of x."""
    weight = getattr(branch.norm, "weight", None)
    return weight.dtype if isinstance(weight, Tensor) and weight.is_floating_point() else x.dtype


def _sum(summands: Iterator[Tensor]) -> Tensor:
    """Adds up the summands in float32 or wider.

    The reversible backward pass sums in the same precision, so that it subtracts exactly what the forward pass added.
    """
    total = next(summands)
    for summand in summands:
        total = total.to(torch.promote_types(total.dtype, torch.float32))
        total = total + summand if torch.is_grad_enabled() else total.add_(summand)
        del summand  # frees it before the next one is computed
    return total
