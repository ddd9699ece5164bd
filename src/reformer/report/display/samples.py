"""Samples that trained networks generated, as text and images for the page."""

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from reformer.evaluation.samples import Sample, as_images, as_text
from reformer.report.evidence.results import NotTested, Results, read

TAIL = 160
"""Number of given tokens that the page shows before a generated text: the last ones."""


@dataclass(frozen=True)
class Samples:
    """The samples of one network. The page shows either texts or images.

    Attributes:
        name: name of the run, with its seed.
        n_given: tokens at the start of each sequence.
        n_generated: tokens after them.
        temperature: the temperature of the sampling.
        split: the split of the sequences.
        texts: end of the given text, generated text, original text.
        images: given, generated and original image as data URIs.
    """

    name: str
    n_given: int
    n_generated: int
    temperature: float
    split: str
    texts: list[tuple[str, str, str]]
    images: list[list[str]]


def samples_of(results: Results, names: Sequence[str]) -> Iterator[Samples]:
    """The samples of these runs, named with their seed. Leaves out runs that have none."""
    for name in names:
        with suppress(NotTested):
            yield _samples(name, read(results.root.run(name).samples))


def _samples(name: str, content: dict[str, Any]) -> Samples:
    samples = [Sample(**sample) for sample in content["samples"]]
    images = content["kind"] == "images"
    return Samples(
        name,
        len(samples[0].given),
        len(samples[0].drawn),
        content["temperature"],
        content["split"],
        [] if images else [_texts(sample) for sample in samples],
        [[_as_png(image) for image in as_images(sample)] for sample in samples] if images else [],
    )


def _texts(sample: Sample) -> tuple[str, str, str]:
    given = as_text(sample.given[-TAIL:]).lstrip("\N{REPLACEMENT CHARACTER}")
    return given, as_text(sample.drawn), as_text(sample.original)


def _as_png(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
