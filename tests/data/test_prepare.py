"""From published files to arrays: the right bytes in the right place, from every form, and nothing from a bad one."""

import bz2
import hashlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reformer.data.config import ImagesConfig, SourceFile, TextConfig
from reformer.data.prepare import archives
from reformer.data.prepare import prepare as prepare_module
from reformer.data.prepare.photos import photo_windows
from reformer.data.prepare.pixels import area_average, decode, from_planes
from reformer.data.prepare.prepare import prepare
from reformer.files import DataError


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def raw(tmp_path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


@pytest.fixture
def processed(tmp_path) -> Path:
    return tmp_path / "processed"


# Text


def zipped(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return out.getvalue()


@pytest.fixture
def text(raw, rng) -> TextConfig:
    """A text of 2,500,001 bytes, which a test puts into the raw folder in one of its forms."""
    data = rng.integers(0, 256, 2_500_001).astype(np.uint8).tobytes()
    (raw / "t").write_bytes(data)
    file = SourceFile("t", len(data), digest(data), unpacked_name="t")
    return TextConfig(name="t", seq_len=8, files=[replace(file, unpacked_size=file.size, unpacked_sha256=file.sha256)])


@pytest.mark.parametrize("form", ["t", "t.zip", "t.bz2"])
def test_a_text_is_split_in_order_from_every_form(text, raw, processed, form):
    whole = (raw / "t").read_bytes()
    pack: dict[str, Callable[[bytes], bytes]] = {"t": bytes, "t.zip": lambda d: zipped("t", d), "t.bz2": bz2.compress}
    (raw / "t").unlink()
    (raw / form).write_bytes(pack[form](whole))
    text.files[0].name = form
    prepare(text, raw, processed)
    parts = [(processed / f"{split}.bin").read_bytes() for split in ("train", "val", "test")]
    assert b"".join(parts) == whole
    assert [len(part) for part in parts] == [2_250_001, 125_000, 125_000]
    meta = json.loads((processed / "meta.json").read_text())
    digest = hashlib.sha256(parts[1]).hexdigest()
    assert meta["splits"]["val"] == {"file": "val.bin", "tokens": 125_000, "bytes": 125_000, "sha256": digest}


def test_preparing_again_gives_the_same_bytes_and_leaves_nothing_else(text, raw, processed):
    prepare(text, raw, processed)
    first = {path.name: path.read_bytes() for path in processed.iterdir()}
    prepare(text, raw, processed)
    assert {path.name: path.read_bytes() for path in processed.iterdir()} == first
    assert sorted(first) == ["meta.json", "test.bin", "train.bin", "val.bin"]


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (zipped("t", b"short"), "does not unpack to the published text"),
        (zipped("other", b""), "has no t: remove it and download again"),
        (zipped("t", bytes(2_500_001)), "does not unpack to the published text"),
        (zipped("t", bytes(50_000_000)), "holds more than the expected 2,500,001 bytes"),
        (zipped("t", bytes(2_500_001))[:-30], "is damaged"),
        (b"PK", "is damaged"),
    ],
)
def test_an_archive_that_is_not_the_published_one_leaves_no_array(text, raw, processed, packed, message):
    (raw / "t").unlink()
    (raw / "t.zip").write_bytes(packed)
    text.files[0].name = "t.zip"
    with pytest.raises(DataError, match=message):
        prepare(text, raw, processed)
    assert list(processed.iterdir()) == []


def test_a_disk_that_fills_up_is_said_and_no_half_array_left(text, raw, small_disk):
    with pytest.raises(DataError, match=r"small is full: make room and run again$"):
        prepare(text, raw, small_disk)
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_up_at_the_very_end_leaves_no_half_meta_json(raw, small_disk, monkeypatch):
    data = bytes(100_000)
    (raw / "t").write_bytes(data)
    file = SourceFile("t", len(data), digest(data), unpacked_name="t", unpacked_size=len(data))
    file.unpacked_sha256 = file.sha256
    really = prepare_module.prepare_text

    def fill(*arguments: Any) -> dict[str, dict[str, object]]:
        splits = really(*arguments)
        with suppress(OSError), (small_disk / "other").open("wb", buffering=0) as out:
            while out.write(bytes(4096)):
                pass
        return splits

    monkeypatch.setattr(prepare_module, "prepare_text", fill)
    with pytest.raises(DataError, match=r"small is full: make room and run again$"):
        prepare(TextConfig(name="t", seq_len=8, files=[file]), raw, small_disk)
    assert not [path for path in small_disk.iterdir() if path.name.startswith("meta.json")]


