"""The Triton kernels of LSH attention under Triton's interpreter, on CPU. `test_lsh_triton` runs this file in its own process.

The interpreter has to be turned on before triton is imported: TRITON_INTERPRET=1. REFORMER_LSH=triton selects the kernels.
"""

import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import reference_lsh_attention
from test_lsh import RULES, inputs, largest_difference, results

from reformer.model import lsh_hash, lsh_triton
from reformer.model.lsh import draw_rotations, hash_vectors, lsh_attention

N_EXAMPLES = int(os.environ.get("N_EXAMPLES", "20"))


@pytest.fixture(autouse=True)
def _triton_in_small_blocks(monkeypatch):
    monkeypatch.setattr(lsh_triton, "GROUP_ROWS", 40)
    for blocks in ("FORWARD", "BACKWARD"):
        monkeypatch.setattr(lsh_triton, blocks, {64: lsh_triton.Blocks(16, 16, 1)})


@settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    shape=st.tuples(*(st.integers(1, most) for most in (2, 2, 33, 20))),
    n_hashes=st.integers(1, 3),
    n_buckets=st.integers(1, 20),
    chunk_len=st.integers(1, 20),
    rules=st.sampled_from(RULES),
    padded=st.booleans(),
    transposed=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float32, torch.float16]),
)
def test_any_shape_equals_the_equations(shape, n_hashes, n_buckets, chunk_len, rules, padded, transposed, dtype):
    qk, v, grad, buckets = inputs(shape, n_hashes, n_buckets, dtype)
    mask = torch.rand(shape[0], shape[2], generator=torch.Generator().manual_seed(1)) < 0.6 if padded else None
    if mask is not None:
        mask[:, 0] = True
    real = torch.ones(shape[0], 1, shape[2], 1) if mask is None else mask[:, None, :, None]
    rules = rules | {"chunk_len": chunk_len, "padding_mask": mask}
    exact = [x.detach().double().requires_grad_() for x in (qk, v)]
    expected = results(lambda qk, v: reference_lsh_attention(qk, v, buckets, **rules), *exact, grad)
    if transposed:
        qk, v = (x.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_() for x in (qk, v))
    found = results(lambda qk, v: lsh_attention(qk, v, buckets=buckets, **rules) * real, qk, v, grad)
    assert [x.dtype for x in found[1:]] == [dtype] * 2
    assert largest_difference(found, expected) < (2e-5 if dtype == torch.float32 else 2e-2)


def test_a_token_that_sees_nothing_else_attends_to_itself():
    qk, v, grad, _ = inputs((1, 1, 12, 5), dtype=torch.float32)
    buckets = torch.arange(12, dtype=torch.int32).expand(1, 1, 3, 12)
    out, _, grad_v = results(lambda qk, v: lsh_attention(qk, v, chunk_len=4, buckets=buckets), qk, v, grad)
    assert torch.equal(out, v)
    assert torch.equal(grad_v, grad)


def test_a_query_of_zeros_passes_no_gradient_as_a_key():
    _, v, grad, buckets = inputs((1, 1, 20, 5), n_buckets=1, dtype=torch.float32)
    qk = torch.zeros_like(v, requires_grad=True)
    found = results(lambda qk, v: lsh_attention(qk, v, chunk_len=4, buckets=buckets), qk, v, grad)
    assert all(x.isfinite().all() for x in found)
    assert torch.equal(found[1], torch.zeros_like(qk))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("width", "n_buckets"), [(5, 6), (20, 120)])
def test_hashing_gives_the_nearest_directions(dtype, width, n_buckets):
    generator = torch.Generator().manual_seed(0)
    qk = torch.randint(-3, 4, (2, 2, 37, width), generator=generator).to(dtype)
    # Integers, so that no rounding depends on the order of summation, and many directions are equally near.
    rotations = [rotation.mul(4).round() for rotation in draw_rotations(qk, n_buckets, 3, generator)]
    assert torch.equal(hash_vectors(qk, rotations), lsh_hash.hash_vectors(qk, rotations))
