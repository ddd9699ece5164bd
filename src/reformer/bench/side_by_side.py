"""The measurements of `make bench`: this project's attention and network beside other implementations.

Each comparison alternates between its alternatives and keeps all times. `reformer.report.display.bench_table` computes medians,
ratios and verdicts. `measure` determines each peak of memory in a new process.

Shapes: B batch, H heads, L positions, D width of a head.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.optim import Adam

from reformer.bench.peers import PEERS, Attention, reformer_pytorch_attention, require_peers
from reformer.bench.plan import PRODUCTS_BACKWARD, PRODUCTS_FORWARD, sequence_flops
from reformer.bench.step import Step, measure, own_network, timed_step
from reformer.bench.timing import MATRIX_SIZE, matrix_product, time_alternately
from reformer.files import write_json
from reformer.machine import environment
from reformer.model.config import ReformerConfig
from reformer.model.lsh import draw_rotations, lsh_attention
from reformer.progress import ProgressBar

OURS, MATRIX_PRODUCT = "ours", "matrix product"
NETWORKS = {OURS: own_network, **PEERS}


@dataclass(frozen=True)
class Sizes:
    """Sizes of all measurements. The targets hold for the defaults."""

    n_heads: int = 4
    d_head: int = 64
    chunk_len: int = 64
    n_hashes: int = 4
    length: int = 16384
    """Tokens for attention alone and for the whole network."""
    short_length: int = 1024
    """Tokens for the whole network where LSH attention gains least."""
    curve: tuple[int, ...] = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
    curve_hashes: tuple[int, ...] = (1, 2, 4, 8)
    growth: tuple[int, ...] = (8192, 32768, 131072)
    leak_buckets: tuple[int, ...] = (512, 128, 32)
    """Buckets per round: the paper's number for `length`, a quarter and a sixteenth of it."""
    model: ReformerConfig = field(
        default_factory=lambda: ReformerConfig(window="chunk", ff_chunk_size=2048, loss_chunk_size=2048)
    )
    repeats: int = 5
    seconds: float = 6.0
    """Time limit of an alternative, see `time_alternately`. Some comparisons multiply it."""


def run_side_by_side(sizes: Sizes, path: Path, command: str) -> dict[str, Any]:
    """Measures everything and writes the file.

    Raises:
        SettingError: a peer is not installed.
    """
    require_peers()
    begin = perf_counter()
    circumstances: dict[str, Any] = environment(torch.device("cpu"), command)
    circumstances |= {"peers": {name: version(name) for name in PEERS}, "load_before": os.getloadavg()[0]}
    circumstances["gomp_spincount"] = os.environ.get("GOMP_SPINCOUNT", "")
    measured: dict[str, list[dict[str, Any]]] = {}
    measurements = list(_measurements(sizes))
    with ProgressBar("bench", len(measurements), unit="measurements") as bar:
        for number, (key, text, measurement) in enumerate(measurements, 1):
            bar.note(text)
            if not bar.on_terminal:
                print(f"{number} of {len(measurements)}, {perf_counter() - begin:.0f} s: {text}", flush=True)
            torch.manual_seed(1)
            measured.setdefault(key, []).append(measurement())
            bar.advance()
    circumstances |= {"load_after": os.getloadavg()[0], "seconds": perf_counter() - begin}
    content = {"environment": circumstances, "sizes": asdict(sizes), **measured}
    write_json(path, content)
    return content


def _measurements(sizes: Sizes) -> Iterator[tuple[str, str, Callable[[], dict[str, Any]]]]:
    """Yields each measurement: its key in the file, its description, and the function that measures."""
    yield "attention", f"attention of {sizes.length:,} tokens", partial(_attention, sizes)
    for length in sizes.curve:
        yield "curve", f"LSH and full attention of {length:,} tokens", partial(_curve, sizes, length)
    yield "growth", "LSH attention by length", partial(_growth, sizes)
    for length in (sizes.length, sizes.short_length):
        yield "network_time", f"training step of the network, {length:,} tokens", partial(_network_time, sizes, length)
    for name in NETWORKS:
        yield "network_peak", f"peak memory of the network: {name}", partial(_network_peak, sizes, name)
    yield "residuals", "reversible and ordinary training step", partial(_residuals, sizes)
    for n_buckets in sizes.leak_buckets:
        yield "leak", f"influence of later tokens, {n_buckets} buckets", partial(_leak, sizes, n_buckets)


def _attention(sizes: Sizes) -> dict[str, Any]:
    qk, v, grad = _inputs(sizes, sizes.length)
    alternatives: dict[str, Attention] = {
        OURS: _own_attention(sizes, sizes.n_hashes),
        "ours, window of sorted places": _own_attention(sizes, sizes.n_hashes, "sorted"),
        "reformer-pytorch": reformer_pytorch_attention(sizes.chunk_len, sizes.n_hashes, same_masks=False),
        "reformer-pytorch, our masks": reformer_pytorch_attention(sizes.chunk_len, sizes.n_hashes, same_masks=True),
    }
    calls = {name: _forward_and_backward(attend, qk, v, grad) for name, attend in alternatives.items()}
    n_pairs = sizes.n_heads * sizes.length * sizes.n_hashes * 2 * sizes.chunk_len
    seconds = time_alternately({**calls, MATRIX_PRODUCT: matrix_product()}, 2 * sizes.repeats, 4 * sizes.seconds)
    return {
        "seq_len": sizes.length,
        "seconds": seconds,
        "operations": 2 * (PRODUCTS_FORWARD + PRODUCTS_BACKWARD) * n_pairs * sizes.d_head,
        "matrix_product_operations": 2 * MATRIX_SIZE**3,
    }


