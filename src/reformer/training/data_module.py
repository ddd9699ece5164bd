"""Lightning's view of the data: an endless stream of training batches from any step on, and the held-out split."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from reformer.data.batch import Batch, TrainingBatches
from reformer.data.config import DataConfig
from reformer.data.feed import evaluation_batches, training_batches


class BatchStream(IterableDataset[Batch]):
    """Training batches in the order of the steps; worker processes take turns, which leaves the order as it is."""

    def __init__(self, batches: TrainingBatches, first: int) -> None:
        self.batches, self.first = batches, first

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        turn, n_workers = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in count(self.first + turn, n_workers):
            yield self.batches[step]


class LanguageDataModule(pl.LightningDataModule):
    """The batches of a data set. A run that goes on from a checkpoint gets the batches that it has not seen yet."""

    def __init__(self, data: DataConfig, processed: Path, seed: int, accumulate: int, num_workers: int) -> None:
        super().__init__()
        self.data, self.processed, self.seed = data, processed, seed
        self.accumulate, self.num_workers = accumulate, num_workers

    def check(self) -> None:
        """Raises a SettingError now where the prepared data is missing or does not fit, not in the middle of starting."""
        training_batches(self.data, self.processed, self.seed)
        evaluation_batches(self.data, self.processed, "val", self.seed)

    def train_dataloader(self) -> DataLoader[Batch]:
        assert self.trainer is not None
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        batches = training_batches(self.data, self.processed, self.seed, rank, world_size)
        return self._loader(BatchStream(batches, first=self.trainer.global_step * self.accumulate), None)

    def val_dataloader(self) -> DataLoader[Batch]:
        assert self.trainer is not None
        batches = evaluation_batches(self.data, self.processed, "val", self.seed)
        return self._loader(batches, range(self.trainer.global_rank, len(batches), self.trainer.world_size))

    def _loader(self, dataset: Dataset[Batch], sampler: range | None) -> DataLoader[Batch]:
        return DataLoader(
            dataset,
            batch_size=None,  # the batches come whole
            sampler=sampler,
            num_workers=self.num_workers,
            multiprocessing_context="spawn"
            if self.num_workers
            else None,  # the same on all systems, safe beside threads
            persistent_workers=self.num_workers > 0,
        )
