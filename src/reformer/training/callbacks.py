"""Lightning callbacks that record the learning curve, and show and log the progress of a training."""

import csv
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from reformer.files import write_text
from reformer.machine import peak_bytes
from reformer.progress import ProgressBar
from reformer.tracking.metrics import PEAK_MEMORY, SCORES, TOKENS_PER_SECOND, score
from reformer.training.lit_module import LitLanguageModel

COLUMNS = ("step", "tokens", "split", *SCORES)


class LearningCurve(Callback):
    """Collects the scores of every validation, stores them in checkpoints too, and writes curve.csv."""

    def __init__(self, tokens_per_step: int) -> None:
        self.tokens_per_step = tokens_per_step
        self.rows: list[dict[str, Any]] = []

    @property
    def last_step(self) -> int:
        """Step of the last validation, 0 before the first."""
        return self.rows[-1]["step"] if self.rows else 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, LitLanguageModel)
        step = trainer.global_step
        for split, scores in pl_module.scores.items():
            self.rows.append({"step": step, "tokens": step * self.tokens_per_step, "split": split, **scores})

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]

    def write(self, path: Path) -> None:
        """Writes the curve. Equal scores give equal bytes."""
        text = StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(path, text.getvalue())


class ProgressMonitor(Callback):
    """Shows a progress bar on a terminal, or else prints a line a validation. Logs scores, speed and memory."""

    def __init__(self, name: str, tokens_per_step: int) -> None:
        self.name, self.tokens_per_step = name, tokens_per_step
        self.bar: ProgressBar | None = None
        self.text = ""
        self.seconds, self.steps = 0.0, 0
        self._begin, self._first_step = 0.0, 0

    @property
    def tokens_per_second(self) -> float:
        """Training speed, without the time of validations."""
        return self.steps * self.tokens_per_step / self.seconds if self.seconds else 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.steps = state_dict["seconds"], state_dict["steps"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self.bar = ProgressBar(self.name, trainer.max_steps, trainer.global_step, unit="steps")
            self.bar.start()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._begin, self._first_step = time.perf_counter(), trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.seconds += time.perf_counter() - self._begin
        self.steps += trainer.global_step - self._first_step
        if self.bar:
            self.bar.move_to(trainer.global_step)
            self.bar.note(f"{self.tokens_per_second:,.0f} tokens/s  {self.text}")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, LitLanguageModel)
        if not trainer.is_global_zero:
            return
        val, step = pl_module.scores["val"], trainer.global_step
        self.text = f"val {val['bits_per_dim']:.3f} bits/dim, accuracy {val['accuracy']:.3f}"
        if trainer.logger is not None:
            logged = {TOKENS_PER_SECOND: self.tokens_per_second, PEAK_MEMORY: peak_bytes(pl_module.device) / 1e6}
            for split, scores in pl_module.scores.items():  # no loss: train/loss is the loss of each step
                logged |= {score(split, name): scores[name] for name in ("bits_per_dim", "accuracy")}
            trainer.logger.log_metrics(logged, step)  # `self.log` of Lightning would be one step behind
        if not (self.bar and self.bar.on_terminal):
            speed = f"{self.tokens_per_second:,.0f} tokens/s"
            print(f"{self.name}: step {step} of {trainer.max_steps}, {speed}, {self.text}", flush=True)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self.bar:
            self.bar.stop()
