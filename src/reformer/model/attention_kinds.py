"""The table of attention kinds, and the names of attentions that follow from it.

Importing this module does not import torch: a wrong setting is reported before torch has loaded.

Shapes: B batch, H heads, R n_hashes, L positions, W d_head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from reformer.settings import require

if TYPE_CHECKING:
    from torch import Tensor


class AttentionSettings(Protocol):
    """Settings of `ReformerConfig` that attention depends on."""

    causal: bool
    n_hashes: int
    chunk_len: int
    same_bucket_mask: bool
    duplicate_correction: bool
    window: str


class AttentionInputs(NamedTuple):
    """Inputs of the attention of some heads.

    Queries, keys (None shares the queries) and values are (B, H, L, W). The padding mask, (B, L), is true at real tokens. The
    buckets of the queries, (B, H, R, L), are for kinds that hash.
    """

    q: Tensor
    k: Tensor | None
    v: Tensor
    padding_mask: Tensor | None
    buckets: Tensor | None


@dataclass(frozen=True)
class AttentionKind:
    """A kind of attention.

    Attributes:
        attend: computes the outputs of the heads, (B, H, L, W). None stands for a layer without attention.
        pairs: number of logits that a head computes for L positions.
        hashes: the layer hashes its queries into buckets, and the reversible backward pass reuses the buckets. Queries and keys
            are shared, and the number of hash rounds follows the kind's name.
        saved_vectors: vectors of width W that the forward pass saves per head and position, for estimates of memory.
        backward_vectors: further vectors of width W that the backward pass allocates per head and position.
    """

    attend: Callable[[AttentionSettings, AttentionInputs], Tensor] | None
    pairs: Callable[[AttentionSettings, int], float]
    hashes: bool = False
    saved_vectors: int = 0
    backward_vectors: int = 0


def _attend_fully(config: AttentionSettings, inputs: AttentionInputs) -> Tensor:
    from reformer.model.dot_product import full_attention

    q, k, v, padding_mask, _ = inputs
    return full_attention(q, k, v, causal=config.causal, padding_mask=padding_mask)


def _attend_to_self_too(config: AttentionSettings, inputs: AttentionInputs) -> Tensor:
    from reformer.model.dot_product import full_attention

    q, k, v, padding_mask, _ = inputs
    return full_attention(q, k, v, causal=config.causal, padding_mask=padding_mask, mask_self=False)


def _attend_locally(config: AttentionSettings, inputs: AttentionInputs) -> Tensor:
    from reformer.model.dot_product import local_attention

    q, k, v, padding_mask, _ = inputs
    return local_attention(q, k, v, chunk_len=config.chunk_len, causal=config.causal, padding_mask=padding_mask)


def _attend_by_hash(config: AttentionSettings, inputs: AttentionInputs) -> Tensor:
    from reformer.model.lsh import lsh_attention

    q, _, v, padding_mask, buckets = inputs
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


def _all_pairs(config: AttentionSettings, length: int) -> float:
    return length**2 / (2 if config.causal else 1)


def _pairs_in_windows(config: AttentionSettings, length: int) -> float:
    return length * (2 if config.causal else 3) * config.chunk_len


def _pairs_in_rounds(config: AttentionSettings, length: int) -> float:
    return config.n_hashes * _pairs_in_windows(config, length)


KINDS = {
    "full": AttentionKind(_attend_fully, _all_pairs, saved_vectors=5, backward_vectors=3),
    "unmasked": AttentionKind(_attend_to_self_too, _all_pairs, saved_vectors=5, backward_vectors=3),
    "local": AttentionKind(_attend_locally, _pairs_in_windows, saved_vectors=9, backward_vectors=5),
    "lsh": AttentionKind(_attend_by_hash, _pairs_in_rounds, hashes=True, saved_vectors=4, backward_vectors=17),
    "off": AttentionKind(None, lambda config, length: 0.0),
}
"""All kinds, by the names that `ReformerConfig.attention` accepts: lowercase letters and digits, not digits alone."""


def hashes(attention: Sequence[str]) -> bool:
    """Returns whether any of the kinds hashes."""
    return any(KINDS[kind].hashes for kind in attention)


def attention_name(attention: Sequence[str], n_hashes: int) -> str:
    """Names the attention of the layers, in their order: `full`, `lsh-4`, `local-local-lsh-2`."""
    return "-".join(f"{kind}-{n_hashes}" if KINDS[kind].hashes else kind for kind in attention)


def parse_attention(name: str, setting: str = "attention") -> tuple[list[str], int]:
    """Inverts `attention_name`.

    Args:
        name: such as `lsh-4`.
        setting: name of the setting in an error.

    Returns:
        The kinds, and the number of hash rounds, 0 if no kind hashes.

    Raises:
        SettingError: no attention has this name.
    """
    words = name.split("-")
    kinds = [word for word in words if not word.isdecimal()]
    rounds = [int(word) for word in words if word.isdecimal()]
    n_hashes = max(rounds, default=0)
    valid = 0 not in rounds and KINDS.keys() >= set(kinds) and attention_name(kinds, n_hashes) == name
    plain = ", ".join(kind for kind in KINDS if not KINDS[kind].hashes)
    hashed = ", ".join(f"{kind}-N" for kind in KINDS if KINDS[kind].hashes)
    require(valid, setting, f"{plain}, {hashed} (N hash rounds) or a mix joined by hyphens", name)
    return kinds, n_hashes
