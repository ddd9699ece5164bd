"""What happens beside the training: a curve on disk, a progress bar with a rate and an end."""

import csv
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from reformer.training.environment import peak_bytes
from reformer.training.lit_module import LitLanguageModel

COLUMNS = ("step", "tokens", "split", "loss", "bits_per_dim", "accuracy")


class Curve(Callback):
    """Keeps the scores of each look at the held-out split, also in checkpoints, and writes them as curve.csv."""

    def __init__(self, tokens_per_step: int) -> None:
        self.tokens_per_step = tokens_per_step
        self.rows: list[dict[str, Any]] = []

    @property
    def last_step(self) -> int:
        """Step of the last look, 0 where there was none."""
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
        """Writes the curve, the same bytes for the same scores."""
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


class ShowProgress(Callback):
    """A bar on a terminal; elsewhere a line a look at the held-out split. Logs scores, speed and memory."""

    def __init__(self, name: str, tokens_per_step: int) -> None:
        self.name, self.tokens_per_step = name, tokens_per_step
        console = Console(stderr=True)
        self.on_terminal = console.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps  {task.fields[rate]}  {task.fields[score]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=console, transient=True, disable=not self.on_terminal)
        self.seconds = 0.0
        """Time in training steps."""
        self.steps = 0
        self._begin = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Rate of training, looks at the held-out split left out."""
        return self.steps * self.tokens_per_step / self.seconds if self.seconds else 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.steps = state_dict["seconds"], state_dict["steps"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self.task = self.bar.add_task(
                self.name, total=trainer.max_steps, completed=trainer.global_step, rate="", score=""
            )
            self.bar.start()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._begin, self._first = time.perf_counter(), trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.seconds += time.perf_counter() - self._begin
        self.steps += trainer.global_step - self._first
        if trainer.is_global_zero:
            rate = f"{self.tokens_per_second:,.0f} tokens/s"
            self.bar.update(self.task, completed=trainer.global_step, rate=rate)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, LitLanguageModel)
        scores = pl_module.scores["val"]
        text = f"val {scores['bits_per_dim']:.3f} bits/dim, accuracy {scores['accuracy']:.3f}"
        peak = peak_bytes(pl_module.device)
        if trainer.is_global_zero and trainer.logger is not None:
            figures = {"train/tokens_per_second": self.tokens_per_second, "train/peak_memory_MB": peak / 1e6}
            for split, found in pl_module.scores.items():  # not the loss: that of each step has the name
                figures |= {f"{split}/{name}": found[name] for name in ("bits_per_dim", "accuracy")}
            trainer.logger.log_metrics(figures, trainer.global_step)  # Lightning's own would be a step behind
        if trainer.is_global_zero:
            self.bar.update(self.task, score=text)
            if not self.on_terminal:
                print(
                    f"{self.name}: step {trainer.global_step} of {trainer.max_steps}, "
                    f"{self.tokens_per_second:,.0f} tokens/s, {text}",
                    flush=True,
                )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.bar.stop()
