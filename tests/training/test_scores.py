"""Scores weigh each token alike, and learning rates follow their schedule."""

from math import log

import pytest
import torch
from torch.utils.data import DataLoader

from reformer.data.batches.batch import Batch
from reformer.data.batches.feed import training_batches
from reformer.data.config import DuplicationConfig
from reformer.model.reformer_lm import TokenLosses
from reformer.training.data_module import BatchStream
from reformer.training.scores import TokenSums, mean_loss, scores_of, sums_by_sequence


def batch_of(weights: torch.Tensor) -> Batch:
    tokens = torch.zeros(weights.shape, dtype=torch.long)
    return Batch(tokens, tokens, weights)


def test_a_uniform_model_scores_exactly_8_bits():
    sums = TokenSums()
    for shape in ((3, 7), (2, 5)):
        nll = torch.full(shape, log(256), dtype=torch.float64)
        sums.add(TokenLosses(nll, torch.zeros(shape, dtype=torch.bool)), batch_of(torch.ones(shape)))
    assert sums.scores()["bits_per_dim"] == 8.0


def test_tokens_count_alike_whatever_batch_they_come_in():
    generator = torch.Generator().manual_seed(0)
    nll = torch.rand(5, 6, generator=generator)
    correct = torch.rand(5, 6, generator=generator) < 0.5
    weights = (torch.rand(5, 6, generator=generator) < 0.7).float()
    sums = TokenSums()
    for rows in (slice(0, 4), slice(4, 5)):
        sums.add(TokenLosses(nll[rows], correct[rows]), batch_of(weights[rows]))
    scores = sums.scores()
    assert scores["loss"] == pytest.approx((nll * weights).sum().item() / weights.sum().item())
    assert scores["accuracy"] == pytest.approx((correct * weights).sum().item() / weights.sum().item())
    assert mean_loss(TokenLosses(nll, correct), batch_of(weights)).item() == pytest.approx(scores["loss"])


def test_the_sums_of_each_sequence_are_its_own():
    generator = torch.Generator().manual_seed(1)
    nll = torch.rand(3, 7, generator=generator)
    correct = torch.rand(3, 7, generator=generator) < 0.5
    weights = (torch.rand(3, 7, generator=generator) < 0.6).float()
    sums = sums_by_sequence(TokenLosses(nll, correct), batch_of(weights))
    assert (sums.shape, sums.dtype) == ((3, 3), torch.float64)
    for row, told in enumerate(sums.tolist()):
        scored = [t for t in range(7) if weights[row, t]]
        assert told[0] == pytest.approx(sum(nll[row, t].item() for t in scored), rel=1e-12)
        assert told[1:] == [sum(correct[row, t].item() for t in scored), len(scored)]
    whole = TokenSums()
    whole.add(TokenLosses(nll, correct), batch_of(weights))
    assert scores_of(sums) == pytest.approx(whole.scores(), rel=1e-12)


def test_the_stream_of_batches_begins_at_any_step():
    batches = training_batches(DuplicationConfig(name="duplication", seq_len=8, batch_size=2), None, seed=3)  # type: ignore[arg-type]
    stream = iter(DataLoader(BatchStream(batches, first=5), batch_size=None))
    for step in (5, 6, 7):
        assert torch.equal(next(stream).inputs, batches[step].inputs)


@pytest.mark.slow
def test_worker_processes_leave_the_order_of_the_batches_as_it_is():
    batches = training_batches(DuplicationConfig(name="duplication", seq_len=8, batch_size=2), None, seed=3)  # type: ignore[arg-type]
    loader = DataLoader(BatchStream(batches, first=5), batch_size=None, num_workers=2, multiprocessing_context="spawn")
    stream = iter(loader)
    for step in range(5, 12):
        assert torch.equal(next(stream).inputs, batches[step].inputs)
