"""Small data sets in the prepared form, and the real samples where they are at hand."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reformer.data.config import ImagesConfig, SourceFile, TextConfig
from reformer.data.prepare import prepare

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def prepared_text(tmp_path: Path, rng: np.random.Generator) -> Callable[..., tuple[TextConfig, Path, bytes]]:
    """Prepares a text of `size` skewed random bytes; gives its config, its folder and the bytes."""

    def build(size: int = 2003, **settings: object) -> tuple[TextConfig, Path, bytes]:
        text = (256 * rng.random(size) ** 3).astype(np.uint8).tobytes()
        raw, processed = tmp_path / "raw", tmp_path / "processed"
        raw.mkdir()
        (raw / "text").write_bytes(text)
        whole = SourceFile(
            name="text", size=size, sha256=hashlib.sha256(text).hexdigest(), unpacked_name="text", unpacked_size=size
        )
        whole.unpacked_sha256 = whole.sha256
        data = TextConfig(**{"name": "text", "seq_len": 37, "batch_size": 6, "files": [whole]} | settings)  # type: ignore[arg-type]
        prepare(data, raw, processed)
        return data, processed, text

    return build


@pytest.fixture
def prepared_images(tmp_path: Path, rng: np.random.Generator) -> Callable[..., tuple[ImagesConfig, Path]]:
    """Writes random images in the prepared form; gives their config and folder."""

    def build(side: int = 8, train: int = 11, val: int = 7, **settings: object) -> tuple[ImagesConfig, Path]:
        processed = tmp_path / "processed"
        processed.mkdir()
        for split, n in (("train", train), ("val", val)):
            np.save(processed / f"{split}.npy", rng.integers(0, 256, (n, side, side, 3)).astype(np.uint8))
        entries = {s: f'{{"file": "{s}.npy", "images": {n}}}' for s, n in (("train", train), ("val", val))}
        splits = ", ".join(f'"{split}": {entry}' for split, entry in (entries | {"test": entries["val"]}).items())
        (processed / "meta.json").write_text(f'{{"side": {side}, "splits": {{{splits}}}}}')
        base = {"name": "images", "side": side, "seq_len": side * side * 3, "batch_size": 4}
        return ImagesConfig(**base | settings), processed  # type: ignore[arg-type]

    return build


@pytest.fixture
def samples() -> Path:
    """Folder of the real pieces of enwik8 and imagenet64; tests that want it are skipped where there is none."""
    folder = Path(os.environ.get("REFORMER_SAMPLES", PROJECT.parent / "shared" / "data"))
    if not (folder / "enwik8-sample").exists():
        pytest.skip("no data samples here: set REFORMER_SAMPLES to their folder")
    return folder
