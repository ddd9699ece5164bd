"""What the trained networks drew, as the page shows it: texts, and pictures scaled up by the browser."""

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from reformer.evaluation.samples import Sample, as_images, as_text
from reformer.report.figures import data_uri
from reformer.report.results import NotTested, Results, read_json

TAIL = 160
"""Tokens of what was given that the page shows before a drawn text: the last ones."""


@dataclass(frozen=True)
class Drawn:
    """The samples of one network."""

    name: str
    n_given: int
    n_drawn: int
    temperature: float
    split: str
    texts: list[tuple[str, str, str]]
    """End of what was given, what was drawn, the original; empty for images."""
    images: list[list[str]]
    """The same as pictures, the whole of each, as data URIs; empty for texts."""


def drawn_by(results: Results, sampled: Sequence[str]) -> Iterator[Drawn]:
    """The samples of these runs, of those that have some.

    Args:
        results: the root folder.
        sampled: names of the runs, with their seed.
    """
    for name in sampled:
        with suppress(NotTested):
            yield _drawn(name, read_json(results.root / "runs" / name / "samples.json"))


def _drawn(name: str, content: dict[str, Any]) -> Drawn:
    samples = [Sample(**sample) for sample in content["samples"]]
    paints = content["kind"] == "images"
    return Drawn(
        name,
        len(samples[0].given),
        len(samples[0].drawn),
        content["temperature"],
        content["split"],
        [] if paints else [_texts(sample) for sample in samples],
        [[_as_png(image) for image in as_images(sample)] for sample in samples] if paints else [],
    )


def _texts(sample: Sample) -> tuple[str, str, str]:
    return (
        as_text(sample.given[-TAIL:]).lstrip("\N{REPLACEMENT CHARACTER}"),
        as_text(sample.drawn),
        as_text(sample.original),
    )


def _as_png(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return data_uri(file.getvalue())
