"""When a training saves a checkpoint, and when it ends early: at a signal, or because its loss is not finite."""

import time
from collections.abc import Iterator
from math import isfinite
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from reformer.runs.config import RunConfig
from reformer.runs.divergence import Diverged
from reformer.training.callbacks import LearningCurve
from reformer.training.checkpoints import LastTwo
from reformer.training.interruption import Signals, Stopped
from reformer.training.lit_module import LitLanguageModel


class Saving(Checkpoint):
    """Saves a checkpoint after each validation, at the end, every few minutes, and when a signal asks the process to end.

    A checkpoint always has the state after a whole step, and never weights or losses that are not finite.
    """

    def __init__(self, run: RunConfig, files: LastTwo, signals: Signals, curve: LearningCurve) -> None:
        self.run, self.files, self.signals, self.curve = run, files, signals, curve
        self.every = min(run.trainer.val_every, run.trainer.steps)
        self.saved_step, self._saved_at = 0, 0.0
        self._losses: list[tuple[int, Tensor]] = []
        self._loops: dict[str, Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.signals.install()
        self._saved_at, self.saved_step = time.monotonic(), trainer.global_step
        if trainer.global_step and self._validates(trainer) and self.curve.last_step < trainer.global_step:
            self._validate(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.signals.install()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        accumulate = self.run.trainer.accumulate
        self._losses.append((batch_idx // accumulate + 1, outputs["loss"]))
        if (batch_idx + 1) % accumulate:
            return
        stop, due, bad_step = self._agreed(trainer)
        if bad_step:
            raise self._diverged(pl_module, bad_step)
        if stop or (not self._validates(trainer) and (due or trainer.global_step == trainer.max_steps)):
            self._save(trainer, pl_module)
        if stop:
            raise Stopped(stop, trainer.local_rank)
        if self._validates(trainer):
            self._loops = trainer.fit_loop.state_dict()

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if self.signals.noted and trainer.world_size == 1:  # others end together, after the validation
            if self._loops:
                self._save(trainer, pl_module)
            raise Stopped(self.signals.noted)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, LitLanguageModel)
        self._loops = None
        if not all(isfinite(scores["loss"]) for scores in pl_module.scores.values() if scores):
            raise self._diverged(pl_module, trainer.global_step)
        if trainer.state.fn == "fit":
            self._save(trainer, pl_module)
            if stop := self._agreed(trainer)[0]:
                raise Stopped(stop, trainer.local_rank)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._loops:  # a signal during a validation: the state before it, which nothing else has left
            checkpoint["loops"]["fit_loop"] = self._loops

    def _validates(self, trainer: pl.Trainer) -> bool:
        """Returns whether the trained step is followed by a validation."""
        return trainer.global_step % self.every == 0

    def _validate(self, trainer: pl.Trainer) -> None:
        """Validates after a resumption, since the process ended before the validation of this step."""
        loop = trainer.fit_loop.epoch_loop.val_loop
        loop.restarting = False
        trainer.validating = True
        loop.run()
        trainer.training = True

    def _agreed(self, trainer: pl.Trainer, newest: int = 1) -> tuple[int, bool, int]:
        """Returns what the devices agree on: the signal to end at, whether a checkpoint is due, and the first bad step.

        The newest losses are not looked at.
        """
        minutes = (time.monotonic() - self._saved_at) / 60
        wanted = [self.signals.noted, int(minutes >= self.run.trainer.checkpoint_minutes), self._bad_step(newest)]
        if trainer.world_size > 1:
            together = torch.tensor(wanted, device=trainer.strategy.root_device)
            wanted = trainer.strategy.reduce(together, reduce_op="max").tolist()
        return wanted[0], bool(wanted[1]), wanted[2]

    def _bad_step(self, newest: int) -> int:
        """Returns the first step whose loss is not finite; 0 if all are. Leaves the newest losses for later.

        Reading each at once would let a GPU wait for the program.
        """
        n_read = max(0, len(self._losses) - newest)
        read, self._losses = self._losses[:n_read], self._losses[n_read:]
        return next((step for step, loss in read if not loss.isfinite()), 0)

    def _save(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        step = self._agreed(trainer, newest=0)[2]
        if step or not all(bool(weight.isfinite().all()) for weight in module.parameters()):
            raise self._diverged(module, step or trainer.global_step)
        trainer.save_checkpoint(self.files.last, weights_only=False)
        self._saved_at, self.saved_step = time.monotonic(), trainer.global_step

    def _diverged(self, module: pl.LightningModule, step: int) -> Diverged:
        assert isinstance(module, LitLanguageModel)
        good = f"{self.files.found} (step {self.saved_step})" if self.files.found else "none"
        before = ", ".join(f"{norm:.3g}" for at, norm in _measured(module) if at < step) or "none"
        return Diverged(
            f"{self.run.name}: the loss of step {step} is not finite; last good checkpoint: {good}; "
            f"norms of the gradient in the steps before: {before}; try a smaller optimizer.lr, more optimizer.warmup_steps "
            f"or {'a smaller optimizer.clip_norm' if self.run.optimizer.clip_norm else 'optimizer.clip_norm=1'}"
        )


def _measured(module: LitLanguageModel) -> Iterator[tuple[int, float]]:
    """Yields the last steps, and the norms of their gradients before clipping."""
    return ((step, norm.item()) for step, norm in module.gradient_norms)
