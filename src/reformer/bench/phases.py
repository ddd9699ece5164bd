"""Progress of a training step that takes minutes: the current pass and layer, the elapsed time and the memory."""

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
def phases_printed(model: ReformerLM, optimizer: Optimizer) -> Iterator[None]:
    """Prints each new phase of the step to standard error. A terminal shows the current phase only.

    Each branch of a reversible network, and its head, begins with a LayerNorm, in the forward pass and again when the backward
    pass recomputes it. Hooks on these LayerNorms detect the phases.
    """
    with ExitStack() as hooks:
        begin, last, loss_began = perf_counter(), "", False
        on_terminal = sys.stderr.isatty()

        def show(phase: str) -> None:
            nonlocal last
            if phase == last:
                return
            last = phase
            seconds, peak = perf_counter() - begin, peak_bytes(torch.device("cpu")) / 1e9
            line = f"{seconds:6.0f} s  peak memory of the process {peak:5.1f} GB  {phase}"
            start, end = ("\r\033[K", "") if on_terminal else ("", "\n")
            print(f"{start}{line}", end=end, file=sys.stderr, flush=True)

        def watch(norm: nn.Module, name: str, is_head: bool = False) -> None:
            def hook(*_: object) -> None:
                nonlocal loss_began
                loss_began = loss_began or is_head
                show(name if is_head else f"{'backward' if loss_began else 'forward'}, {name}")

            hooks.callback(norm.register_forward_pre_hook(hook).remove)

        layers = list(model.stack.layers)
        for number, layer in enumerate(layers, 1):
            assert isinstance(layer, Layer)
            watch(layer.attention.norm, f"layer {number} of {len(layers)}, attention")
            watch(layer.feed_forward.norm, f"layer {number} of {len(layers)}, feed-forward")
        watch(model.head.norm, "loss", is_head=True)
        hooks.callback(optimizer.register_step_pre_hook(lambda *_: show("optimiser")).remove)
        yield
        show("done")
        if on_terminal:
            print(file=sys.stderr)
