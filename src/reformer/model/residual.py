"""The stack of residual layers: reversible (paper section 3), with stored activations, or with one ordinary stream.

    y1 = x1 + Attention(x2)        y2 = x2 + FeedForward(y1)            (equation 9)
    x2 = y2 - FeedForward(y1)      x1 = y1 - Attention(x2)              (equation 10)

The output of a branch on one stream, `source`, is added to the other stream, `target`. Then the two swap roles. The reversible
forward pass saves only the last state of both streams. From the last branch to the first, the backward pass recomputes a branch
with the saved buckets and the same dropout mask, subtracts its output from its stream and computes its gradients. It leaves the
global random state unchanged.

A branch with layers or hooks of the user's own can be random or have a state, so that a second computation would differ. Such a
branch is computed once, with stored activations, between reversible runs of the branches before and after it.

Shapes: B batch, L positions, D d_model.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.utils.checkpoint import get_device_states, set_device_states

from reformer.model.attention import Attention
from reformer.model.branch import Branch, dtype_of
from reformer.model.config import ReformerConfig
from reformer.model.feed_forward import FeedForward
from reformer.model.plain import has_plain_layers, runs_only_its_class

WHY_STORED = (
    "in the reversible stack has layers or hooks that are not PyTorch's own: its activations are stored, for a repetition in "
    "the backward pass could differ"
)


class Layer(nn.Module):
    """The two branches of a layer."""

    def __init__(self, config: ReformerConfig, kind: str) -> None:
        super().__init__()
        self.config = config
        self.attention = Attention(config, kind)
        self.feed_forward = FeedForward(config)

    def forward(self, target: Tensor, source: Tensor, padding_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Adds attention and feed-forward to the streams, (B, L, D) each."""
        dropout = self.config.dropout if self.training else 0.0
        return _add_branches(self.config, [self.attention, self.feed_forward], dropout, target, source, padding_mask)


