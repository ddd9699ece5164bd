"""The hash against its formula, and what its rounds, heads and examples must not share."""

from math import prod

import pytest
import torch

from reformer.model import lsh_hash
from reformer.model.lsh_hash import (
    count_buckets,
    draw_rotations,
    factor_buckets,
    hash_vectors,
    sort_by_bucket,
    sort_keys,
)


def buckets_by_the_formula(x, rotations):
    """argmax([xR; -xR]) for each factor, the first one counting most: vector by vector, round by round."""
    found = torch.zeros(*x.shape[:2], rotations[0].shape[2], x.shape[2], dtype=torch.int64)
    for place in torch.cartesian_prod(*map(torch.arange, found.shape)).tolist():
        b, h, r, i = place
        for rotation in rotations:
            xr = x[b, h, i] @ rotation[b, h, r]
            found[b, h, r, i] = found[b, h, r, i] * 2 * len(xr) + torch.cat([xr, -xr]).argmax()
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_buckets", [2, 10, 16, 24, 62])
@pytest.mark.parametrize("tile", [60, 1 << 17])
def test_hashes_as_the_formula_says(monkeypatch, tile, n_buckets, dtype):
    monkeypatch.setattr(lsh_hash, "CPU_TILE", tile)
    generator = torch.Generator().manual_seed(n_buckets)
    x = torch.randn(2, 3, 23, 7, generator=generator, dtype=dtype)
    rotations = draw_rotations(x, n_buckets, 4, generator)
    found = hash_vectors(x, rotations)
    assert torch.equal(found.long(), buckets_by_the_formula(x, rotations))
    assert found.max() < prod(factor_buckets(n_buckets))


def test_rotations_are_of_an_example_a_head_and_a_round_alone():
    x = torch.ones(3, 4, 1, 5)
    for rotation in draw_rotations(x, 40, 6, torch.Generator().manual_seed(0)):
        assert rotation.shape[:4] == (3, 4, 6, 5)
        assert len(rotation.flatten(0, 2).flatten(1).unique(dim=0)) == 3 * 4 * 6
        assert rotation.mean().abs() < 0.1
        assert rotation.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("n_buckets", range(2, 400, 2))
def test_factors_are_even_and_reach_the_number_of_buckets_with_little_more(n_buckets):
    factors = factor_buckets(n_buckets)
    assert len(factors) == 1 if n_buckets <= 16 else len(factors) == 2
    assert all(factor % 2 == 0 for factor in factors)
    assert n_buckets <= prod(factors) <= n_buckets + 2 * max(factors)
    assert max(factors) <= 4 * min(factors)


def test_buckets_are_counted_from_the_length():
    assert [count_buckets(length, 64) for length in (1, 63, 64, 127, 128, 4096)] == [2, 2, 2, 2, 4, 128]


@pytest.mark.parametrize(("dtype", "step"), [(torch.int16, 1), (torch.int32, 1), (torch.int32, 10_000)])
@pytest.mark.parametrize("length", [1, 37, 1200])
def test_sorts_by_bucket_then_position_pads_last(dtype, step, length):
    generator = torch.Generator().manual_seed(length)
    buckets = step * torch.randint(9, (2, 3, length), generator=generator, dtype=dtype)
    mask = torch.rand(2, 1, length, generator=generator) < 0.8
    order = sort_by_bucket(sort_keys(buckets, mask))
    for b in range(2):
        for h in range(3):
            expected = sorted(
                range(length), key=lambda i: (not mask[b, 0, i], int(buckets[b, h, i]) * bool(mask[b, 0, i]), i)
            )
            assert order[b, h].tolist() == expected
