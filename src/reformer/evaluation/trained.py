"""Access to the weights of a trained run, and W&B runs that use them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from reformer.files import DataError
from reformer.model.config import ReformerConfig
from reformer.model.reformer_lm import ReformerLM
from reformer.runs.config import RunConfig
from reformer.tracking.artifacts import use_data, use_weights
from reformer.tracking.wandb_run import open_run, settings_of, tags_of, wandb_errors_ignored

if TYPE_CHECKING:
    import wandb


def weights_of(run: RunConfig) -> Path:
    """Returns the file of a run's weights; raises DataError if the run has not been trained."""
    weights = run.files.weights
    if not weights.exists():
        raise DataError(f"{weights} is missing: train the run first")
    return weights


def trained_model(config: ReformerConfig, weights: Path, device: torch.device) -> ReformerLM:
    """Builds a network in evaluation mode with these weights; raises DataError if they are truncated or do not fit."""
    model = ReformerLM(config)
    try:
        model.load_state_dict(load_file(weights))
    except SafetensorError:
        raise DataError(f"{weights} cannot be read: train the run again") from None
    except RuntimeError:
        raise DataError(f"{weights} was trained with other settings: train the run again") from None
    return model.to(device).eval()


@contextmanager
def open_run_on_weights(run: RunConfig, weights: Path, job_type: str) -> Iterator["wandb.Run"]:
    """Opens a W&B run with the weights and the data as inputs. Ignores errors of W&B in the block."""
    upload = weights.stat().st_size
    opening = open_run(run.logger, run.name, run.data.name, job_type, settings_of(run), tags_of(run), upload)
    with opening as opened, wandb_errors_ignored():
        use_weights(opened, run.name, weights)
        use_data(opened, run.processed)
        yield opened
