"""From a data set's settings to its batches. Batches are whole: wrap them in a DataLoader with `batch_size=None`."""

from pathlib import Path

from reformer.data.batch import HeldOutBatches, TrainingBatches
from reformer.data.config import DataConfig, DuplicationConfig, ImagesConfig, TextConfig
from reformer.data.duplication import HeldOutDuplication, TrainingDuplication
from reformer.data.windows import HeldOutImages, HeldOutText, TrainingImages, TrainingText


def training_batches(
    data: DataConfig, processed: Path, seed: int, rank: int = 0, world_size: int = 1
) -> TrainingBatches:
    """Training batches of one device, indexed by the step.

    Args:
        data: the data set.
        processed: folder of its prepared arrays (unused for a data set made from the seed).
        seed: the run's.
        rank: number of this device.
        world_size: devices, which share the `batch_size` sequences of each step.

    Raises:
        SettingError: the settings do not fit the prepared data, or it has not been prepared.
    """
    match data:
        case DuplicationConfig():
            return TrainingDuplication(data, seed, rank, world_size)
        case TextConfig():
            return TrainingText(data, processed, seed, rank, world_size)
        case ImagesConfig():
            return TrainingImages(data, processed, seed, rank, world_size)
    raise TypeError(f"no batches for {type(data).__name__}")


def evaluation_batches(data: DataConfig, processed: Path, split: str, seed: int) -> HeldOutBatches:
    """All batches of a held-out split: a sized, map-style data set.

    Args:
        data: the data set.
        processed: folder of its prepared arrays (unused for a data set made from the seed).
        split: val or test (train too, for a text or images).
        seed: the run's; only a data set made from the seed depends on it.

    Raises:
        SettingError: the settings do not fit the prepared data, or it has not been prepared.
    """
    match data:
        case DuplicationConfig():
            return HeldOutDuplication(data, split, seed)
        case TextConfig():
            return HeldOutText(data, processed, split)
        case ImagesConfig():
            return HeldOutImages(data, processed, split)
    raise TypeError(f"no batches for {type(data).__name__}")
