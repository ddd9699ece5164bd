"""LSH attention against its brute-force twin, and the properties that the paper's algorithm must have."""

from math import log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import reference_lsh_attention

from reformer.model import lsh_blocks, lsh_fused, lsh_portable
from reformer.model.lsh import draw_rotations, hash_vectors, lsh_attention
from reformer.settings import SettingError


@pytest.fixture(params=["fused", "fused in small blocks", "portable"])
def implementation(request, monkeypatch):
    """Every test that asks for it runs with each implementation, the fused one also with several blocks a chunk."""
    if request.param == "portable":
        monkeypatch.setattr(lsh_fused, "kernels_exist", lambda: False)
    elif not lsh_fused.kernels_exist():
        pytest.skip("this PyTorch has no fused attention for CPU that takes a mask")
    if request.param == "fused in small blocks":
        monkeypatch.setattr(lsh_blocks, "BLOCK_LEN", 2)
        monkeypatch.setattr(lsh_blocks, "TILE_PAIRS", 100)
        monkeypatch.setattr(lsh_fused, "GROUP_ROWS", 80)
        monkeypatch.setattr(lsh_fused, "ROWS_PER_STEP", 30)
        monkeypatch.setattr(lsh_blocks, "MAX_FLOAT32_INTEGER", 16)
    return request.param


def inputs(shape=(2, 3, 37, 5), n_hashes=2, n_buckets=6, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    qk, v, grad = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for _ in range(3))
    buckets = torch.randint(n_buckets, (*shape[:2], n_hashes, shape[2]), generator=generator, dtype=torch.int16)
    return qk.requires_grad_(), v.requires_grad_(), grad, buckets


def results(attention, qk, v, grad):
    """The output and the gradients of qk and v."""
    out = attention(qk, v)
    return [out, *torch.autograd.grad(out, (qk, v), grad.to(out.dtype), materialize_grads=True)]


def largest_difference(found, expected):
    return max((a.double() - b).abs().max().item() for a, b in zip(found, expected, strict=True))


def check_against_reference(qk, v, grad, buckets, **rules):
    padding_mask = rules.get("padding_mask")
    real = torch.ones(qk.shape[0], qk.shape[2], dtype=torch.bool) if padding_mask is None else padding_mask
    real = real[:, None, :, None]
    found = results(lambda qk, v: lsh_attention(qk, v, buckets=buckets, **rules) * real, qk, v, grad)
    expected = results(lambda qk, v: reference_lsh_attention(qk, v, buckets, **rules), qk, v, grad)
    assert largest_difference(found, expected) < 1e-9


# Sets of rules: the paper's equations, and all that can be switched.
RULES = [
    {"causal": causal, "same_bucket_mask": same_bucket_mask, "duplicate_correction": corrected, "window": window}
    for causal in (True, False)
    for same_bucket_mask, window in ((True, "chunk"), (True, "sorted"), (False, "chunk"))
    for corrected in (True, False)
]
every_rule = pytest.mark.parametrize("rules", RULES, ids=lambda rules: ", ".join(str(x) for x in rules.values()))


@every_rule
@pytest.mark.parametrize(("n_hashes", "length"), [(1, 32), (2, 37), (3, 24), (8, 21), (4, 64)])
def test_equals_the_equations(implementation, rules, n_hashes, length):
    check_against_reference(*inputs((1, 2, length, 5), n_hashes), chunk_len=4, **rules)


@every_rule
def test_pads_are_never_attended(implementation, rules):
    qk, v, grad, buckets = inputs((3, 2, 23, 5), 3)
    padding_mask = torch.rand(3, 23, generator=torch.Generator().manual_seed(1)) < 0.7
    check_against_reference(qk, v, grad, buckets, chunk_len=4, padding_mask=padding_mask, **rules)


@every_rule
@pytest.mark.parametrize("n_buckets", [1, 3, 40])  # all tokens in one bucket, buckets of several chunks, lone tokens
def test_buckets_of_any_size(implementation, rules, n_buckets):
    check_against_reference(*inputs((1, 2, 40, 5), 3, n_buckets), chunk_len=6, **rules)


