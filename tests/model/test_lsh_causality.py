"""What later tokens may change: nothing where the buckets are fixed, and nothing at all with the window of sorted places."""

import pytest
import torch
from reference import attended_sets

from reformer.model import lsh_fused
from reformer.model.lsh import draw_rotations, hash_vectors, lsh_attention

N_BUCKETS, CHUNK_LEN = 16, 8
SHAPE = (2, 3, 300, 6)


@pytest.fixture(params=["fused", "portable"], autouse=True)
def implementation(request, monkeypatch):
    if request.param == "portable":
        monkeypatch.setattr(lsh_fused, "kernels_exist", lambda: False)


def two_texts(first_change=200, dtype=torch.float32):
    """Queries and values of two texts that are the same up to a position, and rotations to hash both with."""
    generator = torch.Generator().manual_seed(0)
    qk, v, qk_tail, v_tail = (torch.randn(SHAPE, generator=generator, dtype=dtype) for _ in range(4))
    other_qk, other_v = (
        torch.cat([x[:, :, :first_change], tail[:, :, first_change:]], dim=2)
        for x, tail in ((qk, qk_tail), (v, v_tail))
    )
    return (qk, v), (other_qk, other_v), draw_rotations(qk, N_BUCKETS, 3, generator)


@pytest.mark.parametrize(("window", "same_bucket_mask"), [("chunk", True), ("chunk", False), ("sorted", True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_later_tokens_do_not_change_a_bit_of_earlier_outputs_where_buckets_are_fixed(window, same_bucket_mask, dtype):
    text, other, rotations = two_texts(dtype=dtype)
    buckets = hash_vectors(text[0], rotations)
    rules = {"chunk_len": CHUNK_LEN, "window": window, "same_bucket_mask": same_bucket_mask}
    out, other_out = (lsh_attention(*x, buckets=buckets, **rules) for x in (text, other))
    assert torch.equal(out[:, :, :200], other_out[:, :, :200])
    assert not torch.equal(out[:, :, 200:], other_out[:, :, 200:])


def test_the_gradient_of_later_inputs_is_zero():
    (qk, v), _, rotations = two_texts()
    qk.requires_grad_(), v.requires_grad_()
    out = lsh_attention(qk, v, chunk_len=CHUNK_LEN, rotations=rotations)
    for gradient in torch.autograd.grad(out[:, :, :200].square().sum(), (qk, v)):
        assert not gradient[:, :, 200:].any()


def test_sorted_windows_keep_earlier_outputs_when_later_tokens_hash_elsewhere():
    text, other, rotations = two_texts(dtype=torch.float64)
    rules = {"chunk_len": CHUNK_LEN, "n_buckets": N_BUCKETS, "rotations": rotations, "window": "sorted"}
    out, other_out = (lsh_attention(*x, **rules) for x in (text, other))
    torch.testing.assert_close(out[:, :, :200], other_out[:, :, :200], rtol=0, atol=1e-12)
    # A text that is longer rehashes nothing either.
    shorter = lsh_attention(*(x[:, :, :200] for x in text), **rules)
    torch.testing.assert_close(out[:, :, :200], shorter, rtol=0, atol=1e-12)


def leak(window, n_buckets, length=256, chunk_len=16, n_texts=8):
    """Share of earlier queries whose attended set changes when one later token changes (one round, n_buckets fixed)."""
    generator = torch.Generator().manual_seed(0)
    changed = queries = 0
    for _ in range(n_texts):
        qk = torch.randn(1, 1, length, 8, generator=generator)
        rotations = draw_rotations(qk, n_buckets, 1, generator)
        t = int(torch.randint(length // 2, length, (), generator=generator))
        other = qk.clone()
        other[:, :, t] = torch.randn(8, generator=generator)
        sets, other_sets = (
            attended_sets(
                hash_vectors(x, rotations)[0, 0, 0].tolist(),
                list(range(length)),
                chunk_len,
                causal=True,
                same_bucket_mask=True,
                window=window,
            )
            for x in (qk, other)
        )
        changed += sum(sets[i] != other_sets[i] for i in range(t))
        queries += t
    return changed / queries


def test_chunks_leak_structure_where_buckets_are_longer_and_sorted_windows_never_do():
    for n_buckets in (32, 8, 4):  # the paper's number gives buckets of half a chunk on average; 4, of four chunks
        assert leak("sorted", n_buckets) == 0
    assert leak("chunk", 4) > 0.01
