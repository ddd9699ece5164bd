"""The reversible stack against the twin that stores its activations, and against the paper's equations 9 and 10."""

from contextlib import nullcontext
from functools import partial
from unittest.mock import patch

import pytest
import torch
from small import (
    MIXED,
    fixed_buckets,
    gradients,
    relative_error,
    small_batch,
    small_config,
    small_model,
    step,
    twin_of,
)
from twins import reversible_twin

import reformer.model.attention as attention_module
from reformer.model import dot_product
from reformer.model.residual import ResidualStack, _backpropagate

exactly = partial(torch.testing.assert_close, rtol=0, atol=1e-10)


def assert_equals_its_stored_twin(model, length=29):
    stored = twin_of(model, reversible=False)
    for ours, theirs in zip(model.parameters(), stored.parameters(), strict=True):
        theirs.requires_grad_(ours.requires_grad)
    batch = small_batch(length)
    exactly(step(model, *batch), step(stored, *batch))


@pytest.mark.parametrize("attention", [["lsh"], ["full"], ["local"], ["off"], MIXED])
@pytest.mark.parametrize(
    "settings", [{"dropout": 0.3}, {"ff_chunk_size": 9}, {"causal": False}, {"positions": "learned"}]
)
def test_gradients_equal_those_of_stored_activations(attention, settings):
    model = small_model(attention=attention, **settings)
    stored = twin_of(model, reversible=False)
    (nll, grads), (stored_nll, stored_grads) = (step(network, *small_batch()) for network in (model, stored))
    exactly(nll, stored_nll)
    for name, grad in stored_grads.items():
        # What a layer without attention does not use has no gradient, or one of zero.
        exactly(grads[name], torch.zeros_like(grads[name]) if grad is None else grad)


def test_gradients_are_right_with_separate_queries_and_keys():
    assert_equals_its_stored_twin(small_model(attention=["full", "local"], shared_qk=False, dropout=0.3))


@pytest.mark.parametrize("length", [1, 5, 8])
def test_gradients_are_right_where_the_sequence_is_shorter_than_a_chunk(length):
    assert_equals_its_stored_twin(small_model(dropout=0.3, ff_chunk_size=9), length)


def test_gradients_are_right_with_heads_computed_one_after_the_other(monkeypatch):
    monkeypatch.setattr(attention_module, "MAX_QUERY_ELEMENTS", 1)
    assert_equals_its_stored_twin(small_model(dropout=0.3))


@pytest.mark.parametrize(
    "frozen", ["embedding", "stack.layers.0", "stack.layers.1.attention", "feed_forward.to_hidden", "norm", "stack", ""]
)
def test_frozen_parameters_stay_without_gradient_and_the_others_get_theirs(frozen):
    model = small_model(dropout=0.3, ff_chunk_size=9)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(frozen not in name or name == "head.to_logits.bias")
    assert_equals_its_stored_twin(model)
    for parameter in model.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad


def test_a_layer_used_twice_gets_the_sum_of_both_gradients():
    model = small_model(dropout=0.3, attention=["full"])
    model.stack.layers[2] = model.stack.layers[0]
    stored = twin_of(model, reversible=False)
    stored.stack.layers[2] = stored.stack.layers[0]
    exactly(step(model, *small_batch()), step(stored, *small_batch()))


def test_a_parameter_of_several_branches_and_of_the_embedding_gets_the_sum_of_all_gradients():
    model = small_model(dropout=0.3, vocab_size=14)
    stored = twin_of(model, reversible=False)
    for network in (model, stored):
        layers = network.stack.layers
        network.embedding.weight = layers[0].feed_forward.to_hidden.weight  # both (14, 10)
        layers[2].feed_forward.norm.weight = layers[0].attention.norm.weight
    batch = small_batch(n_symbols=14)
    exactly(step(model, *batch), step(stored, *batch))


def test_gradients_accumulate_over_batches():
    model = small_model(dropout=0.3)
    stored = twin_of(model, reversible=False)
    for network in (model, stored):
        torch.manual_seed(2)
        for seed in (1, 2):
            network(*small_batch(seed=seed)).nll.mean().backward()
    exactly(gradients(model), gradients(stored))


def test_two_forward_passes_before_their_backward_passes_do_not_mix():
    model = small_model(dropout=0.3)
    stored = twin_of(model, reversible=False)
    for network in (model, stored):
        torch.manual_seed(2)
        losses = [network(*small_batch(seed=seed)).nll.mean() for seed in (1, 2)]
        for loss in losses:
            loss.backward()
    exactly(gradients(model), gradients(stored))