class ResidualStack(nn.Module):
    """All layers, on one residual stream or on a pair of streams. The parameters are the same in both cases."""

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Layer(config, kind) for kind in config.layer_kinds)

    def branches(self) -> list[Branch]:
        """Returns attention and feed-forward of each layer, in their order."""
        return _branches_of(self.layers)

    def forward(self, x: Tensor, padding_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Runs the layers.

        Args:
            x: input of both streams, (B, L, D).
            padding_mask: (B, L), true at real tokens.

        Returns:
            Both streams, (B, L, D) each, in float32 or wider. A single stream is returned twice.
        """
        # Branches may use low precision. Streams must not: rounding errors would keep subtraction from undoing addition.
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        dropout = self.config.dropout if self.training else 0.0
        target, source = x, x
        for plain, layers in groupby(self.layers, _is_plain):
            if plain:
                branches = _branches_of(layers)
                target, source = _add_branches(self.config, branches, dropout, target, source, padding_mask)
            else:
                for layer in layers:
                    target, source = layer(target, source, padding_mask)
        return target, source


def _branches_of(layers: Iterable[nn.Module]) -> list[Branch]:
    return [branch for layer in layers for branch in (layer.attention, layer.feed_forward)]  # type: ignore[misc]


def _is_plain(layer: nn.Module) -> bool:
    """Returns whether a call of the layer only adds its branches, so that the stack can join those of several layers."""
    return type(layer) is Layer and runs_only_its_class(layer)


def _can_be_repeated(branch: nn.Module) -> bool:
    return isinstance(branch, Branch) and has_plain_layers(branch)


def _add_branches(
    config: ReformerConfig,
    branches: Iterable[Branch],
    dropout: float,
    target: Tensor,
    source: Tensor,
    padding_mask: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Adds the outputs of branches to the streams, (B, L, D) each, one after the other."""
    reversible = config.reversible and torch.is_grad_enabled()
    for repeatable, group in groupby(branches, _can_be_repeated):
        if reversible and repeatable:
            target, source = _add_reversibly(list(group), dropout, target, source, padding_mask)
            continue
        for branch in group:
            if reversible:
                warnings.warn(f"{type(branch).__name__} {WHY_STORED}", stacklevel=2)
            added = target + _apply_dropout(branch(source, padding_mask), dropout)
            target, source = (added, added) if config.n_streams == 1 else (source, added)
            del added
    return target, source


def _add_reversibly(
    branches: list[Branch], dropout: float, target: Tensor, source: Tensor, padding_mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    parameters = dict.fromkeys(weight for branch in branches for weight in branch.parameters() if weight.requires_grad)
    stream_grads = _StreamGradients()
    streams = _Reversible.apply(stream_grads, branches, dropout, padding_mask, target, source, *parameters)
    return stream_grads.intercepted(streams)


class _Reversible(torch.autograd.Function):
    """Branches on a pair of streams. Saves the last state of both, the buckets and, with dropout, the random states."""

    @staticmethod
    def forward(
        ctx: Any,
        stream_grads: "_StreamGradients",
        branches: Sequence[Branch],
        dropout: float,
        padding_mask: Tensor | None,
        target: Tensor,
        source: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.stream_grads, ctx.branches, ctx.dropout, ctx.parameters = stream_grads, branches, dropout, parameters
        ctx.weights = _Weights(branches)
        ctx.autocast = _current_autocast(target.device.type)
        ctx.n_buckets, ctx.random_states = [], []
        all_buckets: list[Tensor] = []
        # Views, because a Function must not return its input, nor the same tensor twice.
        target, source = target.view_as(target), source.view_as(source)
        for branch in branches:
            buckets: list[Tensor] = []
            with ctx.autocast():
                out = branch(source, padding_mask, buckets)
            ctx.n_buckets.append(len(buckets))
            all_buckets += buckets
            ctx.random_states.append(_RandomState(source) if dropout else None)
            target, source = source, target + _apply_dropout(out, dropout)
            del out  # frees it before the next branch is computed
        ctx.save_for_backward(target, source, padding_mask, *all_buckets)
        return target, source

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *empty_grads: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.weights.have_changed():
            raise RuntimeError(
                "the weights of the reversible stack have changed since its forward pass, which backward() recomputes: "
                "call backward() before the optimiser's step, or set reversible=False"
            )
        target, source, padding_mask, *all_buckets = ctx.saved_tensors
        # This private method (PyTorch 2.14.1) frees the last state early, unless the graph is retained.
        ctx.maybe_clear_saved_tensors()
        grad_target, grad_source = ctx.stream_grads.pop(empty_grads)
        parameter_grads = {parameter: torch.zeros_like(parameter) for parameter in ctx.parameters}
        for branch, n_buckets, random_state in zip(
            reversed(ctx.branches), reversed(ctx.n_buckets), reversed(ctx.random_states), strict=True
        ):
            first = len(all_buckets) - n_buckets
            all_buckets, buckets = all_buckets[:first], all_buckets[first:]
            # The roles were swapped after this branch: its input is `target`, and `source` contains its output.
            mask = None if random_state is None else random_state.replay(partial(_dropout_mask, source, ctx.dropout))
            grad_out = grad_source if mask is None else grad_source * mask
            with ctx.autocast():
                out = _backpropagate(branch, target, grad_out, grad_target, padding_mask, buckets, parameter_grads)
            if mask is not None:
                out = out.mul_(mask)
            target, source = source - out, target
            del out
            grad_target, grad_source = grad_source, grad_target
        return None, None, None, None, grad_target, grad_source, *parameter_grads.values()


def _backpropagate(
    branch: Branch,
    x: Tensor,
    grad_out: Tensor,
    grad_x: Tensor,
    padding_mask: Tensor | None,
    buckets: list[Tensor],
    parameter_grads: dict[Tensor, Tensor],
) -> Tensor:
    """Recomputes a branch and backpropagates through it, one summand of its output at a time.

    Args:
        branch: the branch.
        x: its input, (B, L, D).
        grad_out: gradient of its output.
        grad_x: gradient of x so far. The gradient through the branch is added in place.
        padding_mask: padding mask of the forward pass.
        buckets: buckets of the forward pass.
        parameter_grads: gradients of parameters so far. The gradients from the branch are added in place.

    Returns:
        The output of the branch, (B, L, D).
    """
    out = torch.zeros_like(x)
    parameters = [parameter for parameter in branch.parameters() if parameter in parameter_grads]
    for chunk, *views in zip(*(branch.split(tensor) for tensor in (x, out, grad_out, grad_x)), strict=True):
        chunk_out, chunk_grad_out, chunk_grad_x = views
        leaf = chunk.to(dtype_of(branch, chunk)).detach().requires_grad_()
        with torch.enable_grad():
            for summand in branch.summands(leaf, padding_mask, buckets):
                chunk_out += summand.detach()
                if not summand.requires_grad:
                    continue
                grad_summand = chunk_grad_out.to(summand.dtype)
                edge = get_gradient_edge(summand)
                del summand  # its values are no longer needed
                # The summands share the graph of the normalised input, which must outlive each of them. Projections that a
                # kind of attention does not use have zero gradients.
                leaves = [leaf, *parameters]
                grads = torch.autograd.grad(edge, leaves, grad_summand, retain_graph=True, materialize_grads=True)
                chunk_grad_x += grads[0]
                for parameter, grad in zip(parameters, grads[1:], strict=True):
                    parameter_grads[parameter] += grad
                # Frees the gradients and the graph before the next summand is computed.
                del edge, grad_summand, grads
    return out


class _StreamGradients:
    """Passes the gradients of both streams to the backward pass as tensors that it may modify and free.

    The gradients that autograd passes must not be modified, and stay in memory until the backward pass has ended.
    """

    def __init__(self) -> None:
        self._grads: dict[int, Tensor] = {}

    def intercepted(self, streams: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the streams with hooks, which store the gradients here and pass on zeros that take no memory."""

        def intercept(number: int, grad: Tensor | None) -> Tensor | None:
            if grad is None:
                return None
            if torch.is_grad_enabled():
                raise RuntimeError("the reversible stack cannot be differentiated twice: set reversible=False for that")
            self._grads[number] = grad.clone(memory_format=torch.contiguous_format)
            return grad.new_zeros(()).expand_as(grad)

        if not streams[0].requires_grad:
            return streams
        for number, stream in enumerate(streams):
            stream.register_hook(partial(intercept, number))
        y1, y2 = streams
        return y1.view_as(y1), y2.view_as(y2)

    def pop(self, like: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the stored gradients, and zeros for a stream that is not used."""
        zeros = partial(torch.zeros_like, memory_format=torch.contiguous_format)
        grad_y1, grad_y2 = (self._grads.pop(n) if n in self._grads else zeros(x) for n, x in enumerate(like))
        return grad_y1, grad_y2


class _RandomState:
    """A copy of the states of the random generators, by functions that PyTorch 2.14.1 has but does not document."""

    def __init__(self, x: Tensor) -> None:
        self.cpu = torch.get_rng_state()
        self.devices, self.states = get_device_states(x)
        self.device_type = x.device.type

    def replay(self, draw: Callable[[], Tensor]) -> Tensor:
        """Calls a function with the copied states, then restores the present ones."""
        with torch.random.fork_rng(self.devices, device_type="cuda" if not self.devices else self.device_type):
            torch.set_rng_state(self.cpu)
            set_device_states(self.devices, self.states, device_type=self.device_type)
            return draw()


class _Weights:
    """The weights of branches as they are at present, to notice whether one is changed or replaced later.

    Changes in place through `Tensor.data` go unnoticed, as everywhere in PyTorch.
    """

    def __init__(self, branches: Sequence[Branch]) -> None:
        self._branches = branches
        # Holds the weights and their memory, so that no replacement gets the same addresses.
        self._held = [(weight, weight.detach()) for branch in branches for weight in branch.parameters()]
        self._states = self._present_states()

    def have_changed(self) -> bool:
        return self._present_states() != self._states

    def _present_states(self) -> list[tuple[int, int, int]]:
        weights = (weight for branch in self._branches for weight in branch.parameters())
        # `_version` is a private counter of changes in PyTorch 2.14.1.
        return [(id(weight), weight._version, weight.data_ptr()) for weight in weights]


def _apply_dropout(out: Tensor, dropout: float) -> Tensor:
    return out * _dropout_mask(out, dropout) if dropout else out


def _dropout_mask(like: Tensor, dropout: float) -> Tensor:
    """Draws the factors of dropout: 0, or 1 / (1 - dropout)."""
    mask = torch.empty(like.shape, dtype=torch.float32, device=like.device).bernoulli_(1 - dropout)
    return mask.div_(1 - dropout)


def _current_autocast(device_type: str) -> Callable[[], AbstractContextManager[None]]:
    """Returns a factory of contexts with the present settings of autocast."""
    return partial(
        torch.autocast,
        device_type,
        dtype=torch.get_autocast_dtype(device_type),
        enabled=torch.is_autocast_enabled(device_type),
        # The cache could contain a weight that was cast without a graph, although the backward pass needs its gradient.
        cache_enabled=False,
    )
