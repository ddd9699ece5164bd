"""A language model in Lightning's form: loss, scores, optimiser and random state."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from reformer.data.batches.batch import Batch
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import OptimizerConfig
from reformer.tracking.metrics import TRAIN_LOSS
from reformer.training.optimizer import build_optimizer
from reformer.training.scores import TokenSums, mean_loss


class LitLanguageModel(pl.LightningModule):
    """Trains any `ReformerLM` in the same way.

    Hashing and dropout use the global random generator. Every batch seeds it from (seed, split, batch, device). Training
    can therefore resume at any step, and validation does not influence it.
    """

    def __init__(self, model: ReformerLM, optimizer: OptimizerConfig, seed: int) -> None:
        super().__init__()
        self.model, self.optimizer, self.seed = model, optimizer, seed
        self.sums = {"train": TokenSums(), "val": TokenSums()}
        self.scores: dict[str, dict[str, float]] = {}

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        self._seed_generator(0, batch_index)
        losses = self.model(batch.inputs, batch.targets)
        self.sums["train"].add(losses, batch)
        loss = mean_loss(losses, batch)
        self.log(TRAIN_LOSS, loss.detach())
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._seed_generator(1, batch_index)
        self.sums["val"].add(self.model(batch.inputs, batch.targets), batch)

    def on_validation_epoch_end(self) -> None:
        """Computes the scores of the training since the last validation, and of this one, over all devices."""
        for split, sums in self.sums.items():
            sums.sums = self.trainer.strategy.reduce(sums.sums.to(self.device), reduce_op="sum")
            self.scores[split] = sums.scores()
        self.sums = {"train": TokenSums(), "val": TokenSums()}

    def configure_optimizers(self) -> Any:
        optimizer, schedule = build_optimizer(self.optimizer, self.parameters())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _seed_generator(self, split: int, batch_index: int) -> None:
        words = np.random.SeedSequence([self.seed, split, batch_index, self.global_rank]).generate_state(2)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))
