"""Drawings of emoji: laid on white, and divided so that no variant of a test drawing is trained on."""

import io
import json
import zipfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reformer.data.config import SPLITS, ImagesConfig, SourceFile
from reformer.data.prepare import emoji
from reformer.data.prepare.emoji import emoji_drawings, motif_of, split_of
from reformer.data.prepare.pixels import area_average
from reformer.data.prepare.prepare import prepare
from reformer.files import DataError

MOTIFS = [*range(0x1F600, 0x1F640), 0x23, 0x2764, 0x1F468, 0x1F46E]
SUFFIXES = ["", "-fe0f", "-1f3fb", "-1f3ff", "-1f3fd-200d-2642-fe0f", "-200d-2640-fe0f", "-200d-1f525"]
"""Skin tones, genders, the selector of the coloured form, and another motif joined."""


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def plain(number: int, side: int = 72) -> bytes:
    """A drawing whose colour tells its number."""
    return png(Image.new("RGBA", (side, side), (number % 251, number // 251, 77, 255)))


@pytest.fixture
def wheel(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Writes a wheel with these files, in this order."""

    def write(files: dict[str, bytes]) -> Path:
        path = tmp_path / "raw" / "drawings-1.0-py3-none-any.whl"
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    return write


def read(path: Path, split: str, most: int = 999) -> np.ndarray:
    return np.concatenate(list(emoji_drawings(path, split, most)))


def named(split: str, nth: int = 0) -> str:
    """The file name of a motif of the split."""
    return f"{[motif for motif in MOTIFS if split_of(motif) == split][nth]:x}.png"


@pytest.fixture
def variants() -> dict[str, bytes]:
    """Every motif with every suffix, in an order of no meaning, among files that are no drawings."""
    names = [f"a/72x72/{motif:x}{suffix}.png" for suffix, motif in product(SUFFIXES, MOTIFS)]
    drawings = {name: plain(number) for number, name in enumerate(names)}
    return {"a/__init__.py": b"", "a/logo.png": b"no drawing", "a/1f600.svg": b"<svg/>"} | drawings


def on_white(image: Image.Image) -> np.ndarray:
    """The slow twin: pixel by pixel, by the definition of opacity, halves up."""
    rgba = image.convert("RGBA")
    out = np.empty((72, 72, 3), np.uint8)
    for y, x in product(range(72), range(72)):
        *colour, opacity = rgba.getpixel((x, y))  # type: ignore[misc]
        out[y, x] = [int((part * opacity + 255 * (255 - opacity)) / 255 + 0.5) for part in colour]
    return out


def test_any_colour_and_opacity_is_laid_on_white(wheel: Callable[..., Path], rng: np.random.Generator) -> None:
    image = Image.fromarray(rng.integers(0, 256, (72, 72, 4)).astype(np.uint8), "RGBA")
    path = wheel({named("train"): png(image)})
    assert np.array_equal(read(path, "train"), on_white(image)[None])


def test_a_palette_with_a_transparent_colour_is_laid_on_white(
    wheel: Callable[..., Path], rng: np.random.Generator
) -> None:
    image = Image.fromarray(rng.integers(0, 5, (72, 72)).astype(np.uint8), "P")
    image.putpalette([10, 20, 30, 0, 0, 0, 200, 100, 50, 9, 8, 7, 255, 0, 255])
    image.info["transparency"] = bytes([255, 0, 128, 1, 254])
    path = wheel({named("train"): png(image)})
    found = read(path, "train")[0]
    assert np.array_equal(found, on_white(image))
    assert (found[np.array(image) == 1] == 255).all()


@pytest.mark.parametrize(
    ("name", "motif"),
    [
        ("1f600", 0x1F600),
        ("2764-fe0f", 0x2764),
        ("23-fe0f-20e3", 0x23),
        ("1f44d-1f3fb", 0x1F44D),
        ("1f3c3-1f3ff-200d-2642-fe0f", 0x1F3C3),
        ("1f469-200d-1f680", 0x1F469),
        ("1f3fb-2640-200d-fe0f-1f600-1f525", 0x1F600),
        ("1f3fe", 0x1F3FE),  # alone, a skin tone is a drawing
        ("2640-fe0f", 0x2640),
    ],
)
def test_the_motif_is_the_first_sign_that_varies_nothing(name: str, motif: int) -> None:
    assert motif_of(name) == motif


def test_no_motif_lies_in_two_splits_and_nothing_is_lost(
    wheel: Callable[..., Path], variants: dict[str, bytes]
) -> None:
    """The colours tell which drawings came out, by a reading of their names that knows nothing of motifs."""
    names = [name for name in variants if name.endswith(".png") and "logo" not in name]
    path, found = wheel(variants), {}
    for split in SPLITS:
        numbers = [int(drawing[0, 0, 0]) + 251 * int(drawing[0, 0, 1]) for drawing in read(path, split)]
        found[split] = [names[number] for number in numbers]
        assert found[split] == sorted(found[split])
        assert found[split]
    first = {split: [name.split("/")[-1].split(".")[0].split("-")[0] for name in found[split]] for split in SPLITS}
    assert not set(first["train"]) & {*first["val"], *first["test"]}
    assert not set(first["val"]) & set(first["test"])
    assert {int(sign, 16) for signs in first.values() for sign in signs} == set(MOTIFS)
    assert len(found["train"]) == len(set(first["train"])) * len(SUFFIXES)
    for split in ("val", "test"):
        assert len(first[split]) == len(set(first[split]))


def test_the_splits_have_about_the_promised_shares_of_many_motifs() -> None:
    splits = [split_of(motif) for motif in range(0x2000, 0x4000)]
    for split, share in (("train", 3 / 4), ("val", 1 / 16), ("test", 3 / 16)):
        assert splits.count(split) / len(splits) == pytest.approx(share, abs=0.015)


def test_blocks_join_to_the_same_drawings(
    wheel: Callable[..., Path], variants: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wheel(variants)
    whole = read(path, "train")
    monkeypatch.setattr(emoji, "BLOCK_IMAGES", 7)
    assert len(list(emoji_drawings(path, "train", 999))) == -(-len(whole) // 7)
    assert np.array_equal(read(path, "train"), whole)


def test_prepared_drawings_are_the_same_bytes_in_whatever_order_the_wheel_has_them(
    wheel: Callable[..., Path], variants: dict[str, bytes], tmp_path: Path
) -> None:
    path = wheel(variants)
    n_images = {split: len(read(path, split)) for split in SPLITS}
    file = SourceFile(path.name, 1, "", split="by_motif")
    data = ImagesConfig(name="drawings", side=16, seq_len=768, n_images=n_images, files=[file])
    whole = {split: read(path, split) for split in SPLITS}
    prepare(data, path.parent, tmp_path / "first")
    wheel(dict(reversed(variants.items())))
    prepare(data, path.parent, tmp_path / "again")
    first, again = (
        {part.name: part.read_bytes() for part in (tmp_path / folder).iterdir()} for folder in ("first", "again")
    )
    assert first == again
    assert sorted(first) == ["meta.json", "test.npy", "train.npy", "val.npy"]
    for split in SPLITS:
        assert np.array_equal(np.load(tmp_path / "first" / f"{split}.npy"), area_average(whole[split], 16))
    meta = json.loads(first["meta.json"])
    assert {split: meta["splits"][split]["images"] for split in SPLITS} == n_images


def test_drawings_that_are_not_the_published_ones_are_refused(wheel: Callable[..., Path]) -> None:
    name = named("train")
    with pytest.raises(DataError, match=rf"{name} is not of 72 x 72 pixels"):
        read(wheel({name: plain(1, side=36)}), "train")
    with pytest.raises(DataError, match=rf"{name} has 65,537 bytes, too many for a drawing"):
        read(wheel({name: bytes((1 << 16) + 1)}), "train")
    with pytest.raises(DataError, match="holds 2 drawings of train where 1 are expected"):
        read(wheel({name: plain(1), named("train", nth=1): plain(2)}), "train", most=1)


def test_a_drawing_that_is_no_png_is_damaged(wheel: Callable[..., Path], tmp_path: Path) -> None:
    path = wheel({named("train"): b"GIF89a"})
    data = ImagesConfig(
        name="drawings",
        side=16,
        seq_len=768,
        n_images={"train": 1, "val": 0, "test": 0},
        files=[SourceFile(path.name, 1, "", split="by_motif")],
    )
    with pytest.raises(DataError, match=r"any\.whl is damaged \(.*\): remove it and run the download stage again"):
        prepare(data, path.parent, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
