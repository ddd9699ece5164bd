"""The batches of a data set of any kind. They are complete: wrap them in a DataLoader with `batch_size=None`."""

from pathlib import Path

from reformer.data.batches.batch import EvaluationBatches, TrainingBatches
from reformer.data.batches.duplication import EvaluationDuplication, TrainingDuplication
from reformer.data.batches.windows import EvaluationImages, EvaluationText, TrainingImages, TrainingText
from reformer.data.config import DataConfig, DuplicationConfig, ImagesConfig, TextConfig


def training_batches(
    data: DataConfig, processed: Path, seed: int, rank: int = 0, world_size: int = 1
) -> TrainingBatches:
    """Returns the training batches of one device, indexed by the step.

    Args:
        data: the data set.
        processed: folder of its prepared arrays, unused for duplication.
        seed: seed of the run.
        rank: number of this device.
        world_size: number of devices, which share the `batch_size` sequences of each step.

    Raises:
        SettingError: the data is not prepared, or the settings do not fit the prepared data.
    """
    match data:
        case DuplicationConfig():
            return TrainingDuplication(data, seed, rank, world_size)
        case TextConfig():
            return TrainingText(data, processed, seed, rank, world_size)
        case ImagesConfig():
            return TrainingImages(data, processed, seed, rank, world_size)
    raise TypeError(f"no batches for {type(data).__name__}")


def evaluation_batches(data: DataConfig, processed: Path, split: str, seed: int) -> EvaluationBatches:
    """Returns all batches of a split, as a map-style data set with a length.

    Args:
        data: the data set.
        processed: folder of its prepared arrays, unused for duplication.
        split: train, val or test.
        seed: seed of the run; only duplication depends on it.

    Raises:
        SettingError: the data is not prepared, or the settings do not fit the prepared data.
    """
    match data:
        case DuplicationConfig():
            return EvaluationDuplication(data, split, seed)
        case TextConfig():
            return EvaluationText(data, processed, split)
        case ImagesConfig():
            return EvaluationImages(data, processed, split)
    raise TypeError(f"no batches for {type(data).__name__}")
