"""Full and local attention against loops over single positions, and LSH attention where it must be full attention."""

import pytest
import torch
from twins import attention_twin, sees_all, sees_neighbours

from reformer.model.dot_product import full_attention, local_attention
from reformer.model.lsh import lsh_attention

CHUNK_LEN = 4


def in_chunks(q, k, v, **rules):
    return local_attention(q, k, v, chunk_len=CHUNK_LEN, **rules)


each_attention = pytest.mark.parametrize("attention", [full_attention, in_chunks])


def vectors(length=19, shared=True, dtype=torch.float64, seed=0):
    """Queries, keys (None where shared), values and the gradient of the output, (2, 3, length, 5)."""
    generator = torch.Generator().manual_seed(seed)
    q, k, v, grad = torch.randn(4, 2, 3, length, 5, generator=generator, dtype=torch.float64).to(dtype)
    inputs = [q.requires_grad_(), None if shared else k.requires_grad_(), v.requires_grad_()]
    return inputs, grad


def padding(length, seed=0):
    """Some pads anywhere in the first example, half of the second one at its end."""
    mask = torch.rand(2, length, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[1] = torch.arange(length) < length - length // 2
    return mask


def assert_equal(attention, twin, inputs, grad, padding_mask=None):
    """Outputs at real tokens, and the gradients of all inputs, to 1e-12."""
    real = torch.ones(()) if padding_mask is None else padding_mask[:, None, :, None]
    results = []
    for function in (attention, twin):
        out = function(*inputs) * real
        wanted = [x for x in inputs if x is not None]
        # A lone token depends on neither queries nor keys.
        found = torch.autograd.grad(out, wanted, grad, allow_unused=True, materialize_grads=True)
        results.append([out, *found])
    torch.testing.assert_close(*results, rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 19])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_full_attention_equals_its_loop(causal, shared, padded, length):
    inputs, grad = vectors(length, shared)
    mask = padding(length) if padded else None
    assert_equal(
        lambda q, k, v: full_attention(q, k, v, causal=causal, padding_mask=mask),
        lambda q, k, v: attention_twin(q, k, v, sees_all(causal), mask),
        inputs,
        grad,
        mask,
    )


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("causal", [True, False])
def test_without_the_rule_on_oneself_a_shared_query_sees_its_own_key_too(causal, padded):
    (q, _, v), grad = vectors(19)
    mask = padding(19) if padded else None

    def twin(q, _, v):
        keys = (
            torch.nn.functional.normalize(q, dim=-1) * q.shape[-1] ** 0.5
        )  # the twin's separate keys divide by the root
        return attention_twin(q, keys, v, sees_all(causal), mask)

    assert_equal(
        lambda q, k, v: full_attention(q, k, v, causal=causal, padding_mask=mask, mask_self=False),
        twin,
        [q, None, v],
        grad,
        mask,
    )


@pytest.mark.parametrize("length", [1, CHUNK_LEN - 1, CHUNK_LEN, 19])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_local_attention_equals_its_loop(causal, shared, padded, length):
    inputs, grad = vectors(length, shared)
    mask = padding(length) if padded else None
    assert_equal(
        lambda q, k, v: local_attention(q, k, v, chunk_len=CHUNK_LEN, causal=causal, padding_mask=mask),
        lambda q, k, v: attention_twin(q, k, v, sees_neighbours(CHUNK_LEN, causal), mask),
        inputs,
        grad,
        mask,
    )


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_local_attention_in_one_chunk_is_full_attention(causal, shared):
    inputs, grad = vectors(13, shared)
    assert_equal(
        lambda q, k, v: local_attention(q, k, v, chunk_len=17, causal=causal),
        lambda q, k, v: full_attention(q, k, v, causal=causal),
        inputs,
        grad,
    )


