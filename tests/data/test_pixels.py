"""Averages over areas that do not hold whole pixels, against a slow twin in exact fractions."""

from fractions import Fraction
from itertools import product
from math import floor

import numpy as np
import pytest

from reformer.data.prepare.pixels import area_average

RATIOS = [(9, 4), (7, 5), (12, 8), (15, 6), (10, 1)]
"""Widths before and after: none but the last holds whole pixels in an area."""


def shares(width: int, side: int) -> list[dict[int, Fraction]]:
    """The part of each pixel that lies in each area, along one axis."""
    step = Fraction(width, side)
    found: list[dict[int, Fraction]] = []
    for area in range(side):
        begin, end = area * step, (area + 1) * step
        overlaps = {pixel: min(end, pixel + 1) - max(begin, Fraction(pixel)) for pixel in range(width)}
        found.append({pixel: part for pixel, part in overlaps.items() if part > 0})
    return found


def exact_average(image: np.ndarray, side: int) -> dict[tuple[int, int, int], Fraction]:
    """The mean of each area and channel of (width, width, 3)."""
    parts, area = shares(len(image), side), Fraction(len(image), side) ** 2
    return {
        (y, x, c): sum(
            (a * b * int(image[i, j, c]) for (i, a), (j, b) in product(parts[y].items(), parts[x].items())), Fraction()
        )
        / area
        for y, x, c in product(range(side), range(side), range(3))
    }


@pytest.mark.parametrize(("width", "side"), RATIOS)
def test_an_area_counts_each_pixel_by_its_share(rng: np.random.Generator, width: int, side: int) -> None:
    images = rng.integers(0, 256, (2, width, width, 3)).astype(np.uint8)
    small = area_average(images, side)
    assert (small.shape, small.dtype) == ((2, side, side, 3), np.uint8)
    for image, found in zip(images, small, strict=True):
        for place, mean in exact_average(image, side).items():
            assert found[place] == floor(mean + Fraction(1, 2))


@pytest.mark.parametrize(("width", "side"), RATIOS)
def test_the_mean_of_an_image_stays(rng: np.random.Generator, width: int, side: int) -> None:
    """But for the rounding, which is to both sides alike: 0.5 at most in a pixel, and far less in their mean."""
    image = rng.integers(0, 256, (1, width, width, 3)).astype(np.uint8)
    exact = exact_average(image[0], side)
    assert sum(exact.values()) / len(exact) == Fraction(int(image.sum()), image.size)
    error = area_average(image, side).mean() - image.mean()
    assert abs(error) <= 0.5 * 3 / len(exact) ** 0.5  # three deviations of a mean of roundings are below this


def test_equal_pixels_stay_as_they_are() -> None:
    for value in (0, 1, 127, 254, 255):
        image = np.full((1, 11, 11, 3), value, np.uint8)
        assert (area_average(image, 7) == value).all()


def test_halves_are_rounded_up() -> None:
    image = np.array([[[0], [1]], [[0], [1]]], np.uint8).repeat(3, axis=-1)[None]
    assert area_average(image, 1).tolist() == [[[[1, 1, 1]]]]
