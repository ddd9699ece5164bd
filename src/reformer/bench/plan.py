"""What a training run will take, reckoned before it is begun: floating-point operations, and memory of a device.

Operations are those of matrix products, two for each multiplication and addition; what else a step does takes time, but hardly
any operations. Memory is that of tensors in float32, without libraries, with the attention that GPUs use; on CPU it takes less.

Shapes: B sequences of a device, H heads, R n_hashes, L positions, D d_model, W d_head, C chunk_len, V vocab_size.
"""

from dataclasses import dataclass

import torch
from torch import nn

from reformer.bench.arithmetic import FLOAT, must_store
from reformer.model.attention import heads_per_group
from reformer.model.attention_kinds import KINDS
from reformer.model.config import ReformerConfig
from reformer.model.lsh import count_buckets
from reformer.model.lsh_hash import factor_buckets
from reformer.model.lsh_portable import LARGE_TILE
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import RunConfig

PRODUCTS_FORWARD, PRODUCTS_BACKWARD = 2, 5
"""Products of attention: logits and outputs; in the backward pass the logits once more, and the gradients of both factors."""
TILES_AT_WORK = 4
"""Matrices of logits of one tile that LSH attention holds at a time: logits, weights, their gradients, what is visible."""


@dataclass(frozen=True)
class RunPlan:
    """One training run."""

    name: str
    n_parameters: int
    tokens_per_step: int
    steps: int
    flops_per_step: int
    devices: int
    memory: dict[str, int]
    """Bytes of each device, by what they hold."""

    @property
    def tokens(self) -> int:
        """Tokens of the whole training."""
        return self.steps * self.tokens_per_step

    @property
    def flops(self) -> int:
        """Operations of the whole training."""
        return self.steps * self.flops_per_step

    def device_hours(self, teraflops: float) -> float:
        """Hours of one device, or of several together, that do so many 10^12 operations a second each."""
        return self.flops / (teraflops * 1e12) / 3600