def test_backward_twice_through_one_forward_pass_doubles_the_gradient():
    model = small_model(dropout=0.3)
    loss = model(*small_batch()).nll.mean()
    loss.backward(retain_graph=True)
    once = {name: grad.clone() for name, grad in gradients(model).items()}
    loss.backward()
    exactly(gradients(model), {name: 2 * grad for name, grad in once.items()})


def test_the_gradient_of_the_input_and_of_one_stream_alone():
    model = small_model(dropout=0.3)
    stored = twin_of(model, reversible=False)
    x = torch.randn(3, 29, 10, dtype=torch.float64, requires_grad=True)
    for stream in (0, 1):
        found = []
        for network in (model, stored):
            torch.manual_seed(2)
            found.append(torch.autograd.grad(network.stack(x)[stream].square().sum(), x))
        exactly(*found)


@pytest.mark.parametrize("settings", [{}, {"ff_chunk_size": 9}])
def test_streams_and_gradients_equal_equations_9_and_10(settings):
    model = small_model(**settings)
    layers = [(layer.attention, layer.feed_forward) for layer in model.stack.layers]
    x, *grads = torch.randn(3, 3, 29, 10, dtype=torch.float64)
    x.requires_grad_()
    with fixed_buckets():
        *streams, grad_x = reversible_twin(layers, x, *grads)
        expected = {name: grad.clone() for name, grad in gradients(model.stack).items()}
        model.zero_grad()
        found = model.stack(x)
        torch.autograd.backward(found, grads)
    exactly(list(found), streams)
    exactly(x.grad, grad_x)
    exactly(gradients(model.stack), expected)


def test_one_stream_is_the_ordinary_residual_network():
    model = small_model(n_streams=1, reversible=False, attention=["full"])
    x = torch.randn(3, 29, 10, dtype=torch.float64)
    expected = x
    for layer in model.stack.layers:
        expected = expected + layer.attention(expected)
        expected = expected + layer.feed_forward(expected)
    for stream in model.stack(x):
        exactly(stream, expected)


@pytest.mark.parametrize("settings", [{}, {"reversible": False}, {"reversible": False, "n_streams": 1}])
def test_dropout_is_on_what_a_branch_adds_and_keeps_its_mean(settings):
    """With weights of zero, a layer adds the bias of its feed-forward alone."""
    stack = ResidualStack(small_config(n_layers=1, attention=["off"], dropout=0.25, **settings))
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.zero_()
        stack.layers[0].feed_forward.to_out.bias.fill_(1)
    x = torch.zeros(4, 500, 10)
    torch.manual_seed(0)
    y2 = stack(x)[1]
    assert y2.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert y2.mean().item() == pytest.approx(1, abs=0.02)
    assert stack.eval()(x)[1].eq(1).all()


# Hashing and the random state


def test_backward_hashes_nothing():
    model = small_model(attention=["lsh", "full", "lsh"])
    with patch.object(attention_module, "hash_vectors", wraps=attention_module.hash_vectors) as hashing:
        loss = model(*small_batch()).nll.mean()
        assert hashing.call_count == 2
        loss.backward()
        assert hashing.call_count == 2


@pytest.mark.parametrize("settings", [{"dropout": 0.3}, {"dropout": 0.3, "ff_chunk_size": 9}, {}])
def test_backward_leaves_the_random_state_alone(settings):
    model = small_model(**settings)
    loss = model(*small_batch()).nll.mean()
    before = torch.get_rng_state()
    loss.backward()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_draws_what_the_stored_twin_draws():
    model = small_model(dropout=0.3)
    states = []
    for network in (model, twin_of(model, reversible=False)):
        step(network, *small_batch())
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_draws_between_forward_and_backward_change_no_gradient():
    model = small_model(dropout=0.3)
    _, expected = step(model, *small_batch())
    expected = {name: grad.clone() for name, grad in expected.items()}
    model.zero_grad()
    torch.manual_seed(2)
    loss = model(*small_batch()).nll.mean()
    torch.rand(1000)
    torch.manual_seed(99)
    loss.backward()
    assert all(torch.equal(grad, expected[name]) for name, grad in gradients(model).items())


# Without gradients, and in low precision


def test_outputs_are_the_same_with_and_without_gradients():
    model = small_model(dropout=0.3)
    inputs, _ = small_batch()
    found = []
    for context in (nullcontext(), torch.no_grad(), torch.inference_mode()):
        with context:
            torch.manual_seed(2)
            out = model(inputs)
            found.append(out.detach().clone())
    assert not out.requires_grad
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_gradients_in_eval_mode_are_those_without_dropout():
    model = small_model(dropout=0.3).eval()
    assert_equals_its_stored_twin(model)
    twin = twin_of(model, dropout=0.0).train()
    exactly(step(model, *small_batch()), step(twin, *small_batch()))


