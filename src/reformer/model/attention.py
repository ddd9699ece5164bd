"""The attention branch of a layer: project, attend in the layer's way, project back.

Shapes: B batch, L positions, D d_model, H heads, W d_head.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from reformer.model.branch import Branch
from reformer.model.config import ReformerConfig
from reformer.model.dot_product import full_attention, local_attention
from reformer.model.lsh import count_buckets, draw_rotations, hash_vectors, lsh_attention

# Numbers in the queries of the heads that are computed at a time: what is more takes its heads one after the other.
PIECE_SIZE = 1 << 24
# Positions that are normalised and projected at a time where heads take turns, at the least.
FEWEST_POSITIONS = 1 << 12

Project = Callable[[Tensor], Tensor]
"""Multiplies the normalised stream by a matrix (N, D): to (B, L, N)."""


class Attention(Branch):
    """LayerNorm, one matrix for queries and keys (or one each) and one for values, attention, one matrix back; no bias."""

    def __init__(self, config: ReformerConfig, kind: str) -> None:
        super().__init__()
        self.config, self.kind = config, kind
        width = config.n_heads * config.d_head
        self.norm = nn.LayerNorm(config.d_model)
        self.to_q = nn.Linear(config.d_model, width, bias=False)
        self.to_k = None if config.shared_qk else nn.Linear(config.d_model, width, bias=False)
        self.to_v = nn.Linear(config.d_model, width, bias=False)
        self.to_out = nn.Linear(width, config.d_model, bias=False)

    def pieces(self, x: Tensor, padding_mask: Tensor | None, buckets: list[Tensor]) -> Iterator[Tensor]:
        if self.kind == "off":
            yield x.new_zeros(x.shape)
            return
        n_heads = self.config.n_heads
        n_at_a_time = max(1, min(n_heads, PIECE_SIZE // (x.shape[0] * x.shape[1] * self.config.d_head)))
        project = partial(linear, self.norm(x)) if n_at_a_time == n_heads else self._in_parts(x)
        # Drawn for all heads at once: how many take turns must not decide what they hash with.
        rotations = self._rotations(x) if self.kind == "lsh" and not buckets else ()
        for piece, first in enumerate(range(0, n_heads, n_at_a_time)):
            heads = slice(first, min(first + n_at_a_time, n_heads))
            yield self._piece(project, heads, padding_mask, buckets, piece, rotations)

    def _in_parts(self, x: Tensor) -> Project:
        """A projection that keeps nothing but x: the normalised stream, and its gradient, are larger than all of a piece."""
        parts = x.split(max(FEWEST_POSITIONS, PIECE_SIZE // (x.shape[0] * x.shape[2])), dim=1)

        def normalise_and_project(part: Tensor, weight: Tensor) -> Tensor:
            return linear(self.norm(part), weight)

        def project(weight: Tensor) -> Tensor:
            outs = [
                checkpoint(normalise_and_project, part, weight, use_reentrant=False, preserve_rng_state=False)
                for part in parts
            ]
            return torch.cat(outs, dim=1)

        return project

    def _piece(
        self,
        project: Project,
        heads: slice,
        padding_mask: Tensor | None,
        buckets: list[Tensor],
        piece: int,
        rotations: Sequence[Tensor],
    ) -> Tensor:
        """What some heads add, (B, L, D); a function of its own, so that nothing outlives it but what its gradient needs."""
        width = self.config.d_head
        columns = slice(heads.start * width, heads.stop * width)

        def of_heads(matrix: nn.Linear) -> Tensor:
            """(B, heads of the piece, L, W)."""
            return project(matrix.weight[columns]).unflatten(-1, (-1, width)).transpose(1, 2)

        q, v = of_heads(self.to_q), of_heads(self.to_v)
        k = None if self.to_k is None else of_heads(self.to_k)
        if self.kind == "lsh" and piece == len(buckets):
            buckets.append(self._hash(q, [rotation[:, heads] for rotation in rotations]))
        out = self._attend(q, k, v, padding_mask, buckets[piece] if self.kind == "lsh" else None)
        return linear(out.transpose(1, 2).flatten(2), self.to_out.weight[:, columns])

    def _rotations(self, x: Tensor) -> Sequence[Tensor]:
        """What all heads hash x, (B, L, D), with."""
        n_buckets = self.config.n_buckets or count_buckets(x.shape[1], self.config.chunk_len)
        queries = x.new_empty(x.shape[0], self.config.n_heads, 0, self.config.d_head)
        return draw_rotations(queries, n_buckets, self.config.n_hashes)

    def _hash(self, q: Tensor, rotations: Sequence[Tensor]) -> Tensor:
        return hash_vectors(q, rotations)

    def _attend(
        self, q: Tensor, k: Tensor | None, v: Tensor, padding_mask: Tensor | None, buckets: Tensor | None
    ) -> Tensor:
        config = self.config
        if self.kind == "full":
            return full_attention(q, k, v, causal=config.causal, padding_mask=padding_mask)
        if self.kind == "local":
            return local_attention(q, k, v, chunk_len=config.chunk_len, causal=config.causal, padding_mask=padding_mask)
        return lsh_attention(
            q,
            v,
            chunk_len=config.chunk_len,
            causal=config.causal,
            buckets=buckets,
            padding_mask=padding_mask,
            same_bucket_mask=config.same_bucket_mask,
            duplicate_correction=config.duplicate_correction,
            window=config.window,
        )
