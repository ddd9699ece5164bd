"""The error of a training whose loss is not finite. Free of torch, so that a sweep can tell it from other failures."""

from reformer.settings import SettingError


class Diverged(SettingError):
    """The loss is not finite. The message names the step, the last good checkpoint, and settings to try."""
