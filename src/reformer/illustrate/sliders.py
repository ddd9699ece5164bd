"""Sliders that draw a picture anew."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from reformer.illustrate.picture import Picture


def interact(picture_of: Callable[..., Picture], **controls: Any) -> None:
    """Shows a picture below sliders, or says what they need where ipywidgets is not installed.

    Args:
        picture_of: draws the picture from the sliders' values.
        controls: for each argument its range, (least, greatest) or (least, greatest, step), or a list of choices.
    """
    if find_spec("ipywidgets") is None:
        print("The sliders need ipywidgets: pip install -e '.[notebooks]'")
        return
    import_module("ipywidgets").interact(picture_of, **controls)
