"""Where to compute: on an NVIDIA GPU or on the CPU. Others, such as Apple's, lack the float64 that scores are summed in."""

import torch

from reformer.settings import require


def choose_device(accelerator: str) -> torch.device:
    """The device that a setting stands for.

    Args:
        accelerator: auto: a GPU where there is one; cpu; gpu.

    Raises:
        SettingError: there is no GPU where one is asked for.
    """
    there = torch.cuda.is_available()
    require(there or accelerator != "gpu", "accelerator", "cpu or auto on a machine without an NVIDIA GPU", accelerator)
    return torch.device("cuda" if there and accelerator != "cpu" else "cpu")
