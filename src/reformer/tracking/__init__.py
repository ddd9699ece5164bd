"""Logging to Weights & Biases; the only package that imports wandb."""

import os

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # wandb reads this variable when it is imported
