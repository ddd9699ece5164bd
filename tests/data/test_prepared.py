"""Prepared data is believed only where it agrees with meta.json."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reformer.data.batches import prepared
from reformer.data.batches.windows import PreparedSplit
from reformer.data.config import ImagesConfig, TextConfig
from reformer.files import META, DataError

Prepared = tuple[TextConfig | ImagesConfig, Path, str]


@pytest.fixture(params=["text", "images"])
def data(request: pytest.FixtureRequest, prepared_text: Any, prepared_images: Any) -> Prepared:
    """A data set, its folder and the array of its training split."""
    if request.param == "text":
        config, folder, _ = prepared_text()
        return config, folder, "train.bin"
    config, folder = prepared_images()
    return config, folder, "train.npy"


def test_meta_json_has_size_and_digest_of_each_array(prepared_text: Any) -> None:
    _, folder, _ = prepared_text()
    for entry in json.loads((folder / META).read_text())["splits"].values():
        path = folder / entry["file"]
        assert entry["bytes"] == entry["tokens"] == path.stat().st_size
        assert len(entry["sha256"]) == 64


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:20]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes() + b"1"),
        lambda path: path.unlink(),
    ],
    ids=["a byte less", "twenty bytes", "empty", "a byte more", "gone"],
)
def test_an_array_of_another_size_is_refused(data: Prepared, damage: Callable[[Path], None]) -> None:
    config, folder, name = data
    if name == "train.npy":  # meta.json of an older prepare stage: without size and digest
        assert "bytes" not in (folder / META).read_text()
    damage(folder / name)
    with pytest.raises(DataError, match=rf"{name} (has not the size|is missing).*: run the prepare stage for data="):
        PreparedSplit(config, folder, "train")


def test_an_array_with_a_changed_byte_is_refused(prepared_text: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config, folder, _ = prepared_text()
    PreparedSplit(config, folder, "train")
    content = bytearray((folder / "train.bin").read_bytes())
    content[77] ^= 8
    (folder / "train.bin").write_bytes(content)
    with pytest.raises(DataError, match=r"train\.bin differs from its digest in meta\.json: run the prepare stage for"):
        PreparedSplit(config, folder, "train")
    PreparedSplit(config, folder, "val")
    monkeypatch.setattr(prepared, "HASHED", 100)  # of larger files the size alone is checked
    PreparedSplit(config, folder, "train")


def test_a_file_is_hashed_once_in_a_process(prepared_text: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config, folder, _ = prepared_text()
    PreparedSplit(config, folder, "train")
    monkeypatch.setattr(prepared, "digest_of", None)
    PreparedSplit(config, folder, "train")


@pytest.mark.parametrize("content", ["", "{", "[]", "\0", '{"splits": '])
def test_a_damaged_meta_json_is_told_in_one_line(data: Prepared, content: str) -> None:
    config, folder, _ = data
    (folder / META).write_text(content)
    with pytest.raises(
        DataError, match=rf"^.*meta\.json is damaged: run the prepare stage for data={config.name} again$"
    ):
        PreparedSplit(config, folder, "train")


@pytest.mark.parametrize(
    "change",
    [
        {"splits": None},
        {"splits": {}},
        {"splits": {"train": []}},
        {"splits": {"train": {"file": "../../train.bin", "tokens": 5, "images": 5}}},
        {"splits": {"train": {"file": "/etc/passwd", "tokens": 5, "images": 5}}},
        {"splits": {"train": {"file": "train.bin", "tokens": "many", "images": "many"}}},
        {"splits": {"train": {"file": "train.bin", "tokens": -5, "images": -5}}},
        {"splits": {"train": {"file": 3, "tokens": 5, "images": 5}}},
    ],
)
def test_a_meta_json_that_describes_nothing_is_told_in_one_line(data: Prepared, change: dict[str, Any]) -> None:
    config, folder, _ = data
    (folder / META).write_text(json.dumps(json.loads((folder / META).read_text()) | change))
    with pytest.raises(
        DataError, match=rf"^.*meta\.json does not describe the train split of data={config.name}: run the"
    ):
        PreparedSplit(config, folder, "train")


@pytest.mark.parametrize("shape", [(12, 8, 8, 3), (11, 8, 8, 4), (11, 192)])
def test_images_of_another_shape_are_refused(prepared_images: Any, shape: tuple[int, ...]) -> None:
    config, folder = prepared_images()
    np.save(folder / "train.npy", np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match=r"train\.npy has not the size that meta\.json gives"):
        PreparedSplit(config, folder, "train")


def test_images_of_another_type_are_refused(prepared_images: Any) -> None:
    config, folder = prepared_images()
    np.save(folder / "train.npy", np.array([{}] * 11, object), allow_pickle=True)
    with pytest.raises(DataError, match=r"train\.npy has not the size that meta\.json gives"):
        PreparedSplit(config, folder, "train")
