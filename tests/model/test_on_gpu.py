"""The same numbers on a CUDA device as on CPU, and there the memory that reversible layers promise."""

import pytest
import torch
from small import gradients, small_batch, small_model, twin_of

from reformer.model.lsh import draw_rotations, hash_vectors, lsh_attention
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
