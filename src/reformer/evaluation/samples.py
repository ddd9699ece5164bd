"""Held-out sequences with a generated end, as text and as images. Only `image_grid` imports torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLANK = 128
"""Grey value of pixels that are not given."""


@dataclass(frozen=True)
class Sample:
    """One held-out sequence.

    Attributes:
        given: the tokens that the network reads.
        drawn: the tokens that it generates after them.
        original: the true tokens after the given ones.
    """

    given: list[int]
    drawn: list[int]
    original: list[int]


def as_text(tokens: Sequence[int]) -> str:
    """Decodes bytes as UTF-8. Invalid bytes and unprintable characters become �."""
    text = bytes(tokens).decode("utf-8", errors="replace")
    return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text)


def as_image(tokens: Sequence[int]) -> np.ndarray:
    """Converts tokens in raster order, channel fastest, into an image, (side, side, 3) uint8."""
    side = round((len(tokens) / 3) ** 0.5)
    return np.array(tokens, np.uint8).reshape(side, side, 3)


def as_images(sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the given part, the given part with the generated one, and the original, (side, side, 3) uint8 each."""
    blank = [BLANK] * len(sample.drawn)
    return tuple(as_image([*sample.given, *end]) for end in (blank, sample.drawn, sample.original))  # type: ignore[return-value]


def image_grid(samples: Sequence[Sample]) -> np.ndarray:
    """Arranges the images of each sample in a row, (height, width, 3) uint8, with a black border between images."""
    import torch
    from torchvision.utils import make_grid

    images = np.stack([image for sample in samples for image in as_images(sample)])
    return make_grid(torch.from_numpy(images).permute(0, 3, 1, 2), nrow=3).permute(1, 2, 0).numpy()