def plan_run(run: RunConfig) -> RunPlan:
    """Reckons what a run will take."""
    devices = run.trainer.devices * run.trainer.num_nodes
    n_sequences = run.data.batch_size * run.trainer.accumulate
    return RunPlan(
        name=run.name,
        n_parameters=sum(parameter.numel() for parameter in _on_meta(run.model).parameters()),
        tokens_per_step=n_sequences * run.data.seq_len,
        steps=run.trainer.steps,
        flops_per_step=n_sequences * sequence_flops(run.model, run.data.seq_len),
        devices=devices,
        memory=step_memory(
            run.model, run.data.seq_len, -(-run.data.batch_size // devices), run.optimizer.name, devices > 1
        ),
    )


def sequence_flops(model: ReformerConfig, seq_len: int) -> int:
    """Operations of a training step for each of its sequences: forward pass, backward pass, and what is computed again.

    A backward pass through a matrix costs twice the forward pass. Reversible layers compute their forward pass again, logits in
    chunks as well, and where activations are stored, so do feed-forwards in chunks with their first matrix.
    """
    network = _on_meta(model)
    again = int(model.reversible)
    in_chunks = 0 < model.ff_chunk_size < seq_len
    weights = (3 + (0 < model.loss_chunk_size < seq_len)) * _weights(network.head)
    products = 0.0
    hashing = 0
    for layer, name in zip(network.stack.layers, model.layer_kinds, strict=True):
        kind = KINDS[name]
        attention, feed_forward = (_weights(branch) for branch in layer.children())
        weights += (3 + again) * feed_forward
        if in_chunks and not model.reversible:
            weights += model.d_model * model.d_ff
        if kind.attend is not None:
            weights += (3 + again) * attention
            rounds = PRODUCTS_FORWARD * (1 + again) + PRODUCTS_BACKWARD
            products += rounds * kind.pairs(model, seq_len) * model.n_heads * model.d_head
        if kind.hashes:
            hashing += _directions(model, seq_len) * model.n_hashes * model.n_heads * model.d_head
    return round(2 * (seq_len * (weights + hashing) + products))


def step_memory(
    model: ReformerConfig, seq_len: int, n_sequences: int, optimizer: str, data_parallel: bool = False
) -> dict[str, int]:
    """Bytes of a device at the height of a training step, by what they hold.

    Args:
        model: the network.
        seq_len: tokens a sequence.
        n_sequences: sequences of the device.
        optimizer: adam or adafactor.
        data_parallel: whether gradients lie once more in the buffers that are exchanged between devices.

    Returns:
        weights, gradients, optimizer, stored (what the backward pass needs: of reversible layers the last streams and the
        buckets) and work (of the largest part that is computed at a time).
    """
    parameters = list(_on_meta(model).parameters())
    weights = FLOAT * sum(parameter.numel() for parameter in parameters)
    least = must_store(model, seq_len)
    stored = least["buckets"] + least["gradients_of_streams"]
    stored += least["streams"] if model.reversible else _stored_activations(model, seq_len)
    return {
        "weights": weights,
        "gradients": (2 if data_parallel else 1) * weights,
        "optimizer": FLOAT * sum(_moments(parameter, optimizer) for parameter in parameters),
        "stored": n_sequences * stored,
        "work": _work(model, seq_len, n_sequences),
    }


def _on_meta(model: ReformerConfig) -> ReformerLM:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return ReformerLM(model)


def _weights(module: nn.Module) -> int:
    """Numbers in a module's matrices."""
    return sum(linear.weight.numel() for linear in module.modules() if isinstance(linear, nn.Linear))


def _directions(model: ReformerConfig, seq_len: int) -> int:
    """Directions that a vector is held against in each round, the opposite ones aside."""
    return sum(factor_buckets(model.n_buckets or count_buckets(seq_len, model.chunk_len))) // 2


def _moments(parameter: nn.Parameter, optimizer: str) -> int:
    """Numbers that the optimiser keeps: Adam two for each; Adafactor one for each row and each column of a matrix."""
    if optimizer == "adam":
        return 2 * parameter.numel()
    return sum(parameter.shape) if parameter.dim() > 1 else parameter.numel()


def _stored_activations(model: ReformerConfig, seq_len: int) -> int:
    """Bytes of one sequence that all layers keep where they store activations; hidden ones in chunks are computed again."""
    in_chunks = 0 < model.ff_chunk_size < seq_len
    of_layer = (
        3 * model.d_model + (0 if in_chunks else model.d_model + model.d_ff) + 2 * model.d_model * (model.dropout > 0)
    )
    of_heads = sum(KINDS[kind].saved_vectors for kind in model.layer_kinds) * model.n_heads * model.d_head
    return FLOAT * seq_len * (model.n_layers * of_layer + of_heads)


def _work(model: ReformerConfig, seq_len: int, n_sequences: int) -> int:
    """Bytes of the branch, or the part of the head, that takes most while its gradient is computed."""
    again = int(model.reversible)
    positions = n_sequences * seq_len
    n_heads = heads_per_group(model, positions)
    kinds = [KINDS[kind] for kind in model.layer_kinds]
    vectors = max(kind.backward_vectors + again * kind.saved_vectors for kind in kinds)
    attention = positions * (3 * model.d_model + vectors * n_heads * model.d_head)
    of_a_round = max((kind.pairs(model, seq_len) / model.n_hashes for kind in kinds if kind.hashes), default=0)
    attention += TILES_AT_WORK * min(LARGE_TILE, int(n_sequences * n_heads * of_a_round))
    of_ff = n_sequences * min(model.ff_chunk_size or seq_len, seq_len)
    feed_forward = again * positions * model.d_model + of_ff * (2 * model.d_ff + 3 * model.d_model)
    of_head = n_sequences * min(model.loss_chunk_size or seq_len, seq_len)
    head = of_head * (8 * model.d_model + 4 * model.vocab_size)
    return FLOAT * max(attention, feed_forward, head)
