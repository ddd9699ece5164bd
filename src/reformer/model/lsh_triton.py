"""LSH attention on CUDA devices, by the kernels of `lsh_triton_kernels`, with neither logits nor sorted rows in memory."""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from reformer.model import lsh_portable
from reformer.model import lsh_triton_kernels as kernels
from reformer.model.lsh_rules import Rules
from reformer.model.lsh_triton_sort import padded_width, sort_rounds, strides_of, with_contiguous_rows

# Wider heads do not fit into the registers of a multiprocessor, and longer windows not into the search for their ends.
MAX_WIDTH, MAX_CHUNK_LEN = 256, 1 << 12
# Rows of the sequences that run at a time. Their running sums stay in the device's cache from round to round.
GROUP_ROWS = 1 << 17


class Blocks(NamedTuple):
    """Slots of a block and of a tile, and how Triton compiles the kernel."""

    block: int
    tile: int
    num_warps: int
    num_stages: int = 1


# By padded width of a head, at least 64. The best of those that were measured on an H200, see docs/kernels.md.
FORWARD = {64: Blocks(16, 16, 1), 128: Blocks(16, 16, 1), 256: Blocks(16, 16, 4)}
BACKWARD = {64: Blocks(16, 16, 1), 128: Blocks(16, 16, 2), 256: Blocks(16, 16, 4)}
# Of float32: rows take twice the registers. Not tuned.
FLOAT32 = Blocks(16, 16, 4)


def forward(qk: Tensor, v: Tensor, buckets: Tensor, padding_mask: Tensor | None, rules: Rules) -> tuple[Tensor, Tensor]:
    """Returns output, (B, H, L, D), and logsumexp over all rounds, (B, H, L), infinite if a position sees only itself."""
    if not _fits(qk, rules):
        return lsh_portable.forward(qk, v, buckets, padding_mask, rules)
    qk, v = with_contiguous_rows(qk), with_contiguous_rows(v)
    out, lse = torch.empty_like(v), v.new_empty(v.shape[:3], dtype=torch.float32)
    with torch.cuda.device_of(qk):
        launch = _Launch(qk, buckets, padding_mask, rules, FORWARD)
        kernels.attend[launch.grid](
            qk, v, *launch.inputs, launch.running(out), launch.running(lse), out, lse, launch.progress,
            *map(strides_of, (qk, v, out)), *launch.sizes, **launch.constants,
        )  # fmt: skip
    return out, lse


def backward(
    grad: Tensor,
    qk: Tensor,
    v: Tensor,
    buckets: Tensor,
    padding_mask: Tensor | None,
    out: Tensor,
    lse: Tensor,
    rules: Rules,
) -> tuple[Tensor, Tensor]:
    """Returns the gradients of qk and v, (B, H, L, D) each, given the gradient of the output."""
    if not _fits(qk, rules):
        return lsh_portable.backward(grad, qk, v, buckets, padding_mask, out, lse, rules)
    grad, qk, v = map(with_contiguous_rows, (grad, qk, v))
    grad_qk, grad_v = torch.empty_like(qk), torch.empty_like(v)
    with torch.cuda.device_of(qk):
        delta = _multiply_rows(grad, with_contiguous_rows(out))
        launch = _Launch(qk, buckets, padding_mask, rules, BACKWARD)
        kernels.differentiate[launch.grid](
            grad, qk, v, lse, delta, *launch.inputs, launch.running(grad_qk), launch.running(grad_v), grad_qk, grad_v,
            launch.progress, *map(strides_of, (grad, qk, v, grad_qk, grad_v)), *launch.sizes, **launch.constants,
        )  # fmt: skip
    return grad_qk, grad_v


class _Launch:
    """The arguments that both kernels share."""

    def __init__(
        self, qk: Tensor, buckets: Tensor, padding_mask: Tensor | None, rules: Rules, blocks: dict[int, Blocks]
    ) -> None:
        n_examples, n_heads, length, width = qk.shape
        self.n_rounds, n_sequences = buckets.shape[2], n_examples * n_heads
        is_float32 = qk.dtype == torch.float32
        block, tile, num_warps, num_stages = FLOAT32 if is_float32 else blocks[max(64, padded_width(width))]
        self.inputs = (_multiply_rows(qk, qk, inverse_lengths=True), *sort_rounds(buckets, padding_mask, rules))
        self.progress = torch.zeros(n_sequences + 1, dtype=torch.int32, device=qk.device)
        self.grid = (n_sequences * self.n_rounds * triton.cdiv(length, block),)
        self.sizes = (n_heads, length, self.n_rounds, n_sequences, max(1, min(n_sequences, GROUP_ROWS // length)))
        self.constants: dict[str, Any] = {
            "RULES": rules,
            "WIDTH": width,
            "PADDED_WIDTH": padded_width(width),
            "BLOCK": block,
            "TILE": tile,
            "PRECISION": "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee",
            "num_warps": num_warps,
            "num_stages": num_stages,
        }

    def running(self, result: Tensor) -> Tensor:
        """Returns the buffer for sums over the rounds before the last one: the result itself, if float32 or never used."""
        if result.dtype == torch.float32 or self.n_rounds == 1:
            return result
        return torch.empty_like(result, dtype=torch.float32)


def _fits(qk: Tensor, rules: Rules) -> bool:
    # Codes below 2**31 tell pads and missing rows from all others.
    codes_fit = 2 * (qk.shape[2] + 1) * (rules.chunk_len + 1) < 1 << 31
    return qk.dtype != torch.float64 and qk.shape[3] <= MAX_WIDTH and rules.chunk_len <= MAX_CHUNK_LEN and codes_fit


def _multiply_rows(x: Tensor, y: Tensor, inverse_lengths: bool = False) -> Tensor:
    """Returns the scalar product of each row of x with that of y in float32, (B, H, L), or `inverse_length` of x = y."""
    products = x.new_empty(x.shape[:3], dtype=torch.float32)
    n_heads, length, width = x.shape[1:]
    block = 64
    grid = (x.shape[0] * n_heads * triton.cdiv(length, block),)
    kernels.multiply_rows[grid](
        x,
        y,
        products,
        strides_of(x),
        strides_of(y),
        n_heads,
        length,
        width,
        padded_width(width),
        block,
        inverse_lengths,
    )
    return products
