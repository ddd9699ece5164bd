"""The memory that a training step of a reversible network needs by arithmetic: a lower bound for measured peaks.

Shapes: B batch (1 here), H heads, R n_hashes, L positions, D d_model.
"""

from math import prod

import torch

from reformer.model.attention_kinds import KINDS
from reformer.model.config import ReformerConfig
from reformer.model.lsh_hash import count_buckets, factor_buckets
from reformer.model.reformer_lm import ReformerLM

FLOAT_BYTES = 4


def network_on_meta(model: ReformerConfig) -> ReformerLM:
    """Builds the network without memory for its weights."""
    with torch.device("meta"):
        return ReformerLM(model)


def minimum_bytes(model: ReformerConfig, seq_len: int) -> dict[str, int]:
    """Counts the bytes that every implementation of the step must hold.

    Returns:
        streams: the last state of both residual streams, (L, D) each, the only activations that reversible layers save.
        gradients_of_streams: as many bytes again.
        buckets: (H, R, L) for each LSH layer, so that the backward pass does not hash again.
        parameters: with their gradients and Adam's two moments.
        activations_if_stored: not part of the minimum. The activations that reversible layers recompute: for each layer the
            streams, two normalised inputs, queries, values, the output of the heads and the hidden layer.
    """
    stream = FLOAT_BYTES * seq_len * model.d_model
    heads = FLOAT_BYTES * seq_len * model.n_heads * model.d_head
    n_buckets = model.n_buckets or count_buckets(seq_len, model.chunk_len)
    id_size = 2 if prod(factor_buckets(n_buckets)) <= 1 << 15 else 4
    n_hashing_layers = sum(KINDS[kind].hashes for kind in model.layer_kinds)
    return {
        "streams": 2 * stream,
        "gradients_of_streams": 2 * stream,
        "buckets": n_hashing_layers * model.n_heads * model.n_hashes * seq_len * id_size,
        "parameters": 4 * FLOAT_BYTES * sum(parameter.numel() for parameter in network_on_meta(model).parameters()),
        "activations_if_stored": model.n_layers * (4 * stream + 3 * heads + FLOAT_BYTES * seq_len * model.d_ff),
    }


def format_minimum(sizes: dict[str, int]) -> str:
    """Formats the result of `minimum_bytes` as a sum."""
    gigabytes = {name: size / 1e9 for name, size in sizes.items()}
    recomputed = gigabytes.pop("activations_if_stored")
    terms = " + ".join(f"{name.replace('_', ' ')} {size:.2f}" for name, size in gigabytes.items())
    return f"{terms} = {sum(gigabytes.values()):.2f} GB; stored activations would add {recomputed:.0f} GB"
