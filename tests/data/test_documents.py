"""Texts divided by whole documents: no piece of one is trained on and tested, and every end is known."""

import hashlib
import json
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from reformer.data import published
from reformer.data.batches.feed import evaluation_batches
from reformer.data.config import SPLITS, SourceFile, TextConfig
from reformer.data.prepare.prepare import prepare
from reformer.settings import SettingError

END = "</page>"
SHARES = [0.5, 0.2, 0.3]
Prepared = Callable[..., tuple[TextConfig, Path]]


def documents(rng: np.random.Generator, n: int = 61) -> list[bytes]:
    """Documents of 0 to 90 bytes, some of them equal, with the beginnings of ends inside."""
    made = [bytes(rng.choice(list(b"ab</pag\n"), rng.integers(0, 90)).astype(np.uint8)) for _ in range(n)]
    return [*made, made[3], b"", b"</page<"]


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    def build(text: bytes, **settings: object) -> tuple[TextConfig, Path]:
        raw, processed = tmp_path / "raw", tmp_path / "processed"
        raw.mkdir(exist_ok=True)
        (raw / "t").write_bytes(text)
        sha256 = hashlib.sha256(text).hexdigest()
        file = SourceFile("t", len(text), sha256, unpacked_name="t", unpacked_size=len(text), unpacked_sha256=sha256)
        usual = {"seq_len": 16, "batch_size": 3, "document_end": END, "whole_documents": True, "split": SHARES}
        data = TextConfig(name="t", files=[file], **usual | settings)  # type: ignore[arg-type]
        prepare(data, raw, processed)
        return data, processed

    return build


def parts(processed: Path) -> dict[str, bytes]:
    return {split: (processed / f"{split}.bin").read_bytes() for split in SPLITS}


def ends(processed: Path) -> dict[str, list[int]]:
    meta = json.loads((processed / "meta.json").read_text())
    return {split: meta["splits"][split]["document_ends"] for split in SPLITS}


@pytest.mark.parametrize("block", [1, 5, 64, 1 << 20])
def test_each_document_is_whole_and_in_one_split(
    prepared: Prepared, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """However the text is cut while it is read, also within an end."""
    monkeypatch.setattr(published, "BLOCK", block)
    written = documents(rng)
    text = b"".join(document + END.encode() for document in written) + b"a last one without end"
    _, processed = prepared(text)
    found = {split: part.split(END.encode()) for split, part in parts(processed).items()}
    rest = {split: pieces.pop() for split, pieces in found.items()}
    assert rest == {"train": b"a last one without end", "val": b"", "test": b""}
    assert sorted(document for pieces in found.values() for document in pieces) == sorted(written)
    for split in ("val", "test"):
        assert found[split]
        others = [piece for other in SPLITS if other != split for piece in found[other]]
        assert not set(found[split]) & set(others)
    for split, pieces in found.items():
        assert pieces == [document for document in written if document in set(pieces)], f"order of {split}"


def test_the_digest_of_a_document_alone_selects_its_split(prepared: Prepared, rng: np.random.Generator) -> None:
    """Each share of documents falls to its split, and a document stays there whatever stands around it."""
    written = [f"document {number}".encode() for number in range(2000)]
    _, processed = prepared(b"".join(document + END.encode() for document in written))
    found = {split: set(part.split(END.encode())[:-1]) for split, part in parts(processed).items()}
    for split, share in zip(SPLITS, SHARES, strict=True):
        assert len(found[split]) / 2000 == pytest.approx(share, abs=0.04)
    rng.shuffle(written)
    _, processed = prepared(b"".join(document + END.encode() for document in written[:700]))
    for split, part in parts(processed).items():
        assert set(part.split(END.encode())[:-1]) <= found[split]


@pytest.mark.parametrize("whole", [True, False])
def test_document_ends_are_the_positions_after_each_end(
    prepared: Prepared, rng: np.random.Generator, whole: bool
) -> None:
    text = b"".join(document + END.encode() for document in documents(rng)) + b"rest"
    _, processed = prepared(text, whole_documents=whole)
    for split, part in parts(processed).items():
        pieces = part.split(END.encode())[:-1]
        assert ends(processed)[split] == list(accumulate(len(piece) + len(END) for piece in pieces))
    assert len(ends(processed)["test"]) > 5


def test_in_order_a_text_is_cut_at_its_shares(prepared: Prepared, rng: np.random.Generator) -> None:
    text = b"".join(document + END.encode() for document in documents(rng))
    _, processed = prepared(text, whole_documents=False)
    assert b"".join(parts(processed).values()) == text
    assert len(parts(processed)["train"]) == round(len(text) / 2)


def test_without_an_end_documents_cannot_be_told_apart() -> None:
    with pytest.raises(SettingError, match=r"^document_end must be set for whole_documents"):
        TextConfig(name="t", whole_documents=True)


@pytest.mark.parametrize(("seq_len", "context"), [(16, 0), (16, 6), (5, 0), (200, 0)])
def test_a_window_belongs_to_the_document_in_its_middle(
    prepared: Prepared, rng: np.random.Generator, seq_len: int, context: int
) -> None:
    """The middle is that of the tokens that it scores; the last window is cut off by the end of the text."""
    text = b"".join(document + END.encode() for document in documents(rng))
    data, processed = prepared(text, seq_len=seq_len, eval_context=context)
    test, batches = parts(processed)["test"], evaluation_batches(data, processed, "test", 1)
    pages = test.split(END.encode())[:-1]
    document_of = [number for number, page in enumerate(pages) for _ in range(len(page) + len(END))]
    weights = np.concatenate([batches[number].weights.numpy() for number in range(len(batches))])
    assert len(batches.units()) == len(weights)
    begin, units = 0, batches.units().tolist()
    for unit, scored in zip(units, weights.sum(1).astype(int).tolist(), strict=True):
        assert unit == document_of[begin + scored // 2]
        begin += scored
    assert begin == len(test)
    assert units == sorted(units)


def test_windows_of_one_long_document_are_one_unit(prepared: Prepared) -> None:
    pages = [bytes([97 + number]) * 100 + END.encode() for number in range(9)]
    data, processed = prepared(b"".join(pages))
    units = evaluation_batches(data, processed, "test", 1).units()
    n_documents = len(ends(processed)["test"])
    assert n_documents >= 2
    assert np.unique(units).tolist() == list(range(n_documents))
    assert np.bincount(units).min() >= 6


def test_without_known_ends_each_window_is_a_unit(prepared: Prepared, rng: np.random.Generator) -> None:
    data, processed = prepared(rng.bytes(700), whole_documents=False, document_end="")
    batches = evaluation_batches(data, processed, "test", 1)
    assert batches.units().tolist() == list(range(-(-len(parts(processed)["test"]) // 16)))