def test_blocks_of_the_usual_size_equal_the_equations():
    check_against_reference(*inputs((1, 1, 64, 3), 2, 2), chunk_len=32)
    qk, v, grad, buckets = inputs((2, 2, 700, 8), 3, 9)
    for rules in RULES:
        found, expected = [], []
        for implementation, kept in ((lsh_fused, found), (lsh_portable, expected)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(lsh_fused, "kernels_exist", lambda fused=implementation is lsh_fused: fused)
                kept += results(lambda qk, v, r=rules: lsh_attention(qk, v, buckets=buckets, **r), qk, v, grad)
        assert largest_difference(found, expected) < 1e-12


@settings(max_examples=60, deadline=None, database=None)
@given(
    shape=st.tuples(*(st.integers(1, most) for most in (3, 3, 45, 9))),
    n_hashes=st.integers(1, 5),
    n_buckets=st.integers(1, 50),
    chunk_len=st.integers(1, 12),
    rules=st.sampled_from(RULES),
    padded=st.booleans(),
    fused=st.booleans(),
    block_len=st.integers(1, 4),
)
def test_any_shape(shape, n_hashes, n_buckets, chunk_len, rules, padded, fused, block_len):
    qk, v, grad, buckets = inputs(shape, n_hashes, n_buckets)
    mask = torch.rand(shape[0], shape[2], generator=torch.Generator().manual_seed(1)) < 0.6 if padded else None
    if mask is not None:
        mask[:, 0] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lsh_blocks, "BLOCK_LEN", block_len)
        if not fused:
            patch.setattr(lsh_fused, "kernels_exist", lambda: False)
        check_against_reference(qk, v, grad, buckets, chunk_len=chunk_len, padding_mask=mask, **rules)


def test_a_token_that_sees_nothing_else_attends_to_itself(implementation):
    qk, v, grad, _ = inputs((1, 2, 12, 5))
    buckets = torch.arange(12, dtype=torch.int16).expand(1, 2, 3, 12)
    torch.testing.assert_close(lsh_attention(qk, v, chunk_len=4, buckets=buckets), v, rtol=0, atol=0)
    check_against_reference(qk, v, grad, buckets, chunk_len=4)


@pytest.mark.parametrize("rules", [{}, {"causal": False}, {"window": "chunk", "same_bucket_mask": False}])
def test_gradients_by_finite_differences(implementation, rules):
    qk, v, _, _ = inputs((1, 2, 11, 3))
    buckets = hash_vectors(qk, draw_rotations(qk, 4, 2, torch.Generator().manual_seed(0)))
    assert torch.autograd.gradcheck(lambda qk, v: lsh_attention(qk, v, chunk_len=3, buckets=buckets, **rules), (qk, v))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("window", ["chunk", "sorted"])
def test_low_precision_errs_at_most_twice_as_much_as_the_plain_version(implementation, dtype, window):
    qk, v, grad, buckets = inputs((1, 2, 48, 16), 3, 4, dtype)
    rules = {"chunk_len": 8, "window": window}
    exact = [x.detach().double().requires_grad_() for x in (qk, v)]
    expected = results(lambda qk, v: reference_lsh_attention(qk, v, buckets, **rules), *exact, grad)
    plain = results(lambda qk, v: reference_lsh_attention(qk, v, buckets, **rules), qk, v, grad)
    found = results(lambda qk, v: lsh_attention(qk, v, buckets=buckets, **rules), qk, v, grad)
    assert [x.dtype for x in found] == [dtype] * 3
    for one, other, exactly in zip(found, plain, expected, strict=True):
        assert largest_difference([one], [exactly]) <= 2 * largest_difference([other], [exactly])


def test_a_transposed_layout_is_kept_and_gives_the_same(implementation):
    qk, v, grad, buckets = inputs((2, 3, 37, 8))
    expected = results(lambda qk, v: lsh_attention(qk, v, chunk_len=4, buckets=buckets), qk, v, grad)
    strided = [x.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_() for x in (qk, v)]
    found = results(lambda qk, v: lsh_attention(qk, v, chunk_len=4, buckets=buckets), *strided, grad)
    assert largest_difference(found, expected) == 0


def test_a_sorted_window_without_the_same_bucket_mask_is_refused():
    qk, v, _, _ = inputs()
    with pytest.raises(SettingError, match="window"):
        lsh_attention(qk, v, window="sorted", same_bucket_mask=False)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"buckets": torch.zeros(2, 3, 0, 37, dtype=torch.int16)}, "the shape of buckets"),
        ({"buckets": torch.zeros(2, 37, dtype=torch.int16)}, "the shape of buckets"),
        ({"buckets": torch.zeros(2, 3, 1, 37)}, "the type of buckets must be integer"),
        ({"buckets": torch.full((2, 3, 1, 37), -1, dtype=torch.int16)}, "buckets must be >= 0, got -1"),
        ({"n_hashes": 0}, "n_hashes must be >= 1"),
    ],
)
def test_hashing_that_makes_no_sense_is_refused(changes, named):
    qk, v, _, _ = inputs()
    with pytest.raises(SettingError, match=named):
        lsh_attention(qk, v, **changes)


def test_kernels_that_are_missing_or_mean_another_thing_are_not_used(monkeypatch):
    attend, exist = lsh_fused._attend, lsh_fused.kernels_exist.__wrapped__

    def missing(*_):
        raise AttributeError("no such operator")

    def in_base_2(*given):
        out, lse = attend(*given)
        return out, lse / log(2)

    assert exist()
    for changed in (missing, in_base_2):
        monkeypatch.setattr(lsh_fused, "_attend", changed)
        assert not exist()
