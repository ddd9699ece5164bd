"""Estimates of a training run before it starts: floating-point operations, and memory per device.

The operations are those of matrix products, where a multiplication with its addition counts as two. The memory is that of
float32 tensors with the attention of GPUs. Attention on a CPU needs less. Libraries are excluded.
"""

from dataclasses import dataclass

from torch import nn

from reformer.bench.minimum_memory import FLOAT_BYTES, minimum_bytes, network_on_meta
from reformer.model.attention import heads_per_group
from reformer.model.attention_kinds import KINDS
from reformer.model.config import ReformerConfig
from reformer.model.lsh_hash import count_buckets, factor_buckets
from reformer.model.lsh_portable import LARGE_TILE
from reformer.runs.config import RunConfig

PRODUCTS_FORWARD, PRODUCTS_BACKWARD = 2, 5
"""Matrix products of attention. Forward: logits, outputs. Backward: logits again, gradients of both factors of each."""
TILE_BUFFERS = 4
"""Buffers of the size of a tile that LSH attention holds at a time: logits, weights, their gradients, mask."""


@dataclass(frozen=True)
class RunPlan:
    """The estimates of one training run."""

    name: str
    n_parameters: int
    tokens_per_step: int
    steps: int
    flops_per_step: int
    devices: int
    memory: dict[str, int]
    """Bytes per device, by purpose."""

    @property
    def tokens(self) -> int:
        """Tokens of the whole training."""
        return self.steps * self.tokens_per_step

    @property
    def flops(self) -> int:
        """Operations of the whole training."""
        return self.steps * self.flops_per_step

    def device_hours(self, teraflops: float) -> float:
        """Hours of all devices together, at a speed of `teraflops` * 10^12 operations per second each."""
        return self.flops / (teraflops * 1e12) / 3600