@pytest.mark.parametrize(
    ("dtype", "autocast", "factor"),
    [(torch.float32, True, 2), (torch.bfloat16, False, 2), (torch.float32, False, 10)],
    ids=["autocast", "bfloat16", "float32"],
)
@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3, "ff_chunk_size": 9}])
def test_inverting_costs_little_precision(dtype, autocast, factor, settings):
    """Errors against float64, in norm over all parameters, are not many times those with stored activations.

    In low precision they hardly differ, for streams are kept in float32; in float32 inverting the sums has its price.
    """
    model = small_model(dtype, **settings)
    networks = [twin_of(model, reversible=False).double(), twin_of(model, reversible=False), model]
    found = []
    with fixed_buckets():
        for network in networks:
            torch.manual_seed(2)
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast and network is not networks[0]):
                loss = network(*small_batch()).nll.mean()
            loss.backward()
            found.append(gradients(network).values())
    exact, stored, reversible = found
    assert all(grad.dtype == dtype for grad in reversible)
    assert relative_error(reversible, exact) <= factor * relative_error(stored, exact)


def test_backward_outside_of_autocast_computes_as_forward_did_inside():
    model = small_model(torch.float32, attention=["full"])
    seen = []

    def recorded(q, k, v, **rules):
        seen.append((q.dtype, torch.is_autocast_enabled("cpu")))
        return full_attention(q, k, v, **rules)

    full_attention = dot_product.full_attention
    with patch.object(dot_product, "full_attention", recorded):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(*small_batch()).nll.mean()
        loss.backward()
    assert seen == 6 * [(torch.bfloat16, True)]


def test_backward_inside_of_autocast_computes_as_forward_did_outside():
    stack = small_model(torch.float32, dropout=0.3).stack
    x, *grads = torch.randn(3, 3, 29, 10)
    found = []
    for enabled in (False, True):
        torch.manual_seed(2)
        streams = stack(x)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(torch.autograd.grad(streams, list(stack.parameters()), grads))
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("piece_size", [1, 1 << 24])
def test_a_branch_computed_again_is_the_same_to_the_bit(monkeypatch, dtype, autocast, piece_size):
    """What is taken away from a stream is exactly what was added to it."""
    monkeypatch.setattr(attention_module, "MAX_QUERY_ELEMENTS", piece_size)
    model = small_model(dtype, n_heads=5, ff_chunk_size=9)
    x = torch.randn(3, 29, 10, dtype=torch.promote_types(dtype, torch.float32))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast and dtype == torch.float32):
        for branch in model.stack.branches():
            buckets = []
            with torch.no_grad():
                added = branch(x, None, buckets).to(x.dtype)
            totals = {parameter: torch.zeros_like(parameter) for parameter in branch.parameters()}
            again = _backpropagate(branch, x, torch.ones_like(x), torch.zeros_like(x), None, buckets, totals)
            assert torch.equal(again, added)


def test_gradients_by_finite_differences():
    stack = small_model(attention=["lsh", "local"], n_layers=2, d_model=4, d_ff=5, d_head=3, chunk_len=3).stack
    x = torch.randn(1, 7, 4, dtype=torch.float64, requires_grad=True)
    with fixed_buckets():
        assert torch.autograd.gradcheck(stack, (x,), fast_mode=True)


def test_weights_that_change_before_the_backward_pass_are_noticed():
    model = small_model()
    loss = model(*small_batch()).nll.mean()
    with torch.no_grad():
        next(model.stack.parameters()).add_(0.1)
    with pytest.raises(RuntimeError, match="have changed since its forward pass"):
        loss.backward()


def test_weights_that_stand_in_for_a_while_are_noticed():
    model = small_model()
    others = {name: (parameter.detach() + 0.1).requires_grad_() for name, parameter in model.named_parameters()}
    loss = torch.func.functional_call(model, others, small_batch()).nll.mean()
    with pytest.raises(RuntimeError, match="have changed since its forward pass"):
        loss.backward()


def test_a_second_derivative_is_refused():
    model = small_model()
    x = torch.randn(2, 9, 10, dtype=torch.float64, requires_grad=True)
    out, _ = model.stack(x)
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        torch.autograd.grad(out.sum(), x, create_graph=True)
