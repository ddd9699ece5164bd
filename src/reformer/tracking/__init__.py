"""Logging of runs to Weights & Biases."""

import os

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # wandb reads it when its service starts