def _curve(sizes: Sizes, length: int) -> dict[str, Any]:
    qk, v, grad = _inputs(sizes, length)
    k = torch.randn_like(v).requires_grad_()
    calls = {f"lsh-{n}": _forward_and_backward(_own_attention(sizes, n), qk, v, grad) for n in sizes.curve_hashes}

    def full() -> None:
        out = scaled_dot_product_attention(qk, k, v, is_causal=True)
        torch.autograd.grad(out, (qk, k, v), grad)

    return {"seq_len": length, "seconds": time_alternately({**calls, "full": full}, sizes.repeats, sizes.seconds)}


def _growth(sizes: Sizes) -> dict[str, Any]:
    attend = _own_attention(sizes, sizes.n_hashes)
    calls = {str(length): _forward_and_backward(attend, *_inputs(sizes, length)) for length in sizes.growth}
    return {"seconds": time_alternately(calls, sizes.repeats, 4 * sizes.seconds)}


def _network_time(sizes: Sizes, length: int) -> dict[str, Any]:
    calls = {
        name: _training_step(network, replace(sizes.model, max_seq_len=length)) for name, network in NETWORKS.items()
    }
    seconds = time_alternately(calls, sizes.repeats, 6 * sizes.seconds)
    return {"seq_len": length, "seconds": seconds, "operations": sequence_flops(sizes.model, length)}


def _network_peak(sizes: Sizes, name: str) -> dict[str, Any]:
    config = replace(sizes.model, max_seq_len=sizes.length)
    result = measure(Step(config, sizes.length, 1, repeats=0, device="cpu", network=NETWORKS[name]))
    return {"network": name, "seq_len": sizes.length, **result}


def _residuals(sizes: Sizes) -> dict[str, Any]:
    # Without chunks: the ordinary network would recompute a chunked feed-forward too.
    config = replace(sizes.model, max_seq_len=sizes.length, ff_chunk_size=0, loss_chunk_size=0)
    ordinary = replace(config, reversible=False, n_streams=1)
    calls = {"reversible": _training_step(own_network, config), "ordinary": _training_step(own_network, ordinary)}
    return {"seq_len": sizes.length, "seconds": time_alternately(calls, sizes.repeats, 3 * sizes.seconds)}


@torch.no_grad()
def _leak(sizes: Sizes, n_buckets: int) -> dict[str, Any]:
    """Measures the share of outputs that change with a later token, because it changes which keys an earlier query sees."""
    first, last = sizes.length // 2, sizes.length
    changed = {"chunk": 0, "sorted": 0}
    n_inputs, n_outputs = 2, 0
    for _ in range(n_inputs):
        qk, v = torch.randn(2, 1, sizes.n_heads, sizes.length, sizes.d_head, dtype=torch.float64)
        rotations = draw_rotations(qk, n_buckets, sizes.n_hashes)
        position = int(torch.randint(first, last, ()))
        other = qk.clone()
        other[:, :, position] = torch.randn(sizes.d_head)
        n_outputs += sizes.n_heads * position
        for window in changed:
            outs = [
                lsh_attention(x, v, chunk_len=sizes.chunk_len, rotations=rotations, window=window)[:, :, :position]
                for x in (qk, other)
            ]
            changed[window] += int(((outs[0] - outs[1]).abs().amax(-1) > 1e-9).sum())
    return {"n_buckets": n_buckets, "share_moved": {window: n / n_outputs for window, n in changed.items()}}


def _inputs(sizes: Sizes, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns shared queries and keys, values, and the gradient of the output, (B, H, L, D) each."""
    qk, v, grad = torch.randn(3, 1, sizes.n_heads, length, sizes.d_head)
    return qk.requires_grad_(), v.requires_grad_(), grad


def _own_attention(sizes: Sizes, n_hashes: int, window: str = "chunk") -> Attention:
    return lambda qk, v: lsh_attention(qk, v, n_hashes=n_hashes, chunk_len=sizes.chunk_len, window=window)


def _forward_and_backward(attend: Attention, qk: Tensor, v: Tensor, grad: Tensor) -> Callable[[], object]:
    """Returns a call of the forward and backward pass."""
    return lambda: torch.autograd.grad(attend(qk, v), (qk, v), grad)


def _training_step(network: Callable[..., Any], config: ReformerConfig) -> Callable[[], object]:
    """Returns a call of a training step on one sequence."""
    model, loss = network(config)
    optimizer = Adam(model.parameters())
    tokens = torch.randint(config.vocab_size, (1, config.max_seq_len))
    return lambda: timed_step(loss, optimizer, tokens)
