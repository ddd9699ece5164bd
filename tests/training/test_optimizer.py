"""Learning rates against tables by hand, and optimisers that optimise."""

from fractions import Fraction
from math import sqrt

import pytest
import torch

from reformer.runs.config import OptimizerConfig
from reformer.settings import SettingError
from reformer.training.optimizer import build_optimizer, lr_factor

F = Fraction
TABLES = {
    "constant": ({}, [F(1, 3), F(2, 3), 1, 1, 1, 1, 1, 1, 1, 1]),
    "rsqrt": ({}, [F(1, 3), F(2, 3), 1, *(sqrt(3 / step) for step in range(4, 11))]),
    "linear": ({}, [F(1, 3), F(2, 3), 1, 1, 1, 1, F(4, 5), F(3, 5), F(2, 5), F(1, 5)]),
    "linear, late": ({"decay": 0.2}, [F(1, 3), F(2, 3), 1, 1, 1, 1, 1, 1, 1, F(1, 2)]),
    "linear, at once": ({"decay": 1.0}, [F(1, 3), F(2, 3), 1, *(F(n, 10) for n in range(7, 0, -1))]),
}
"""Settings, and the factor of each of ten steps after a warm-up of three."""


@pytest.mark.parametrize("name", TABLES)
def test_the_learning_rate_warms_up_then_follows_its_schedule(name: str) -> None:
    settings, table = TABLES[name]
    config = OptimizerConfig(warmup_steps=3, schedule=name.split(",")[0], **settings)
    assert [lr_factor(config, step, 10) for step in range(10)] == pytest.approx([float(value) for value in table])


def test_after_the_last_step_the_linear_schedule_is_zero_and_stays_there() -> None:
    config = OptimizerConfig(warmup_steps=1, schedule="linear")
    assert [lr_factor(config, step, 8) for step in (7, 8, 9, 100)] == [0.25, 0, 0, 0]


def test_a_warm_up_as_long_as_the_training_is_not_cut_by_the_fall() -> None:
    config = OptimizerConfig(warmup_steps=5, schedule="linear", decay=1.0)
    assert [lr_factor(config, step, 4) for step in range(4)] == [0.2, 0.4, 0.6, 0.8]


@pytest.mark.parametrize("decay", [0.0, -0.1, 1.1])
def test_a_share_of_the_steps_is_above_zero_and_at_most_one(decay: float) -> None:
    with pytest.raises(SettingError, match=r"^optimizer\.decay must be > 0 and <= 1, got"):
        OptimizerConfig(decay=decay)


def test_each_step_of_a_training_has_the_learning_rate_of_the_table() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3))
    config = OptimizerConfig(lr=0.2, warmup_steps=3, schedule="linear")
    optimizer, schedule = build_optimizer(config, [weight], 10)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        weight.square().sum().backward()
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.2 * float(value) for value in TABLES["linear"][1]])


@pytest.mark.parametrize("name", ["adam", "adafactor"])
def test_each_optimiser_lowers_a_loss(name: str) -> None:
    weight = torch.nn.Parameter(torch.ones(3, 5))
    config = OptimizerConfig(name=name, lr=0.1, warmup_steps=2)
    optimizer, schedule = build_optimizer(config, [weight], 20)
    for _ in range(20):
        optimizer.zero_grad()
        weight.square().sum().backward()
        optimizer.step()
        schedule.step()
    assert weight.square().sum() < 8