@pytest.mark.parametrize("n_hashes", [1, 3])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("duplicate_correction", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_lsh_attention_in_one_chunk_and_one_bucket_is_full_attention(causal, duplicate_correction, padded, n_hashes):
    inputs, grad = vectors()
    mask = padding(19) if padded else None
    buckets = torch.zeros(2, 3, n_hashes, 19, dtype=torch.int16)
    assert_equal(
        lambda q, k, v: lsh_attention(
            q,
            v,
            chunk_len=19,
            causal=causal,
            buckets=buckets,
            padding_mask=mask,
            duplicate_correction=duplicate_correction,
        ),
        lambda q, k, v: full_attention(q, k, v, causal=causal, padding_mask=mask),
        inputs,
        grad,
        mask,
    )


def test_the_logit_of_shared_queries_has_no_scale_but_the_keys_length():
    """Two keys, along the query and opposite, of any length: their logits are |q| and -|q|."""
    q = torch.tensor([[2.0, 0, 0, 0], [-7, 0, 0, 0], [3, 0, 0, 0]]).view(1, 1, 3, 4)
    v = torch.eye(3).view(1, 1, 3, 3)
    expected = torch.tensor([3.0, -3.0]).softmax(0)
    for attention in (full_attention, in_chunks):
        torch.testing.assert_close(attention(q, None, v)[0, 0, 2], torch.tensor([*expected, 0.0]))


@each_attention
def test_a_token_that_sees_nothing_else_attends_to_itself(attention):
    (q, _, v), _ = vectors(6)
    torch.testing.assert_close(attention(q, None, v)[:, :, 0], v[:, :, 0], rtol=0, atol=0)
    alone = torch.tensor([[False, False, True, False, False, False]] * 2)
    for causal in (True, False):
        out = attention(q, None, v, causal=causal, padding_mask=alone)
        torch.testing.assert_close(out[:, :, 2], v[:, :, 2], rtol=0, atol=0)


@each_attention
@pytest.mark.parametrize("causal", [True, False])
def test_pads_give_finite_outputs_and_gradients(attention, causal):
    (q, _, v), grad = vectors(11)
    nothing = torch.zeros(2, 11, dtype=torch.bool)
    out = attention(q, None, v, causal=causal, padding_mask=nothing)
    assert all(x.isfinite().all() for x in (out, *torch.autograd.grad(out, (q, v), grad)))


@each_attention
def test_a_vector_without_direction_gets_no_gradient_through_its_direction(attention):
    (q, _, v), grad = vectors(4)
    q = torch.where(torch.arange(4)[:, None] == 1, 0, q.detach()).requires_grad_()
    buckets = torch.zeros(2, 3, 1, 4, dtype=torch.int16)
    assert_equal(attention, lambda q, k, v: lsh_attention(q, v, chunk_len=4, buckets=buckets), [q, None, v], grad)


@each_attention
@pytest.mark.parametrize("shared", [True, False])
def test_what_comes_later_leaves_earlier_outputs_bit_identical(attention, shared):
    (q, k, v), _ = vectors(19, shared, torch.float32)
    for first_changed in range(1, 19):
        changed = [None if x is None else x.detach().clone() for x in (q, k, v)]
        for x in changed:
            if x is not None:
                x[:, :, first_changed:] = 5 * torch.randn(x[:, :, first_changed:].shape)
        before, after = attention(q, k, v), attention(*changed)
        assert torch.equal(before[:, :, :first_changed], after[:, :, :first_changed])
        assert not torch.equal(before[:, :, first_changed:], after[:, :, first_changed:])


@each_attention
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_queries_without_a_direction_see_all_alike(attention, dtype):
    q = torch.zeros(1, 1, 7, 5, dtype=dtype, requires_grad=True)
    out = attention(q, None, torch.ones_like(q))
    torch.testing.assert_close(out, torch.ones_like(out))
    assert torch.autograd.grad(out.sum(), q)[0].isfinite().all()


def in_one_bucket(q, k, v, **rules):
    return lsh_attention(
        q, v, buckets=torch.zeros(*q.shape[:2], 1, q.shape[2], dtype=torch.int32), chunk_len=4, **rules
    )


each_shared_attention = pytest.mark.parametrize("attention", [full_attention, in_chunks, in_one_bucket])


@each_shared_attention
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [2e18, 1e19, 1e25, 1e38])
def test_queries_too_long_for_the_penalty_of_masked_pairs_give_nan_and_no_wrong_number(attention, dtype, size):
    q, v = torch.randn(2, 1, 2, 29, 8, dtype=dtype).unbind()
    q[0, 1, 13] *= size / q[0, 1, 13].norm()
    out = attention(q, None, v)
    assert out[0, 1, 14:16].isnan().all()
    assert out[0, 0].isfinite().all()


@each_shared_attention
@pytest.mark.parametrize("size", [1e6, 1e10, 1e17])
def test_long_queries_attend_to_the_most_similar_key(attention, size):
    q, v = torch.randn(2, 1, 2, 29, 8, dtype=torch.float64).unbind()
    q = q / q.norm(dim=-1, keepdim=True) * size
    found, expected = (attention(q.to(dtype), None, v.to(dtype)) for dtype in (torch.float32, torch.float64))
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)
