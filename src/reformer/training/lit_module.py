"""A language model in Lightning's form: loss, scores, optimiser and random state."""

from collections import deque
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer

from reformer.data.batches.batch import Batch
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import OptimizerConfig
from reformer.tracking.metrics import TRAIN_LOSS
from reformer.training.optimizer import build_optimizer
from reformer.training.scores import TokenSums, mean_loss

SUMS = "train_sums"
"""Key of the sums of scores in a checkpoint."""
NORMS = 6
"""Steps whose gradient norms are kept, for the message of a training that diverges."""


class LitLanguageModel(pl.LightningModule):
    """Trains any `ReformerLM` in the same way.

    Hashing and dropout use the global random generator. Every batch seeds it from (seed, split, batch, device). Training
    can therefore resume at any step, and validation does not influence it.

    Attributes:
        gradient_norms: the last steps, counted from 1, and the norms of their gradients before clipping.
    """

    def __init__(self, model: ReformerLM, optimizer: OptimizerConfig, seed: int) -> None:
        super().__init__()
        self.model, self.optimizer, self.seed = model, optimizer, seed
        self.sums = {"train": TokenSums(), "val": TokenSums()}
        self.scores: dict[str, dict[str, float]] = {}
        self.gradient_norms: deque[tuple[int, Tensor]] = deque(maxlen=NORMS)

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
        optimizer, schedule = build_optimizer(self.optimizer, self.parameters(), self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clips the gradient by its norm, and keeps the norm."""
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        if gradient_clip_val:
            norm = clip_grad_norm_(weights, gradient_clip_val)
        else:
            norm = get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        self.gradient_norms.append((self.trainer.global_step + 1, norm))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the scores of the training since the last validation, which each device sums by itself."""
        sums = torch.zeros(self.trainer.world_size, 3, dtype=torch.float64, device=self.device)
        sums[self.global_rank] = self.sums["train"].sums
        checkpoint[SUMS] = self.trainer.strategy.reduce(sums, reduce_op="sum")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.sums["train"].sums = checkpoint[SUMS][self.global_rank]

    def _seed_generator(self, split: int, batch_index: int) -> None:
        words = np.random.SeedSequence([self.seed, split, batch_index, self.global_rank]).generate_state(2)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))
