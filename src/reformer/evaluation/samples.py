"""Sequences whose end a network has drawn, as text and as pictures. Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLANK = 128
"""What stands for pixels that are not there yet: grey."""


@dataclass(frozen=True)
class Sample:
    """One held-out sequence: what the network was given, what it drew after that, and what really stands there."""

    given: list[int]
    drawn: list[int]
    original: list[int]


def as_text(tokens: Sequence[int]) -> str:
    """Bytes as UTF-8; those that are none, and what no page can show, as �."""
    text = bytes(tokens).decode("utf-8", errors="replace")
    return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text)


def as_image(tokens: Sequence[int]) -> np.ndarray:
    """Tokens in raster order, channel fastest, as an image, (side, side, 3) uint8."""
    side = round((len(tokens) / 3) ** 0.5)
    return np.array(tokens, np.uint8).reshape(side, side, 3)


def as_images(sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What was given, the whole as the network drew it, and the original."""
    blank = [BLANK] * len(sample.drawn)
    return tuple(as_image([*sample.given, *end]) for end in (blank, sample.drawn, sample.original))  # type: ignore[return-value]
