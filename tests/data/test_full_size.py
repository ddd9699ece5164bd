"""Rehearsals at the size of the published data, with bytes of the right structure: every stage, then a training step.

Run with `-s` to see the times and the memory.
"""

import hashlib
import io
import multiprocessing
import resource
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reformer.data.config import DownloadedConfig, ImagesConfig, SourceFile, TextConfig
from reformer.data.fetch.download import download
from reformer.data.prepare.prepare import prepare
from reformer.data.published import blocks
from reformer.model.config import ReformerConfig

pytestmark = pytest.mark.slow


def measured(stage: Callable[..., None], *arguments: object) -> float:
    """Runs a stage in a process of its own, prints its time and peak memory, and returns its seconds."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_report, args=(sender, stage, *arguments))
    process.start()
    sender.close()  # so that a child that dies ends the wait
    seconds, peak, children = receiver.recv()
    process.join()
    megabytes = f"{peak / 1e6:.0f} MB" + (f" + {children / 1e6:.0f} MB a process beside it" if children else "")
    print(f"{stage.__name__}: {seconds:.1f} s, at most {megabytes}")
    assert peak < 400e6
    assert children < 200e6
    return seconds


def _report(sender, stage: Callable[..., None], *arguments: object) -> None:  # type: ignore[no-untyped-def]
    begin = time.perf_counter()
    stage(*arguments)
    seconds = time.perf_counter() - begin
    sender.send((seconds, _peak_bytes(), _rusage_bytes(resource.RUSAGE_CHILDREN)))


def _peak_bytes() -> int:
    """Largest memory of this process so far."""
    status = Path("/proc/self/status")
    if not status.exists():
        return _rusage_bytes(resource.RUSAGE_SELF)
    # Linux hands the parent's peak down to getrusage of a child; this figure is the child's own.
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def _rusage_bytes(who: int) -> int:
    peak = resource.getrusage(who).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def train_one_step(data: DownloadedConfig, processed: Path) -> float:
    """One step of a small Reformer on one sequence of full length; returns the seconds of step and batch."""
    # Imported in here, so that the measured processes, which read this file, stay free of torch.
    import torch

    from reformer.data.batches.feed import training_batches
    from reformer.model.reformer_lm import ReformerLM, TokenLosses

    config = ReformerConfig(
        max_seq_len=data.seq_len, n_layers=1, d_model=32, d_ff=32, n_heads=1, d_head=16, chunk_len=128
    )
    config.ff_chunk_size = config.loss_chunk_size = 4096
    torch.manual_seed(1)
    model = ReformerLM(config)
    data.batch_size = 1
    begin = time.perf_counter()
    batch = training_batches(data, processed, seed=1)[0]
    losses = model(batch.inputs, batch.targets)
    assert isinstance(losses, TokenLosses)
    loss = (losses.nll * batch.weights).sum() / batch.weights.sum()
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    return time.perf_counter() - begin


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in blocks(stream):
            digest.update(block)
    return digest.hexdigest()


def test_enwik8_at_full_size(web, tmp_path, rng):
    words = [bytes(rng.integers(97, 123, n).astype(np.uint8)) for n in rng.integers(1, 12, 5000)]
    page = b"  <page>\n    <text>%s</text>\n  </page>\n"
    pages = [page % b" ".join(words[i] for i in rng.integers(0, 5000, 400)) for _ in range(500)]
    text = b"".join(pages[i] for i in rng.integers(0, 500, 50_000))[:100_000_000]
    assert len(text) == 100_000_000
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("enwik8", text)
    web.content, web.behaviours = out.getvalue(), ["truncate"]
    file = SourceFile("enwik8.zip", len(web.content), hashlib.sha256(web.content).hexdigest(), [web.url])
    file.unpacked_name, file.unpacked_size, file.unpacked_sha256 = "enwik8", 10**8, hashlib.sha256(text).hexdigest()
    data = TextConfig(name="enwik8", seq_len=65536, files=[file])

    measured(download, data, tmp_path / "raw")
    measured(prepare, data, tmp_path / "raw", tmp_path / "processed")
    parts = [tmp_path / "processed" / f"{split}.bin" for split in ("train", "val", "test")]
    assert [part.stat().st_size for part in parts] == [90_000_000, 5_000_000, 5_000_000]
    assert b"".join(part.read_bytes() for part in parts) == text
    from reformer.data.batches.feed import evaluation_batches

    batches = evaluation_batches(data, tmp_path / "processed", "test", seed=1)
    assert sum(batches[i].weights.double().sum() for i in range(len(batches))) == 5_000_000
    print(f"a step at length 65,536: {train_one_step(data, tmp_path / 'processed'):.1f} s")


@pytest.fixture
def ten_thousand_images(rng) -> np.ndarray:
    """(10000, 64, 64, 3): smooth with some noise, so that they compress about as photographs do."""
    coarse = rng.integers(0, 256, (10_000, 8, 8, 3)).astype(np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2) ^ rng.integers(0, 8, (10_000, 64, 64, 3)).astype(np.uint8)


def images_config(files: list[Path], n: int) -> ImagesConfig:
    sources = [
        SourceFile(file.name, file.stat().st_size, sha256_of(file), split=file.name.split("_")[0]) for file in files
    ]
    return ImagesConfig(name="i", batch_size=4, n_images={"train": n, "val": n}, files=sources)


def assert_prepared(data: ImagesConfig, processed: Path, images: np.ndarray, seconds: float) -> float:
    """Also prints the speeds; returns that of prepare, in MB/s of pixels."""
    for split in ("train", "val"):
        assert np.array_equal(np.load(processed / f"{split}.npy", mmap_mode="r", allow_pickle=False), images)
    speed = 2 * images.nbytes / seconds / 1e6
    print(f"{speed:.0f} MB/s of pixels, {2 * len(images) / seconds:.0f} images/s")
    print(f"a step at length 12,288: {train_one_step(data, processed):.1f} s")
    return speed


@pytest.mark.parametrize("packed_twice", [False, True])
def test_ten_thousand_images_of_the_npz_release(tmp_path, ten_thousand_images, packed_twice):
    raw = tmp_path / "raw"
    raw.mkdir()
    planes = ten_thousand_images.transpose(0, 3, 1, 2).reshape(10_000, -1)
    batch = io.BytesIO()
    save = np.savez_compressed if packed_twice else np.savez
    save(batch, data=planes, labels=np.arange(10_000), mean=planes.mean(0))
    for split in ("train", "val"):
        with zipfile.ZipFile(raw / f"{split}_npz.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("data_batch_1.npz", batch.getvalue())
    data = images_config(sorted(raw.iterdir()), 10_000)
    seconds = measured(prepare, data, raw, tmp_path / "processed")
    assert assert_prepared(data, tmp_path / "processed", ten_thousand_images, seconds) >= 100


def test_ten_thousand_png_files_of_the_small_release(tmp_path, ten_thousand_images):
    raw = tmp_path / "raw"
    raw.mkdir()
    with tarfile.open(raw / "train_64x64.tar", "w") as archive:
        for i, image in enumerate(ten_thousand_images):
            png = io.BytesIO()
            Image.fromarray(image).save(png, "PNG", compress_level=1)
            member = tarfile.TarInfo(f"train_64x64/{i:07}.png")
            member.size = png.tell()
            archive.addfile(member, io.BytesIO(png.getvalue()))
    (raw / "val_64x64.tar").hardlink_to(raw / "train_64x64.tar")
    data = images_config(sorted(raw.iterdir()), 10_000)
    seconds = measured(prepare, data, raw, tmp_path / "processed")
    assert_prepared(data, tmp_path / "processed", ten_thousand_images, seconds)


def test_the_loader_gives_50_million_tokens_a_second_from_the_page_cache(tmp_path, rng):
    from reformer.data.batches.feed import training_batches

    for split, size in (("train", 90_000_000), ("val", 10)):
        rng.integers(0, 256, size, np.uint8).tofile(tmp_path / f"{split}.bin")
    (tmp_path / "meta.json").write_text('{"splits": {"train": {"file": "train.bin", "tokens": 90000000}}}')
    batches = training_batches(TextConfig(name="t", seq_len=65536, batch_size=8), tmp_path, seed=1)
    batches[0]
    begin = time.perf_counter()
    for step in range(50):
        batches[step]
    speed = 50 * 8 * 65536 / (time.perf_counter() - begin)
    print(f"{speed / 1e6:.0f} M tokens/s")
    assert speed > 50e6
