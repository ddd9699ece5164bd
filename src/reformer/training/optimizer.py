"""Optimisers and learning rate schedules."""

from collections.abc import Iterable
from math import sqrt

from torch import nn
from torch.optim import Adafactor, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from reformer.runs.config import OptimizerConfig


def build_optimizer(
    config: OptimizerConfig, parameters: Iterable[nn.Parameter], n_steps: int
) -> tuple[Optimizer, LambdaLR]:
    """Builds the optimiser and its learning rate schedule, which takes one step for each of `n_steps` updates."""
    optimizer: Optimizer
    if config.name == "adafactor":
        optimizer = Adafactor(parameters, lr=config.lr, weight_decay=config.weight_decay)
    else:
        betas = (config.betas[0], config.betas[1])
        optimizer = Adam(parameters, lr=config.lr, betas=betas, eps=config.eps, weight_decay=config.weight_decay)
    return optimizer, LambdaLR(optimizer, lambda step: lr_factor(config, step, n_steps))


def lr_factor(config: OptimizerConfig, step: int, n_steps: int) -> float:
    """Computes the factor of the peak learning rate at a step, counted from 0: a linear warm-up, then the schedule."""
    at = step + 1
    if at <= config.warmup_steps or config.schedule == "constant":
        return min(1.0, at / config.warmup_steps)
    if config.schedule == "linear":
        return min(1.0, max(0.0, (n_steps - step) / (config.decay * n_steps)))
    return sqrt(config.warmup_steps / at)