def test_a_truncated_bz2_is_damaged(text, raw, processed):
    text.files[0].name = "t.bz2"
    (raw / "t.bz2").write_bytes(bz2.compress((raw / "t").read_bytes())[:-1000])
    (raw / "t").unlink()
    with pytest.raises(DataError, match=r"t\.bz2 is damaged \(.*\): remove it and run the download stage again"):
        prepare(text, raw, processed)


def test_a_missing_raw_file_names_the_stage_that_brings_it(text, raw, processed):
    (raw / "t").unlink()
    with pytest.raises(DataError, match="t is missing: run the download stage first"):
        prepare(text, raw, processed)


def test_without_meta_json_nothing_counts_as_prepared(text, raw, processed):
    prepare(text, raw, processed)
    text.files[0].unpacked_sha256 = digest(b"")
    with pytest.raises(DataError):
        prepare(text, raw, processed)
    assert not (processed / "meta.json").exists()


# Images


def pictures(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.integers(0, 256, (n, 64, 64, 3)).astype(np.uint8)


def npz(images: np.ndarray, compressed: bool = False, **arrays: np.ndarray) -> bytes:
    """The layout of a batch of the "resized" release."""
    out = io.BytesIO()
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    others = {"labels": np.arange(len(images)) + 1, "mean": planes.mean(0)}
    (np.savez_compressed if compressed else np.savez)(out, **{"data": planes} | others | arrays)
    return out.getvalue()


def png(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        folder = tarfile.TarInfo("train_64x64")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def write(raw) -> Callable[..., ImagesConfig]:
    """Writes raw files; gives the config of images that come in them."""

    def write(files: dict[str, bytes], side: int = 64, **n_images: int) -> ImagesConfig:
        for name, content in files.items():
            (raw / name).write_bytes(content)
        sources = [SourceFile(name, 1, "", split=name.split("_")[0]) for name in files]
        return ImagesConfig(name="i", side=side, seq_len=side * side * 3, n_images=n_images, files=sources)

    return write


def zip_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize("form", ["npz", "zip", "tar"])
def test_images_come_out_as_they_are_from_every_form(write, raw, processed, rng, monkeypatch, form):
    monkeypatch.setattr(archives, "BLOCK_IMAGES", 8)
    train, val = pictures(rng, 53), pictures(rng, 5)
    match form:
        case "npz":
            files = {"train_.npz": npz(train), "val_.npz": npz(val, compressed=True)}
        case "zip":
            parts = {"train_data_batch_1.npz": npz(train[:30], True), "train_data_batch_2.npz": npz(train[30:50])}
            files = {
                "train_1.zip": zip_of(parts),
                "train_2.zip": zip_of({"x/train_data_batch_3.npz": npz(train[50:]), "x/readme.txt": b""}),
                "val_.zip": zip_of({"val_data.npz": npz(val)}),
            }
        case "tar":
            named = [{f"s/{i:07}.png": png(image) for i, image in enumerate(images)} for images in (train, val)]
            files = {"train_.tar": tar_of(named[0] | {"s/readme": b""}), "val_.tar": tar_of(named[1])}
    prepare(write(files, train=53, val=5), raw, processed)
    for split, images in (("train", train), ("val", val)):
        array = np.load(processed / f"{split}.npy", mmap_mode="r", allow_pickle=False)
        assert array.dtype == np.uint8
        assert np.array_equal(array, images)
    assert json.loads((processed / "meta.json").read_text())["splits"]["test"]["file"] == "val.npy"
    assert sorted(path.name for path in processed.iterdir()) == ["meta.json", "train.npy", "val.npy"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train_.npz", lambda i: npz(i[:3]), "train: 3 images instead of 4: download it again"),
        ("train_.npz", lambda i: npz(i), "holds 5 images where at most 4 are expected"),
        ("train_.npz", lambda i: npz(i, data=np.array([{}, 1])), "`data` is object"),
        (
            "train_.npz",
            lambda i: npz(i, data=np.zeros((4, 12288), np.int16)),
            r"`data` is int16 \(4, 12288\), not uint8",
        ),
        ("train_.npz", lambda i: npz(i, data=np.zeros((4, 64, 64, 3), np.uint8)), r"not uint8 \(N, 12288\)"),
        ("train_.npz", lambda i: zip_of({"data.npy": npy(4) + bytes(99)}), "declares 227 bytes for 4 images"),
        ("train_.npz", lambda i: zip_of({"data.npy": b"nonsense"}), "is damaged"),
        ("train_.npz", lambda i: zip_of({"labels.npy": npy(0)}), "has no array `data`"),
        ("train_.npz", lambda i: npz(i[:4])[:-50], "is damaged"),
        ("train_.zip", lambda i: zip_of({"a.npz": bytes(9_000_000)}), "would unpack to 9,000,000 bytes, too many"),
        ("train_.zip", lambda i: zip_of({"a.npz": npz(i[:2]), "b.npz": npz(i[:3])}), "at most 2 are expected"),
        ("train_.zip", lambda i: zip_of({}), "0 images instead of 4"),
        ("train_.tar", lambda i: tar_of({"a.png": b"GIF"}), "a.png is not a PNG image of 64 x 64 pixels"),
        ("train_.tar", lambda i: tar_of({"a.png": png(i[0, :32])}), "a.png is not a PNG image of 64 x 64 pixels"),
        ("train_.tar", lambda i: tar_of({"a.png": png(i[0])[:5000]}), "is damaged"),
        ("train_.tar", lambda i: tar_of({"a.png": bytes(1 << 17)}), "a.png has 131,072 bytes, too many"),
        ("train_.tar", lambda i: tar_of(same(i)), "holds more images than expected"),
        ("train_.tar", lambda i: tar_of({"a.png": png(i[0])})[:9000], "is damaged"),
        ("train_.gif", lambda i: b"", r"images come as \.zip"),
    ],
)
def test_images_that_are_not_the_published_ones_leave_no_array(write, raw, processed, rng, name, content, message):
    config = write({name: content(pictures(rng, 5))}, train=4, val=0)
    with pytest.raises(DataError, match=message):
        prepare(config, raw, processed)
    assert list(processed.iterdir()) == []


def broken_chunk(image: np.ndarray) -> bytes:
    """A PNG image that goes on, after half of its pixels, with what is no chunk: Pillow calls it a syntax error."""
    pixels = png(image)[41:5041]
    return png(image)[:33] + struct.pack(">I4s", 5000, b"IDAT") + pixels + bytes(5000)


def patched(archive: bytes, at: int, value: int) -> bytes:
    """A .zip file with another value in a member's header, in both places where it stands."""
    changed = bytearray(archive)
    for signature, offset in ((b"PK\x03\x04", at), (b"PK\x01\x02", at + 2)):
        changed[archive.index(signature) + offset] = value
    return bytes(changed)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("train_.tar", lambda i: tar_of({"a.png": png(i[0])[:20]}), "unpack requires a buffer of 8 bytes"),
        ("train_.tar", lambda i: tar_of({"a.png": broken_chunk(i[0])}), "broken PNG file"),
        ("train_.zip", lambda i: patched(zip_of({"a.npz": npz(i)}), 8, 99), "compression method is not supported"),
        ("train_.zip", lambda i: patched(zip_of({"a.npz": npz(i)}), 6, 1), "is encrypted"),
    ],
)
def test_whatever_a_library_says_of_a_damaged_file_is_told_with_a_remedy(
    write, raw, processed, rng, name, content, error
):
    config = write({name: content(pictures(rng, 4))}, train=4, val=0)
    with pytest.raises(DataError, match=rf"{name} is damaged \(.*{error}.*\): remove it and run the download stage"):
        prepare(config, raw, processed)


