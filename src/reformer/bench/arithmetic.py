"""What a training step of a reversible network must store, counted by hand: the least that a measured peak can be held against.

Shapes: B batch (1 here), H heads, R n_hashes, L positions, D d_model.
"""

from math import prod

import torch

from reformer.model.attention_kinds import KINDS
from reformer.model.config import ReformerConfig
from reformer.model.lsh_hash import count_buckets, factor_buckets
from reformer.model.reformer_lm import ReformerLM

FLOAT = 4


def must_store(model: ReformerConfig, seq_len: int) -> dict[str, int]:
    """Bytes that no order of computation avoids.

    Returns:
        streams: both, (L, D) each, the one thing that reversible layers keep of their activations.
        gradients_of_streams: the same once more.
        buckets: of each LSH layer, (H, R, L), so that the backward pass need not hash again.
        parameters: with their gradients and Adam's two moments.
        activations_if_stored: not among them, what all layers would keep that reversible ones compute again: streams, two
            normalised inputs, queries, values, the output of the heads and the hidden activations.
    """
    stream = FLOAT * seq_len * model.d_model
    heads = FLOAT * seq_len * model.n_heads * model.d_head
    n_buckets = model.n_buckets or count_buckets(seq_len, model.chunk_len)
    id_size = 2 if prod(factor_buckets(n_buckets)) <= 1 << 15 else 4
    with torch.device("meta"):
        n_parameters = sum(parameter.numel() for parameter in ReformerLM(model).parameters())
    return {
        "streams": 2 * stream,
        "gradients_of_streams": 2 * stream,
        "buckets": sum(KINDS[kind].hashes for kind in model.layer_kinds)
        * model.n_heads
        * model.n_hashes
        * seq_len
        * id_size,
        "parameters": 4 * FLOAT * n_parameters,
        "activations_if_stored": model.n_layers * (4 * stream + 3 * heads + FLOAT * seq_len * model.d_ff),
    }


def in_words(stored: dict[str, int]) -> str:
    """The sum, written out."""
    kept = {name: size / 1e9 for name, size in stored.items() if name != "activations_if_stored"}
    parts = " + ".join(f"{name.replace('_', ' ')} {size:.2f}" for name, size in kept.items())
    return f"{parts} = {sum(kept.values()):.2f} GB; activations if stored: {stored['activations_if_stored'] / 1e9:.0f} GB more"
