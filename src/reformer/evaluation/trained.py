"""Finds the weights of a run, puts them into its network, or into one that attends otherwise, and logs what is made of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import wandb
from safetensors import SafetensorError
from safetensors.torch import load_file

from reformer.data.files import DataError
from reformer.model.config import ReformerConfig
from reformer.model.reformer_lm import ReformerLM
from reformer.training.artifacts import use_data, use_weights
from reformer.training.config import RunConfig
from reformer.training.tracking import forgiven, logged, settings_of, tags_of


def weights_of(run: RunConfig) -> Path:
    """The file of a run's weights; raises DataError where the run has not been trained."""
    weights = Path(run.root) / "runs" / run.name / "weights.safetensors"
    if not weights.exists():
        raise DataError(f"{weights} is missing: train the run first")
    return weights


def trained_model(config: ReformerConfig, weights: Path, device: torch.device) -> ReformerLM:
    """A network with these weights, on the device, not for training; raises DataError where they are cut off or do not fit."""
    model = ReformerLM(config)
    try:
        model.load_state_dict(load_file(weights))
    except SafetensorError:
        raise DataError(f"{weights} cannot be read: train the run again") from None
    except RuntimeError:
        raise DataError(f"{weights} was trained with other settings: train the run again") from None
    return model.to(device).eval()


@contextmanager
def logged_use(run: RunConfig, weights: Path, job_type: str) -> Iterator[wandb.Run]:
    """Logs the block to a W&B run that uses the weights and the data; what fails of W&B in it costs nothing else."""
    size, processed = weights.stat().st_size, Path(run.root) / "processed" / run.data.name
    with logged(run.logger, run.name, run.data.name, job_type, settings_of(run), tags_of(run), size) as log, forgiven():
        use_weights(log, run.name, weights)
        use_data(log, processed)
        yield log
