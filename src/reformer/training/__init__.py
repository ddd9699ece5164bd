"""Lightning around the network: loss, optimiser, batches, logging."""

import os

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when wandb is imported
