"""The attention branch: projections to queries, keys and values, attention of the layer's kind, projection of the outputs.

Shapes: B batch, L positions, D d_model, H heads, W d_head.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from reformer.model.attention_kinds import KINDS, AttentionInputs, AttentionKind
from reformer.model.branch import Branch
from reformer.model.config import ReformerConfig
from reformer.model.lsh_choice import hash_vectors
from reformer.model.lsh_hash import count_buckets, count_real, draw_rotations
from reformer.model.plain import has_plain_layers

# Largest number of elements in the queries of a group of heads. Groups are computed one at a time, to save memory.
MAX_QUERY_ELEMENTS = 1 << 24
# Lower bound on the positions in a checkpointed chunk of the projections.
MIN_CHUNK_LEN = 1 << 12
# Projects the normalised stream by a layer, to some columns of the layer's output.
Projection = Callable[[nn.Linear, slice], Tensor]


def heads_per_group(config: ReformerConfig, n_positions: int) -> int:
    """Returns the number of heads that are computed at a time for a batch of n_positions = B * L positions."""
    return max(1, min(config.n_heads, MAX_QUERY_ELEMENTS // (n_positions * config.d_head)))


class Attention(Branch):
    """LayerNorm, projections without bias and attention. Queries and keys share a projection if `shared_qk` is set."""

    def __init__(self, config: ReformerConfig, kind: str) -> None:
        super().__init__()
        self.config, self.kind_name = config, kind
        width = config.n_heads * config.d_head
        self.norm = nn.LayerNorm(config.d_model)
        self.to_q = nn.Linear(config.d_model, width, bias=False)
        self.to_k = None if config.shared_qk else nn.Linear(config.d_model, width, bias=False)
        self.to_v = nn.Linear(config.d_model, width, bias=False)
        self.to_out = nn.Linear(width, config.d_model, bias=False)

    @property
    def kind(self) -> AttentionKind:
        """The entry of the layer's kind in `KINDS`."""
        return KINDS[self.kind_name]

    def summands(self, x: Tensor, padding_mask: Tensor | None, buckets: list[Tensor]) -> Iterator[Tensor]:
        if self.kind.attend is None or x.numel() == 0:
            yield x.new_zeros(x.shape)
            return
        n_heads = self.config.n_heads
        group_size = heads_per_group(self.config, x.shape[0] * x.shape[1]) if has_plain_layers(self) else n_heads
        project = self._projection(x) if group_size == n_heads else self._checkpointed_projection(x)
        # The rotations of all heads are drawn at once, so that they do not depend on the number of groups.
        rotations = self._rotations(x, padding_mask) if self.kind.hashes and not buckets else ()
        for group, first in enumerate(range(0, n_heads, group_size)):
            heads = slice(first, min(first + group_size, n_heads))
            yield self._output_of(heads, project, padding_mask, buckets, group, rotations)

    def _projection(self, x: Tensor) -> Projection:
        """Returns a projection to all columns, which calls the layer."""
        normed = self.norm(x)

        def project(layer: nn.Linear, columns: slice) -> Tensor:
            out: Tensor = layer(normed)
            return out

        return project

    def _checkpointed_projection(self, x: Tensor) -> Projection:
        """Returns a checkpointed projection, which saves only x: the normalised stream is larger than a group of heads."""
        chunks = x.split(max(MIN_CHUNK_LEN, MAX_QUERY_ELEMENTS // (x.shape[0] * x.shape[2])), dim=1)

        def normalise_and_project(chunk: Tensor, weight: Tensor) -> Tensor:
            return linear(self.norm(chunk), weight)

        def project(layer: nn.Linear, columns: slice) -> Tensor:
            outs = [
                checkpoint(
                    normalise_and_project, chunk, layer.weight[columns], use_reentrant=False, preserve_rng_state=False
                )
                for chunk in chunks
            ]
            return torch.cat(outs, dim=1)

        return project

    def _output_of(
        self,
        heads: slice,
        project: Projection,
        padding_mask: Tensor | None,
        buckets: list[Tensor],
        group: int,
        rotations: Sequence[Tensor],
    ) -> Tensor:
        """Computes the output of a group of heads, (B, L, D). Returning frees the tensors that its gradient does not need."""
        width = self.config.d_head
        columns = slice(heads.start * width, heads.stop * width)

        def project_heads(layer: nn.Linear) -> Tensor:
            """Returns (B, heads of the group, L, W)."""
            return project(layer, columns).unflatten(-1, (-1, width)).transpose(1, 2)

        q, v = project_heads(self.to_q), project_heads(self.to_v)
        k = None if self.to_k is None else project_heads(self.to_k)
        if self.kind.hashes and group == len(buckets):
            buckets.append(hash_vectors(q, [rotation[:, heads] for rotation in rotations]))
        inputs = AttentionInputs(q, k, v, padding_mask, buckets[group] if self.kind.hashes else None)
        assert self.kind.attend is not None
        attended = self.kind.attend(self.config, inputs).transpose(1, 2).flatten(2)
        if heads == slice(0, self.config.n_heads):
            out: Tensor = self.to_out(attended)
            return out
        return linear(attended, self.to_out.weight[:, columns])

    def _rotations(self, x: Tensor, padding_mask: Tensor | None) -> Sequence[Tensor]:
        """Draws the rotations that hash the queries of all heads."""
        n_buckets = self.config.n_buckets or count_buckets(count_real(x.shape[1], padding_mask), self.config.chunk_len)
        queries = x.new_empty(x.shape[0], self.config.n_heads, 0, self.config.d_head)
        return draw_rotations(queries, n_buckets, self.config.n_hashes)
