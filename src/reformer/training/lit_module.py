"""Lightning's view of a language model: loss, scores, optimiser, and where its randomness comes from."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from reformer.data.batch import Batch
from reformer.model.reformer_lm import ReformerLM
from reformer.training.config import OptimizerConfig
from reformer.training.optimizer import build_optimizer
from reformer.training.scores import TokenSums, mean_loss


class LitLanguageModel(pl.LightningModule):
    """Trains any `ReformerLM`, so that two runs differ in their network alone.

    Hashing and dropout draw from the global generator. It is set before every batch by a rule from (seed, split, batch,
    device), so that a run can go on from any step, and looking at held-out data changes nothing.
    """

    def __init__(self, model: ReformerLM, optimizer: OptimizerConfig, seed: int) -> None:
        super().__init__()
        self.model, self.optimizer, self.seed = model, optimizer, seed
        self.sums = {"train": TokenSums(), "val": TokenSums()}
        self.scores: dict[str, dict[str, float]] = {}

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        self._set_generator(0, batch_index)
        losses = self.model(batch.inputs, batch.targets)
        self.sums["train"].add(losses, batch)
        loss = mean_loss(losses, batch)
        self.log("train/loss", loss.detach())
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._set_generator(1, batch_index)
        self.sums["val"].add(self.model(batch.inputs, batch.targets), batch)

    def on_validation_epoch_end(self) -> None:
        """Scores what was trained on since the last look, and the held-out split; the same on all devices."""
        for split, sums in self.sums.items():
            sums.sums = self.trainer.strategy.reduce(sums.sums.to(self.device), reduce_op="sum")
            self.scores[split] = sums.scores()
        self.sums = {"train": TokenSums(), "val": TokenSums()}

    def configure_optimizers(self) -> Any:
        optimizer, schedule = build_optimizer(self.optimizer, self.parameters())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _set_generator(self, split: int, batch_index: int) -> None:
        words = np.random.SeedSequence([self.seed, split, batch_index, self.global_rank]).generate_state(2)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))
