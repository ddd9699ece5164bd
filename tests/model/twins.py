"""Slow, obvious twins of what the model computes fast: loops over single positions, each equation as it is printed."""

from collections.abc import Callable

import torch
from torch import Tensor

from reformer.model.branch import Branch


def attention_twin(
    q: Tensor, k: Tensor | None, v: Tensor, sees: Callable[[int, int], bool], padding_mask: Tensor | None = None
) -> Tensor:
    """Attention of each query i to the keys j with `sees(i, j)`, (B, H, L, D). Outputs of pads are zero.

    Without k the queries are shared: logits q·k/|k|, and a token sees itself only where it sees nothing else (section 2).
    """
    n_examples, n_heads, length, width = q.shape
    outputs = []
    for b in range(n_examples):
        real = [j for j in range(length) if padding_mask is None or padding_mask[b, j]]
        for h in range(n_heads):
            for i in range(length):
                if i not in real:
                    outputs.append(torch.zeros_like(v[b, h, i]))
                    continue
                seen = [j for j in real if sees(i, j) and not (k is None and j == i)] or [i]
                if k is None:
                    logits = torch.stack([q[b, h, i] @ q[b, h, j] / q[b, h, j].norm() for j in seen])
                else:
                    logits = torch.stack([q[b, h, i] @ k[b, h, j] / width**0.5 for j in seen])
                outputs.append(logits.softmax(0) @ v[b, h, seen])
    return torch.stack(outputs).view_as(v)


def sees_all(causal: bool) -> Callable[[int, int], bool]:
    """Full attention: everything, or everything up to oneself."""
    return lambda i, j: j <= i or not causal


def sees_neighbours(chunk_len: int, causal: bool) -> Callable[[int, int], bool]:
    """Local attention: one's own chunk, the chunk before and, where not causal, the chunk after."""
    after = 0 if causal else 1
    return lambda i, j: sees_all(causal)(i, j) and -after <= i // chunk_len - j // chunk_len <= 1


def reversible_twin(
    layers: list[tuple[Branch, Branch]], x: Tensor, grad_y1: Tensor, grad_y2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Equation 9 layer by layer, then equation 10 back again, where each branch is differentiated at the x found by inversion.

    Args:
        layers: attention and feed-forward of each layer, without randomness. Gradients are added to `grad` of their parameters.
        x: input of both streams.
        grad_y1: gradient of the first stream's end.
        grad_y2: gradient of the second stream's end.

    Returns:
        Both streams' ends and the gradient of x.
    """
    x1 = x2 = x.detach()
    with torch.no_grad():
        for attention, feed_forward in layers:
            y1 = x1 + attention(x2)
            y2 = x2 + feed_forward(y1)
            x1, x2 = y1, y2
    end = y1, y2
    for attention, feed_forward in reversed(layers):
        y1 = y1.detach().requires_grad_()
        added = feed_forward(y1)
        added.backward(grad_y2)
        x2 = (y2 - added).detach().requires_grad_()
        grad_y1 = grad_y1 + y1.grad
        added = attention(x2)
        added.backward(grad_y1)
        x1 = (y1 - added).detach()
        grad_y2 = grad_y2 + x2.grad
        y1, y2 = x1, x2.detach()
    return *end, grad_y1 + grad_y2
