"""Simple models, against counting one byte at a time, by their formula."""

import json
from collections import Counter
from fractions import Fraction
from math import log2
from pathlib import Path

import numpy as np
import pytest

from reformer.data.config import ImagesConfig, TextConfig
from reformer.evaluation import simple_models as module
from reformer.evaluation.simple_models import simple_models, write_simple_models
from reformer.files import Root

Context = tuple[int, ...]


class Counted:
    """The slow twin: counts in dictionaries, and the mix by recursion from the longest context to none."""

    def __init__(self) -> None:
        self.after: dict[Context, Counter[int]] = {}

    def add(self, context: Context, value: int) -> None:
        """Counts the value after the context and after each shorter one."""
        for begin in range(len(context) + 1):
            self.after.setdefault(context[begin:], Counter())[value] += 1

    def share(self, context: Context, value: int) -> Fraction:
        """The probability of a value: its count, and the shorter context's share for the number of distinct values."""
        shorter = self.share(context[1:], value) if context else Fraction(1, 256)
        if context not in self.after:
            return shorter
        counts = self.after[context]
        return (counts[value] + len(counts) * shorter) / (counts.total() + len(counts))

    def bits(self, context: Context, value: int) -> float:
        return -log2(self.share(context, value))


@pytest.fixture
def text(tmp_path: Path, rng: np.random.Generator) -> TextConfig:
    """A text of few letters with a rare one, so that contexts of every kind occur: seen often, once and never."""
    processed, splits = tmp_path / "processed" / "t", {}
    processed.mkdir(parents=True)
    for split, size in (("train", 400), ("val", 61), ("test", 97)):
        letters = rng.choice(list(b"aabbc d"), size) + (rng.random(size) < 0.03) * 100
        letters.astype(np.uint8).tofile(processed / f"{split}.bin")
        splits[split] = {"file": f"{split}.bin", "tokens": size}
    (processed / "meta.json").write_text(json.dumps({"splits": splits}))
    return TextConfig(name="t", seq_len=12, batch_size=3)


@pytest.fixture
def images(tmp_path: Path, rng: np.random.Generator) -> ImagesConfig:
    processed, splits = tmp_path / "processed" / "i", {}
    processed.mkdir(parents=True)
    for split, n in (("train", 9), ("val", 4), ("test", 5)):
        np.save(processed / f"{split}.npy", (rng.random((n, 8, 8, 3)) ** 3 * 40).astype(np.uint8))
        splits[split] = {"file": f"{split}.npy", "images": n}
    (processed / "meta.json").write_text(json.dumps({"side": 8, "splits": splits}))
    return ImagesConfig(name="i", side=8, seq_len=192, batch_size=2)


def of_text(processed: Path, data: TextConfig, order: int, split: str) -> float:
    """Bits of each byte of a split, whose windows see no byte before them unless `eval_context` gives them some."""
    train, evaluated = (list((processed / f"{part}.bin").read_bytes()) for part in ("train", split))
    counted = Counted()
    for at in range(order, len(train)):
        counted.add(tuple(train[at - order : at]), train[at])
    total = 0.0
    for at, value in enumerate(evaluated):
        before = evaluated[0 if data.eval_context else at - at % data.seq_len : at]
        total += counted.bits(tuple([0, 0, *before][-order:]), value)
    return total / len(evaluated)


@pytest.mark.parametrize("block", [7, 1 << 22])
@pytest.mark.parametrize("context", [0, 5])
def test_byte_pairs_and_the_order_2_mix_are_counted(
    text: TextConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: int, block: int
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    text.eval_context = context
    processed = tmp_path / "processed" / "t"
    found = simple_models(text, processed)
    assert list(found) == ["val", "test"]
    for split, scores in found.items():
        assert scores == {
            "byte pairs": pytest.approx(of_text(processed, text, 1, split), abs=1e-9),
            "order-2 mix": pytest.approx(of_text(processed, text, 2, split), abs=1e-9),
        }


def of_images(processed: Path, split: str) -> float:
    train, evaluated = (np.load(processed / f"{part}.npy") for part in ("train", split))
    counted = Counted()

    def seen(image: np.ndarray) -> list[tuple[Context, int]]:
        places = np.ndindex(image.shape)
        return [((int(image[y, x - 1, c]) if x else -1,), int(image[y, x, c])) for y, x, c in places]

    for image in train:
        for context, value in seen(image):
            counted.add(context, value)
    bits = [counted.bits(context, value) for image in evaluated for context, value in seen(image)]
    return sum(bits) / len(bits)


@pytest.mark.parametrize("block", [300, 1 << 22])
def test_values_given_the_pixel_on_the_left_are_counted(
    images: ImagesConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    processed = tmp_path / "processed" / "i"
    for split, scores in simple_models(images, processed).items():
        assert scores == {"pixel on the left": pytest.approx(of_images(processed, split), abs=1e-9)}


def test_only_what_networks_are_evaluated_on_counts(images: ImagesConfig, tmp_path: Path) -> None:
    images.eval_tokens = 192
    processed = tmp_path / "processed" / "i"
    found = simple_models(images, processed)["test"]["pixel on the left"]
    np.save(processed / "test.npy", np.load(processed / "test.npy")[[2] * 5])  # the middle one of five
    assert found == pytest.approx(of_images(processed, "test"), abs=1e-9)


def test_a_value_that_was_never_seen_is_rare_but_possible(tmp_path: Path) -> None:
    processed = tmp_path / "processed" / "t"
    processed.mkdir(parents=True)
    splits = {"train": b"a" * 30, "val": b"a" * 5, "test": b"b" * 5}
    for split, content in splits.items():
        (processed / f"{split}.bin").write_bytes(content)
    entries = {split: {"file": f"{split}.bin", "tokens": len(content)} for split, content in splits.items()}
    (processed / "meta.json").write_text(json.dumps({"splits": entries}))
    found = simple_models(TextConfig(name="t", seq_len=5, batch_size=2), processed)
    assert found["test"]["byte pairs"] == pytest.approx(8 + log2(30))  # 29 a and one distinct value, without a context
    assert found["val"]["byte pairs"] < 0.1


def test_the_file_and_the_last_line_tell_the_scores(
    text: TextConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Root(tmp_path)
    write_simple_models(text, root)
    found = simple_models(text, root.processed("t"))
    assert json.loads((tmp_path / "simple" / "t.json").read_text()) == {"name": "t", "uniform": 8.0, **found}
    told = (
        f"test bits/dim: byte pairs {found['test']['byte pairs']:.3f}, order-2 mix {found['test']['order-2 mix']:.3f}"
    )
    assert told in capsys.readouterr().out
