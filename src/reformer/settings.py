"""Roles of settings, and checks of their values, shared by all configuration dataclasses."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from typing import Any


class Role(Enum):
    """The purpose of a setting, stored in the metadata of its field. A field without a role is a RESULT."""

    RESULT = "changes what a run computes"
    PREPARED = "changes the prepared arrays, and thereby what a run computes"
    PUBLISHED = "identifies the published files"
    ORIGIN = "says where to get a copy of the published files"
    EXECUTION = "selects the machine, the name and the logging of a run"
    USE = "changes what is done with trained weights"

    @property
    def mark(self) -> dict[str, "Role"]:
        """The metadata of a field with this role: `field(default=1, metadata=Role.EXECUTION.mark)`."""
        return {"role": self}


TRAINED = (Role.RESULT, Role.PREPARED)
"""Roles of the settings on which trained weights depend."""


def role_of(setting: Field[Any]) -> Role:
    """Returns the role of a dataclass field."""
    role: Role = setting.metadata.get("role", Role.RESULT)
    return role


def settings_with(config: type | object, *roles: Role) -> Iterator[Field[Any]]:
    """Yields the fields of a dataclass or its instance that have one of the roles."""
    return (setting for setting in fields(config) if role_of(setting) in roles)  # type: ignore[arg-type]


def values_with(config: object, *roles: Role) -> dict[str, Any]:
    """Returns the values of all settings that have one of the roles. Nested dataclasses become dictionaries."""
    found = {setting.name: getattr(config, setting.name) for setting in settings_with(config, *roles)}
    return {
        name: values_with(value, *roles) if is_dataclass(value) and not isinstance(value, type) else value
        for name, value in found.items()
    }


class SettingError(ValueError):
    """A setting has a value that no run can use. The message names the setting, the allowed values and the given one."""


def require(condition: bool, setting: str, allowed: str, got: object) -> None:
    """Raises a SettingError unless the condition holds."""
    if not condition:
        raise SettingError(f"{setting} must be {allowed}, got {got!r}")


def require_choice(setting: str, got: object, choices: Sequence[object]) -> None:
    """Raises a SettingError unless the value is one of the choices."""
    require(got in choices, setting, "one of " + ", ".join(map(str, choices)), got)


def require_at_least(minimum: float, **settings: float) -> None:
    """Raises a SettingError for the first setting below the minimum."""
    for setting, got in settings.items():
        require(got >= minimum, setting, f">= {minimum}", got)


def require_within(minimum: float, maximum: float, **settings: float) -> None:
    """Raises a SettingError for the first setting out of the range. A maximum says that a larger value is a slip."""
    require_at_least(minimum, **settings)
    for setting, got in settings.items():
        require(got <= maximum, setting, f">= {minimum} and <= {maximum:,}", got)


def without_secrets(text: str) -> str:
    """Returns a text without the user names, passwords and queries of the addresses in it."""
    return re.sub(r"(://[^\s?'\"]*)\?[^\s'\"]*", r"\1?...", re.sub(r"://[^/@\s]+@", "://", text))
