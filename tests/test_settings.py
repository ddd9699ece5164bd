"""The roles of settings."""

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

import pytest

from reformer.data.config import DATA_KINDS
from reformer.runs.config import RunConfig
from reformer.settings import (
    TRAINED,
    Role,
    SettingError,
    require_at_least,
    require_choice,
    role_of,
    settings_with,
    values_with,
)


def fields_below(config: type) -> Iterator[Field[Any]]:
    """Yields the fields of a dataclass and of all dataclasses that it holds."""
    hints = get_type_hints(config)
    for setting in fields(config):  # type: ignore[arg-type]
        yield setting
        if is_dataclass(hints[setting.name]):
            yield from fields_below(hints[setting.name])  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [RunConfig, *DATA_KINDS.values()])
def test_every_setting_of_a_run_has_a_role(config):
    found = list(fields_below(config))
    assert all(role_of(setting) in Role for setting in found)
    assert all(set(setting.metadata) <= {"role"} for setting in found)


def test_the_role_says_what_a_setting_changes():
    roles = {setting.name: role_of(setting) for kind in DATA_KINDS.values() for setting in fields(kind)}
    assert roles["files"] is Role.PUBLISHED
    assert roles["source"] is roles["mirror"] is roles["by_hand"] is Role.ORIGIN
    assert roles["split"] is roles["side"] is roles["n_images"] is Role.PREPARED
    assert roles["batch_size"] is roles["flip"] is roles["eval_context"] is Role.RESULT
    trained = {setting.name for setting in settings_with(RunConfig, *TRAINED)}
    assert trained == {"data", "model", "optimizer", "trainer", "seed"}


@dataclass
class Inner:
    width: int = 3
    workers: int = field(default=2, metadata=Role.EXECUTION.mark)


@dataclass
class Outer:
    inner: Inner = field(default_factory=Inner)
    logged: Inner = field(default_factory=Inner, metadata=Role.EXECUTION.mark)
    side: int = field(default=8, metadata=Role.PREPARED.mark)
    values: list[int] = field(default_factory=lambda: [1])


def test_values_are_chosen_by_role_at_every_depth():
    assert values_with(Outer(), *TRAINED) == {"inner": {"width": 3}, "side": 8, "values": [1]}
    assert values_with(Outer(), Role.EXECUTION) == {"logged": {"workers": 2}}
    assert values_with(Outer(), Role.USE) == {}
    assert [setting.name for setting in settings_with(Outer, Role.RESULT)] == ["inner", "values"]


def test_a_value_that_no_run_can_use_is_refused_in_one_line():
    require_choice("size", "small", ["small", "big"])
    with pytest.raises(SettingError, match=r"^size must be one of small, big, got 'wide'$"):
        require_choice("size", "wide", ["small", "big"])
    with pytest.raises(SettingError, match=r"^width must be >= 1, got 0$"):
        require_at_least(1, height=1, width=0)
