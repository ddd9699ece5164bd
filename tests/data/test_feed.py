"""Batches: what is asked, of which tokens, in which order."""

import pickle
from collections import Counter
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from reformer.data.batches.batch import Batch, EvaluationBatches, evenly_spaced, random_words
from reformer.data.batches.feed import evaluation_batches, training_batches
from reformer.data.config import DownloadedConfig, DuplicationConfig
from reformer.evaluation.evaluate import score
from reformer.model.reformer_lm import TokenLosses
from reformer.settings import SettingError
from reformer.training.scores import scores_of


def assert_equal(ours: Batch, theirs: Batch) -> None:
    for name, one, other in zip(Batch._fields, ours, theirs, strict=True):
        assert torch.equal(one, other), name


def assert_well_formed(batch: Batch, shape: tuple[int, int]) -> None:
    assert batch.inputs.shape == batch.targets.shape == batch.weights.shape == shape
    assert batch.inputs.dtype == batch.targets.dtype == torch.int64
    assert batch.weights.dtype == torch.float32
    assert all(part.is_contiguous() for part in batch)
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])


def scored(batches: EvaluationBatches) -> list[int]:
    """The tokens that count, in order."""
    return [t for i in range(len(batches)) for t in batches[i].targets[batches[i].weights == 1].tolist()]


class Guess(torch.nn.Module):
    """A model that gives every token the same distribution, (256,) in nats."""

    def __init__(self, log_probabilities: torch.Tensor) -> None:
        super().__init__()
        self.log_probabilities = torch.nn.Parameter(log_probabilities.double())

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> TokenLosses:
        logits = self.log_probabilities.expand(*inputs.shape, -1)
        nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        return TokenLosses(nll, targets == self.log_probabilities.argmax())


def scores(batches: EvaluationBatches, log_probabilities: torch.Tensor) -> dict[str, float]:
    """What the evaluation says of a guess."""
    model: Any = Guess(log_probabilities)
    return scores_of(score(model, batches, seed=1))


# Text


def test_training_windows_are_pieces_of_the_training_text_with_the_byte_before(prepared_text):
    data, processed, text = prepared_text()
    train = text[: round(0.9 * len(text))]
    batches = training_batches(data, processed, seed=1)
    for step in range(40):
        assert_well_formed(batches[step], (6, 37))
        assert batches[step].weights.eq(1).all()
        for inputs, targets in zip(batches[step].inputs, batches[step].targets, strict=True):
            with_first = bytes([int(inputs[0]), *targets.tolist()])
            assert with_first in train or (inputs[0] == 0 and train.startswith(with_first[1:]))


def test_every_training_token_is_met(prepared_text):
    data, processed, _ = prepared_text(size=60, seq_len=5)
    batches = training_batches(data, processed, seed=2)
    starts = {tuple(row.tolist()) for step in range(100) for row in batches[step].targets}
    text = np.fromfile(processed / "train.bin", np.uint8)
    assert starts == {tuple(text[i : i + 5].tolist()) for i in range(54 - 5 + 1)}


@pytest.mark.parametrize("context", [0, 1, 20, 36])
@pytest.mark.parametrize("size", [200, 740, 2003])
def test_held_out_windows_score_every_token_once(prepared_text, context, size):
    data, processed, _ = prepared_text(size=size, eval_context=context)
    for split in ("val", "test", "train"):
        batches = evaluation_batches(data, processed, split, seed=1)
        assert scored(batches) == list((processed / f"{split}.bin").read_bytes())
        for i in range(len(batches)):
            rows = min(6, batches.n_sequences - 6 * i)
            assert_well_formed(batches[i], (rows, 37))


def test_cold_windows_do_not_see_the_byte_before_them_and_others_do(prepared_text):
    data, processed, _ = prepared_text()
    text = np.fromfile(processed / "train.bin", np.uint8)
    assert evaluation_batches(data, processed, "train", 1)[3].inputs[:, 0].eq(0).all()
    data.eval_context = 10
    firsts = evaluation_batches(data, processed, "train", 1)[1].inputs[:, 0]
    assert firsts.tolist() == text[np.arange(6, 12) * 27 - 1].tolist()


def test_a_window_scores_nothing_of_its_context_and_nothing_behind_the_end(prepared_text):
    data, processed, _ = prepared_text(size=2000, seq_len=64, eval_context=40, batch_size=1)  # 100 tokens of val
    weights = [evaluation_batches(data, processed, "val", 1)[i].weights[0] for i in range(3)]
    assert [int(w.sum()) for w in weights] == [64, 24, 12]
    assert weights[1][:40].eq(0).all()
    assert weights[2][:40].eq(0).all()
    assert weights[2][52:].eq(0).all()


