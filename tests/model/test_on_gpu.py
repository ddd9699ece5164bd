"""The same numbers on a CUDA device as on CPU, in every run, and there the memory that the techniques promise."""

import pytest
import torch
from small import gradients, small_batch, small_model, twin_of

from reformer.model import lsh_choice, lsh_hash, lsh_portable
from reformer.model.lsh import draw_rotations, hash_vectors, lsh_attention
from reformer.model.lsh_rules import Rules
from reformer.model.reformer_lm import ReformerLM

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("rules", [{}, {"window": "chunk"}, {"window": "chunk", "same_bucket_mask": False}])
@pytest.mark.parametrize("causal", [True, False])
def test_lsh_attention_gives_what_it_gives_on_cpu(causal, rules):
    generator = torch.Generator().manual_seed(0)
    qk, v, grad = torch.randn(3, 2, 3, 37, 5, generator=generator, dtype=torch.float64)
    buckets = torch.randint(6, (2, 3, 2, 37), generator=generator, dtype=torch.int16)
    found = []
    for device in ("cpu", "cuda"):
        leaves = [x.to(device, copy=True).requires_grad_() for x in (qk, v)]
        out = lsh_attention(*leaves, chunk_len=4, causal=causal, buckets=buckets.to(device), **rules)
        found.append([out, *torch.autograd.grad(out, leaves, grad.to(device))])
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(there.cpu(), here, rtol=0, atol=1e-9)


def test_hashing_gives_the_buckets_it_gives_on_cpu():
    x = torch.randn(2, 3, 41, 7, dtype=torch.float64)
    rotations = draw_rotations(x, 12, 3)
    there = hash_vectors(x.cuda(), [rotation.cuda() for rotation in rotations])
    assert torch.equal(there.cpu(), hash_vectors(x, rotations))


# Sets of rules: the usual ones, and others that together take every branch of the kernels.
RULES = [
    Rules(64, causal=True, same_bucket_mask=True, duplicate_correction=True, window="sorted"),
    Rules(48, causal=True, same_bucket_mask=True, duplicate_correction=False, window="sorted"),
    Rules(32, causal=False, same_bucket_mask=True, duplicate_correction=True, window="sorted"),
    Rules(64, causal=True, same_bucket_mask=True, duplicate_correction=True, window="chunk"),
    Rules(20, causal=False, same_bucket_mask=True, duplicate_correction=True, window="chunk"),
    Rules(64, causal=True, same_bucket_mask=False, duplicate_correction=True, window="chunk"),
    Rules(32, causal=False, same_bucket_mask=False, duplicate_correction=True, window="chunk"),
]


def kernels():
    """The module of the Triton kernels, which has to be the one that is chosen here."""
    module = lsh_choice.implementation(torch.ones(1, device="cuda"))
    assert module.__name__ == "reformer.model.lsh_triton"
    return module


def lsh_inputs(shape, n_hashes, chunk_len=64, dtype=torch.bfloat16):
    """Queries, values and gradient as transposed views of (B, L, H, D), and buckets."""
    generator = torch.Generator("cuda").manual_seed(0)
    examples, heads, length, width = shape
    parts = torch.randn(3, examples, length, heads, width, generator=generator, device="cuda").to(dtype).transpose(2, 3)
    rotations = draw_rotations(parts[0], lsh_hash.count_buckets(length, chunk_len), n_hashes, generator)
    return *parts, hash_vectors(parts[0], rotations)


def lsh_results(module, qk, v, grad, buckets, padding_mask, rules):
    out, lse = module.forward(qk, v, buckets, padding_mask, rules)
    return out, *module.backward(grad, qk, v, buckets, padding_mask, out, lse, rules)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2e-6), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
@pytest.mark.parametrize("rules", RULES, ids=lambda rules: f"{rules.window} {rules.chunk_len}")
@pytest.mark.parametrize("width", [64, 20])
def test_kernels_give_what_float64_gives(rules, dtype, error, width):
    qk, v, grad, buckets = lsh_inputs((2, 3, 777, width), 5, rules.chunk_len, dtype)
    padding_mask = torch.rand(2, 777, device="cuda") < 0.9
    real = padding_mask[:, None, :, None]
    found = lsh_results(kernels(), qk, v, grad * real, buckets, padding_mask, rules)
    exact = [x.double() for x in (qk, v, grad * real)]
    for x, expected in zip(found, lsh_results(lsh_portable, *exact, buckets, padding_mask, rules), strict=True):
        assert x.dtype == dtype
        assert (x.double() - expected)[real.expand_as(x)].norm() < error * expected[real.expand_as(x)].norm()


