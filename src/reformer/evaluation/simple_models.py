"""Models of bytes by counting, which a network must beat before its score counts as learned."""

from collections.abc import Callable, Iterator
from math import log2
from pathlib import Path

import numpy as np

from reformer.data.batches.batch import EvaluationBatches
from reformer.data.batches.feed import evaluation_batches
from reformer.data.batches.windows import PreparedSplit
from reformer.data.config import ImagesConfig, TextConfig
from reformer.files import Root, write_json

N_VALUES = 256
NO_PIXEL = N_VALUES
"""Context of the first pixel of a row, which has no pixel on the left."""
BLOCK = 1 << 22
"""Bytes of the training split that are counted at a time."""

Pairs = Iterator[tuple[list[np.ndarray], np.ndarray]]
"""Blocks of (contexts of each order from 1 on, values), each (n,) int64."""


class CountedBytes:
    """A table of values given their context, mixed with the tables of shorter contexts after Witten and Bell (1991).

    The share of the shorter context is the number of distinct values after the context, over that plus the count of the
    context.

    Args:
        n_contexts: number of contexts of each order from 1 on.
    """

    def __init__(self, n_contexts: list[int]) -> None:
        self.counts = [np.zeros((n, N_VALUES), np.int32) for n in (1, *n_contexts)]

    def count(self, contexts: list[np.ndarray], values: np.ndarray) -> None:
        """Adds observations: the context of each order, and the value after it, all (n,)."""
        for table, context in zip(self.counts, [np.zeros_like(values), *contexts], strict=True):
            table += (
                np.bincount(context * N_VALUES + values, minlength=table.size).reshape(table.shape).astype(np.int32)
            )

    def bits(self, contexts: list[np.ndarray], values: np.ndarray) -> float:
        """Sums the bits of the values given their contexts."""
        probability = np.full(len(values), 1 / N_VALUES)
        for table, context in zip(self.counts, [np.zeros_like(values), *contexts], strict=True):
            distinct = np.count_nonzero(table, axis=1)[context]
            total = table.sum(axis=1)[context]
            seen = total > 0
            mixed = (table[context, values] + distinct * probability) / np.maximum(total + distinct, 1)
            probability = np.where(seen, mixed, probability)
        return float(-np.log2(probability).sum())


def simple_models(data: TextConfig | ImagesConfig, processed: Path) -> dict[str, dict[str, float]]:
    """Counts the training split and scores the evaluated parts of the others.

    Returns:
        By split, the bits/dim of each model: `byte pairs` and `order-2 mix` of a text; `pixel on the left` of images.
    """
    train = PreparedSplit(data, processed, "train")
    found: dict[str, dict[str, float]] = {"val": {}, "test": {}}
    for name, n_contexts, pairs_of_training, pairs_of in _models(data):
        model = CountedBytes(n_contexts)
        for contexts, values in pairs_of_training(train.array):
            model.count(contexts, values)
        for split, scores in found.items():
            bits, n = 0.0, 0
            for contexts, values in pairs_of(evaluation_batches(data, processed, split, seed=1)):
                bits, n = bits + model.bits(contexts, values), n + len(values)
            scores[name] = bits / n
    return found


def write_simple_models(data: TextConfig | ImagesConfig, root: Root) -> None:
    """Writes the scores of the simple models of a data set, and prints them."""
    found = simple_models(data, root.processed(data.name))
    write_json(root.simple(data.name), {"name": data.name, "uniform": log2(N_VALUES), **found})
    scores = ", ".join(f"{name} {bits:.3f}" for name, bits in found["test"].items())
    print(f"simple models of {data.name}: test bits/dim: {scores} -> {root.simple(data.name)}")


Model = tuple[str, list[int], Callable[[np.ndarray], Pairs], Callable[[EvaluationBatches], Pairs]]


def _models(data: TextConfig | ImagesConfig) -> list[Model]:
    if isinstance(data, TextConfig):
        orders = {"byte pairs": 1, "order-2 mix": 2}
        return [
            (name, [N_VALUES**n for n in range(1, order + 1)], _Text(order).training, _Text(order).evaluated)
            for name, order in orders.items()
        ]
    return [("pixel on the left", [N_VALUES + 1], _training_pixels, _evaluated_pixels)]


class _Text:
    """The contexts of each byte of a text: the last byte, the last two, up to `order`."""

    def __init__(self, order: int) -> None:
        self.order = order

    def training(self, text: np.ndarray) -> Pairs:
        for begin in range(self.order, len(text), BLOCK):
            block = text[begin - self.order : begin + BLOCK].astype(np.int64)
            yield self._contexts(block), block[self.order :]

    def evaluated(self, batches: EvaluationBatches) -> Pairs:
        for number in range(len(batches)):
            batch = batches[number]
            for inputs, targets, weights in zip(*(part.numpy() for part in batch), strict=True):
                stream = np.concatenate([np.zeros(self.order - 1, np.int64), inputs, targets[-1:]])
                scored = weights > 0
                yield [context[scored] for context in self._contexts(stream)], targets[scored]

    def _contexts(self, stream: np.ndarray) -> list[np.ndarray]:
        n = len(stream) - self.order
        shifted = [stream[self.order - back : self.order - back + n] for back in range(1, self.order + 1)]
        return [sum(shifted[k] * N_VALUES**k for k in range(length)) for length in range(1, self.order + 1)]


def _training_pixels(images: np.ndarray) -> Pairs:
    per_block = max(1, BLOCK // images[0].size)
    for begin in range(0, len(images), per_block):
        yield _left_of(images[begin : begin + per_block])


def _evaluated_pixels(batches: EvaluationBatches) -> Pairs:
    for number in range(len(batches)):
        targets = batches[number].targets.numpy()
        side = round((targets.shape[1] / 3) ** 0.5)
        yield _left_of(targets.reshape(-1, side, side, 3))


def _left_of(images: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The value on the left of each value, of the same channel.

    Args:
        images: (n, side, side, 3).
    """
    values = images.astype(np.int64)
    left = np.pad(values[:, :, :-1], ((0, 0), (0, 0), (1, 0), (0, 0)), constant_values=NO_PIXEL)
    return [left.ravel()], values.ravel()
