"""The stack of residual layers: reversible (paper section 3), its twin that stores activations, and the ordinary network.

    y1 = x1 + Attention(x2)        y2 = x2 + FeedForward(y1)            (equation 9)
    x2 = y2 - FeedForward(y1)      x1 = y1 - Attention(x2)              (equation 10)

The reversible backward pass keeps the last layer's output alone. Walking down, it computes each branch a second time, with the
buckets that the first computation hashed to and the same dropout, and leaves the global random state as it was.

Shapes: B batch, L positions, D d_model.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.utils.checkpoint import get_device_states, set_device_states

from reformer.model.attention import Attention
from reformer.model.branch import Branch
from reformer.model.config import ReformerConfig
from reformer.model.feed_forward import FeedForward


class Layer(nn.Module):
    """The two branches of a layer."""

    def __init__(self, config: ReformerConfig, kind: str) -> None:
        super().__init__()
        self.attention = Attention(config, kind)
        self.feed_forward = FeedForward(config)


class ResidualStack(nn.Module):
    """All layers, on one residual stream or on the reversible pair. The parameters are the same in each case."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__()
        self.reversible, self.n_streams, self.dropout = config.reversible, config.n_streams, config.dropout
        self.layers = nn.ModuleList(Layer(config, kind) for kind in config.layer_kinds)

    def branches(self) -> list[Branch]:
        """Attention and feed-forward of each layer in turn."""
        return [branch for layer in self.layers for branch in layer.children()]  # type: ignore[misc]

    def forward(self, x: Tensor, padding_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Runs the layers.

        Args:
            x: input of both streams, (B, L, D).
            padding_mask: (B, L), true at real tokens.

        Returns:
            Both streams, (B, L, D) each, in float32 at least; the same one twice where there is only one.
        """
        # Low precision is for inside the branches: what is added and taken away again must not lose digits.
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        dropout = self.dropout if self.training else 0.0
        if self.n_streams == 1:
            for branch in self.branches():
                x = x + _dropped(branch(x, padding_mask), dropout)
            return x, x
        if self.reversible and torch.is_grad_enabled():
            parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
            grads = _Gradients()
            streams = _Reversible.apply(grads, self.branches(), dropout, padding_mask, x, *parameters)
            return grads.taken_from(streams)
        changed, read = x, x
        for branch in self.branches():
            changed, read = read, changed + _dropped(branch(read, padding_mask), dropout)
        return changed, read


class _Reversible(torch.autograd.Function):
    """The pair of streams; keeps their last state, the buckets and, with dropout, the random states."""

    @staticmethod
    def forward(
        ctx: Any,
        grads: "_Gradients",
        branches: Sequence[Branch],
        dropout: float,
        padding_mask: Tensor | None,
        x: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.grads, ctx.branches, ctx.dropout, ctx.parameters = grads, branches, dropout, parameters
        ctx.weights = _weights(branches)
        ctx.autocast = _same_autocast(x.device.type)
        ctx.n_pieces, ctx.random_states = [], []
        kept: list[Tensor] = []
        # Copies in name only: an input must not be an output, nor both outputs the same.
        changed, read = x.view_as(x), x.view_as(x)
        for branch in branches:
            buckets: list[Tensor] = []
            with ctx.autocast():
                out = branch(read, padding_mask, buckets)
            ctx.n_pieces.append(len(buckets))
            kept += buckets
            ctx.random_states.append(_RandomState(x) if dropout else None)
            changed, read = read, changed + _dropped(out, dropout)
            del out  # or it would last until the next branch is computed
        ctx.save_for_backward(changed, read, padding_mask, *kept)
        return changed, read

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *nothing: Tensor) -> tuple[Tensor | None, ...]:
        if _weights(ctx.branches) != ctx.weights:
            raise RuntimeError(
                "the weights of the reversible stack have changed since its forward pass, which it must compute again: "
                "take the backward pass before the optimiser's step, or set reversible=False"
            )
        changed, read, padding_mask, *kept = ctx.saved_tensors
        ctx.maybe_clear_saved_tensors()  # unless the graph is kept: else the last state would last until the first is reached
        grad_changed, grad_read = ctx.grads.pop(nothing)
        totals = {parameter: torch.zeros_like(parameter) for parameter in ctx.parameters}
        for branch, n_pieces, random_state in zip(
            reversed(ctx.branches), reversed(ctx.n_pieces), reversed(ctx.random_states), strict=True
        ):
            first = len(kept) - n_pieces
            kept, buckets = kept[:first], kept[first:]
            # The branch read what is now in `changed`, and its output was added to what is now in `read`.
            noise = None if random_state is None else random_state.replay(partial(_noise, read, ctx.dropout))
            grad_out = grad_read if noise is None else grad_read * noise
            with ctx.autocast():
                out = _replay(branch, changed, grad_out, grad_changed, padding_mask, buckets, totals)
            if noise is not None:
                out = out.mul_(noise)
            changed, read = read - out, changed
            del out
            grad_changed, grad_read = grad_read, grad_changed
        return None, None, None, None, grad_changed.add_(grad_read), *totals.values()


def _replay(
    branch: Branch,
    x: Tensor,
    grad_out: Tensor,
    grad_x: Tensor,
    padding_mask: Tensor | None,
    buckets: list[Tensor],
    totals: dict[Tensor, Tensor],
) -> Tensor:
    """Computes a branch again and, piece by piece, its gradient.

    Args:
        branch: the branch.
        x: what it read, (B, L, D).
        grad_out: gradient of its output.
        grad_x: the gradient of x is added to it.
        padding_mask: as in the first computation.
        buckets: those of the first computation.
        totals: gradients of parameters, added to.

    Returns:
        Its output, (B, L, D).
    """
    out = torch.zeros_like(x)
    parameters = [parameter for parameter in branch.parameters() if parameter in totals]
    for part, *sums in zip(*(branch.split(whole) for whole in (x, out, grad_out, grad_x)), strict=True):
        part_out, part_grad_out, part_grad_x = sums
        leaf = part.to(branch.norm.weight.dtype).detach().requires_grad_()
        with torch.enable_grad():
            for piece in branch.pieces(leaf, padding_mask, buckets):
                part_out += piece.detach()
                if not piece.requires_grad:
                    continue
                grad_piece = part_grad_out.to(piece.dtype)
                edge = get_gradient_edge(piece)
                del piece  # its numbers are not needed any more
                # The pieces share the normalised input: its graph must outlive each of them.
                found = torch.autograd.grad(edge, [leaf, *parameters], grad_piece, retain_graph=True)
                part_grad_x += found[0]
                for parameter, grad in zip(parameters, found[1:], strict=True):
                    totals[parameter] += grad
                # Else they and their graph would last until the next piece is computed.
                del edge, grad_piece, found
    return out


class _Gradients:
    """Hands both streams' gradients to the backward pass as its own, which it may change and free.

    What autograd hands over by itself lasts until the backward pass is over, and must not be changed.
    """

    def __init__(self) -> None:
        self._grads: dict[int, Tensor] = {}

    def taken_from(self, streams: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The streams as others may use them; what gradient they get is kept here, and zeros without memory are passed on."""

        def take(number: int, grad: Tensor | None) -> Tensor | None:
            if grad is None:
                return None
            if torch.is_grad_enabled():
                raise RuntimeError("the reversible stack cannot be differentiated twice: set reversible=False for that")
            self._grads[number] = grad.clone(memory_format=torch.contiguous_format)
            return grad.new_zeros(()).expand_as(grad)

        if not streams[0].requires_grad:
            return streams
        for number, stream in enumerate(streams):
            stream.register_hook(partial(take, number))
        changed, read = streams
        return changed.view_as(changed), read.view_as(read)

    def pop(self, like: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What was kept, or zeros where a stream is not used."""
        changed, read = (
            self._grads.pop(number)
            if number in self._grads
            else torch.zeros_like(x, memory_format=torch.contiguous_format)
            for number, x in enumerate(like)
        )
        return changed, read


class _RandomState:
    """The state of the random generators at the moment of its making."""

    def __init__(self, x: Tensor) -> None:
        self.cpu = torch.get_rng_state()
        self.devices, self.states = get_device_states(x)
        self.device_type = x.device.type

    def replay(self, draw: Callable[[], Tensor]) -> Tensor:
        """Draws what was drawn then, and leaves the generators as they are."""
        with torch.random.fork_rng(self.devices, device_type="cuda" if not self.devices else self.device_type):
            torch.set_rng_state(self.cpu)
            set_device_states(self.devices, self.states, device_type=self.device_type)
            return draw()


def _weights(branches: Sequence[Branch]) -> list[tuple[int, int]]:
    """What tells whether the weights are still the same tensors, with the same numbers in them."""
    return [(id(weight), weight._version) for branch in branches for weight in branch.parameters()]


def _dropped(out: Tensor, dropout: float) -> Tensor:
    return out * _noise(out, dropout) if dropout else out


def _noise(like: Tensor, dropout: float) -> Tensor:
    """What dropout multiplies by: 0, or 1 / (1 - dropout)."""
    kept = torch.empty(like.shape, dtype=torch.float32, device=like.device).bernoulli_(1 - dropout)
    return kept.div_(1 - dropout)


def _same_autocast(device_type: str) -> Callable[[], AbstractContextManager[None]]:
    """Brings back, in a backward pass, the automatic casting that is on now."""
    return partial(
        torch.autocast,
        device_type,
        dtype=torch.get_autocast_dtype(device_type),
        enabled=torch.is_autocast_enabled(device_type),
        # A weight that was cast without a graph must not be found again by one who needs its gradient.
        cache_enabled=False,
    )
