"""How the configuration dataclasses refuse an impossible value: one line that names the setting and what it may be."""

from collections.abc import Sequence


class SettingError(ValueError):
    """A setting has a value that no run can use. The message names the setting, what is allowed and what was given."""


def require(condition: bool, setting: str, allowed: str, got: object) -> None:
    """Raises a SettingError unless the condition holds."""
    if not condition:
        raise SettingError(f"{setting} must be {allowed}, got {got!r}")


def require_choice(setting: str, got: object, choices: Sequence[object]) -> None:
    """Raises a SettingError unless the value is one of the choices."""
    require(got in choices, setting, "one of " + ", ".join(map(str, choices)), got)


def require_at_least(least: float, **settings: float) -> None:
    """Raises a SettingError for the first of the named settings that lies below the bound."""
    for setting, got in settings.items():
        require(got >= least, setting, f">= {least}", got)
