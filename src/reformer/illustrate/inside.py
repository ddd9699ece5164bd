"""Looks into a network: its queries, the weights of its attention, and how well reversible layers are undone.

Shapes: B batch, H heads, L positions, W d_head, D d_model, R n_hashes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from reformer.model.branch import watched
from reformer.model.lsh import draw_rotations, hash_vectors
from reformer.model.reformer_lm import ReformerLM
from reformer.model.residual import Layer, ResidualStack

Attend = Callable[[Tensor], Tensor]
"""Attention with everything fixed but the values: (1, 1, L, W) to (1, 1, L, W)."""


@torch.no_grad()
def heads_of(model: ReformerLM, tokens: Tensor, layer: int) -> tuple[Tensor, Tensor]:
    """Computes the queries and values of a layer for these tokens.

    Args:
        model: a trained network.
        tokens: (B, L) int64.
        layer: number of the layer, counted from 0.

    Returns:
        Queries, which are also the keys if the network shares them, and values, (B, H, L, W) each.
    """
    seen: list[Tensor] = []
    block = model.stack.layers[layer]
    assert isinstance(block, Layer)
    attention = block.attention
    hook = attention.norm.register_forward_hook(lambda _, inputs, out: seen.append(out))
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)  # draws the rotations of LSH attention
            model(tokens)
    finally:
        hook.remove()
    width = attention.config.d_head
    q, v = (linear(seen[0], matrix.weight) for matrix in (attention.to_q, attention.to_v))
    return q.unflatten(-1, (-1, width)).transpose(1, 2), v.unflatten(-1, (-1, width)).transpose(1, 2)


@torch.no_grad()
def attention_weights(attend: Attend, length: int, width: int) -> Tensor:
    """Reads the weights of any attention off its outputs: for one-hot values, the output is the row of weights.

    Args:
        attend: the attention of one head. It is called with `width` of the one-hot columns at a time.
        length: number of positions, L.
        width: W.

    Returns:
        Weight of each key (column) for each query (row), (L, L).
    """
    values = torch.eye(length).split(width, dim=1)
    outs = [attend(pad(part, (0, width - part.shape[1]))[None, None])[0, 0] for part in values]
    return torch.cat(outs, dim=1)[:, :length]


def keys_holding(weights: Tensor, share: float) -> Tensor:
    """Counts the largest weights of each row that together hold a share of the row's sum: (..., L, L) to (..., L)."""
    reached = weights.sort(dim=-1, descending=True).values.cumsum(-1) >= share * weights.sum(-1, keepdim=True)
    return reached.int().argmax(-1) + 1


def share_of_collisions(degrees: Sequence[float], n_buckets: int, n_hashes: int, n_trials: int = 4000) -> Tensor:
    """Measures how often two vectors at an angle share a bucket in any of the first r rounds.

    Args:
        degrees: the angles, A of them.
        n_buckets: buckets of a round.
        n_hashes: rounds, R.
        n_trials: pairs of vectors for each angle, each hashed with rotations of its own.

    Returns:
        Share of the pairs, (A, R); column r - 1 belongs to r rounds.
    """
    generator = torch.Generator().manual_seed(1)
    angles = torch.tensor(degrees).deg2rad()
    pairs = torch.zeros(len(degrees), 2, 64)
    pairs[:, 0, 0] = 1
    pairs[:, 1, 0], pairs[:, 1, 1] = angles.cos(), angles.sin()
    qk = pairs.expand(n_trials, -1, -1, -1)  # one trial is one example, one angle one head
    buckets = hash_vectors(qk, draw_rotations(qk, n_buckets, n_hashes, generator))
    together = (buckets[..., 0] == buckets[..., 1]).int().cummax(-1).values
    return together.float().mean(0)


def recomputed_input(model: ReformerLM, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Takes a forward and a backward pass of a reversible network, and watches the first branch.

    Returns:
        The input of the branch in the forward pass, and as the backward pass recomputes it, (B, L, D) each.
    """
    seen: list[Tensor] = []
    block = model.stack.layers[0]
    assert isinstance(block, Layer)
    with watched(block.attention, lambda x: seen.append(x.detach().clone())):
        model(tokens, tokens).mean().backward()
    return seen[0], seen[-1]


@torch.no_grad()
def recovery_error(stack: ResidualStack, x: Tensor, streams: torch.dtype) -> float:
    """Runs a stack forwards (equation 9) and backwards (equation 10) with streams of a number type.

    Args:
        stack: two-stream layers without hashing and dropout.
        x: their input, (B, L, D).
        streams: number type of both streams. `ResidualStack` itself uses float32 at least.

    Returns:
        The difference between the recovered input and x, relative to the length of x.
    """
    target = source = x.to(streams)
    for branch in stack.branches():
        target, source = source, target + branch(source).to(streams)
    for branch in reversed(stack.branches()):
        target, source = source - branch(target).to(streams), target
    return relative_difference(target, x)


def relative_difference(x: Tensor, exact: Tensor) -> float:
    """Returns the length of x - exact as a share of the length of exact, computed in float64."""
    return float((x.double() - exact.double()).norm() / exact.double().norm())
