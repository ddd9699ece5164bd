"""Tells what a training step of minutes computes now: which pass, which layer, and how long it has taken so far."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter

import torch
from torch import nn
from torch.optim import Optimizer

from reformer.machine import peak_bytes
from reformer.model.reformer_lm import ReformerLM
from reformer.model.residual import Layer


@contextmanager
def told_phases(model: ReformerLM, optimizer: Optimizer) -> Iterator[None]:
    """Prints a line on standard error whenever a step begins another phase; on a terminal, over the one before.

    Every branch of a reversible network, and its head, normalises what it reads, once in the forward pass and once more in the
    backward pass, which computes it again: this is what is watched.
    """
    with ExitStack() as hooks:
        begin, last, seen_head = perf_counter(), "", False
        on_terminal = sys.stderr.isatty()

        def tell(text: str) -> None:
            nonlocal last
            if text == last:
                return
            last = text
            seconds, peak = perf_counter() - begin, peak_bytes(torch.device("cpu")) / 1e9
            line = f"{seconds:6.0f} s  peak of the process so far {peak:5.1f} GB  {text}"
            print(
                f"\r\033[K{line}" if on_terminal else line, end="" if on_terminal else "\n", file=sys.stderr, flush=True
            )

        def watch(norm: nn.Module, text: str, head: bool) -> None:
            def seen(*_: object) -> None:
                nonlocal seen_head
                seen_head = seen_head or head
                tell(text if head else f"{'backward' if seen_head else 'forward'}, {text}")

            hooks.callback(norm.register_forward_pre_hook(seen).remove)

        layers = list(model.stack.layers)
        for number, layer in enumerate(layers, 1):
            assert isinstance(layer, Layer)
            watch(layer.attention.norm, f"layer {number} of {len(layers)}, attention", False)
            watch(layer.feed_forward.norm, f"layer {number} of {len(layers)}, feed-forward", False)
        watch(model.head.norm, "loss", True)
        hooks.callback(optimizer.register_step_pre_hook(lambda *_: tell("optimiser")).remove)
        yield
        tell("done")
        if on_terminal:
            print(file=sys.stderr)
