"""Work that is shared out to threads is done in them as it would be here."""

import multiprocessing
import os
import warnings

import pytest
import torch

from reformer.model.lsh import lsh_attention


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_attention_over_several_threads_without_gradients_is_that_of_one(mode):
    generator = torch.Generator().manual_seed(0)
    qk, v = (torch.randn(2, 4, 96, 8, generator=generator) for _ in range(2))
    buckets = torch.randint(6, (2, 4, 3, 96), generator=generator, dtype=torch.int16)
    before = torch.get_num_threads()
    found = []
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            with mode():
                found.append(lsh_attention(qk, v, chunk_len=8, buckets=buckets))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_gradients_over_several_threads_are_those_of_one():
    generator = torch.Generator().manual_seed(0)
    qk, v, grad = torch.randn(3, 2, 4, 96, 8, generator=generator)
    buckets = torch.randint(6, (2, 4, 3, 96), generator=generator, dtype=torch.int16)
    before = torch.get_num_threads()
    found = []
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            leaves = qk.clone().requires_grad_(), v.clone().requires_grad_()
            found.append(torch.autograd.grad(lsh_attention(*leaves, chunk_len=8, buckets=buckets), leaves, grad))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *found))


def test_training_after_inference_with_the_same_threads(two_threads):
    generator = torch.Generator().manual_seed(0)
    qk, v = (torch.randn(1, 4, 96, 8, generator=generator, requires_grad=True) for _ in range(2))
    buckets = torch.randint(6, (1, 4, 3, 96), generator=generator, dtype=torch.int16)
    with torch.inference_mode():
        inferred = lsh_attention(qk, v, chunk_len=8, buckets=buckets)
    out = lsh_attention(qk, v, chunk_len=8, buckets=buckets)
    assert torch.equal(out, inferred)
    out.sum().backward()
    assert qk.grad is not None
    assert qk.grad.isfinite().all()


def attend_in_child(results):
    x = torch.ones(1, 2, 32, 4)
    results.put(lsh_attention(x, x, chunk_len=8, n_hashes=1).shape)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_starts_threads_of_its_own():
    x = torch.ones(1, 2, 32, 4)
    lsh_attention(x, x, chunk_len=8, n_hashes=1)  # on one thread: a fork hangs in OpenMP where it has had several
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        child = context.Process(target=attend_in_child, args=(results,))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of forking where there are threads
            child.start()
        assert results.get(timeout=60) == x.shape
        child.join()
    finally:
        torch.set_num_threads(before)
