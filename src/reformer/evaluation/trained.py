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
from reformer.runs.fingerprint import check_weights
from reformer.tracking.artifacts import use_data, use_weights
from reformer.tracking.wandb_run import open_run, settings_of, tags_of, wandb_errors_ignored

if TYPE_CHECKING:
    import wandb


def weights_of(run: RunConfig) -> Path:
    """Returns the file of a run's weights.

    Weights without a train.json, such as a copy from elsewhere, are accepted with a message.

    Raises:
        DataError: the run has not been trained, or its weights are not those that its training wrote.
    """
    weights = run.files.weights
    if not weights.is_file():
        raise DataError(f"{weights} is missing: train the run first")
    if not run.files.train.exists():
        print(f"{weights}: without {run.files.train.name}, which has its digest, nothing tells whether it is intact")
    else:
        check_weights(run.files)
    return weights


def trained_model(config: ReformerConfig, weights: Path, device: torch.device) -> ReformerLM:
    """Builds a network in evaluation mode with these weights.

    Raises:
        DataError: the file is truncated, does not fit the settings, or contains a number that is not finite.
    """
    model = ReformerLM(config)
    try:
        values = load_file(weights)
        model.load_state_dict(values)
    except SafetensorError:
        raise DataError(f"{weights} cannot be read: train the run again") from None
    except RuntimeError:
        raise DataError(f"{weights} was trained with other settings: train the run again") from None
    for name, value in values.items():
        if not value.isfinite().all():
            raise DataError(f"{weights}: {name} is not finite: train the run again, with a smaller optimizer.lr")
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
