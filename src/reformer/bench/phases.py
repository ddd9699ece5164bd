"""Progress of a training step that takes minutes: the current pass and layer, the elapsed time and the memory."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from time import perf_counter

import torch
from torch import Tensor
from torch.optim import Optimizer

from reformer.machine import peak_bytes
from reformer.model.branch import watched
from reformer.model.reformer_lm import ReformerLM
from reformer.model.residual import Layer


@contextmanager
def phases_printed(model: ReformerLM, optimizer: Optimizer) -> Iterator[None]:
    """Prints each new phase of the step to standard error. A terminal shows the current phase only.

    The backward pass of a reversible network computes each branch again. After the loss, a branch is therefore in that pass.
    """
    with ExitStack() as watches:
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

        def tell(branch: str, x: Tensor) -> None:
            show(f"{'backward' if loss_began else 'forward'}, {branch}")

        def tell_loss(*_: object) -> None:
            nonlocal loss_began
            loss_began = True
            show("loss")

        layers = list(model.stack.layers)
        for number, layer in enumerate(layers, 1):
            assert isinstance(layer, Layer)
            for branch, name in ((layer.attention, "attention"), (layer.feed_forward, "feed-forward")):
                watches.enter_context(watched(branch, partial(tell, f"layer {number} of {len(layers)}, {name}")))
        watches.callback(model.stack.register_forward_hook(tell_loss).remove)
        watches.callback(optimizer.register_step_pre_hook(lambda *_: show("optimiser")).remove)
        yield
        show("done")
        if on_terminal:
            print(file=sys.stderr)
