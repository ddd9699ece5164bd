"""Data of a training in Lightning's form: endless training batches from any step on, and the validation split."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from reformer.data.batches.batch import Batch, TrainingBatches
from reformer.data.batches.feed import evaluation_batches, training_batches
from reformer.data.config import DataConfig


class BatchStream(IterableDataset[Batch]):
    """Training batches in the order of the steps, for any number of worker processes, which take turns."""

    def __init__(self, batches: TrainingBatches, first: int) -> None:
        self.batches, self.first = batches, first

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        index, n_workers = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in count(self.first + index, n_workers):
            yield self.batches[step]


class LanguageDataModule(pl.LightningDataModule):
    """The batches of a data set. A resumed training continues with the first batch that it has not seen."""

    def __init__(self, data: DataConfig, processed: Path, seed: int, accumulate: int, num_workers: int) -> None:
        super().__init__()
        self.data, self.processed, self.seed = data, processed, seed
        self.accumulate, self.num_workers = accumulate, num_workers

    def check(self) -> None:
        """Raises a SettingError if the prepared data is missing or does not fit, before Lightning starts."""
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
            batch_size=None,  # an item of the data set is a batch
            sampler=sampler,
            num_workers=self.num_workers,
            multiprocessing_context="spawn" if self.num_workers else None,  # a fork beside threads may deadlock
            persistent_workers=self.num_workers > 0,
        )
