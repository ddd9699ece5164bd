"""LSH attention against its brute-force twin, and the properties that the paper's algorithm must have."""

import pytest
import torch
from reference import reference_lsh_attention

from reformer.model.lsh import hash_vectors, lsh_attention


def inputs(shape=(2, 3, 37, 5), n_hashes=2, n_buckets=6, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    qk, v, grad = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for _ in range(3))
    buckets = torch.randint(n_buckets, (*shape[:2], n_hashes, shape[2]), generator=generator, dtype=torch.int32)
    return qk.requires_grad_(), v.requires_grad_(), grad, buckets


def largest_difference(function, twin, qk, v, grad):
    """Over the output and the gradients of qk and v."""
    found, expected = [], []
    for attention, results in ((function, found), (twin, expected)):
        out = attention(qk, v)
        results += [out, *torch.autograd.grad(out, (qk, v), grad, materialize_grads=True)]
    return max((a - b).abs().max().item() for a, b in zip(found, expected, strict=True))


def check_against_reference(qk, v, grad, buckets, **rules):
    padding_mask = rules.get("padding_mask")
    real = torch.ones(qk.shape[0], qk.shape[2], dtype=torch.bool) if padding_mask is None else padding_mask
    real = real[:, None, :, None]
    difference = largest_difference(
        lambda qk, v: lsh_attention(qk, v, buckets=buckets, **rules) * real,
        lambda qk, v: reference_lsh_attention(qk, v, buckets, **rules),
        qk,
        v,
        grad,
    )
    assert difference < 1e-9


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("same_bucket_mask", [True, False])
@pytest.mark.parametrize("duplicate_correction", [True, False])
@pytest.mark.parametrize(("n_hashes", "length"), [(1, 32), (2, 37), (3, 24), (8, 21)])
def test_equals_the_equations(causal, same_bucket_mask, duplicate_correction, n_hashes, length):
    check_against_reference(
        *inputs((1, 2, length, 5), n_hashes),
        chunk_len=4,
        causal=causal,
        same_bucket_mask=same_bucket_mask,
        duplicate_correction=duplicate_correction,
    )


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("same_bucket_mask", [True, False])
def test_pads_are_never_attended(causal, same_bucket_mask):
    qk, v, grad, buckets = inputs((3, 2, 23, 5), 3)
    padding_mask = torch.rand(3, 23, generator=torch.Generator().manual_seed(1)) < 0.7
    check_against_reference(
        qk, v, grad, buckets, chunk_len=4, padding_mask=padding_mask, causal=causal, same_bucket_mask=same_bucket_mask
    )


@pytest.mark.parametrize("n_buckets", [1, 3, 40])
@pytest.mark.parametrize("same_bucket_mask", [True, False])
def test_buckets_of_any_size(n_buckets, same_bucket_mask):
    check_against_reference(*inputs((1, 2, 40, 5), 3, n_buckets), chunk_len=8, same_bucket_mask=same_bucket_mask)


def test_a_token_that_sees_nothing_else_attends_to_itself():
    qk, v, grad, _ = inputs((1, 2, 12, 5))
    buckets = torch.arange(12, dtype=torch.int16).expand(1, 2, 3, 12)
    torch.testing.assert_close(lsh_attention(qk, v, chunk_len=4, buckets=buckets), v, rtol=0, atol=0)
    check_against_reference(qk, v, grad, buckets, chunk_len=4)


def test_hashing_with_a_generator_leaves_the_global_one_alone():
    qk, v, _, _ = inputs()
    before = torch.get_rng_state()
    first, second = (lsh_attention(qk, v, chunk_len=4, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients_by_finite_differences():
    qk, v, _, _ = inputs((1, 2, 11, 3))
    buckets = hash_vectors(qk, 4, 2, torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda qk, v: lsh_attention(qk, v, chunk_len=3, buckets=buckets), (qk, v))