def test_eval_tokens_takes_whole_windows_spread_over_the_split(prepared_text):
    data, processed, _ = prepared_text(size=20000, eval_tokens=37 * 5 + 3, batch_size=2)  # 1000 of val: 28 windows
    batches = evaluation_batches(data, processed, "val", 1)
    assert batches.chosen.tolist() == [2, 8, 14, 19, 25]
    val = (processed / "val.bin").read_bytes()
    assert scored(batches) == [token for i in batches.chosen for token in val[37 * i : 37 * i + 37]]


def test_spread_takes_all_when_there_are_fewer():
    assert evenly_spaced(5, 0).tolist() == evenly_spaced(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert evenly_spaced(1000, 3).tolist() == [166, 500, 833]


def test_a_sequence_longer_than_the_text_is_refused(prepared_text):
    data, processed, _ = prepared_text(size=40)
    with pytest.raises(SettingError, match=r"data\.seq_len must be <= 36"):
        training_batches(data, processed, seed=1)


# Images


def test_images_are_tokens_in_raster_order_channel_fastest(prepared_images):
    data, processed = prepared_images()
    pixels = np.load(processed / "val.npy")
    batches = evaluation_batches(data, processed, "val", seed=1)
    assert_well_formed(batches[0], (4, 192))
    assert_well_formed(batches[1], (3, 192))
    slow = [int(pixels[n, y, x, c]) for n in range(7) for y in range(8) for x in range(8) for c in range(3)]
    assert scored(batches) == slow
    assert batches[0].inputs[:, 0].eq(0).all()


def test_test_images_are_those_of_val_where_the_release_has_none(prepared_images):
    data, processed = prepared_images()
    assert_equal(evaluation_batches(data, processed, "test", 1)[1], evaluation_batches(data, processed, "val", 1)[1])


def test_eval_tokens_takes_whole_images(prepared_images):
    data, processed = prepared_images(eval_tokens=3 * 192 + 100)
    assert evaluation_batches(data, processed, "val", 1).chosen.tolist() == [1, 3, 5]


def test_flip_mirrors_about_half_of_the_training_images_left_to_right(prepared_images):
    data, processed = prepared_images(flip=True)
    pixels = np.load(processed / "train.npy")
    kinds = Counter()
    for step in range(50):
        for row in training_batches(data, processed, seed=1)[step].targets.numpy().reshape(-1, 8, 8, 3):
            (plain,), (mirrored,) = (np.nonzero((pixels == image).all((1, 2, 3))) for image in (row, row[:, ::-1]))
            assert len(plain) + len(mirrored) == 1
            kinds["mirrored" if len(mirrored) else "plain"] += 1
    assert 70 < kinds["mirrored"] < 130


def test_images_prepared_at_another_side_are_refused(prepared_images):
    data, processed = prepared_images(side=8)
    data.side, data.seq_len = 16, 768
    with pytest.raises(SettingError, match=r"data\.side must be 8, as prepared \(or prepare again\), got 16"):
        training_batches(data, processed, seed=1)


# Duplication


def duplication(**settings: int) -> DuplicationConfig:
    return DuplicationConfig(name="duplication", **{"seq_len": 24, "batch_size": 6, "n_symbols": 9} | settings)


def test_duplication_is_0w0w_and_only_the_second_w_counts(tmp_path):
    for batch in (
        training_batches(duplication(), tmp_path, 3)[5],
        evaluation_batches(duplication(), tmp_path, "val", 3)[0],
    ):
        assert_well_formed(batch, (6, 24))
        assert batch.targets[:, [0, 12]].eq(0).all()
        assert torch.equal(batch.targets[:, :12], batch.targets[:, 12:])
        assert set(batch.targets[:, 1:12].unique().tolist()) <= set(range(1, 10))
        assert batch.weights[:, 13:].eq(1).all()
        assert batch.weights.sum() == 6 * 11


def test_duplication_uses_every_symbol_evenly(tmp_path):
    words = training_batches(duplication(batch_size=500), tmp_path, 1)[0].targets[:, 1:12]
    counts = words.flatten().bincount(minlength=10)[1:]
    assert counts.min() > 500
    assert counts.max() < 720


def test_held_out_duplication_does_not_depend_on_the_batch_size_and_differs_from_training(tmp_path):
    one, other = (evaluation_batches(duplication(batch_size=b, eval_sequences=10), tmp_path, "test", 1) for b in (4, 7))
    assert [len(one), len(other)] == [3, 2]
    assert scored(one) == scored(other)
    splits = [evaluation_batches(duplication(), tmp_path, split, 1)[0].targets for split in ("train", "val", "test")]
    assert not any(torch.equal(splits[i], splits[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


# Order


@pytest.fixture(params=["text", "images", "duplication"])
def data_and_folder(request, tmp_path, prepared_text, prepared_images):
    match request.param:
        case "text":
            return prepared_text()[:2]
        case "images":
            return prepared_images(flip=True, batch_size=6)
    return duplication(), tmp_path


def test_a_step_is_the_same_whenever_it_is_asked_for(data_and_folder):
    batches = training_batches(*data_and_folder, seed=1)
    first = batches[17]
    assert not torch.equal(batches[18].targets, first.targets)
    assert_equal(training_batches(*data_and_folder, seed=1)[17], first)
    assert not torch.equal(training_batches(*data_and_folder, seed=2)[17].targets, first.targets)


@pytest.mark.parametrize("world_size", [2, 3, 6])
def test_devices_share_the_same_step(data_and_folder, world_size):
    parts = [training_batches(*data_and_folder, seed=1, rank=r, world_size=world_size)[4] for r in range(world_size)]
    together = Batch(*(torch.cat(part) for part in zip(*parts, strict=True)))
    assert_equal(together, training_batches(*data_and_folder, seed=1)[4])


def test_a_batch_that_devices_cannot_share_is_refused(data_and_folder):
    with pytest.raises(SettingError, match=r"data\.batch_size must be a multiple of 4 devices, got 6"):
        training_batches(*data_and_folder, seed=1, rank=0, world_size=4)


def test_nothing_drawn_touches_the_global_generators(data_and_folder):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    training_batches(*data_and_folder, seed=1)[0]
    evaluation_batches(*data_and_folder, "val", seed=1)[0]
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002


def test_batches_pickle_without_the_data(data_and_folder):
    for batches in (training_batches(*data_and_folder, seed=1), evaluation_batches(*data_and_folder, "val", seed=1)):
        first = batches[0]
        assert len(pickle.dumps(batches)) < 30_000
        assert_equal(pickle.loads(pickle.dumps(batches))[0], first)


@pytest.mark.slow
def test_any_number_of_worker_processes_gives_the_same_order(data_and_folder):
    batches = training_batches(*data_and_folder, seed=1)
    steps = range(3, 12)
    for n_workers in (1, 2):
        loader = DataLoader(batches, None, sampler=steps, num_workers=n_workers, multiprocessing_context="spawn")
        for step, batch in zip(steps, loader, strict=True):
            assert_equal(batch, batches[step])


def test_drawn_words_are_those_of_every_numpy_version():
    assert random_words(seed=1, split="val", step=2, size=2).tolist() == [17014112479929239969, 14837839528714561043]


# Honesty


@pytest.mark.parametrize("context", [0, 11])
def test_a_uniform_model_scores_exactly_8_bits_per_dim(prepared_text, context):
    data, processed, text = prepared_text(eval_context=context)
    told = scores(evaluation_batches(data, processed, "test", 1), torch.zeros(256))
    assert told["bits_per_dim"] == pytest.approx(8, abs=1e-12)
    assert told["accuracy"] == pytest.approx(text[-100:].count(0) / 100, abs=1e-12)


@pytest.mark.parametrize("context", [0, 11])
def test_the_frequencies_of_the_training_bytes_score_their_order_0_entropy(prepared_text, context):
    data, processed, _ = prepared_text(size=20_000, eval_context=context)
    train, val = (Counter((processed / f"{split}.bin").read_bytes()) for split in ("train", "val"))
    assert_scores_entropy(data, processed, train, val)


def test_a_uniform_model_scores_exactly_8_bits_per_dim_on_images(prepared_images):
    data, processed = prepared_images()
    told = scores(evaluation_batches(data, processed, "val", 1), torch.zeros(256))
    assert told["bits_per_dim"] == pytest.approx(8, abs=1e-12)


def test_the_frequencies_of_the_training_pixels_score_their_order_0_entropy(prepared_images):
    data, processed = prepared_images(train=30)
    train, val = (Counter(np.load(processed / f"{split}.npy").tobytes()) for split in ("train", "val"))
    assert_scores_entropy(data, processed, train, val)


def assert_scores_entropy(data: DownloadedConfig, processed: Path, train: Counter[int], val: Counter[int]) -> None:
    """Holds a model that outputs the frequencies of the training bytes against their entropy, counted here."""
    frequency = {byte: n / train.total() for byte, n in train.items()}
    entropy = -sum(f * log2(f) for f in frequency.values())
    cross_entropy = -sum(n * log2(frequency[byte]) for byte, n in val.items()) / val.total()
    model = torch.tensor([frequency.get(byte, 0) for byte in range(256)], dtype=torch.float64).log()
    for split, expected in (("train", entropy), ("val", cross_entropy)):
        told = scores(evaluation_batches(data, processed, split, 1), model)
        assert told["bits_per_dim"] == pytest.approx(expected, abs=1e-9)