@pytest.mark.parametrize("width", [16, 128, 256])
def test_kernels_take_any_width(width):
    inputs = lsh_inputs((1, 2, 300, width), 3, 16)
    found = lsh_results(kernels(), *inputs, None, RULES[0])
    exact = [x.double() for x in inputs[:3]]
    for x, expected in zip(found, lsh_results(lsh_portable, *exact, inputs[3], None, RULES[0]), strict=True):
        assert (x.double() - expected).norm() < 1e-2 * expected.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_kernel_hashes_as_the_plain_operators_do(dtype):
    # Integers, so that no rounding depends on the order of summation.
    qk = torch.randint(-3, 4, (2, 3, 501, 64), device="cuda").to(dtype)
    for n_buckets in (6, 1024):
        rotations = [rotation.mul(16).round() for rotation in draw_rotations(qk, n_buckets, 3)]
        assert torch.equal(hash_vectors(qk, rotations), lsh_hash.hash_vectors(qk, rotations))
        # All 24 bits of the rotations count.
        rotations = draw_rotations(qk, n_buckets, 3)
        exact = lsh_hash.hash_vectors(qk.double(), [rotation.double() for rotation in rotations])
        assert (hash_vectors(qk, rotations) != exact).float().mean() < 1e-3


def test_ten_runs_give_the_same_bits():
    inputs = lsh_inputs((1, 8, 4096, 64), 8)
    first = lsh_results(kernels(), *inputs, None, RULES[0])
    for _ in range(9):
        for x, expected in zip(lsh_results(kernels(), *inputs, None, RULES[0]), first, strict=True):
            assert torch.equal(x, expected)


def test_a_pass_never_waits_for_the_device():
    qk, v, grad, _ = lsh_inputs((1, 2, 1024, 64), 4)
    leaves = [x.detach().requires_grad_() for x in (qk, v)]
    padding_mask = torch.ones(1, 1024, dtype=torch.bool, device="cuda")

    def both_passes():
        out = lsh_attention(*leaves, n_hashes=4, padding_mask=padding_mask)
        torch.autograd.grad(out, leaves, grad)

    both_passes()  # compiles, and compares the kernels with the portable path
    torch.cuda.set_sync_debug_mode("error")
    try:
        both_passes()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_memory_grows_with_rounds_by_little_more_than_the_buckets():
    heads, length = 8, 1 << 16

    def peak(n_hashes):
        inputs = lsh_inputs((1, heads, length, 64), n_hashes)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        lsh_results(kernels(), *inputs, None, RULES[0])
        return torch.cuda.max_memory_allocated()

    # Of each slot: a bucket in 2 bytes, and its code, its position and its sort key in 4 bytes each.
    assert peak(16) - peak(2) < 14 * 14 * heads * length + (64 << 20)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_reversible_training_is_stored_training_hashing_and_dropout_included(dropout):
    inputs, targets = (x.cuda() for x in small_batch())
    reversible = small_model(dropout=dropout).cuda()
    stored = twin_of(reversible, reversible=False).cuda()
    states = []
    for model in (reversible, stored):
        torch.manual_seed(3)
        model(inputs, targets).nll.mean().backward()
        states.append((gradients(model), torch.cuda.get_rng_state()))
    for name, gradient in states[0][0].items():
        torch.testing.assert_close(gradient, states[1][0][name], rtol=0, atol=1e-10)
    assert torch.equal(states[0][1], states[1][1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_step_under_autocast_gives_finite_gradients(dtype):
    inputs, targets = (x.cuda() for x in small_batch())
    model = small_model(torch.float32).cuda()
    with torch.autocast("cuda", dtype):
        loss = model(inputs, targets).nll.mean()
    loss.backward()
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients(model).values())


def test_activations_do_not_grow_with_depth():
    tokens = torch.randint(256, (1, 4096), device="cuda")

    def peak(n_layers: int, reversible: bool) -> int:
        config = small_model().config
        settings = vars(config) | {"vocab_size": 256, "max_seq_len": 4096, "d_model": 128, "d_ff": 256}
        model = ReformerLM(type(config)(**settings | {"n_layers": n_layers, "reversible": reversible})).cuda()
        torch.cuda.reset_peak_memory_stats()
        begin = torch.cuda.memory_allocated()
        model(tokens, tokens).nll.mean().backward()
        at_rest = sum(parameter.grad.nbytes for parameter in model.parameters())
        return torch.cuda.max_memory_allocated() - begin - at_rest

    growth = {reversible: peak(12, reversible) - peak(3, reversible) for reversible in (True, False)}
    assert growth[True] < growth[False] / 4