def plan_run(run: RunConfig) -> RunPlan:
    """Estimates a run."""
    devices = run.trainer.devices * run.trainer.num_nodes
    n_sequences = run.data.batch_size * run.trainer.accumulate
    return RunPlan(
        name=run.name,
        n_parameters=sum(parameter.numel() for parameter in network_on_meta(run.model).parameters()),
        tokens_per_step=n_sequences * run.data.seq_len,
        steps=run.trainer.steps,
        flops_per_step=n_sequences * sequence_flops(run.model, run.data.seq_len),
        devices=devices,
        memory=step_memory(
            run.model, run.data.seq_len, -(-run.data.batch_size // devices), run.optimizer.name, devices > 1
        ),
    )


def sequence_flops(model: ReformerConfig, seq_len: int) -> int:
    """Counts the operations of a training step per sequence: forward pass, backward pass and recomputation.

    The backward pass through a matrix costs twice its forward pass. The backward pass recomputes reversible layers, chunked
    logits and, in layers that store activations, the first matrix of a chunked feed-forward.
    """
    network = network_on_meta(model)
    recomputed = int(model.reversible)
    in_chunks = 0 < model.ff_chunk_size < seq_len
    weights = (3 + (0 < model.loss_chunk_size < seq_len)) * _matrix_size(network.head)
    products = 0.0
    hashing = 0
    for layer, name in zip(network.stack.layers, model.layer_kinds, strict=True):
        kind = KINDS[name]
        attention, feed_forward = (_matrix_size(branch) for branch in layer.children())
        weights += (3 + recomputed) * feed_forward
        if in_chunks and not model.reversible:
            weights += model.d_model * model.d_ff
        if kind.attend is not None:
            weights += (3 + recomputed) * attention
            n_products = PRODUCTS_FORWARD * (1 + recomputed) + PRODUCTS_BACKWARD
            products += n_products * kind.pairs(model, seq_len) * model.n_heads * model.d_head
        if kind.hashes:
            hashing += _n_directions(model, seq_len) * model.n_hashes * model.n_heads * model.d_head
    return round(2 * (seq_len * (weights + hashing) + products))


def step_memory(
    model: ReformerConfig, seq_len: int, n_sequences: int, optimizer: str, data_parallel: bool = False
) -> dict[str, int]:
    """Estimates the peak memory of a training step on a device.

    Args:
        model: the network.
        seq_len: tokens per sequence.
        n_sequences: sequences per device.
        optimizer: adam or adafactor.
        data_parallel: devices exchange gradients through buffers of the same size.

    Returns:
        Bytes by purpose: weights, gradients, optimizer, stored (for the backward pass; reversible layers store the last streams
        and the buckets) and work (temporary tensors of the largest part that is computed at a time).
    """
    parameters = list(network_on_meta(model).parameters())
    weights = FLOAT_BYTES * sum(parameter.numel() for parameter in parameters)
    minimum = minimum_bytes(model, seq_len)
    stored = minimum["buckets"] + minimum["gradients_of_streams"]
    stored += minimum["streams"] if model.reversible else _stored_activations(model, seq_len)
    return {
        "weights": weights,
        "gradients": (2 if data_parallel else 1) * weights,
        "optimizer": FLOAT_BYTES * sum(_state_size(parameter, optimizer) for parameter in parameters),
        "stored": n_sequences * stored,
        "work": _work(model, seq_len, n_sequences),
    }


def _matrix_size(module: nn.Module) -> int:
    """Counts the elements of a module's weight matrices."""
    return sum(linear.weight.numel() for linear in module.modules() if isinstance(linear, nn.Linear))


def _n_directions(model: ReformerConfig, seq_len: int) -> int:
    """Counts the directions on which a hash round projects a vector. Their opposites cost nothing."""
    return sum(factor_buckets(model.n_buckets or count_buckets(seq_len, model.chunk_len))) // 2


def _state_size(parameter: nn.Parameter, optimizer: str) -> int:
    """Counts the numbers of the optimiser's state: Adam has two per weight, Adafactor one per row and column of a matrix."""
    if optimizer == "adam":
        return 2 * parameter.numel()
    return sum(parameter.shape) if parameter.dim() > 1 else parameter.numel()


def _stored_activations(model: ReformerConfig, seq_len: int) -> int:
    """Estimates the bytes of a sequence's activations in layers that store them. Chunks recompute the hidden layer."""
    in_chunks = 0 < model.ff_chunk_size < seq_len
    hidden = 0 if in_chunks else model.d_model + model.d_ff
    per_layer = 3 * model.d_model + hidden + 2 * model.d_model * (model.dropout > 0)
    heads = sum(KINDS[kind].saved_vectors for kind in model.layer_kinds) * model.n_heads * model.d_head
    return FLOAT_BYTES * seq_len * (model.n_layers * per_layer + heads)


def _work(model: ReformerConfig, seq_len: int, n_sequences: int) -> int:
    """Estimates the temporary bytes of the largest gradient computation: of a branch, or of a chunk of the head."""
    recomputed = int(model.reversible)
    positions = n_sequences * seq_len
    n_heads = heads_per_group(model, positions)
    kinds = [KINDS[kind] for kind in model.layer_kinds]
    vectors = max(kind.backward_vectors + recomputed * kind.saved_vectors for kind in kinds)
    attention = positions * (3 * model.d_model + vectors * n_heads * model.d_head)
    pairs_per_round = max((kind.pairs(model, seq_len) / model.n_hashes for kind in kinds if kind.hashes), default=0)
    attention += TILE_BUFFERS * min(LARGE_TILE, int(n_sequences * n_heads * pairs_per_round))
    ff_positions = n_sequences * min(model.ff_chunk_size or seq_len, seq_len)
    feed_forward = recomputed * positions * model.d_model + ff_positions * (2 * model.d_ff + 3 * model.d_model)
    head_positions = n_sequences * min(model.loss_chunk_size or seq_len, seq_len)
    head = head_positions * (8 * model.d_model + 4 * model.vocab_size)
    return FLOAT_BYTES * max(attention, feed_forward, head)
