"""Finds the weights of a run, and puts them into its network, or into one that attends otherwise."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from reformer.data.files import DataError
from reformer.model.config import ReformerConfig
from reformer.model.reformer_lm import ReformerLM
from reformer.training.config import RunConfig


def weights_of(run: RunConfig) -> Path:
    """The file of a run's weights; raises DataError where the run has not been trained."""
    weights = Path(run.root) / "runs" / run.name / "weights.safetensors"
    if not weights.exists():
        raise DataError(f"{weights} is missing: train the run first")
    return weights


def trained_model(config: ReformerConfig, weights: Path, device: torch.device) -> ReformerLM:
    """A network with these weights, on the device, not for training; raises DataError where they do not fit."""
    model = ReformerLM(config)
    try:
        model.load_state_dict(load_file(weights))
    except RuntimeError:
        raise DataError(f"{weights} was trained with other settings: train the run again") from None
    return model.to(device).eval()
