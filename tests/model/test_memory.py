"""What a training step keeps and how high it reaches, counted in bytes of live tensors; the parameters' gradients aside."""

import pytest
import torch
from small import MIXED, small_batch, small_config

import reformer.model.attention as attention_module
from reformer.illustrate.live_bytes import LiveBytes
from reformer.model.lsh import draw_rotations, hash_vectors
from reformer.model.reformer_lm import ReformerLM

LENGTH = 1009
STREAM = LENGTH * 16 * 4
LOSS = 4


def model_of(**settings):
    sizes = {"max_seq_len": LENGTH, "d_model": 16, "d_ff": 24, "chunk_len": 16, "loss_chunk_size": 101}
    return ReformerLM(small_config(**sizes | settings))


def buckets_of(n_rounds, n_heads=2):
    """Bytes of the buckets of n_rounds hash rounds."""
    return hash_vectors(x := torch.ones(1, n_heads, LENGTH, 6), draw_rotations(x, 2 * (LENGTH // 16), n_rounds)).nbytes


@pytest.fixture(autouse=True, scope="module")
def masks_are_cached():
    """LSH attention keeps masks that are the same for all blocks."""
    model_of(attention=["lsh"], n_layers=1)(*small_batch(LENGTH, n_examples=1))


def measure(**settings):
    """Bytes kept between forward and backward pass, and the peak of both."""
    model, batch = model_of(**settings), small_batch(LENGTH, n_examples=1)
    with LiveBytes(aside=model.parameters()) as live:
        loss = model(*batch).nll.mean()
        kept = live.now
        loss.backward()
    assert live.now == LOSS
    return kept, live.peak


def test_what_is_counted():
    with LiveBytes() as live:
        x = torch.zeros(1000)
        part = x[3:5]
        y = x + 1
        del x
        assert live.now == 8000  # a view keeps the whole
        del part
        assert live.now == 4000
        del y
        assert (live.now, live.peak) == (0, 8000)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("n_layers", [2, 24])
def test_a_step_keeps_two_streams_and_the_buckets_at_any_depth(n_layers, dropout):
    kept, _ = measure(n_layers=n_layers, attention=["lsh"], ff_chunk_size=64, dropout=dropout)
    assert kept == 2 * STREAM + n_layers * buckets_of(n_rounds=3) + LOSS


@pytest.mark.parametrize("attention", [["lsh"], ["full"], ["local"], MIXED])
def test_the_peak_rises_with_depth_by_the_buckets_alone(attention):
    shallow, deep = (measure(n_layers=n, attention=attention, dropout=0.1)[1] for n in (3, 24))
    n_more = 21 * attention.count("lsh") // len(attention)
    assert deep <= shallow + n_more * buckets_of(n_rounds=3)


def test_stored_activations_rise_with_depth():
    shallow, deep = (measure(n_layers=n, attention=["lsh"], reversible=False) for n in (2, 12))
    for n_layers, (kept, peak) in ((2, shallow), (12, deep)):
        # Streams, and what each branch normalises, multiplies and gives.
        assert min(kept, peak) > 5 * n_layers * STREAM


def test_without_gradients_the_peak_does_not_depend_on_depth():
    peaks = []
    for n_layers in (2, 24):
        model, batch = model_of(n_layers=n_layers, attention=["lsh"]), small_batch(LENGTH, n_examples=1)
        with LiveBytes() as live, torch.no_grad():
            model(*batch)
        peaks.append(live.peak)
    assert peaks[0] == peaks[1]


@pytest.mark.parametrize("network", [{}, {"reversible": False}, {"reversible": False, "n_streams": 1}])
def test_more_hash_rounds_keep_more_buckets_and_nothing_else(network):
    one, eight = (measure(n_hashes=n, attention=["lsh"], n_layers=2, **network)[0] for n in (1, 8))
    assert eight - one == 2 * buckets_of(n_rounds=7)


@pytest.mark.parametrize("network", [{}, {"reversible": False}])
def test_a_wider_feed_forward_in_chunks_does_not_raise_the_peak(network):
    settings = {"attention": ["full"], "n_layers": 2, **network}
    narrow, wide = (measure(d_ff=d_ff, ff_chunk_size=13, **settings)[1] for d_ff in (24, 8 * 24))
    assert wide == narrow
    assert measure(d_ff=8 * 24, **settings)[1] > narrow + 8 * STREAM  # all at once


def test_a_large_vocabulary_in_chunks_does_not_raise_the_peak():
    settings = {"attention": ["local"], "n_layers": 1, "n_heads": 8}
    small, large = (measure(vocab_size=size, loss_chunk_size=11, **settings)[1] for size in (19, 1 << 15))
    assert large == small


def test_heads_one_after_the_other_lower_the_peak(monkeypatch):
    for attention in (["lsh"], ["local"]):
        settings = {"attention": attention, "n_layers": 2, "n_heads": 8, "d_head": 16}
        together = measure(**settings)[1]
        monkeypatch.setattr(attention_module, "MAX_QUERY_ELEMENTS", 1)
        assert measure(**settings)[1] < together / 2.5
        monkeypatch.undo()