def test_the_last_line_tells_the_side(write, raw, processed, rng, capsys):
    images = npz(pictures(rng, 3))
    prepare(write({"train_.npz": images, "val_.npz": images}, side=16, train=3, val=3), raw, processed)
    assert "prepare i: images of 16 x 16 pixels: 3 train, 3 val, 3 test -> " in capsys.readouterr().out


def npy(n: int) -> bytes:
    """The header of n images."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": (n, 12288)})
    return out.getvalue()


def same(images: np.ndarray) -> dict[str, bytes]:
    return {f"{i}.png": png(image) for i, image in enumerate(images)}


KILLED = """
import os, sys
from pathlib import Path
from reformer.data.prepare import archives
from reformer.data.config import ImagesConfig, SourceFile
from reformer.data.prepare.prepare import prepare
archives.BLOCK_IMAGES = 8
os.cpu_count = lambda: 2
data = ImagesConfig(name="i", n_images={"train": 40}, files=[SourceFile("train_.tar", 1, "")])
prepare(data, Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_prepare_may_be_killed_at_a_tar_and_run_again(write, raw, processed, rng):
    images = pictures(rng, 40)
    tar = tar_of(same(images))
    os.mkfifo(raw / "train_.tar")  # lets the test decide how much of the file is read before the end
    command = [sys.executable, "-c", KILLED, str(raw), str(processed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            with (raw / "train_.tar").open("wb", buffering=0) as pipe:
                pipe.write(tar[: 3 * len(tar) // 4])
                half, deadline = processed / "train.npy.tmp", time.monotonic() + 30
                while half.stat().st_size < 100_000 and time.monotonic() < deadline:
                    time.sleep(0.02)
                process.kill()
                process.communicate(
                    timeout=20
                )  # ends when nobody holds stdout any more, the processes that decode included
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert [path.name for path in processed.iterdir()] == ["train.npy.tmp"]
    assert half.stat().st_size < images.nbytes
    (raw / "train_.tar").unlink()
    prepare(write({"train_.tar": tar, "val_.tar": tar_of(same(images[:1]))}, train=40, val=1), raw, processed)
    assert sorted(path.name for path in processed.iterdir()) == ["meta.json", "train.npy", "val.npy"]
    assert np.array_equal(np.load(processed / "train.npy"), images)


def test_no_member_of_an_archive_is_written_under_its_own_name(write, raw, processed, rng, tmp_path):
    image = pictures(rng, 1)
    link = tarfile.TarInfo("link.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    tar = tar_of({"../../escaped.png": png(image[0])})
    out = io.BytesIO(tar)
    with tarfile.open(fileobj=out, mode="a") as archive:
        archive.addfile(link)
    prepare(
        write({"train_.tar": out.getvalue(), "val_.zip": zip_of({"/x/../../escaped.npz": npz(image)})}, train=1, val=1),
        raw,
        processed,
    )
    assert not [path for path in tmp_path.rglob("*") if "escaped" in path.name or "link" in path.name]
    assert np.array_equal(np.load(processed / "train.npy"), image)


def test_a_disk_too_small_to_unpack_is_said(write, raw, small_disk, rng):
    config = write({"train_.zip": zip_of({"a.npz": npz(pictures(rng, 20))})}, train=20, val=0)
    with pytest.raises(DataError, match=r"small is full: make room and run again$"):
        prepare(config, raw, small_disk)
    assert list(small_disk.iterdir()) == []


def test_a_smaller_side_averages_areas_half_up(write, raw, processed, rng):
    images = pictures(rng, 3)
    prepare(write({"train_.npz": npz(images), "val_.npz": npz(images)}, side=16, train=3, val=3), raw, processed)
    small = np.load(processed / "train.npy")
    for n, y, x, c in np.ndindex(small.shape):
        area = images[n, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4, c]
        assert small[n, y, x, c] == int(area.astype(float).mean() + 0.5)


def test_planes_are_put_in_place(rng):
    rows = rng.integers(0, 256, (3, 3 * 7 * 7)).astype(np.uint8)
    images = from_planes(rows, 7)
    for n, y, x, c in np.ndindex(images.shape):
        assert images[n, y, x, c] == rows[n, 49 * c + 7 * y + x]


def test_area_average_of_the_same_side_changes_nothing(rng):
    images = pictures(rng, 2)
    assert np.array_equal(area_average(images, 64), images)


def test_photos_are_cut_into_half_overlapping_windows_in_raster_order(tmp_path, rng):
    photo = rng.integers(0, 256, (300, 270, 3)).astype(np.uint8)
    (tmp_path / "photo.png").write_bytes(png(photo))
    assert np.array_equal(decode((tmp_path / "photo.png").read_bytes()), photo)
    blocks = list(photo_windows(tmp_path / "photo.png"))
    for side, windows in zip((64, 128, 256), blocks, strict=True):
        corners = [(y, x) for y in range(0, 301 - side, side // 2) for x in range(0, 271 - side, side // 2)]
        assert len(windows) == len(corners)
        for window, (y, x) in zip(windows, corners, strict=True):
            assert np.array_equal(window, photo[y : y + side, x : x + side])


def test_memory_does_not_grow_with_the_input(write, raw, processed, rng, monkeypatch):
    monkeypatch.setattr(archives, "BLOCK_IMAGES", 64)
    images = np.repeat(pictures(rng, 64), 30, axis=0)  # 23.6 MB
    files = {"train_.zip": zip_of({"a.npz": npz(images)}), "val_.npz": npz(images)}
    del images
    config = write(files, train=1920, val=1920)
    del files
    tracemalloc.start()
    prepare(config, raw, processed)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6
