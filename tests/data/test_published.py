"""What conf/data says of the published files, and the real pieces of them that are at hand."""

import hashlib
from dataclasses import fields
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf

from reformer.data.batches.batch import Batch
from reformer.data.batches.feed import evaluation_batches, training_batches
from reformer.data.config import DataConfig, DownloadedConfig, DuplicationConfig, ImagesConfig, SourceFile, TextConfig
from reformer.data.fetch.download import download
from reformer.data.prepare.prepare import prepare
from reformer.data.published import difference

SCHEMAS = {"duplication": DuplicationConfig, "text": TextConfig, "images": ImagesConfig}
CONF = Path(__file__).parents[2] / "conf" / "data"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))


def load(name: str) -> DataConfig:
    """Reads a file of conf/data as Hydra does: schema first, then the file."""
    settings = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    schema, itself, *_ = settings.pop("defaults")
    assert itself == "_self_"
    merged = OmegaConf.merge(SCHEMAS[schema["/schema/data@_here_"]], settings)
    data = OmegaConf.to_object(merged)
    assert isinstance(data, DataConfig)
    return data


def test_every_data_set_that_others_rely_on_is_there():
    assert {"duplication", "wikipedia", "photos", "enwik8", "imagenet64"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_has_its_files_name_and_says_source_licence_and_sizes(name):
    assert load(name).name == name
    head = (CONF / f"{name}.yaml").read_text().split("defaults:")[0]
    assert all(word in head for word in ("Source:", "Sizes:"))
    assert "Licence:" in head or name == "duplication"


@pytest.mark.parametrize("name", NAMES)
def test_every_published_file_can_be_checked(name):
    data = load(name)
    for file in data.files if isinstance(data, DownloadedConfig) else []:
        digests = (
            [file.sha256] + [file.wheel_sha256] * bool(file.wheel) + [file.unpacked_sha256] * bool(file.unpacked_name)
        )
        assert all(len(digest) == 64 for digest in digests)
        assert file.size > 0
        assert file.urls or file.wheel or data.by_hand
        assert [field.name for field in fields(SourceFile) if getattr(file, field.name) == "???"] == []


def test_enwik8_is_split_90_5_5():
    data = load("enwik8")
    assert isinstance(data, TextConfig)
    assert [round(share * data.files[0].unpacked_size) for share in data.split] == [90_000_000, 5_000_000, 5_000_000]


# Real pieces


@pytest.fixture
def piece_of_enwik8(samples, tmp_path) -> tuple[TextConfig, Path]:
    """The first 3,750,000 bytes of enwik8, through the stages of the whole."""
    path = samples / "enwik8-sample"
    size, sha256 = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    data = load("enwik8")
    assert isinstance(data, TextConfig)
    data.files = [
        SourceFile("enwik8", size, sha256, unpacked_name="enwik8", unpacked_size=size, unpacked_sha256=sha256)
    ]
    data.source = str(path)
    download(data, tmp_path / "raw")
    prepare(data, tmp_path / "raw", tmp_path / "processed")
    return data, tmp_path / "processed"


def test_the_piece_of_enwik8_arrives_at_the_model_as_text(piece_of_enwik8):
    data, processed = piece_of_enwik8
    data.seq_len = 4096
    batch = evaluation_batches(data, processed, "train", 1)[0]
    text = bytes(batch.targets.flatten().tolist()).decode()
    assert text.startswith('<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.3/"')
    inputs = training_batches(data, processed, 1)[0].inputs
    assert inputs.shape == (8, 4096)
    assert inputs.max() < 256


@pytest.mark.slow
def test_the_piece_of_enwik8_trains(piece_of_enwik8):
    from reformer.model.config import ReformerConfig
    from reformer.model.reformer_lm import ReformerLM

    data, processed = piece_of_enwik8
    data.seq_len, data.batch_size, data.eval_tokens = 128, 16, 4096
    torch.manual_seed(1)
    config = ReformerConfig(max_seq_len=128, n_layers=1, d_model=64, d_ff=64, n_heads=2, d_head=32, chunk_len=32)
    model = ReformerLM(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def bits_per_dim(batch: Batch) -> torch.Tensor:
        losses = model(batch.inputs, batch.targets)
        return (losses.nll * batch.weights).sum() / batch.weights.sum() / log(2)

    batches = training_batches(data, processed, seed=1)
    for step in range(100):
        optimizer.zero_grad()
        bits_per_dim(batches[step]).backward()
        optimizer.step()
    held_out = evaluation_batches(data, processed, "val", seed=1)[0]
    counts = held_out.targets.flatten().bincount().double()
    frequencies = counts[counts > 0] / counts.sum()
    with torch.no_grad():
        # Less than no model without context can score, even one that knew these very bytes' frequencies.
        assert bits_per_dim(held_out) < -(frequencies * frequencies.log2()).sum()


def test_an_image_of_the_npz_sample_comes_back_as_the_same_picture(samples, tmp_path):
    with np.load(samples / "imagenet64-sample.npz", allow_pickle=False) as arrays:
        planes = arrays["data"]
    (tmp_path / "raw").mkdir()
    sample = tmp_path / "raw" / "sample.npz"
    sample.write_bytes((samples / "imagenet64-sample.npz").read_bytes())
    data = load("imagenet64")
    assert isinstance(data, ImagesConfig)
    data.files = [SourceFile("sample.npz", 1, "", split=split) for split in ("train", "val")]
    data.n_images = {"train": 900, "val": 900}
    prepare(data, tmp_path / "raw", tmp_path / "processed")
    batch = evaluation_batches(data, tmp_path / "processed", "val", 1)[5]
    pictures = batch.targets.numpy().reshape(8, 64, 64, 3)
    assert np.array_equal(pictures, planes[40:48].reshape(8, 3, 64, 64).transpose(0, 2, 3, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wikipedia", "photos"])
def test_the_data_of_packages_can_be_fetched_and_prepared_the_same_each_time(name, tmp_path):
    data = load(name)
    assert isinstance(data, DownloadedConfig)
    digests = []
    for run in ("one", "two"):
        download(data, tmp_path / run / "raw")
        prepare(data, tmp_path / run / "raw", tmp_path / run / "processed")
        digests.append({path.name: path.read_bytes() for path in (tmp_path / run / "processed").iterdir()})
    assert digests[0] == digests[1]
    for file in data.files:
        assert difference(tmp_path / "one" / "raw" / file.name, file.size, file.sha256) == ""
